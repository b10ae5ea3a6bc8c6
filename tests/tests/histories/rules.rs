//! The rules that real and simulated brokers go by: as they ship, but for durations, which are
//! short, so that graces, drains and yields happen within a run.

use warden::Policy;
use warden::policy::YieldPolicy;

use crate::record::Rules;

pub const GPUS: u32 = 3;
/// What a simulated GPU says that it has.
const VRAM_MIB: u64 = 24 * 1024;

pub fn policy() -> Policy {
    Policy {
        reconnect_grace_ms: 1_000,
        resume_ms: 200,
        drain_ms: 400,
        r#yield: YieldPolicy {
            after_ms: 60,
            min_hold_ms: 100,
            ..YieldPolicy::default()
        },
        ..Policy::default()
    }
}

/// As the judge needs them.
pub fn rules() -> Rules {
    let policy = policy();
    let capacity_mib = VRAM_MIB - policy.vram_reserve_mib;
    let gpu = |index| (format!("simulated-{index}").into(), capacity_mib);
    Rules {
        gpus: (0..GPUS).map(gpu).collect(),
        drain_ms: policy.drain_ms,
        grace_ms: policy.reconnect_grace_ms,
        max_bypass: policy.max_bypass,
        model_loads_at_once: policy.model_loads_at_once,
    }
}

/// The GPUs, as the arbiter knows them.
pub fn gpus() -> Vec<warden::Gpu> {
    let gpus = (0..).zip(rules().gpus);
    gpus.map(|(index, (id, _))| warden::Gpu {
        id,
        index,
        name: format!("Simulated GPU {index}"),
        source: "simulated".to_owned(),
        simulated: true,
        vram_total_mib: Some(VRAM_MIB),
    })
    .collect()
}
