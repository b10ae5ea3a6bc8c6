//! GPUs, who holds them, and who waits.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::Text;

/// One GPU.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Gpu {
    /// The id that survives reboots.
    pub id: Text,
    /// 0 for the first.
    pub index: u32,
    /// The vendor's name for it.
    pub name: Text,
    /// What told of it: `nvidia`, `amd`, `simulated`, `unknown`, …
    pub source: Text,
    /// Nothing real stands behind it.
    pub simulated: bool,
    /// `None` where it is not known.
    pub vram_total_mib: Option<u64>,
    /// Measured now; `None` where nothing measures it.
    pub vram_used_mib: Option<u64>,
    /// Measured now, 0–100; `None` where nothing measures it.
    pub load_percent: Option<u8>,
    /// What it is doing.
    pub state: GpuState,
    /// Who holds it: lease ids.
    pub leases: Arc<[Text]>,
    /// Since when it is in this state, where that is known.
    pub since_ms: Option<i64>,
    /// What was taken from a process that may still use it: of several the first.
    pub draining: Option<Draining>,
}

/// A lease that was taken, and whose GPU goes to nobody until its process is gone.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Draining {
    /// Who held it, in words.
    pub client: Text,
    /// The process.
    pub pid: u32,
    /// Then the GPU is granted on, whatever the process does.
    pub until_ms: Option<i64>,
}

/// What a GPU is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum GpuState {
    /// Nobody's.
    #[default]
    Free,
    /// Somebody's, wholly or in shares.
    Held,
    /// Kept for somebody overdue.
    Kept,
    /// Waiting for the last holder's process to go.
    Draining,
    /// An operator keeps it out of use.
    Cordoned,
    /// It has vanished.
    Gone,
}

/// A lease, as its card shows it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Holder {
    /// Which lease.
    pub lease: Text,
    /// Who holds it, in words.
    pub client: Text,
    /// Smaller is more urgent.
    pub priority: u8,
    /// What the holder does.
    pub operation: Text,
    /// GPU ids, in order of their index.
    pub gpus: Arc<[Text]>,
    /// MiB on each GPU; `None` when it holds them alone.
    pub vram_mib: Option<u64>,
    /// The process that it lives and dies with.
    pub pid: Option<u32>,
    /// The host that it is on.
    pub host: Text,
    /// When it was granted.
    pub granted_ms: i64,
    /// How long it lives without a renewal.
    pub ttl_ms: u64,
    /// Its deadline as things stand.
    pub expires_ms: i64,
    /// The holder was asked to give it back.
    pub yield_asked: bool,
    /// When it was asked, where that was seen.
    pub yield_asked_ms: Option<i64>,
}

/// A waiter. Its place is its position in [`crate::Picture::queue`], from 1.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Waiter {
    /// Which request.
    pub request: Text,
    /// Who waits, in words.
    pub client: Text,
    /// Smaller is more urgent.
    pub priority: u8,
    /// What it will do.
    pub operation: Text,
    /// How many GPUs it wants at once.
    pub gpus: u32,
    /// Which GPUs; `None` for any.
    pub gpu_ids: Option<Arc<[Text]>>,
    /// MiB on each GPU; `None` when it wants them alone.
    pub vram_mib: Option<u64>,
    /// When it came.
    pub arrived_ms: i64,
    /// When it gives up.
    pub times_out_ms: i64,
    /// How often a later arrival was served before it.
    pub passed: u32,
    /// Whether its answer could be delivered now.
    pub connected: bool,
    /// Why it waits.
    pub why: Why,
}

/// Why a waiter waits, and for whom.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Why {
    /// The kind of reason.
    pub code: WhyCode,
    /// For people, short: `held by root-console`.
    pub text: Text,
    /// Requests that come before it.
    pub behind: Arc<[Text]>,
    /// Leases that hold what it could use.
    pub holders: Arc<[Text]>,
}

/// The kind of reason that a waiter waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum WhyCode {
    /// What it could use is held.
    #[default]
    Held,
    /// Others are before it.
    Turn,
    /// What it could use is kept for somebody overdue.
    Kept,
    /// Another model loads.
    ModelSlot,
    /// The GPU's last process has not gone yet.
    Draining,
    /// The broker grants nothing now.
    Paused,
    /// Its own connection is gone.
    Disconnected,
}
