//! Promotion: values that somebody found to be better go into the configuration that programs share,
//! each as a transaction with a history and a way back.
//!
//! A folder of configuration holds
//!
//! | file | what |
//! |---|---|
//! | `shared.env` | the values; comments and order of its lines stay |
//! | `schema.ron` | the keys that may be set, and within which bounds: [`Schema`] |
//! | `checks.ron` | commands that tell whether all is well: [`Checks`] |
//! | `winners/` | what somebody wants promoted: [`Winner`] |
//! | `promotions_ack/` | what came of it, by id: [`Ack`] |
//! | `history/` | every promotion with old and new values: [`Entry`] |
//!
//! A promotion goes through [`Step`]s. The process may end between any two of them: who takes the
//! lock next finds what was begun and concludes it, so that the file is the old or the new one,
//! whole, and the acknowledgement says which.
//!
//! Invariants:
//! - One promotion at a time: whoever runs it holds the lock of `history/`.
//! - Nothing is written but what the schema allows. A command comes from `checks.ron` alone.
//! - Values are in `shared.env` and `history/`, and nowhere else: no error, acknowledgement or log
//!   has one.
//! - An id is promoted once.

mod ack;
mod checks;
mod conclude;
mod entry;
mod lines;
mod live;
mod place;
mod run;
mod schema;
mod winner;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use ack::{Ack, Outcome};
pub use checks::{Check, Checks};
pub use entry::{Change, End, Entry, Source, Standing, history};
pub use live::{FromFile, Live};
pub use place::{Place, Promotions};
pub use schema::{KeyType, Rule, Schema};
pub use winner::Winner;

use crate::files::Fault;
use crate::save::SaveError;

/// How far a promotion is. A crash between any two is recovered from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A file is being saved: a temporary one is there, empty.
    FileMade,
    /// The temporary file holds everything, and the disk has it.
    FileWritten,
    /// It has taken the place of the old one.
    FileRenamed,
    /// The disk has the new name.
    FileKept,
    /// The history has what is about to be done.
    Begun,
    /// The file has the new values.
    Replaced,
    /// They are live.
    Live,
    /// The acknowledgement is there.
    Acknowledged,
    /// The health check has ended, well or not.
    Checked,
    /// The history has what came of it.
    Ended,
}

/// Why a promotion could not even be refused. What has been begun is concluded by who takes the lock
/// next.
#[derive(Debug, thiserror::Error)]
pub enum PromotionError {
    /// Another process promotes.
    #[error(
        "another promotion is running{}; it has not ended for {} s; try again",
        holder.map(|pid| format!(" (process {pid})")).unwrap_or_default(),
        waited.as_secs()
    )]
    Busy {
        /// Which process, if it said.
        holder: Option<u32>,
        /// How long it was waited for.
        waited: Duration,
    },
    /// A folder cannot be used.
    #[error("{} cannot be used: {error}", path.display())]
    Folder {
        /// The folder, or the lock in it.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// A record could not be written.
    #[error(transparent)]
    Save(#[from] SaveError),
    /// A record cannot be read.
    #[error(transparent)]
    Record(#[from] Fault),
    /// A winner that may still be being written.
    #[error("{} ends in the middle; whoever writes it may not be done", path.display())]
    Unfinished {
        /// The winner's file.
        path: PathBuf,
    },
    /// There is no winner to be read.
    #[error("there is no file {}; name a winner", path.display())]
    Missing {
        /// Where it was sought.
        path: PathBuf,
    },
    /// An id that was promoted before.
    #[error("{id} was promoted before, and is now {}; give what is new an id of its own", ack.outcome)]
    Repeated {
        /// The id.
        id: String,
        /// What came of it then.
        ack: Box<Ack>,
    },
    /// There is no such promotion.
    #[error("there is no promotion {number}; the history has {}", range(*.first, *.last))]
    Unknown {
        /// The number that was asked for.
        number: u64,
        /// The oldest that is kept.
        first: u64,
        /// The latest.
        last: u64,
    },
}

fn range(first: u64, last: u64) -> String {
    match last {
        0 => "none".to_owned(),
        _ => format!("{first} to {last}"),
    }
}

impl PromotionError {
    fn folder(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |error| Self::Folder { path, error }
    }
}
