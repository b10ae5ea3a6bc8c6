//! What keeps a broker from doing all that it should, as status and healthz tell it.

use serde::{Deserialize, Serialize};

/// What sort of trouble it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoticeCode {
    /// The journal cannot be written: nothing new is taken on until it can.
    JournalUnwritable,
    /// The journal was damaged, and a lease may have been lost with it.
    JournalDamaged,
    /// Another broker of this host has a GPU.
    GpuElsewhere,
}

impl NoticeCode {
    /// As it is written on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::JournalUnwritable => "journal_unwritable",
            Self::JournalDamaged => "journal_damaged",
            Self::GpuElsewhere => "gpu_elsewhere",
        }
    }

    /// Why a waiter waits because of it; nothing where grants go on.
    #[must_use]
    pub fn pause(self) -> Option<&'static str> {
        match self {
            Self::JournalUnwritable => Some(
                "The broker cannot write its journal: nothing is granted until it can. `warden \
                 status` says what is in the way",
            ),
            Self::JournalDamaged => Some(
                "The journal was damaged, and a lease may have been lost with it: see that nobody \
                 uses a GPU without a lease, then call `warden reset`. Without that, grants go on \
                 once the longest ttl has passed",
            ),
            Self::GpuElsewhere => None,
        }
    }
}

/// One trouble.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// For programs.
    pub code: NoticeCode,
    /// RFC 3339.
    pub since: String,
    /// For people: what happened, to what, and what to do about it.
    pub text: String,
}
