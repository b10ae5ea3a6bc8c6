//! The event stream, `GET /v1/events`: what the broker writes and a client parses.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::id::RequestId;
use crate::policy::Policy;
use crate::wire::{GpuStatus, LeaseStatus, Outcome, Status, WaiterStatus};

/// One event of the stream. [`StreamEvent::name`] is its `event:`, its serialised form is its
/// `data:`, its `id:` is a revision.
#[derive(Clone, Debug, PartialEq)]
pub enum StreamEvent {
    /// The whole status; the first event where nothing is resumed.
    Snapshot(Box<Status>),
    /// A request waits.
    Queued(WaiterStatus),
    /// A waiter's connection broke.
    Disconnected(WaiterStatus),
    /// A waiter came back, or a lease has another owner.
    Rejoined(Row),
    /// A waiter became a lease.
    Granted(GrantedRow),
    /// A lease was renewed.
    Renewed(LeaseStatus),
    /// A holder is asked to give its lease back.
    YieldAsked(LeaseStatus),
    /// A lease ended, or a waiter in another way than the two below.
    Ended(EndedRow),
    /// A waiter waited as long as it said it would.
    TimedOut(EndedRow),
    /// A waiter was cancelled.
    Cancelled(EndedRow),
    /// Other GPUs.
    GpusChanged(GpusRow),
    /// Other rules.
    PolicyChanged(PolicyRow),
}

/// A request or a lease, as in the status.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Row {
    /// Told apart by its `lease_id`.
    Lease(LeaseStatus),
    /// Told apart by its `request_id`.
    Waiter(WaiterStatus),
}

/// The data of `granted`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GrantedRow {
    /// The waiter that is none any more.
    pub request_id: RequestId,
    /// The waiter that it passed, whose `passed` grows by one.
    pub passed: Option<RequestId>,
    /// The lease.
    #[serde(flatten)]
    pub lease: LeaseStatus,
}

/// The data of `ended`, `timed_out` and `cancelled`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EndedRow {
    /// How.
    pub outcome: Outcome,
    /// RFC 3339: until then, at most, its GPUs drain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drains_until: Option<String>,
    /// What it was.
    #[serde(flatten)]
    pub row: Row,
}

/// The data of `gpus_changed`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GpusRow {
    /// All of them.
    pub gpus: Vec<GpuStatus>,
}

/// The data of `policy_changed`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PolicyRow {
    /// The rules that hold now.
    pub policy: Policy,
}

macro_rules! kinds {
    ($($variant:ident = $name:literal),* $(,)?) => {
        impl StreamEvent {
            /// Every name there is.
            pub const NAMES: &'static [&'static str] = &[$($name,)*];

            /// What stands after `event:`.
            #[must_use]
            pub fn name(&self) -> &'static str {
                match self { $(Self::$variant(_) => $name,)* }
            }

            /// Reads what stands after `data:` of an event of this name; nothing for a name that
            /// this version does not know.
            ///
            /// # Errors
            /// As the deserialiser says.
            pub fn parse<'de, D: Deserializer<'de>>(
                name: &str,
                data: D,
            ) -> Result<Option<Self>, D::Error> {
                match name {
                    $($name => Deserialize::deserialize(data).map(Self::$variant).map(Some),)*
                    _ => Ok(None),
                }
            }
        }

        impl Serialize for StreamEvent {
            /// Writes what stands after `data:`; the name is not in it.
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                match self { $(Self::$variant(data) => data.serialize(serializer),)* }
            }
        }
    };
}

kinds! {
    Snapshot = "snapshot",
    Queued = "queued",
    Disconnected = "disconnected",
    Rejoined = "rejoined",
    Granted = "granted",
    Renewed = "renewed",
    YieldAsked = "yield_asked",
    Ended = "ended",
    TimedOut = "timed_out",
    Cancelled = "cancelled",
    GpusChanged = "gpus_changed",
    PolicyChanged = "policy_changed",
}
