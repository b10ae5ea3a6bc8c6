//! Where the broker of a data directory listens, as `endpoint` and standard output tell it.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The file in the data directory that says where its broker listens.
pub(crate) const ENDPOINT: &str = "endpoint";

/// The content of `DIR/endpoint`: one JSON object on one line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// The broker's process.
    pub pid: u32,
    /// The broker's version.
    pub version: String,
    /// The Unix socket; null where there is none.
    pub socket: Option<PathBuf>,
    /// `HOST:PORT`, with the port that was really taken.
    pub address: String,
    /// The data directory, absolute.
    pub data_dir: PathBuf,
    /// RFC 3339.
    pub started_at: String,
    /// Who started it, where they said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_by: Option<String>,
}
