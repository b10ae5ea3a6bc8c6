//! One change of the broker's state, as it travels.

use serde_json::Value;

/// A change by its kind, with the request or lease that changed.
#[derive(Clone, Debug, PartialEq)]
pub struct StreamEvent {
    /// `queued`, `granted`, `ended`, …
    pub kind: String,
    /// What changed, as in the status.
    pub data: Value,
}

impl StreamEvent {
    /// Reads the data of a server-sent event of this name.
    pub(crate) fn from_json(kind: &str, data: &[u8]) -> serde_json::Result<Self> {
        Ok(Self {
            kind: kind.to_owned(),
            data: serde_json::from_slice(data)?,
        })
    }
}
