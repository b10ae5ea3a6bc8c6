//! One loaded build of a hot module.

use std::collections::BTreeMap;
use std::ffi::c_void;
use std::ptr::NonNull;
use std::time::{Duration, SystemTime};

/// What the stages took. Those that were skipped took nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timings {
    /// The compiler.
    pub build: Duration,
    /// Reading the file and comparing its manifest.
    pub check: Duration,
    /// Copying, mapping, pinning and finding the symbols; without the watcher.
    pub load: Duration,
    /// From renaming the copy in to when hot-lib-reloader's watcher had seen it. Not ours to
    /// shorten: that watcher gathers events for a while.
    pub watch_wait: Duration,
    /// From being ready to the host's next pause between two frames.
    pub frame_wait: Duration,
    /// Publishing it, between two frames.
    pub swap: Duration,
}

/// One loaded build of a hot module. Its code stays mapped for as long as the process lives, so its
/// pointers stay good whatever becomes of this value.
#[derive(Debug)]
pub struct Generation {
    pub(crate) number: u32,
    pub(crate) sha256: String,
    pub(crate) since: SystemTime,
    pub(crate) timings: Timings,
    pub(crate) symbols: BTreeMap<String, Symbol>,
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

    /// The address of one of the module's delegation targets. The caller says what type it has; the
    /// manifest has made sure that both sides were compiled from the same types.
    #[must_use]
    pub fn symbol(&self, name: &str) -> Option<NonNull<c_void>> {
        self.symbols.get(name).map(|symbol| symbol.0)
    }
}
