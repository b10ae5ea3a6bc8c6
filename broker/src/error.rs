//! Why a broker could not start or could not go on.

use std::io;
use std::path::PathBuf;

/// What ends `serve` other than well. Each says what happened, to what, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The configuration asks for what cannot be.
    #[error("{detail}")]
    Usage {
        /// In words.
        detail: String,
    },
    /// Another broker has the directory.
    #[error("{} is in use by another broker{}; use that one, or another --data-dir",
        dir.display(), pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default())]
    DirectoryTaken {
        /// The data directory.
        dir: PathBuf,
        /// That broker's process, where its lock names it.
        pid: Option<u32>,
    },
    /// The address or the socket is in use.
    #[error("{address} is in use; stop what listens there, or give another address ({source})")]
    AddressTaken {
        /// `HOST:PORT` or a path.
        address: String,
        /// What the system said.
        source: io::Error,
    },
    /// The address cannot be listened on for another reason.
    #[error("cannot listen on {address}: {source}")]
    CannotListen {
        /// `HOST:PORT` or a path.
        address: String,
        /// What the system said.
        source: io::Error,
    },
    /// The data directory cannot be used.
    #[error("the data directory {} cannot be used: {detail}", dir.display())]
    Directory {
        /// The data directory.
        dir: PathBuf,
        /// In words, with what to do.
        detail: String,
    },
    /// The journal cannot be used.
    #[error("the journal {} cannot be used: {detail}", path.display())]
    Journal {
        /// The journal's file.
        path: PathBuf,
        /// In words.
        detail: String,
    },
    /// What the program before this one handed over is not what it should be.
    #[error("what was handed over from the program before cannot be used: {detail}")]
    Handover {
        /// In words.
        detail: String,
    },
    /// The system refused something that no broker can do without.
    #[error("cannot {what}: {source}")]
    System {
        /// What was tried.
        what: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

impl ServeError {
    /// The exit code that `warden serve` ends with.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Usage { .. } => 64,
            Self::DirectoryTaken { .. } | Self::AddressTaken { .. } | Self::CannotListen { .. } => {
                73
            }
            Self::Directory { .. }
            | Self::Journal { .. }
            | Self::Handover { .. }
            | Self::System { .. } => 74,
        }
    }
}
