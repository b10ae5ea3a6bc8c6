//! Saving what can be read of a damaged journal, and putting a sound one in its place.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use warden::{Arbiter, Event, Fact, Gpu, Now};

use super::open::Opening;
use super::replay::{self, check_sum, create, facts_in, open_as_it_is, read_boot, read_image};
use super::{FILE, Journal, JournalError};

/// SQLite's own files beside it.
pub(super) const BESIDE: [&str; 2] = ["-wal", "-shm"];
/// The sound one while it is written.
const BEGUN: &str = "journal.begun";
/// The sound one, whole, before it takes the damaged one's place.
const FRESH: &str = "journal.fresh";
/// Behind an unreadable page the next record is looked for one by one for so long, then in strides
/// that double.
const ONE_BY_ONE: u32 = 256;
/// So many records that cannot be taken in are left out; with more nothing is trusted.
const MAX_REFUSED: usize = 8;

/// What could be read.
pub(super) struct Salvaged {
    pub(super) arbiter: Arbiter,
    /// The last record that was taken in.
    pub(super) last: i64,
    /// The boot that it was last written in, where it says so.
    pub(super) boot: Option<String>,
    /// How many records there were to read.
    pub(super) records: u64,
    /// The longest ttl that its policies allowed.
    pub(super) max_ttl_ms: u64,
}

/// Reads what can be read, and changes nothing.
pub(super) fn read(path: &Path, gpus: &[Gpu]) -> Salvaged {
    let nothing = || Salvaged {
        arbiter: empty(gpus),
        last: 0,
        boot: None,
        records: 0,
        max_ttl_ms: 0,
    };
    let Ok(db) = open_as_it_is(path) else {
        return nothing();
    };
    let mut refused = BTreeSet::new();
    while refused.len() <= MAX_REFUSED {
        match attempt(&db, gpus, &refused) {
            Ok(salvaged) => return salvaged,
            Err(seq) => drop(refused.insert(seq)),
        }
    }
    nothing()
}

/// Where the facts do not say which GPUs there were, it is taken for granted that they are the same
/// as now: a lease on the wrong one is better than none.
fn empty(gpus: &[Gpu]) -> Arbiter {
    let mut arbiter = Arbiter::new();
    let gpus = gpus.to_vec();
    arbiter.apply(&Event {
        at: Now::default(),
        fact: Fact::GpusChanged { gpus },
    });
    arbiter
}

/// Takes in every record that can be read but these; or says which one cannot be taken in.
fn attempt(db: &Connection, gpus: &[Gpu], refused: &BTreeSet<i64>) -> Result<Salvaged, i64> {
    let image = read_image(db).ok().filter(|(_, last)| *last > 0);
    let max_ttl_ms = image
        .as_ref()
        .map(|(arbiter, _)| arbiter.policy().max_ttl_ms);
    let (arbiter, last) = image.unwrap_or_else(|| (empty(gpus), 0));
    let mut salvaged = Salvaged {
        max_ttl_ms: max_ttl_ms.unwrap_or_default(),
        arbiter,
        last,
        boot: read_boot(db).unwrap_or_default(),
        records: 0,
    };
    let mut after = last;
    let (mut failures, mut stride) = (0, 1);
    loop {
        let before = after;
        let scanned = scan(db, &mut after, |seq, facts| {
            if !refused.contains(&seq) {
                salvaged.take(seq, facts)?;
            }
            Ok(())
        });
        match scanned {
            Ok(()) => break,
            Err(Stop::Refused(seq)) => return Err(seq),
            Err(Stop::Unreadable) => {}
        }
        if after > before {
            (failures, stride) = (0, 1);
        }
        failures += 1;
        if failures > ONE_BY_ONE {
            stride *= 2;
        }
        match after.checked_add(stride) {
            Some(next) => after = next,
            None => break,
        }
    }
    Ok(salvaged)
}

/// Why a scan ended early.
enum Stop {
    /// A page cannot be read.
    Unreadable,
    /// A record cannot be taken in.
    Refused(i64),
}

impl From<rusqlite::Error> for Stop {
    fn from(_: rusqlite::Error) -> Self {
        Self::Unreadable
    }
}

/// Goes through the records behind `after`, which it moves on with each, as far as they can be read.
/// One whose content is not what was written is left out.
fn scan(
    db: &Connection,
    after: &mut i64,
    mut take: impl FnMut(i64, Vec<Event>) -> Result<(), i64>,
) -> Result<(), Stop> {
    let sql = "SELECT seq, facts, body, sum FROM records WHERE seq > ?1 ORDER BY seq";
    // A journal from before there were sums has no such column.
    let without_sums = || db.prepare(&sql.replace("sum FROM", "NULL FROM"));
    let mut rows = db.prepare(sql).or_else(|_| without_sums())?;
    let mut rows = rows.query([*after])?;
    while let Some(row) = rows.next()? {
        *after = row.get(0)?;
        let body = row.get_ref(2)?.as_blob().unwrap_or_default();
        let numbers = [*after, row.get(1).unwrap_or_default()];
        if check_sum(numbers, body, row.get(3).unwrap_or_default()).is_err() {
            continue;
        }
        if let Ok(facts) = facts_in(body).collect() {
            take(*after, facts).map_err(Stop::Refused)?;
        }
    }
    Ok(())
}

impl Salvaged {
    fn take(&mut self, seq: i64, facts: Vec<Event>) -> Result<(), i64> {
        for event in &facts {
            if let Fact::PolicyChanged { policy } = &event.fact {
                self.max_ttl_ms = self.max_ttl_ms.max(policy.max_ttl_ms);
            }
        }
        let arbiter = &mut self.arbiter;
        let taken = catch_unwind(AssertUnwindSafe(|| {
            facts.iter().for_each(|event| arbiter.salvage(event));
        }));
        self.last = seq;
        self.records += 1;
        taken.map_err(|_| seq)
    }
}

/// Makes a journal that begins with this state, and puts it where the damaged one is; says what that
/// one is called now.
///
/// Once [`FRESH`] is there it is whole, and holds: whoever is killed after that left it to the next
/// start to [`adopt`] it. Before that the damaged one is as it was.
pub(super) fn replace(
    opening: &Opening<'_>,
    arbiter: &Arbiter,
    seq: i64,
    boot: &str,
) -> Result<PathBuf, JournalError> {
    let begun = opening.dir.join(BEGUN);
    remove(opening.dir, BEGUN)?;
    let mut journal = create(&begun, seq)?;
    journal.set_boot_id(boot);
    journal.forget_record();
    journal.commit(arbiter)?;
    finish(opening.dir, BEGUN, journal)?;
    fs::rename(&begun, opening.dir.join(FRESH))?;
    put_in_place(opening)
}

/// Goes on where a broker was killed while it replaced a damaged journal; says what that one is
/// called now.
pub(super) fn adopt(opening: &Opening<'_>) -> Result<Option<PathBuf>, JournalError> {
    let fresh = opening.dir.join(FRESH);
    if !fresh.exists() {
        return Ok(None);
    }
    match replay::read(&fresh, &mut |_, _, _, _| {}) {
        Ok(read) if read.last > 0 && read.boot.is_some() => {
            finish(opening.dir, FRESH, read.journal)?;
        }
        Err(error) if !error.is_damage() => return Err(error),
        // An earlier version of this program made it under this name.
        _ => {
            remove(opening.dir, FRESH)?;
            return Ok(None);
        }
    }
    put_in_place(opening).map(Some)
}

/// Closes a journal that is all in one file from here on, and on disk.
fn finish(dir: &Path, name: &str, journal: Journal) -> Result<(), JournalError> {
    let fold = "PRAGMA wal_checkpoint(TRUNCATE)";
    let busy: i64 = journal.db.query_row(fold, [], |row| row.get(0))?;
    if busy != 0 {
        let detail = format!("{name} cannot be brought into one file");
        return Err(JournalError::Unusable(detail));
    }
    drop(journal);
    remove_beside(dir, name)?;
    Ok(fs::File::open(dir)?.sync_all()?)
}

/// Puts the fresh journal where the damaged one is, which is kept under another name.
fn put_in_place(opening: &Opening<'_>) -> Result<PathBuf, JournalError> {
    let dir = opening.dir;
    let aside = set_aside(dir, opening.stamp)?;
    // What belongs to the damaged one must not be taken for the other's.
    remove_beside(dir, FILE)?;
    fs::File::open(dir)?.sync_all()?;
    fs::rename(dir.join(FRESH), dir.join(FILE))?;
    fs::File::open(dir)?.sync_all()?;
    Ok(aside)
}

fn remove(dir: &Path, name: &str) -> io::Result<()> {
    unless_missing(fs::remove_file(dir.join(name)))?;
    remove_beside(dir, name)
}

fn remove_beside(dir: &Path, name: &str) -> io::Result<()> {
    for suffix in BESIDE {
        unless_missing(fs::remove_file(dir.join(format!("{name}{suffix}"))))?;
    }
    Ok(())
}

/// Gives the journal and what belongs to it another name beside theirs; says what the journal is
/// called now.
fn set_aside(dir: &Path, stamp: &str) -> Result<PathBuf, JournalError> {
    let free = |name: &String| !dir.join(name).exists();
    let first = format!("journal.corrupt-{stamp}");
    let name = std::iter::once(first.clone())
        .chain((2..1000).map(|n| format!("{first}-{n}")))
        .find(free)
        .ok_or_else(|| JournalError::Unusable("too many damaged journals lie here".into()))?;
    for suffix in ["", BESIDE[0], BESIDE[1]] {
        let from = dir.join(format!("{FILE}{suffix}"));
        let to = dir.join(format!("{name}{suffix}"));
        // Some file systems know one name a file.
        let kept = fs::hard_link(&from, &to).or_else(|_| fs::rename(&from, &to));
        unless_missing(kept)?;
    }
    Ok(dir.join(&name))
}

fn unless_missing(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
