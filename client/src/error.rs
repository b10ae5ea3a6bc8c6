//! What can go wrong between a caller and the broker, told apart by what the caller can do about it.

use std::path::PathBuf;
use std::time::Duration;

use warden::wire::{Outcome, ProblemExtra};
use warden::{Code, Problem};

/// A failure of a call. Cheap enough to keep and to show more than once.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The broker answered, and refused.
    #[error("{} ({})", .0.problem.detail, .0.problem.code)]
    Problem(Box<Refusal>),
    /// Nothing answers there. What was held is still held; trying again is right.
    #[error("no broker answers at {address}: {reason}")]
    Unreachable {
        /// Where it was sought: an address, or the data directory that names none.
        address: String,
        /// What the system said.
        reason: String,
        /// Whether the connection stood before it broke, so that the call may have arrived.
        was_connected: bool,
    },
    /// Something listens there, but no broker of this data directory: it was not sent the token.
    #[error(
        "what listens at {address} is not the broker of {}, so it was not sent that token; \
         name the broker's own address or set WARDEN_TOKEN_FILE", .data_dir.display()
    )]
    Stranger {
        /// Where it listens.
        address: String,
        /// Whose token was kept back.
        data_dir: PathBuf,
    },
    /// The answer is not one that a broker of this version gives.
    #[error("{address} answered, but not as a broker of this version: {what}")]
    Protocol {
        /// Who answered.
        address: String,
        /// What was wrong with the answer.
        what: String,
    },
    /// The bearer token cannot be read.
    #[error("cannot read the bearer token in {}: {reason}", .path.display())]
    Token {
        /// The file that should hold it.
        path: PathBuf,
        /// What the system said, or what is wrong with its content.
        reason: String,
    },
    /// The address as written leads nowhere.
    #[error("not an address of a broker: {text:?}: {reason}")]
    BadAddress {
        /// As it was written.
        text: String,
        /// Which forms there are.
        reason: String,
    },
}

/// A problem document with what came beside it.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// As the broker wrote it; [`Problem::extra`] holds what only its code carries.
    pub problem: Problem<ProblemExtra>,
    /// When to come back, where the broker said so.
    pub retry_after: Option<Duration>,
}

impl Refusal {
    /// How the lease or the request ended, on `lease_ended` and `request_ended`.
    #[must_use]
    pub fn outcome(&self) -> Option<Outcome> {
        self.problem.extra.outcome
    }
}

impl Error {
    /// The broker's code, where it was the broker that refused.
    #[must_use]
    pub fn code(&self) -> Option<Code> {
        self.refusal().map(|refusal| refusal.problem.code)
    }

    /// The broker's refusal, where it was one.
    #[must_use]
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Problem(refusal) => Some(refusal),
            _ => None,
        }
    }

    /// Whether the broker is merely away or not ready: nothing that is held is lost by it, and the
    /// same call may succeed later.
    #[must_use]
    pub fn is_away(&self) -> bool {
        match self {
            // Somebody has its address for now, or it has not said yet that it is back.
            Self::Unreachable { .. } | Self::Stranger { .. } => true,
            Self::Problem(refusal) => matches!(
                refusal.problem.code,
                Code::NotReady
                    | Code::ShuttingDown
                    | Code::JournalUnwritable
                    | Code::TooManyRequests
            ),
            Self::Protocol { .. } | Self::Token { .. } | Self::BadAddress { .. } => false,
        }
    }
}
