//! The last minutes, and what happened in them.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::Text;

/// The last minutes, as far as they are known.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Timeline {
    /// How far back the axis reaches from now, in milliseconds. Ten minutes.
    pub span_ms: i64,
    /// Nothing is known from before.
    pub known_from_ms: i64,
    /// Leases that touch the span, by their start.
    pub bars: Arc<[Bar]>,
    /// Each change of the queue's depth in the span and the last one before it, by time.
    pub depth: Arc<[DepthStep]>,
}

/// A lease on one GPU. A lease on several has a bar on each.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Bar {
    /// The GPU's id.
    pub gpu: Text,
    /// Which lease.
    pub lease: Text,
    /// Who held it.
    pub client: Text,
    /// Smaller is more urgent.
    pub priority: u8,
    /// Its grant.
    pub from_ms: i64,
    /// Its end; `None` while it is held.
    pub to_ms: Option<i64>,
    /// How it ended: `released`, `forced`, …; empty while it is held.
    pub outcome: Text,
}

/// From this instant on, so many wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DepthStep {
    /// When it changed.
    pub at_ms: i64,
    /// To what.
    pub waiting: u32,
}

/// One event of the stream.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EventRow {
    /// Its revision.
    pub id: u64,
    /// When it was heard.
    pub at_ms: i64,
    /// Its name on the wire: `granted`.
    pub kind: Text,
    /// Whom it is about; may be empty.
    pub client: Text,
    /// What happened, for people: `GPU 0 after 58 s, passed eval-harness`.
    pub what: Text,
    /// The request or lease that it is about; may be empty.
    pub subject: Text,
    /// How it should strike the reader.
    pub tone: Tone,
}

/// How something should strike the reader. The word beside it says the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Tone {
    /// As it goes.
    #[default]
    Plain,
    /// Something lives or succeeded.
    Good,
    /// Worth a look.
    Warn,
    /// Something was forced, failed or lost.
    Alarm,
}
