//! NVIDIA's GPUs: from `nvidia-smi`, which numbers them as CUDA tools do and knows their memory,
//! else from what the driver shows under `/proc`.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

use super::Found;

/// A driver that hangs must not keep the broker from starting.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) async fn find(proc: &Path, has_tool: bool) -> Vec<Found> {
    let told = match has_tool {
        true => ask_tool().await,
        false => None,
    };
    match told {
        Some(found) if !found.is_empty() => found,
        _ => read_proc(proc),
    }
}

async fn ask_tool() -> Option<Vec<Found>> {
    let child = Command::new("nvidia-smi")
        .args([
            "--query-gpu=uuid,name,memory.total",
            "--format=csv,noheader,nounits",
        ])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .output();
    match timeout(PATIENCE, child).await {
        Ok(Ok(output)) if output.status.success() => {
            Some(parse_tool(&String::from_utf8_lossy(&output.stdout)))
        }
        Ok(Ok(output)) => {
            tracing::warn!(status = %output.status, "nvidia-smi failed");
            None
        }
        // Most hosts without such a GPU have no such tool.
        Ok(Err(_)) => None,
        Err(_) => {
            tracing::warn!("nvidia-smi did not answer within {} s", PATIENCE.as_secs());
            None
        }
    }
}

fn parse_tool(text: &str) -> Vec<Found> {
    let line = |line: &str| {
        let (id, rest) = line.split_once(',')?;
        let (name, memory) = rest.rsplit_once(',')?;
        id.trim().starts_with("GPU-").then(|| Found {
            id: id.trim().to_owned(),
            name: name.trim().to_owned(),
            source: "nvidia",
            // `[N/A]` where memory is the host's.
            vram_total_mib: memory.trim().parse().ok(),
        })
    };
    text.lines().filter_map(line).collect()
}

fn read_proc(proc: &Path) -> Vec<Found> {
    let Ok(entries) = fs::read_dir(proc.join("driver/nvidia/gpus")) else {
        return Vec::new();
    };
    // By PCI address, which is how the driver numbers them too.
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    let read = |path: &std::path::PathBuf| {
        let text = fs::read_to_string(path.join("information")).ok()?;
        let field = |name: &str| {
            let value = text.lines().find_map(|line| line.strip_prefix(name))?;
            Some(value.trim_start_matches(':').trim().to_owned())
        };
        Some(Found {
            id: field("GPU UUID").filter(|id| id.starts_with("GPU-") && !id.contains('?'))?,
            name: field("Model")?,
            source: "nvidia",
            vram_total_mib: None,
        })
    };
    paths.iter().filter_map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tool_is_understood() {
        let text = "GPU-8c1b, NVIDIA GeForce RTX 4090, 24564\n\
                    GPU-77aa, NVIDIA GB10, [N/A]\nFailed to initialize NVML\n";
        let found = parse_tool(text);
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].id, "GPU-8c1b");
        assert_eq!(found[0].name, "NVIDIA GeForce RTX 4090");
        assert_eq!(found[0].vram_total_mib, Some(24_564));
        assert_eq!(found[1].vram_total_mib, None);
    }

    #[test]
    fn the_driver_is_understood() {
        let proc = tempfile::tempdir().unwrap();
        let gpu = proc.path().join("driver/nvidia/gpus/0000:01:00.0");
        fs::create_dir_all(&gpu).unwrap();
        let text = "Model: \t\t NVIDIA H100 80GB HBM3\nIRQ:   \t\t 64\n\
                    GPU UUID: \t GPU-2f0e\nVideo BIOS: \t 96\n";
        fs::write(gpu.join("information"), text).unwrap();
        let found = read_proc(proc.path());
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].id, "GPU-2f0e");
        assert_eq!(found[0].name, "NVIDIA H100 80GB HBM3");
    }
}
