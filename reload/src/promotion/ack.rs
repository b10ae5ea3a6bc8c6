//! What came of a promotion, for whoever asked for it.

use std::fmt;
use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::files::{Fault, FaultKind, Problem, load};

/// `promotions_ack/ID.json`. Holds keys and never a value.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Ack {
    /// The winner's.
    pub id: String,
    /// What came of it.
    pub outcome: Outcome,
    /// The configuration's generation with which it went live, as `GET /v1/config` counts; nothing
    /// where it never did, or no broker was there to count.
    pub generation: Option<u64>,
    /// When that was, RFC 3339.
    pub at: String,
    /// How long after the promotion began it was live; nothing where it never was.
    pub live_after_ms: Option<u64>,
    /// The keys that were given other values, or were and have been put back.
    pub changed: Vec<String>,
    /// What went wrong, and what to do.
    pub error: Option<String>,
}

/// What came of a promotion.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The new values are live.
    Live,
    /// Nothing was changed.
    #[default]
    Refused,
    /// The new values did not go live, or did and their check failed; the old ones are live again.
    PutBack,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Live => "live",
            Self::Refused => "refused",
            Self::PutBack => "put back",
        })
    }
}

/// Reads an acknowledgement, if there is one.
pub(super) fn read(path: &Path) -> Result<Option<Ack>, Fault> {
    let parse = |text: &str| {
        serde_json::from_str::<Ack>(text).map_err(|error| {
            let message = format!("this is no acknowledgement: {error}; move it away");
            Problem::new(FaultKind::Syntax, message)
        })
    };
    Ok(load(path, &parse)?.map(|loaded| loaded.value))
}

/// As the file has it.
pub(super) fn to_json(ack: &Ack) -> String {
    // Text, numbers and lists of text always serialise.
    let mut text = serde_json::to_string_pretty(ack).unwrap_or_default();
    text.push('\n');
    text
}

/// Now, RFC 3339, to the millisecond.
pub(super) fn now() -> jiff::Timestamp {
    let now = jiff::Timestamp::now();
    jiff::Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now)
}
