//! How one module stands: which generation runs, which one comes, and what went wrong last.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use warden_hot::{Memory, Migration};

use crate::failure::{Fault, Stage};
use crate::generation::{Generation, HistoryRow, Mapped, Provenance, Standing, Timings};
use crate::state::{MemoryCell, Snapshot};
use crate::status::{Moved, Status};
use crate::trial::Trial;
use crate::{Failure, HotModule};

/// How many good generations behind the running one a panic can fall back through.
const FORMER_MAX: usize = 8;
/// How many rows a module's history has.
const HISTORY_MAX: usize = 32;
/// And how many of them are of what was refused, where there is something better to keep.
const REFUSED_MAX: usize = 12;

/// What the reload thread made, complete but not published.
#[derive(Debug)]
pub(crate) struct Made {
    pub sha256: String,
    pub mapped: Mapped,
    pub provenance: Provenance,
    pub memory: Carried,
}

/// Memory for a new generation, and what it was made from.
#[derive(Debug, Default)]
pub(crate) struct Carried {
    /// The running generation's memory as it was then, as RON.
    pub from: Option<String>,
    pub memory: Option<Memory>,
    pub migration: Option<Migration>,
}

/// The module and all that is known of it.
#[derive(Debug)]
pub(crate) struct Slot {
    pub module: Arc<HotModule>,
    pub status: Status,
    pub cell: MemoryCell,
    /// What its first generation's memory is made from.
    pub restored: Option<String>,
    /// The file that was looked at last: see [`crate::watch`].
    pub seen: String,
    pub trial: Option<Trial>,
    /// The number of the newest generation.
    numbered: u32,
    /// How many rows the history has had.
    attempts: u32,
    /// Those that ran, by number.
    pub generations: BTreeMap<u32, Arc<Generation>>,
    /// Good generations behind the running one, the newest last.
    pub former: Vec<Arc<Generation>>,
    /// Complete, and not published yet; with the instant that it was ready.
    pub ready: Option<(Generation, Carried, Instant)>,
    /// Every build that is mapped, by the hash of its file.
    mapped: BTreeMap<String, Mapped>,
    /// Why a file is refused, by its hash.
    pub quarantined: BTreeMap<String, String>,
}

impl Slot {
    pub fn new(module: HotModule) -> Self {
        Self {
            module: Arc::new(module),
            status: Status::default(),
            cell: MemoryCell::default(),
            restored: None,
            seen: String::new(),
            trial: None,
            numbered: 0,
            attempts: 0,
            generations: BTreeMap::new(),
            former: Vec::new(),
            ready: None,
            mapped: BTreeMap::new(),
            quarantined: BTreeMap::new(),
        }
    }

    /// A build that is mapped already, so that the same file is not mapped twice.
    pub fn mapped(&self, sha256: &str) -> Option<Mapped> {
        self.mapped.get(sha256).cloned()
    }

    /// A build was mapped, whatever becomes of it.
    pub fn keep_mapped(&mut self, sha256: &str, mapped: &Mapped) {
        self.mapped.insert(sha256.to_owned(), mapped.clone());
        self.status.loaded = u32::try_from(self.mapped.len()).unwrap_or(u32::MAX);
    }

    /// Whether this very build runs, and nothing else is to take its place.
    pub fn runs(&self, sha256: &str) -> bool {
        self.ready.is_none()
            && self
                .status
                .running
                .as_ref()
                .is_some_and(|running| running.sha256 == sha256)
    }

    /// A complete generation waits for the host to take it; its number is returned.
    pub fn ready(&mut self, made: Made, timings: Timings) -> u32 {
        let since = SystemTime::now();
        self.numbered += 1;
        let number = self.numbered;
        let generation = Generation {
            number,
            sha256: made.sha256,
            since,
            timings,
            provenance: made.provenance,
            mapped: made.mapped,
        };
        self.status.timings = timings;
        self.status.stage = Some((Stage::Swap, since));
        self.ready = Some((generation, made.memory, Instant::now()));
        number
    }

    pub fn is_ready(&self) -> bool {
        self.ready.is_some()
    }

    /// The number that the next generation will have.
    pub fn next_number(&self) -> u32 {
        self.numbered + 1
    }

    /// The last attempt came to nothing new, and what runs is what was asked for.
    pub fn unchanged(&mut self, timings: Timings) {
        self.status.timings = timings;
        self.status.stage = None;
        self.status.failure = None;
    }

    /// An attempt was given up before it came to anything.
    pub fn given_up(&mut self) {
        let ready = self.ready.as_ref();
        self.status.stage = ready.map(|(generation, ..)| (Stage::Swap, generation.since));
    }

    /// An attempt failed: the running generation stays.
    pub fn refused(
        &mut self,
        fault: Fault,
        sha256: String,
        provenance: Provenance,
        timings: Timings,
    ) -> Failure {
        self.status.timings = timings;
        let failure = self.failed(fault);
        self.given_up();
        self.add_row(HistoryRow {
            attempt: 0,
            number: None,
            sha256,
            provenance,
            at: failure.at,
            standing: Standing::Refused,
            failure: Some(failure.clone()),
            mapped_bytes: 0,
        });
        failure
    }

    pub fn failed(&mut self, fault: Fault) -> Failure {
        let failure = fault.of(&self.module.name);
        self.status.failure = Some(failure.clone());
        failure
    }

    /// Takes what is ready into use. `memory` is the module's as it is now.
    pub fn swap(
        &mut self,
        memory: &mut Option<Memory>,
        snapshot: Option<Snapshot>,
    ) -> Option<Arc<Generation>> {
        let (mut generation, carried, since) = self.ready.take()?;
        let started = Instant::now();
        let carried = match carried.brought_up(memory, self.restored.as_deref(), &generation) {
            Ok(carried) => carried,
            Err(fault) => {
                let Generation {
                    sha256,
                    provenance,
                    timings,
                    ..
                } = generation;
                self.refused(fault, sha256, provenance, timings);
                return None;
            }
        };
        let before = std::mem::replace(memory, carried.memory);
        self.restored = None;
        self.moved(generation.number, carried.migration);
        if let Some(running) = self.status.running.take() {
            self.stands(running.number, Standing::Former, None);
            self.former.push(running);
            let over = self.former.len().saturating_sub(FORMER_MAX);
            self.former.drain(..over);
        }
        generation.timings.frame_wait = started - since;
        generation.timings.swap = started.elapsed();
        self.status.timings = generation.timings;
        let generation = Arc::new(generation);
        self.trial = Some(Trial::new(&self.module.probation, before, snapshot));
        self.add_row(HistoryRow {
            attempt: 0,
            number: Some(generation.number),
            sha256: generation.sha256.clone(),
            provenance: generation.provenance.clone(),
            at: generation.since,
            standing: Standing::Running,
            failure: None,
            mapped_bytes: generation.mapped.bytes,
        });
        self.generations
            .insert(generation.number, Arc::clone(&generation));
        self.runs_now(Arc::clone(&generation));
        Some(generation)
    }

    /// Tells what became of the memory of what still runs.
    pub fn moved(&mut self, to: u32, migration: Option<Migration>) {
        let from = self.status.running.as_ref().map(|running| running.number);
        self.status.migration = migration.map(|migration| {
            Arc::new(Moved {
                from,
                to,
                migration,
            })
        });
    }

    /// What runs is what was asked for.
    pub fn runs_now(&mut self, generation: Arc<Generation>) {
        // Another attempt may be under way already.
        self.status
            .stage
            .take_if(|(stage, _)| *stage == Stage::Swap);
        // An attempt may have failed after this one was ready, and before it was taken.
        let newer = |failure: &Failure| failure.at > generation.since;
        if !self.status.failure.as_ref().is_some_and(newer) {
            self.status.failure = None;
        }
        self.status.running = Some(generation);
    }

    /// Tells the history what became of a generation.
    pub fn stands(&mut self, number: u32, standing: Standing, failure: Option<&Failure>) {
        let mut rows = self.status.history.to_vec();
        if let Some(row) = rows.iter_mut().rev().find(|row| row.number == Some(number)) {
            row.standing = standing;
            if failure.is_some() {
                row.failure = failure.cloned();
            }
        }
        self.status.history = rows.into();
    }

    fn add_row(&mut self, mut row: HistoryRow) {
        self.attempts += 1;
        row.attempt = self.attempts;
        let mut rows = self.status.history.to_vec();
        rows.push(row);
        while rows.len() > HISTORY_MAX {
            // What was refused, over and over, must not push out what can be gone back to.
            let refused = |row: &HistoryRow| row.standing == Standing::Refused;
            let many = rows.iter().filter(|row| refused(row)).count() > REFUSED_MAX;
            let oldest = rows
                .iter()
                .position(|row| row.standing != Standing::Running && (!many || refused(row)));
            rows.remove(oldest.unwrap_or(0));
        }
        self.status.history = rows.into();
    }
}
