//! One loaded build of a hot module, and where it came from.

use std::collections::BTreeMap;
use std::ffi::c_void;
use std::fmt;
use std::ptr::NonNull;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use warden_hot::MemoryTable;

use crate::{Diagnostic, Failure};

/// What the stages took. Those that were skipped took nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timings {
    /// The compiler.
    pub build: Duration,
    /// Reading the file and comparing its record and its manifest.
    pub check: Duration,
    /// Copying, mapping, pinning and finding the symbols; without the watcher.
    pub load: Duration,
    /// From renaming the copy in to when hot-lib-reloader's watcher had seen it. Not ours to
    /// shorten: that watcher gathers events for a while.
    pub watch_wait: Duration,
    /// Carrying the module's memory over.
    pub migrate: Duration,
    /// Running it once where nobody sees it, in this process.
    pub rehearse: Duration,
    /// The same in a child process, before it was loaded here.
    pub rehearse_child: Duration,
    /// From being ready to the host's next pause between two frames.
    pub frame_wait: Duration,
    /// Publishing it, between two frames.
    pub swap: Duration,
}

/// Where a build came from, and what is known of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Provenance {
    /// For people: the subject of the commit that it was built from; empty outside git.
    pub label: String,
    /// The short hash of that commit, with a `+` where the tree had changes; none outside git, and
    /// where somebody else built it.
    pub revision: Option<String>,
    /// When the file was written.
    pub built_at: Option<SystemTime>,
    /// How long the build took; none where it was not built for this attempt.
    pub build_took: Option<Duration>,
    /// What the compiler said of it: warnings, since there would be no file with errors.
    pub messages: Arc<[Diagnostic]>,
    /// Whether the file is the one that was built here.
    pub recorded: bool,
    /// How far it was tried before it was taken.
    pub rehearsed: Rehearsed,
}

/// How far a generation was tried before it was taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rehearsed {
    /// Not at all: its module has no rehearsal.
    #[default]
    No,
    /// In this process, where a panic is caught, and nothing else is.
    Here,
    /// In a child process, where nothing can harm this one; and here too, if it came so far.
    Child,
}

impl fmt::Display for Provenance {
    /// What vouches for this file, in one sentence.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.recorded {
            "built here, and unchanged since by its hash"
        } else {
            "built elsewhere: no hash to compare it with"
        })?;
        f.write_str(match self.rehearsed {
            Rehearsed::No => "; not rehearsed",
            Rehearsed::Here => "; rehearsed in this process",
            Rehearsed::Child => "; rehearsed in a process of its own",
        })
    }
}

/// A row of a module's history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryRow {
    /// From 1, growing by one a row: what was refused has no other number.
    pub attempt: u32,
    /// None for what was refused, since it never became a generation.
    pub number: Option<u32>,
    /// SHA-256 of its file, in hexadecimal; empty where there was none.
    pub sha256: String,
    /// Where it came from.
    pub provenance: Provenance,
    /// When it was taken or refused.
    pub at: SystemTime,
    /// What became of it.
    pub standing: Standing,
    /// Why it was refused or taken back.
    pub failure: Option<Failure>,
    /// How much of this process's address space it takes, in bytes; 0 for what was refused.
    pub mapped_bytes: u64,
}

impl HistoryRow {
    /// Whether [`crate::HotReloader::roll_back`] goes back to it.
    #[must_use]
    pub fn can_return(&self) -> bool {
        matches!(self.standing, Standing::Former | Standing::RolledBack)
    }
}

/// What became of a generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Standing {
    /// It runs.
    Running,
    /// It ran well until another took over.
    Former,
    /// It was taken back by hand, or panicked after it had been trusted.
    RolledBack,
    /// It failed its probation. Its file is refused from then on.
    Quarantined,
    /// It never ran.
    Refused,
}

/// One loaded build of a hot module. Its code stays mapped for as long as the process lives, so its
/// pointers stay good whatever becomes of this value.
#[derive(Debug)]
pub struct Generation {
    pub(crate) number: u32,
    pub(crate) sha256: String,
    pub(crate) since: SystemTime,
    pub(crate) timings: Timings,
    pub(crate) provenance: Provenance,
    pub(crate) mapped: Mapped,
}

/// What a build gives once it is mapped.
#[derive(Clone, Debug, Default)]
pub(crate) struct Mapped {
    pub symbols: BTreeMap<String, Symbol>,
    pub memory: Option<&'static MemoryTable>,
    pub bytes: u64,
}

/// The address of an exported function.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Symbol(pub NonNull<c_void>);

// SAFETY: an address of code that is never unmapped means the same on every thread.
unsafe impl Send for Symbol {}
// SAFETY: as above; nothing can be changed through it.
unsafe impl Sync for Symbol {}

impl Generation {
    /// From 1, growing by one a loaded build.
    #[must_use]
    pub fn number(&self) -> u32 {
        self.number
    }

    /// SHA-256 of its file, in hexadecimal.
    #[must_use]
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// When it was loaded.
    #[must_use]
    pub fn since(&self) -> SystemTime {
        self.since
    }

    /// What its stages took.
    #[must_use]
    pub fn timings(&self) -> Timings {
        self.timings
    }

    /// Where it came from.
    #[must_use]
    pub fn provenance(&self) -> &Provenance {
        &self.provenance
    }

    /// How much of this process's address space it takes, in bytes.
    #[must_use]
    pub fn mapped_bytes(&self) -> u64 {
        self.mapped.bytes
    }

    /// The address of one of the module's delegation targets. The caller says what type it has; the
    /// manifest has made sure that both sides were compiled from the same types.
    #[must_use]
    pub fn symbol(&self, name: &str) -> Option<NonNull<c_void>> {
        self.mapped.symbols.get(name).map(|symbol| symbol.0)
    }

    /// The functions of its memory; none where the module has no memory of its own.
    #[must_use]
    pub fn memory_table(&self) -> Option<&'static MemoryTable> {
        self.mapped.memory
    }
}
