//! The devices that are handed out.

use serde::{Deserialize, Serialize};

use crate::id::GpuId;

/// The most GPUs that one broker hands out: sets of them are one machine word.
pub const MAX_GPUS: usize = 64;

/// The [`Gpu::source`] of one of which nothing is known, which stands for whatever the machine has.
pub const UNKNOWN: &str = "unknown";

/// One lockable device, as the broker found it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gpu {
    /// The id that survives reboots.
    pub id: GpuId,
    /// 0 for the first.
    pub index: u32,
    /// The vendor's name for it.
    pub name: String,
    /// What told us of it: `nvidia`, `amd`, `simulated`, `unknown`, …
    pub source: String,
    /// Nothing real stands behind it.
    pub simulated: bool,
    /// Nothing where it is not known; shares are refused then.
    pub vram_total_mib: Option<u64>,
}
