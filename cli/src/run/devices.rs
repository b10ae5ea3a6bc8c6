//! Telling a command which GPUs are its own, in each vendor's way.

use warden::GpuId;
use warden::wire::{GpuState, GpuStatus};

/// A variable by which one vendor's libraries are told which devices to see.
struct Mask {
    name: &'static str,
    /// The `source` of this vendor's GPUs in the status.
    source: &'static str,
    /// What the vendor's own ids begin with, where its variable takes ids.
    id_prefixes: &'static [&'static str],
}

const MASKS: [Mask; 3] = [
    Mask {
        name: "CUDA_VISIBLE_DEVICES",
        source: "nvidia",
        id_prefixes: &["GPU-", "MIG-"],
    },
    Mask {
        name: "HIP_VISIBLE_DEVICES",
        source: "amd",
        id_prefixes: &["GPU-"],
    },
    Mask {
        name: "ZE_AFFINITY_MASK",
        source: "intel",
        id_prefixes: &[],
    },
];

/// The variables for a grant: of each vendor whose GPUs were granted its own, counted among its
/// own; where no vendor is known (simulated, unknown) all of them, by index.
///
/// `all` is what the broker has. No library counts a GPU that is gone. A vendor none of whose GPUs
/// were granted gets no variable unless it has some here: then it is shown none.
pub fn variables(all: &[GpuStatus], granted: &[GpuId]) -> Vec<(&'static str, String)> {
    let mine: Vec<&GpuStatus> = all.iter().filter(|gpu| granted.contains(&gpu.id)).collect();
    let is_known = |gpu: &GpuStatus| MASKS.iter().any(|mask| mask.source == gpu.source);
    let mut variables = Vec::new();
    for mask in &MASKS {
        let is_mine = |gpu: &GpuStatus| granted.contains(&gpu.id);
        let kin = || all.iter().filter(|gpu| gpu.source == mask.source);
        let there = kin().filter(|gpu| gpu.state != GpuState::Gone);
        let own = there.enumerate().filter(|(_, gpu)| is_mine(gpu));
        let mut own: Vec<String> = own
            .map(|(position, gpu)| visible_name(mask, gpu, position))
            .collect();
        let strangers = mine.iter().filter(|gpu| !is_known(gpu));
        own.extend(strangers.map(|gpu| gpu.index.to_string()));
        if !own.is_empty() {
            variables.push((mask.name, own.join(",")));
        } else if kin().next().is_some() && !mask.id_prefixes.is_empty() {
            // An index that no device has hides all of them; Level Zero knows no such mask.
            variables.push((mask.name, "-1".to_owned()));
        }
    }
    variables
}

fn visible_name(mask: &Mask, gpu: &GpuStatus, position: usize) -> String {
    let id = gpu.id.as_str();
    let is_vendors = mask.id_prefixes.iter().any(|prefix| id.starts_with(prefix));
    match is_vendors {
        true => id.to_owned(),
        false => position.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gpu(index: u32, id: &str, source: &str) -> GpuStatus {
        GpuStatus {
            id: id.into(),
            index,
            name: "a GPU".to_owned(),
            source: source.to_owned(),
            simulated: source == "simulated",
            vram_total_mib: None,
            state: GpuState::Held,
            lease_ids: Vec::new(),
            draining: Vec::new(),
        }
    }

    #[test]
    fn a_vendors_ids_where_it_has_some_and_no_other_vendors_devices() {
        let all = [
            gpu(0, "GPU-aa", "nvidia"),
            gpu(1, "0000:03:00.0", "amd"),
            gpu(2, "0000:04:00.0", "amd"),
            gpu(3, "GPU-bb", "nvidia"),
        ];
        assert_eq!(
            variables(&all, &["GPU-bb".into(), "GPU-aa".into()]),
            [
                ("CUDA_VISIBLE_DEVICES", "GPU-aa,GPU-bb".to_owned()),
                ("HIP_VISIBLE_DEVICES", "-1".to_owned()),
            ]
        );
        assert_eq!(
            variables(&all, &["0000:04:00.0".into()]),
            [
                ("CUDA_VISIBLE_DEVICES", "-1".to_owned()),
                ("HIP_VISIBLE_DEVICES", "1".to_owned()),
            ]
        );
    }

    #[test]
    fn one_that_is_gone_is_not_counted() {
        let gone = GpuStatus {
            state: GpuState::Gone,
            ..gpu(0, "intel-0000:03:00.0", "intel")
        };
        let all = [gone, gpu(1, "intel-0000:04:00.0", "intel")];
        assert_eq!(
            variables(&all, &["intel-0000:04:00.0".into()]),
            [("ZE_AFFINITY_MASK", "0".to_owned())]
        );
        let gone = ["nvidia", "amd"].map(|source| GpuStatus {
            state: GpuState::Gone,
            ..gpu(0, source, source)
        });
        assert_eq!(
            variables(&gone, &["nvidia".into()]),
            [
                ("CUDA_VISIBLE_DEVICES", "-1".to_owned()),
                ("HIP_VISIBLE_DEVICES", "-1".to_owned()),
            ]
        );
    }

    #[test]
    fn what_is_of_no_known_vendor_shows_by_index_to_all() {
        let all = [gpu(0, "sim-0", "simulated"), gpu(1, "sim-1", "simulated")];
        let expected = |mask: &str| {
            [
                "CUDA_VISIBLE_DEVICES",
                "HIP_VISIBLE_DEVICES",
                "ZE_AFFINITY_MASK",
            ]
            .map(|name| (name, mask.to_owned()))
        };
        assert_eq!(variables(&all, &["sim-1".into()]), expected("1"));
        assert_eq!(
            variables(&all, &["sim-1".into(), "sim-0".into()]),
            expected("0,1")
        );
    }
}
