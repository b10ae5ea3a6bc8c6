//! Reading a journal that is whole.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OptionalExtension as _};
use warden::arbiter::Image;
use warden::{Arbiter, Change, Event};

use super::{APPLICATION, Copier, Journal, JournalError, MAX_FACTS, MAX_FACTS_AT_START, SCHEMA};
use crate::disk::head::Head;
use crate::sum;

/// A journal that was read to its end.
pub(super) struct Read {
    pub(super) journal: Journal,
    pub(super) arbiter: Arbiter,
    /// The number of its last record; 0 where it is new.
    pub(super) last: i64,
    /// The boot of the host that it was last written in, where it says so.
    pub(super) boot: Option<String>,
}

/// Opens the journal at `path`, or makes one, and replays it; `seen` is shown every fact just after
/// it was applied, with how many are left after it.
pub(super) fn read(
    path: &Path,
    seen: &mut impl FnMut(&Arbiter, &Event, &Change, u64),
) -> Result<Read, JournalError> {
    let (db, copier) = connect(path)?;
    prepare(&db)?;
    let boot = read_boot(&db)?;
    let (mut arbiter, image_seq) = read_image(&db)?;
    let (facts, last) = replay(&db, image_seq, &mut arbiter, seen)?;
    let mut journal = Journal {
        facts,
        ..begin(db, copier, last + 1)
    };
    if facts > MAX_FACTS_AT_START {
        journal.shorten(&arbiter);
    }
    Ok(Read {
        last: journal.next - 1,
        journal,
        arbiter,
        boot,
    })
}

/// Makes a journal where there is none.
pub(super) fn create(path: &Path, first: i64) -> Result<Journal, JournalError> {
    let (db, copier) = connect(path)?;
    prepare(&db)?;
    Ok(begin(db, copier, first))
}

fn begin(db: Connection, copier: Copier, next: i64) -> Journal {
    Journal {
        db,
        head: Head::none(),
        next,
        boot: String::new(),
        boot_due: false,
        facts: 0,
        facts_max: MAX_FACTS,
        open: false,
        image_due: false,
        record: Vec::with_capacity(64 * 1024),
        pending: 0,
        unfolded: 0,
        copier,
    }
}

fn connect(path: &Path) -> Result<(Connection, Copier), JournalError> {
    // SQLite gives what it adds beside the file the file's own mode.
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .mode(0o600)
        .open(path)?;
    Ok((open_as_it_is(path)?, Copier::new(path, file)))
}

/// A connection that leaves the file as it is unless it is told to write.
pub(super) fn open_as_it_is(path: &Path) -> Result<Connection, JournalError> {
    let db = Connection::open(path)?;
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    // The directory's lock has settled already that nobody else writes here.
    db.execute_batch("PRAGMA locking_mode = EXCLUSIVE")?;
    Ok(db)
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
    // Folding the log in waits for the disk, so it is done where nobody waits for an answer.
    db.execute_batch(
        "PRAGMA journal_mode = WAL;
         PRAGMA synchronous = NORMAL;
         PRAGMA wal_autocheckpoint = 0;
         PRAGMA journal_size_limit = 16777216;",
    )?;
    if tables == 0 {
        db.execute_batch(&format!(
            "BEGIN;
             CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
             CREATE TABLE records (
                 seq INTEGER PRIMARY KEY, facts INTEGER NOT NULL, body BLOB NOT NULL, sum INTEGER);
             CREATE TABLE image (seq INTEGER PRIMARY KEY, body BLOB NOT NULL, sum INTEGER);
             PRAGMA application_id = {APPLICATION};
             PRAGMA user_version = {SCHEMA};
             COMMIT;"
        ))?;
        return Ok(());
    }
    // Journals of before had no sums; whoever reads those names the columns that it wants, so that
    // these disturb nobody.
    for table in ["records", "image"] {
        if !has_sums(db, table)? {
            db.execute_batch(&format!("ALTER TABLE {table} ADD COLUMN sum INTEGER"))?;
        }
    }
    Ok(())
}

fn has_sums(db: &Connection, table: &str) -> Result<bool, rusqlite::Error> {
    let sql = "SELECT count(*) FROM pragma_table_info(?1) WHERE name = 'sum'";
    let count: i64 = db.query_row(sql, [table], |row| row.get(0))?;
    Ok(count > 0)
}

pub(super) fn read_boot(db: &Connection) -> Result<Option<String>, JournalError> {
    let sql = "SELECT value FROM meta WHERE key = 'boot_id'";
    Ok(db.query_row(sql, [], |row| row.get(0)).optional()?)
}

/// The state that the facts go on from, with the number of the last record in it.
pub(super) fn read_image(db: &Connection) -> Result<(Arbiter, i64), JournalError> {
    let sql = "SELECT seq, body, sum FROM image";
    let row: Option<(i64, Vec<u8>, Option<i64>)> = db
        .query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional()?;
    let Some((seq, body, sum)) = row else {
        return Ok((Arbiter::new(), 0));
    };
    check_sum([seq, 0], &body, sum)?;
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
    let mut rows = db.prepare("SELECT seq, facts, body, sum FROM records ORDER BY seq")?;
    let mut rows = rows.query([])?;
    while let Some(row) = rows.next()? {
        let seq: i64 = row.get(0)?;
        if seq != last + 1 {
            return Err(damaged(last + 1, &"it is missing"));
        }
        let body = row.get_ref(2)?;
        let body = body.as_blob().map_err(|error| damaged(seq, &error))?;
        check_sum([seq, row.get(1)?], body, row.get(3)?)?;
        for event in facts_in(body) {
            let event = event.map_err(|error| damaged(seq, &error))?;
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

/// The facts of one record.
pub(super) fn facts_in(body: &[u8]) -> impl Iterator<Item = Result<Event, serde_json::Error>> {
    body.split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(serde_json::from_slice)
}

/// What was written before there were sums has none.
pub(super) fn check_sum(
    numbers: [i64; 2],
    body: &[u8],
    sum: Option<i64>,
) -> Result<(), JournalError> {
    match sum {
        Some(sum) if sum != sum::of(numbers, body) => {
            Err(damaged(numbers[0], &"it is not what was written"))
        }
        _ => Ok(()),
    }
}

fn damaged(seq: i64, why: &dyn std::fmt::Display) -> JournalError {
    JournalError::Damaged(format!("record {seq}: {why}"))
}
