//! The journal: every fact, in order, in SQLite, a record for every commit; and from time to time,
//! in place of all before it, an image of the state.
//!
//! A grant is told once its transaction is committed to the write-ahead log, without waiting for
//! the disk (`synchronous = NORMAL`): that outlives the broker, and a grant need not outlive the
//! host. What cannot be committed is kept and committed later, in order. A journal that cannot be
//! read is set aside under another name, never deleted (`open`, `salvage`).

mod open;
mod replay;
mod salvage;

use std::fs::{File, OpenOptions};
use std::io::{self, Seek as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, TryLockError};

use rusqlite::{Connection, ErrorCode, params};
use warden::{Arbiter, Event};

use crate::disk::ballast;
use crate::disk::head::Head;
use crate::sum;

pub(crate) use open::{Opened, Opening};

/// The file in the data directory.
pub(crate) const FILE: &str = "journal.db";
/// So many facts are replayed at most: then the state they add up to takes their place. Few
/// enough for a start within a second or two, so many that nobody notices the pause.
const MAX_FACTS: u64 = 1_000_000;
/// Fewer will do at a start, when replaying them has already taken a while, and before a reload,
/// when everybody waits for that.
const MAX_FACTS_AT_START: u64 = 100_000;
/// Where there is no room for an image, so many more facts pass before the next attempt.
const MORE_FACTS: u64 = 100_000;
/// Commits after which the log is folded in: some 16 MiB of it.
const FOLD_AFTER: u32 = 2_000;
/// Grows with every change of the tables or of what a record means, new kinds of facts included: a
/// program that does not know a record takes the journal for damaged.
pub(crate) const SCHEMA: i64 = 1;
/// "Wrdn": tells this file from every other SQLite database.
const APPLICATION: i64 = 0x5772_646e;

/// A record is what one commit made durable: its facts, each a line of JSON.
const INSERT: &str = "INSERT INTO records (seq, facts, body, sum) VALUES (?1, ?2, ?3, ?4)";

/// Why the journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JournalError {
    /// SQLite could not do it.
    #[error("{0}")]
    Sqlite(#[from] rusqlite::Error),
    /// The file system could not do it.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The reserve of numbers could not be raised.
    #[error("its reserve of numbers cannot be written: {0}")]
    Reserve(io::Error),
    /// A record cannot be written.
    #[error("a fact cannot be written as JSON: {0}")]
    Encode(serde_json::Error),
    /// A newer program wrote it.
    #[error("a newer version of Warden wrote it (schema {0}); start that one")]
    Newer(i64),
    /// What is in it makes no sense.
    #[error("it is damaged: {0}")]
    Damaged(String),
    /// It cannot be gone on from.
    #[error("{0}")]
    Unusable(String),
}

impl JournalError {
    /// Whether there is no room left.
    pub(crate) fn is_full(&self) -> bool {
        match self {
            Self::Sqlite(error) => error.sqlite_error_code() == Some(ErrorCode::DiskFull),
            Self::Io(error) | Self::Reserve(error) => ballast::is_full(error),
            _ => false,
        }
    }

    /// Whether it is the content that is bad, rather than the way to it.
    fn is_damage(&self) -> bool {
        match self {
            Self::Damaged(_) => true,
            Self::Sqlite(error) => match error.sqlite_error_code() {
                Some(code) => matches!(
                    code,
                    ErrorCode::DatabaseCorrupt
                        | ErrorCode::NotADatabase
                        | ErrorCode::SchemaChanged
                        | ErrorCode::TypeMismatch
                        | ErrorCode::Unknown
                ),
                // Columns of another type, rows of another shape.
                None => true,
            },
            _ => false,
        }
    }
}

/// The journal of one data directory, open for appending.
#[derive(Debug)]
pub(crate) struct Journal {
    db: Connection,
    head: Head,
    /// The number of the next record.
    next: i64,
    /// The boot of the host that it is written in, and whether the next commit is to say so.
    boot: String,
    boot_due: bool,
    /// How many have no image yet.
    facts: u64,
    /// How many are to have none at most.
    facts_max: u64,
    /// A transaction is open, since more than one record is to be written.
    open: bool,
    /// The next commit is an image, whatever facts led to it.
    image_due: bool,
    /// The next record, and how many facts are in it.
    record: Vec<u8>,
    pending: u64,
    /// Commits since the log was folded in.
    unfolded: u32,
    copier: Copier,
}

/// Copies a journal that is being written. While its log is not folded in, the file proper does not
/// change, and the log only grows: a copy of both is the journal as it was at some moment.
#[derive(Clone, Debug)]
pub(crate) struct Copier {
    path: PathBuf,
    /// Open for as long as the journal is: closing it would drop SQLite's locks on the file, which
    /// are the whole process's.
    file: Arc<Mutex<File>>,
}

impl Copier {
    fn new(path: &Path, file: File) -> Self {
        Self {
            path: path.to_owned(),
            file: Arc::new(Mutex::new(file)),
        }
    }

    /// Writes the copy into `folder`.
    pub(crate) fn copy_to(&self, folder: &Path) -> io::Result<()> {
        // Held by who folds, too.
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.rewind()?;
        copy(&mut file, &folder.join(FILE))?;
        let log = format!("{FILE}{}", salvage::BESIDE[0]);
        match File::open(self.path.with_file_name(&log)) {
            Ok(mut from) => copy(&mut from, &folder.join(&log)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }
}

fn copy(from: &mut File, to: &Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let mut to = options.write(true).create_new(true).mode(0o600).open(to)?;
    io::copy(from, &mut to).map(drop)
}

/// What the facts of a journal add up to, of one that nobody writes and that may be changed.
pub(crate) fn look(dir: &Path) -> Result<Arbiter, JournalError> {
    let read = replay::read(&dir.join(FILE), &mut |_, _, _, _| {})?;
    Ok(read.arbiter)
}

impl Journal {
    /// What copies it while it is written.
    pub(crate) fn copier(&self) -> Copier {
        self.copier.clone()
    }

    /// Writes down in which boot of the host what follows happens, and that it is of this program's
    /// format. Part of the next commit that succeeds.
    pub(crate) fn set_boot_id(&mut self, boot_id: &str) {
        boot_id.clone_into(&mut self.boot);
        self.boot_due = true;
    }

    /// Has the next commit write something, whether there is a fact or not: whoever wants to know
    /// whether there is room for one finds out.
    pub(crate) fn touch(&mut self) {
        self.boot_due = true;
    }

    fn write_boot_id(&mut self) -> Result<(), JournalError> {
        self.begin()?;
        self.db.pragma_update(None, "user_version", SCHEMA)?;
        let sql = "INSERT INTO meta (key, value) VALUES ('boot_id', ?1)
            ON CONFLICT (key) DO UPDATE SET value = excluded.value";
        self.db.execute(sql, [&self.boot])?;
        Ok(())
    }

    /// Goes on noting how far it was written, where there was no room for that.
    pub(crate) fn renew_head(&mut self) {
        self.head.renew(self.next - 1);
    }

    /// From here on it is noted apart from it how far it was written.
    pub(crate) fn begin_head(&mut self, dir: &Path, boot_id: &str) {
        self.head = Head::begin(dir, self.next - 1, boot_id);
    }

    /// Adds a fact to the next commit.
    pub(crate) fn append(&mut self, event: &Event) {
        if self.image_due {
            return;
        }
        if let Err(error) = serde_json::to_writer(&mut self.record, event) {
            tracing::error!(%error, ?event, "a fact cannot be written as JSON; an image follows");
            self.forget_record();
            return;
        }
        self.record.push(b'\n');
        self.pending += 1;
    }

    /// How much memory the next commit takes.
    pub(crate) fn pending_bytes(&self) -> usize {
        self.record.len()
    }

    /// Lets go of the facts of the next commit: it will be an image of the state that they led to.
    pub(crate) fn forget_record(&mut self) {
        self.record = Vec::new();
        self.pending = 0;
        self.image_due = true;
    }

    /// Makes everything since the last commit durable; it has led to this state. Where it fails, that
    /// is still to be done, and the journal is as it was.
    pub(crate) fn commit(&mut self, arbiter: &Arbiter) -> Result<(), JournalError> {
        let written = self.write(arbiter);
        if written.is_err() {
            if !self.db.is_autocommit() {
                // Where even that fails, SQLite has done it already.
                let _ = self.db.execute_batch("ROLLBACK");
            }
            // SQLite itself ends a transaction that finds no room.
            self.open = false;
        }
        written
    }

    fn write(&mut self, arbiter: &Arbiter) -> Result<(), JournalError> {
        let image = self.image_due;
        let has_record = self.pending > 0;
        if self.boot_due {
            self.write_boot_id()?;
        }
        if image {
            self.begin()?;
            self.write_image(arbiter)?;
        } else if has_record {
            let facts = i64::try_from(self.pending).unwrap_or(i64::MAX);
            let sum = sum::of([self.next, facts], &self.record);
            // One record alone is a transaction by itself.
            let mut insert = self.db.prepare_cached(INSERT)?;
            insert.execute(params![self.next, facts, &self.record, sum])?;
        }
        if self.open {
            self.db.execute_batch("COMMIT")?;
            self.open = false;
        }
        if image || has_record {
            self.facts = if image { 0 } else { self.facts + self.pending };
            self.head.note(self.next);
            self.next += 1;
            self.unfolded += 1;
        }
        self.boot_due = false;
        self.image_due = false;
        self.pending = 0;
        self.record.clear();
        Ok(())
    }

    /// Lets the state take the place of the facts that led to it.
    fn write_image(&self, arbiter: &Arbiter) -> Result<(), JournalError> {
        let image = serde_json::to_vec(&arbiter.image()).map_err(JournalError::Encode)?;
        let sum = sum::of([self.next, 0], &image);
        self.db.execute("DELETE FROM image", [])?;
        let sql = "INSERT INTO image (seq, body, sum) VALUES (?1, ?2, ?3)";
        self.db.execute(sql, params![self.next, image, sum])?;
        self.db.execute("DELETE FROM records", [])?;
        Ok(())
    }

    /// Whether it is time for [`Self::shorten`].
    pub(crate) fn is_long(&self) -> bool {
        self.facts >= self.facts_max
    }

    /// Whether that would save the next start more than it costs now.
    pub(crate) fn is_not_short(&self) -> bool {
        self.facts > MAX_FACTS_AT_START
    }

    /// Lets the state take the place of all facts, everything being committed. Where there is no
    /// room for it now, it is tried again later: the facts suffice.
    pub(crate) fn shorten(&mut self, arbiter: &Arbiter) {
        debug_assert_eq!(self.pending, 0);
        self.image_due = true;
        if let Err(error) = self.commit(arbiter) {
            tracing::warn!(%error, "the journal could not be shortened, and grows");
            self.image_due = false;
            self.facts_max = self.facts + MORE_FACTS;
        } else {
            self.facts_max = MAX_FACTS;
        }
    }

    /// Whether the log is long enough for [`Self::fold`].
    pub(crate) fn wants_folding(&self) -> bool {
        self.unfolded >= FOLD_AFTER
    }

    /// Brings the log into the file proper. Waits for the disk.
    pub(crate) fn fold(&mut self) {
        // While it is copied, it is put off.
        let _still = match self.copier.file.try_lock() {
            Ok(still) => still,
            Err(TryLockError::Poisoned(still)) => still.into_inner(),
            Err(TryLockError::WouldBlock) => return,
        };
        self.unfolded = 0;
        let folded = self
            .db
            .query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
        if let Err(error) = folded {
            tracing::warn!(%error, "the journal's log was not folded in, and grows");
        }
    }

    /// Brings the log into the file proper, so that the next start reads one file.
    pub(crate) fn close(&mut self) {
        if self.open {
            // What was not committed was told to nobody.
            let _ = self.db.execute_batch("ROLLBACK");
            self.open = false;
        }
        if let Err(error) = self.db.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)") {
            tracing::warn!(%error, "the journal's log was not folded in; the next start does it");
        }
    }

    fn begin(&mut self) -> Result<(), JournalError> {
        if !self.open {
            self.db.execute_batch("BEGIN IMMEDIATE")?;
            self.open = true;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
