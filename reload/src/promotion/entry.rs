//! The history: one file a promotion, with old and new values, so that there is a way back.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::ack::Outcome;
use super::{Place, PromotionError};
use crate::files::{Format as _, Ron, load};

/// So many promotions are kept.
pub(super) const KEPT: u64 = 1_000;
/// A file of values has 1 MiB at most, and an entry holds each of them twice.
const BYTES_MAX: u64 = 8 << 20;

/// `history/N.ron`: one promotion. Holds values: mode 0600, in a folder of mode 0700.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// N: grows by one.
    pub number: u64,
    /// The winner's, or one that was made for it. What is put back has that of what it undoes.
    pub id: String,
    /// Who wanted it.
    pub source: Source,
    /// The file of values.
    pub file: PathBuf,
    /// When it began, RFC 3339.
    pub began_at: String,
    /// Of the file before, in hexadecimal; none where there was no file.
    pub sha256_before: Option<String>,
    /// Of the file with the new values.
    pub sha256_after: String,
    /// What changes.
    pub changes: Vec<Change>,
    /// The health command that has to agree, by its name in `checks.ron`.
    pub check: Option<String>,
    /// Of what is put back: what was wrong.
    pub why: Option<String>,
    /// How far it is.
    pub standing: Standing,
}

/// Who wanted a promotion.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Source {
    /// A winner's file.
    Winner,
    /// Somebody at a command line.
    Set,
    /// Somebody who wanted all to be as it was after this promotion.
    Rollback(u64),
    /// Nobody: what this promotion changed is put back.
    PutBack(u64),
}

/// The value of one key, before and after.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The key.
    pub key: String,
    /// Nothing where the key was not there.
    pub old: Option<String>,
    /// Nothing where the key is there no more.
    pub new: Option<String>,
}

/// Without the values, which may be secrets.
impl std::fmt::Debug for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Change")
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

/// How far a promotion is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Standing {
    /// The file may have been changed.
    Begun,
    /// It is live, and the health command has not agreed yet.
    Checking(End),
    /// It is over.
    Ended(End),
}

/// What came of a promotion.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// What came of it.
    pub outcome: Outcome,
    /// When, RFC 3339.
    pub at: String,
    /// As in the acknowledgement.
    pub generation: Option<u64>,
    /// As in the acknowledgement.
    pub live_after_ms: Option<u64>,
    /// What went wrong.
    pub error: Option<String>,
}

impl Entry {
    /// The keys that change.
    #[must_use]
    pub fn keys(&self) -> Vec<String> {
        self.changes
            .iter()
            .map(|change| change.key.clone())
            .collect()
    }

    /// What came of it, once that is known.
    #[must_use]
    pub fn end(&self) -> Option<&End> {
        match &self.standing {
            Standing::Begun => None,
            Standing::Checking(end) | Standing::Ended(end) => Some(end),
        }
    }

    /// Whether the file ever had the new values.
    pub(super) fn was_applied(&self) -> bool {
        self.end()
            .is_some_and(|end| end.outcome != Outcome::Refused)
    }
}

/// Every promotion that is kept, the oldest first.
///
/// # Errors
/// Where the folder or an entry cannot be read.
pub fn history(place: &Place) -> Result<Vec<Entry>, PromotionError> {
    let mut entries = Vec::new();
    for number in numbers(&place.history())? {
        // One that was just dropped as the oldest is no fault.
        entries.extend(read(place, number)?);
    }
    Ok(entries)
}

/// The numbers of all entries, growing.
pub(super) fn numbers(folder: &Path) -> Result<Vec<u64>, PromotionError> {
    let listing = match fs::read_dir(folder) {
        Ok(listing) => listing,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(PromotionError::folder(folder)(error)),
    };
    let mut numbers: Vec<u64> = listing
        .flatten()
        .filter_map(|entry| number_of(entry.file_name().to_str()?))
        .collect();
    numbers.sort_unstable();
    Ok(numbers)
}

fn number_of(name: &str) -> Option<u64> {
    name.strip_suffix(".ron")?.parse().ok()
}

/// Reads one entry, if there is one of this number.
pub(super) fn read(place: &Place, number: u64) -> Result<Option<Entry>, PromotionError> {
    let format = Ron::<Entry>::new().trusted().at_most(BYTES_MAX);
    let loaded = load(&place.entry(number), &format)?;
    Ok(loaded.map(|loaded| loaded.value))
}
