//! The journal: every fact, in order, in SQLite, a record for every commit; and from time to time, in place of all before
//! it, an image of the state.
//!
//! A grant is told once its transaction is committed to the write-ahead log, without waiting for
//! the disk (`synchronous = NORMAL`): that outlives the broker, and a grant need not outlive the
//! host. A journal that cannot be read is set aside under another name, never deleted.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use rusqlite::{Connection, ErrorCode, OptionalExtension, params};
use warden::arbiter::Image;
use warden::{Arbiter, Change, Event};

/// The file in the data directory.
pub(crate) const FILE: &str = "journal.db";
/// SQLite's own files beside it.
const BESIDE: [&str; 2] = ["-wal", "-shm"];
/// So many facts are replayed at most: then the state they add up to takes their place. Few
/// enough for a start within a second or two, so many that nobody notices the pause.
const MAX_FACTS: u64 = 1_000_000;
/// At a start, when replaying has already taken a while, fewer will do.
const MAX_FACTS_AT_START: u64 = 100_000;
/// Commits after which the log is folded in: some 16 MiB of it.
const FOLD_AFTER: u32 = 2_000;
/// Grows with every change of the tables or of what a record means.
const SCHEMA: i64 = 1;
/// "Wrdn": tells this file from every other SQLite database.
const APPLICATION: i64 = 0x5772_646e;

/// A record is what one commit made durable: its facts, each a line of JSON.
const INSERT: &str = "INSERT INTO records (seq, facts, body) VALUES (?1, ?2, ?3)";

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
    next: i64,
    /// How many have no image yet.
    facts: u64,
    /// A transaction is open, because more than one record is to be written.
    open: bool,
    /// The next record, and how many facts are in it.
    record: Vec<u8>,
    pending: u64,
    /// Commits since the log was folded in.
    unfolded: u32,
}

/// A journal that was just opened.
#[derive(Debug)]
pub(crate) struct Opened {
    /// Where facts go from here on.
    pub(crate) journal: Journal,
    /// What its facts add up to.
    pub(crate) arbiter: Arbiter,
    /// The boot of the host that it was last written in; nothing where it is new.
    pub(crate) boot_id: Option<String>,
    /// Where the one before went, if it was damaged.
    pub(crate) set_aside: Option<PathBuf>,
}

impl Journal {
    /// Opens the journal in `dir`, or makes one, and replays it; `seen` is shown every fact just
    /// after it was applied, with how many are left after it. A damaged one is set aside.
    pub(crate) fn open(
        dir: &Path,
        stamp: &str,
        mut seen: impl FnMut(&Arbiter, &Event, &Change, u64),
    ) -> Result<Opened, JournalError> {
        let path = dir.join(FILE);
        let damage = match Self::open_and_replay(&path, &mut seen) {
            Ok(opened) => return Ok(opened),
            Err(error) if error.is_damage() => error,
            Err(error) => return Err(error),
        };
        let aside = set_aside(dir, stamp)?;
        tracing::error!(
            journal = %path.display(),
            aside = %aside.display(),
            %damage,
            "the journal is damaged and was set aside; the broker begins with an empty one"
        );
        let mut opened = Self::open_and_replay(&path, &mut seen)?;
        opened.set_aside = Some(aside);
        Ok(opened)
    }

    fn open_and_replay(
        path: &Path,
        seen: &mut impl FnMut(&Arbiter, &Event, &Change, u64),
    ) -> Result<Opened, JournalError> {
        // SQLite gives what it adds beside the file the file's own mode.
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(path)?;
        drop(file);
        let db = Connection::open(path)?;
        prepare(&db)?;
        let sql = "SELECT value FROM meta WHERE key = 'boot_id'";
        let boot_id = db.query_row(sql, [], |row| row.get(0)).optional()?;
        let (mut arbiter, image_seq) = read_image(&db)?;
        let (facts, last) = replay(&db, image_seq, &mut arbiter, seen)?;
        let mut journal = Self {
            db,
            next: last + 1,
            facts,
            open: false,
            record: Vec::with_capacity(64 * 1024),
            pending: 0,
            unfolded: 0,
        };
        if facts > MAX_FACTS_AT_START {
            journal.put_image(&arbiter)?;
            journal.commit()?;
        }
        Ok(Opened {
            journal,
            arbiter,
            boot_id,
            set_aside: None,
        })
    }

    /// Writes down in which boot of the host what follows happens. Part of the next commit.
    pub(crate) fn set_boot_id(&mut self, boot_id: &str) -> Result<(), JournalError> {
        self.begin()?;
        let sql = "INSERT INTO meta (key, value) VALUES ('boot_id', ?1)
            ON CONFLICT (key) DO UPDATE SET value = excluded.value";
        self.db.execute(sql, [boot_id])?;
        Ok(())
    }

    /// Adds a fact to the next commit.
    pub(crate) fn append(&mut self, event: &Event) -> Result<(), JournalError> {
        serde_json::to_writer(&mut self.record, event).map_err(JournalError::Encode)?;
        self.record.push(b'\n');
        self.pending += 1;
        Ok(())
    }

    /// Whether it is time for [`Self::put_image`].
    pub(crate) fn is_long(&self) -> bool {
        self.facts + self.pending >= MAX_FACTS
    }

    /// Lets the state take the place of the facts that led to it. Part of the next commit.
    pub(crate) fn put_image(&mut self, arbiter: &Arbiter) -> Result<(), JournalError> {
        self.begin()?;
        self.write_record()?;
        let image = serde_json::to_vec(&arbiter.image()).map_err(JournalError::Encode)?;
        self.db.execute("DELETE FROM image", [])?;
        let sql = "INSERT INTO image (seq, body) VALUES (?1, ?2)";
        self.db.execute(sql, params![self.next - 1, image])?;
        self.db.execute("DELETE FROM records", [])?;
        self.facts = 0;
        Ok(())
    }

    /// Makes everything since the last commit durable.
    pub(crate) fn commit(&mut self) -> Result<(), JournalError> {
        // One record alone is a transaction by itself.
        self.write_record()?;
        if std::mem::take(&mut self.open) {
            self.db.execute_batch("COMMIT")?;
        }
        Ok(())
    }

    fn write_record(&mut self) -> Result<(), JournalError> {
        if self.pending == 0 {
            return Ok(());
        }
        let mut insert = self.db.prepare_cached(INSERT)?;
        let pending = i64::try_from(self.pending).unwrap_or(i64::MAX);
        insert.execute(params![self.next, pending, &self.record])?;
        self.next += 1;
        self.facts += self.pending;
        self.unfolded += 1;
        self.pending = 0;
        self.record.clear();
        Ok(())
    }

    /// Whether the log is long enough for [`Self::fold`].
    pub(crate) fn wants_folding(&self) -> bool {
        self.unfolded >= FOLD_AFTER
    }

    /// Brings the log into the file proper. Waits for the disk.
    pub(crate) fn fold(&mut self) {
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

/// The state that the facts go on from, with the number of the last fact in it.
fn read_image(db: &Connection) -> Result<(Arbiter, i64), JournalError> {
    let sql = "SELECT seq, body FROM image";
    let row: Option<(i64, Vec<u8>)> = db
        .query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((seq, body)) = row else {
        return Ok((Arbiter::new(), 0));
    };
    let image: Image = serde_json::from_slice(&body).map_err(|error| damaged(seq, &error))?;
    let arbiter = catch_unwind(|| Arbiter::from(image))
        .map_err(|_| damaged(seq, &"the state in it cannot be"))?;
    Ok((arbiter, seq))
}

/// Applies every fact after the record `image_seq`; says how many there were, and which record is
/// the last.
fn replay(
    db: &Connection,
    image_seq: i64,
    arbiter: &mut Arbiter,
    seen: &mut impl FnMut(&Arbiter, &Event, &Change, u64),
) -> Result<(u64, i64), JournalError> {
    let sql = "SELECT coalesce(sum(facts), 0) FROM records";
    let count: i64 = db.query_row(sql, [], |row| row.get(0))?;
    let facts = u64::try_from(count).unwrap_or_default();
    let mut left = facts;
    let mut last = image_seq;
    let mut rows = db.prepare("SELECT seq, body FROM records ORDER BY seq")?;
    let mut rows = rows.query([])?;
    while let Some(row) = rows.next()? {
        let seq: i64 = row.get(0)?;
        if seq != last + 1 {
            return Err(damaged(last + 1, &"it is missing"));
        }
        let body = row.get_ref(1)?;
        let body = body.as_blob().map_err(|error| damaged(seq, &error))?;
        for line in body
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
        {
            let event: Event =
                serde_json::from_slice(line).map_err(|error| damaged(seq, &error))?;
            left = left.saturating_sub(1);
            // A fact that parses can still be about what never was.
            let applied = catch_unwind(AssertUnwindSafe(|| {
                let change = arbiter.apply(&event);
                seen(arbiter, &event, &change, left);
            }));
            applied.map_err(|_| damaged(seq, &"it does not follow from those before it"))?;
        }
        last = seq;
    }
    Ok((facts, last))
}

fn damaged(seq: i64, why: &dyn std::fmt::Display) -> JournalError {
    JournalError::Damaged(format!("record {seq}: {why}"))
}

/// Checks whose database it is, and makes the tables in a new one.
fn prepare(db: &Connection) -> Result<(), JournalError> {
    let pragma = |name: &str| -> Result<i64, rusqlite::Error> {
        db.query_row(&format!("PRAGMA {name}"), [], |row| row.get(0))
    };
    let tables: i64 = db.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    let (application, schema) = (pragma("application_id")?, pragma("user_version")?);
    if tables > 0 && application != APPLICATION {
        return Err(JournalError::Damaged("it is no journal of Warden's".into()));
    }
    if schema > SCHEMA {
        return Err(JournalError::Newer(schema));
    }
    // The directory's lock has settled already that nobody else writes here.
    // Folding the log in waits for the disk, so it is done where nobody waits for an answer.
    db.execute_batch(
        "PRAGMA locking_mode = EXCLUSIVE;
         PRAGMA journal_mode = WAL;
         PRAGMA synchronous = NORMAL;
         PRAGMA wal_autocheckpoint = 0;
         PRAGMA journal_size_limit = 16777216;",
    )?;
    if tables == 0 {
        db.execute_batch(&format!(
            "BEGIN;
             CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
             CREATE TABLE records (
                 seq INTEGER PRIMARY KEY, facts INTEGER NOT NULL, body BLOB NOT NULL);
             CREATE TABLE image (seq INTEGER PRIMARY KEY, body BLOB NOT NULL);
             PRAGMA application_id = {APPLICATION};
             PRAGMA user_version = {SCHEMA};
             COMMIT;"
        ))?;
    }
    Ok(())
}

/// Renames the journal and what belongs to it; says what the journal is called now.
fn set_aside(dir: &Path, stamp: &str) -> Result<PathBuf, JournalError> {
    let free = |name: &String| !dir.join(name).exists();
    let first = format!("journal.corrupt-{stamp}");
    let name = std::iter::once(first.clone())
        .chain((2..1000).map(|n| format!("{first}-{n}")))
        .find(free)
        .ok_or_else(|| JournalError::Unusable("too many damaged journals lie here".into()))?;
    for suffix in BESIDE {
        match fs::rename(
            dir.join(format!("{FILE}{suffix}")),
            dir.join(format!("{name}{suffix}")),
        ) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
    }
    let aside = dir.join(&name);
    fs::rename(dir.join(FILE), &aside)?;
    fs::File::open(dir)?.sync_all()?;
    Ok(aside)
}
