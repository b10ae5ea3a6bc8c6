//! What travels over HTTP, version 1: the shapes that `broker` writes and `client` reads.
//!
//! Durations are whole milliseconds with the unit in the name; times of day are RFC 3339 text in
//! UTC, made at the edge, since this crate has no clock.

pub mod config;
pub mod notice;
pub mod reload;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::id::{GpuId, LeaseId, RequestId};
use crate::policy::Policy;
use crate::problem::Code;

/// A priority as a client writes it: 0–255, or a name from the policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    untagged,
    expecting = "must be a whole number or a policy's name for one"
)]
pub enum PriorityName {
    /// Smaller is more urgent.
    Number(i64),
    /// A name that the policy gives a number.
    Name(String),
}

/// The body of `POST /v1/gpu/lock`, as sent: nothing in it is checked yet.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockBody {
    /// Who asks, in words. 1–128 characters, none of them control.
    pub client: String,
    /// Default 15.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<PriorityName>,
    /// Default `inference`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<String>,
    /// How many GPUs, all or none. Default 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpus: Option<u64>,
    /// Which GPUs. Default any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpu_ids: Option<Vec<GpuId>>,
    /// MiB on each GPU, shared with others. Default: the whole GPU, alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vram_mib: Option<u64>,
    /// How long to wait at most. Default by operation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// How long the lease lives without a renewal. Default 60,000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_ms: Option<u64>,
    /// The process that the lease lives and dies with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// That process's start time: field 22 of its `stat`, in clock ticks since boot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid_start: Option<u64>,
    /// The client's own name for this request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<RequestId>,
    /// Wait for the grant on this connection (default), or be told the place and come back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait: Option<bool>,
}

/// The body of `POST /v1/gpu/renew`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RenewBody {
    /// Which lease.
    pub lease_id: LeaseId,
    /// Its fencing token.
    pub token: u64,
    /// What the holder does from here on: a model that has loaded becomes `inference`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<String>,
}

/// The body of `POST /v1/gpu/unlock`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnlockBody {
    /// Which lease.
    pub lease_id: LeaseId,
    /// Its fencing token.
    pub token: u64,
}

/// The body of `POST /v1/gpu/force-release`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ForceReleaseBody {
    /// Which lease.
    pub lease_id: LeaseId,
}

/// The body of `POST /v1/gpu/force-release-all`; may be empty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ForceReleaseAllBody {
    /// Refuse the waiters too.
    pub clear_queue: bool,
}

/// The body of `POST /v1/gpu/reset`: nothing, or an empty object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResetBody {}

/// A granted lock.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Granted {
    /// The request that was granted.
    pub request_id: RequestId,
    /// The lease it became.
    pub lease_id: LeaseId,
    /// The fencing token: below 2^53, larger than any before it.
    pub token: u64,
    /// The GPUs, in order of their index.
    pub gpu_ids: Vec<GpuId>,
    /// How long the lease lives without a renewal.
    pub ttl_ms: u64,
    /// RFC 3339.
    pub granted_at: String,
    /// RFC 3339.
    pub expires_at: String,
    /// From arrival to grant.
    pub waited_ms: u64,
}

/// What the problems of some codes say beyond the five fields of every problem.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ProblemExtra {
    /// Which field: `invalid_request`, `impossible_request`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// How it ended: `lease_ended`, `request_ended`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// Its place at the end: `queue_timeout`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<u64>,
    /// Who held what it could use, at the end: `queue_timeout`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub holders: Option<Vec<LeaseId>>,
    /// What sort of fault it was: `reload_refused`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stage: Option<String>,
}

/// How a request, or the lease it became, ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The holder gave it back.
    Released,
    /// Not renewed in time.
    Expired,
    /// The owner's process is gone.
    OwnerGone,
    /// Given back, or taken, after it was asked to yield.
    Yielded,
    /// An operator ended it.
    Forced,
    /// A reset found it stale.
    Reset,
    /// The answer could not be delivered.
    Undelivered,
    /// The journal is from an earlier boot of the host.
    HostRestarted,
    /// Cancelled while waiting.
    Cancelled,
    /// Waited as long as it said it would.
    TimedOut,
    /// Its connection closed and did not come back.
    ClientGone,
    /// An operator cleared the queue.
    Cleared,
    /// No GPU here can serve it any more.
    Impossible,
}

impl Outcome {
    /// As it is written on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Released => "released",
            Self::Expired => "expired",
            Self::OwnerGone => "owner_gone",
            Self::Yielded => "yielded",
            Self::Forced => "forced",
            Self::Reset => "reset",
            Self::Undelivered => "undelivered",
            Self::HostRestarted => "host_restarted",
            Self::Cancelled => "cancelled",
            Self::TimedOut => "timed_out",
            Self::ClientGone => "client_gone",
            Self::Cleared => "cleared",
            Self::Impossible => "impossible",
        }
    }
}

/// Where a request stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RequestPhase {
    /// In the queue.
    Waiting,
    /// A lease now.
    Granted,
    /// Over.
    Ended,
}

/// The answer about one request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RequestState {
    /// Which request.
    pub request_id: RequestId,
    /// Where it stands.
    pub state: RequestPhase,
    /// 1 is next in turn; null once it waits no more.
    pub place: Option<u64>,
    /// From arrival to now, or to its grant or end.
    pub waited_ms: u64,
    /// Null once it waits no more.
    pub times_out_in_ms: Option<u64>,
    /// Null once it waits no more.
    pub why: Option<Why>,
    /// The lease, while it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<Granted>,
    /// How it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
}

/// The kind of reason that a waiter waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhyCode {
    /// What it could use is held.
    Held,
    /// Others are before it.
    Turn,
    /// What it could use is kept for somebody overdue.
    Kept,
    /// Another model loads.
    ModelSlot,
    /// The GPU's last process has not gone yet.
    Draining,
    /// The broker grants nothing now, or nothing of the kind while these rules hold.
    Paused,
    /// Its own connection is gone.
    Disconnected,
}

/// Why a waiter waits, and for whom.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Why {
    /// For programs.
    pub code: WhyCode,
    /// For people.
    pub text: String,
    /// Requests that come before it and could use what it could use: at most the first
    /// [`BEHIND_MAX`](crate::snapshot::BEHIND_MAX), looked for among the first
    /// [`LOOK_AHEAD`](crate::snapshot::LOOK_AHEAD) of the queue.
    pub behind: Vec<RequestId>,
    /// Leases that hold what it could use: at most
    /// [`HOLDERS_MAX`](crate::snapshot::HOLDERS_MAX).
    pub holders: Vec<LeaseId>,
}

/// What a GPU is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GpuState {
    /// Nobody's.
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

/// One GPU in the status.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GpuStatus {
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
    /// Null where it is not known.
    pub vram_total_mib: Option<u64>,
    /// What it is doing.
    pub state: GpuState,
    /// Who holds it.
    pub lease_ids: Vec<LeaseId>,
    /// What was taken from processes that may still use it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub draining: Vec<Draining>,
}

/// A lease that has ended while its owner's process lived, on a GPU that therefore drains.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Draining {
    /// Which lease it was.
    pub lease_id: LeaseId,
    /// Who held it, in words.
    pub client: String,
    /// Whose end, and that of all it started, is waited for.
    pub pid: u32,
    /// MiB on the GPU; null when it held it alone.
    pub vram_mib: Option<u64>,
    /// RFC 3339: then the GPU is granted on, whatever the process does.
    pub until: String,
}

/// One lease in the status. Its token is shown to nobody but the holder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LeaseStatus {
    /// Which lease.
    pub lease_id: LeaseId,
    /// Who holds it, in words.
    pub client: String,
    /// Smaller is more urgent.
    pub priority: u8,
    /// What the holder does.
    pub operation: String,
    /// In order of their index.
    pub gpu_ids: Vec<GpuId>,
    /// MiB on each GPU; null when it holds them alone.
    pub vram_mib: Option<u64>,
    /// The process it lives and dies with.
    pub pid: Option<u32>,
    /// The host that it is on.
    pub host: String,
    /// RFC 3339.
    pub granted_at: String,
    /// Since the grant.
    pub held_ms: u64,
    /// How long it lives without a renewal.
    pub ttl_ms: u64,
    /// Until its deadline.
    pub expires_in_ms: u64,
    /// The holder was asked to give it back.
    pub yield_asked: bool,
}

/// One waiter in the status.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WaiterStatus {
    /// Which request.
    pub request_id: RequestId,
    /// 1 is next in turn.
    pub place: u64,
    /// Its number in order of arrival.
    pub arrival: u64,
    /// Who waits, in words.
    pub client: String,
    /// Smaller is more urgent.
    pub priority: u8,
    /// What it will do.
    pub operation: String,
    /// How many GPUs it wants at once.
    pub gpus: u64,
    /// Which GPUs; null for any.
    pub gpu_ids: Option<Vec<GpuId>>,
    /// MiB on each GPU; null when it wants them alone.
    pub vram_mib: Option<u64>,
    /// Since its arrival.
    pub waited_ms: u64,
    /// Until its time-out.
    pub times_out_in_ms: u64,
    /// How often a later arrival was served before it.
    pub passed: u32,
    /// Whether its answer could be delivered now.
    pub connected: bool,
    /// Why it waits. Empty of ids for callers who may not see them.
    pub why: Why,
}

/// Since the journal's beginning.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Counters {
    /// Leases granted.
    pub granted: u64,
    /// Requests ended, by how.
    pub ended: BTreeMap<Outcome, u64>,
    /// Requests refused, by code.
    pub refused: BTreeMap<Code, u64>,
    /// Grants that passed an earlier waiter.
    pub passes: u64,
}

/// The answer of `GET /v1/gpu/status`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// RFC 3339.
    pub at: String,
    /// The broker's version.
    pub version: String,
    /// When this broker was ready, RFC 3339.
    pub started_at: String,
    /// The number of the last event that is in this picture.
    pub revision: u64,
    /// By index.
    pub gpus: Vec<GpuStatus>,
    /// By grant.
    pub leases: Vec<LeaseStatus>,
    /// By turn.
    pub queue: Vec<WaiterStatus>,
    /// How many wait.
    pub queue_depth: u64,
    /// Since the journal's beginning.
    pub counters: Counters,
    /// The rules that hold.
    pub policy: Policy,
    /// What keeps the broker from doing all that it should. What pauses grants comes first.
    #[serde(default)]
    pub notices: Vec<notice::Notice>,
    /// Files of configuration whose newest content is not live.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused_files: Vec<reload::RefusedFile>,
}

/// The answer of unlock and force-release.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ended {
    /// Which lease.
    pub lease_id: LeaseId,
    /// How it ended.
    pub outcome: Outcome,
    /// From its grant to its end.
    pub held_ms: u64,
}

/// The answer of renew.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Renewed {
    /// Which lease.
    pub lease_id: LeaseId,
    /// How long it lives without another renewal.
    pub ttl_ms: u64,
    /// RFC 3339.
    pub expires_at: String,
    /// The holder is asked to give it back.
    pub yield_asked: bool,
}

/// The answer of reset.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct WasReset {
    /// What was stale.
    pub ended: Vec<LeaseId>,
}

/// The answer of force-release-all.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ForcedAll {
    /// Leases that were ended.
    pub ended: Vec<LeaseId>,
    /// Waiters that were refused.
    pub cleared: Vec<RequestId>,
}
