//! Which broker the window shows, and whether it still answers.

use serde::{Deserialize, Serialize};

use crate::Text;

/// The broker at the configured address.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Broker {
    /// Where the window looks for it: `127.0.0.1:8080` or `unix:PATH`.
    pub address: Text,
    /// Its version; empty until it was heard from.
    pub version: Text,
    /// Its data directory; empty where it is not known.
    pub data_dir: Text,
    /// Its process, where it is known.
    pub pid: Option<u32>,
    /// When it started.
    pub started_ms: Option<i64>,
    /// This window started it, because nobody answered.
    pub started_by_window: bool,
    /// The number of the last event in this picture.
    pub revision: u64,
    /// How the connection stands.
    pub link: Link,
}

/// How the connection to the broker stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Link {
    /// What it is in.
    pub state: LinkState,
    /// Since when.
    pub since_ms: i64,
    /// The instant that the figures shown are from; while live, `None`. Without a picture from
    /// before, `None` too.
    pub frozen_at_ms: Option<i64>,
    /// When the window tries again by itself.
    pub retry_at_ms: Option<i64>,
    /// What happened and what to do, in a sentence for the operator; may be empty.
    pub detail: Text,
}

/// The states of the connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum LinkState {
    /// Nothing was heard yet.
    #[default]
    Connecting,
    /// The picture is current.
    Live,
    /// The broker replays its journal and grants nothing yet.
    Replaying,
    /// It answered before and does not now. The figures are frozen.
    Gone,
    /// Something else answers at this address. It was sent no token.
    Stranger,
    /// A broker answers, and does not let this window in.
    Refused,
}
