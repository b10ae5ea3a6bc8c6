//! AMD's and Intel's GPUs, as the kernel shows them under `/sys/class/drm`.

use std::fs;
use std::path::{Path, PathBuf};

use super::Found;

const AMD: &str = "0x1002";
const INTEL: &str = "0x8086";
const MIB: u64 = 1024 * 1024;

pub(super) fn find(sys: &Path) -> Vec<Found> {
    let Ok(entries) = fs::read_dir(sys.join("class/drm")) else {
        return Vec::new();
    };
    let mut cards: Vec<(u32, PathBuf)> = entries
        .flatten()
        .filter_map(|entry| {
            // `card0`, but not its connectors (`card0-DP-1`).
            let number = entry
                .file_name()
                .to_str()?
                .strip_prefix("card")?
                .parse()
                .ok()?;
            Some((number, entry.path()))
        })
        .collect();
    cards.sort();
    let vendor = |card: &Path| read(&card.join("device/vendor"));
    let of = |wanted: &str, read_card: fn(&Path) -> Option<Found>| -> Vec<Found> {
        let ours = cards
            .iter()
            .filter(|(_, card)| vendor(card).as_deref() == Some(wanted));
        ours.filter_map(|(_, card)| read_card(card)).collect()
    };
    let mut found = of(AMD, amd);
    found.extend(of(INTEL, intel));
    found
}

fn amd(card: &Path) -> Option<Found> {
    let device = card.join("device");
    let address = pci_address(&device)?;
    let id = match read(&device.join("unique_id")) {
        Some(unique) if unique.chars().any(|digit| digit != '0') => format!("amd-{unique}"),
        _ => format!("amd-{address}"),
    };
    Some(Found {
        id,
        name: read(&device.join("product_name")).unwrap_or_else(|| format!("AMD GPU at {address}")),
        source: "amd",
        vram_total_mib: bytes_as_mib(&device.join("mem_info_vram_total")),
    })
}

/// Only GPUs with memory of their own: what is built into a processor drives the display.
fn intel(card: &Path) -> Option<Found> {
    let vram_total_mib = bytes_as_mib(&card.join("lmem_total_bytes"))?;
    let address = pci_address(&card.join("device"))?;
    Some(Found {
        id: format!("intel-{address}"),
        name: format!("Intel GPU at {address}"),
        source: "intel",
        vram_total_mib: Some(vram_total_mib),
    })
}

fn bytes_as_mib(path: &Path) -> Option<u64> {
    let bytes: u64 = read(path)?.parse().ok()?;
    (bytes >= MIB).then_some(bytes / MIB)
}

fn pci_address(device: &Path) -> Option<String> {
    let target = fs::canonicalize(device).ok()?;
    Some(target.file_name()?.to_str()?.to_owned())
}

fn read(path: &Path) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn card(sys: &Path, number: u32, address: &str, files: &[(&str, &str)]) {
        let device = sys.join("devices").join(address);
        fs::create_dir_all(&device).unwrap();
        let card = sys.join(format!("class/drm/card{number}"));
        fs::create_dir_all(&card).unwrap();
        symlink(&device, card.join("device")).unwrap();
        for (name, text) in files {
            let at = if name.starts_with("lmem") {
                &card
            } else {
                &device
            };
            fs::write(at.join(name), format!("{text}\n")).unwrap();
        }
    }

    #[test]
    fn cards_are_found_by_number() {
        let sys = tempfile::tempdir().unwrap();
        let sys = sys.path();
        let mi = [
            ("vendor", "0x1002"),
            ("unique_id", "6f3d1c2a"),
            ("product_name", "Instinct MI210"),
            ("mem_info_vram_total", "68702699520"),
        ];
        card(sys, 10, "0000:03:00.0", &mi);
        card(sys, 2, "0000:04:00.0", &[("vendor", "0x1002")]);
        card(sys, 1, "0000:00:02.0", &[("vendor", "0x8086")]);
        let arc = [("vendor", "0x8086"), ("lmem_total_bytes", "17079205888")];
        card(sys, 0, "0000:05:00.0", &arc);
        fs::create_dir_all(sys.join("class/drm/card10-DP-1")).unwrap();

        let ids = |found: &[Found]| found.iter().map(|gpu| gpu.id.clone()).collect::<Vec<_>>();
        let found = find(sys);
        assert_eq!(
            ids(&found),
            ["amd-0000:04:00.0", "amd-6f3d1c2a", "intel-0000:05:00.0"]
        );
        assert_eq!(found[0].vram_total_mib, None);
        assert_eq!(found[1].vram_total_mib, Some(65_520));
        assert_eq!(found[1].name, "Instinct MI210");
        assert_eq!(found[2].vram_total_mib, Some(16_288));
    }
}
