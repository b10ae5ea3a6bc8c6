//! What a reload must not lose: the module's own memory, and the host's state that it may change.

use std::any::Any;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use warden_hot::{Change, Memory, MemoryError, MemoryTable, Migration};

/// Where a module's memory lies, whichever generation it is of. The reloader carries it over at a
/// swap and takes it back at a rollback; the host lends it to the code that it calls.
///
/// Hold the lock only for the call: the reload thread reads the memory through it, and a swap on
/// the same thread would wait for ever.
#[derive(Clone, Debug, Default)]
pub struct MemoryCell(Arc<Mutex<Option<Memory>>>);

impl MemoryCell {
    /// The memory; none before the first generation, and for a module that has none.
    pub fn lock(&self) -> MutexGuard<'_, Option<Memory>> {
        // Whatever panicked under the lock was undone by whoever caught it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A copy of the host's own state, of whatever type the host likes: it is given back to the host
/// and to nobody else.
#[derive(Clone)]
pub struct Snapshot(Arc<dyn Any + Send + Sync>);

impl Snapshot {
    /// Wraps it.
    pub fn new<T: Send + Sync + 'static>(state: T) -> Self {
        Self(Arc::new(state))
    }

    /// What was wrapped, if it is of that type.
    #[must_use]
    pub fn get<T: 'static>(&self) -> Option<&T> {
        self.0.downcast_ref()
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot").finish_non_exhaustive()
    }
}

/// A module's memory as text, to outlive the process: what [`crate::HotReloader::capture_state`]
/// gives and [`crate::HotReloader::restore_state`] takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CapturedState {
    /// Whose.
    pub module: String,
    /// The module's memory as RON.
    pub memory: String,
}

/// Why a module's memory was not captured or restored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// Nobody registered it.
    #[error(transparent)]
    Unknown(#[from] crate::UnknownModule),
    /// The state is another module's.
    #[error("this is the state of `{0}`")]
    Other(String),
    /// The module's code failed over it.
    #[error(transparent)]
    Memory(#[from] MemoryError),
}

/// Makes memory for a generation out of what another one wrote.
pub(crate) fn carry(
    table: Option<&'static MemoryTable>,
    old: Option<&str>,
) -> Result<(Option<Memory>, Option<Migration>), MemoryError> {
    match (table, old) {
        (None, None) => Ok((None, None)),
        (None, Some(old)) => {
            let dropped = Change {
                key: "(all)".to_owned(),
                old: Some(old.to_owned()),
                ..Change::default()
            };
            let migration = Migration {
                dropped: vec![dropped],
                ..Migration::default()
            };
            Ok((None, Some(migration)))
        }
        (Some(table), None) => Ok((Some(Memory::new(table)?), None)),
        (Some(table), Some(old)) => {
            let (memory, migration) = Memory::from_ron(table, old)?;
            Ok((Some(memory), Some(migration)))
        }
    }
}
