//! What the host calls around its frames: taking a generation into use, calling it, and going back.

use std::sync::Arc;
use std::time::Duration;

use warden_hot::{Memory, Migration, Panicked};

use crate::guard::{self, Caught};
use crate::orders::UnknownModule;
use crate::state::{CapturedState, MemoryCell, Snapshot, StateError, carry};
use crate::trial::{RollBackError, RolledBack};
use crate::{Generation, HotReloader};

/// What came of [`HotReloader::call`].
#[derive(Debug)]
pub struct Called<R> {
    /// What the code returned, or what its panic said.
    pub result: Result<R, Caught>,
    /// The generation that was called is taken back: it panicked, or failed its probation by being
    /// slow.
    pub rolled_back: Option<RolledBack>,
}

impl HotReloader {
    /// Takes the generation that is ready, if one is, into use, and puts it on probation. To be
    /// called between two frames, with no lock on the module's memory; the host then takes its
    /// pointers from what is returned, and no longer those from before.
    ///
    /// The module's memory is carried over here once more where it has changed since it was carried
    /// over for the rehearsal. When that fails, nothing is returned and the status says so.
    #[must_use]
    pub fn swap(&self, name: &str) -> Option<Arc<Generation>> {
        self.swap_inner(name, || None)
    }

    /// As [`Self::swap`]. `capture` copies what of the host's state the module may change; it is
    /// called only when there is something to swap, and comes back in [`RolledBack`] should the new
    /// generation fail its probation.
    #[must_use]
    pub fn swap_with(
        &self,
        name: &str,
        capture: impl FnOnce() -> Snapshot,
    ) -> Option<Arc<Generation>> {
        self.swap_inner(name, || Some(capture()))
    }

    fn swap_inner(
        &self,
        name: &str,
        capture: impl FnOnce() -> Option<Snapshot>,
    ) -> Option<Arc<Generation>> {
        let (place, cell) = self.cell(name).ok()?;
        if !self.shared.lock().slots[place].is_ready() {
            return None;
        }
        let snapshot = capture();
        let mut memory = cell.lock();
        self.shared.lock().slots[place].swap(&mut memory, snapshot)
    }

    /// The generation that runs.
    #[must_use]
    pub fn running(&self, name: &str) -> Option<Arc<Generation>> {
        let place = self.shared.place(name).ok()?;
        self.shared.lock().slots[place].status.running.clone()
    }

    /// Where a module's memory lies; the same for as long as this lives. None where nobody
    /// registered it.
    #[must_use]
    pub fn memory(&self, name: &str) -> Option<MemoryCell> {
        self.cell(name).ok().map(|(_, cell)| cell)
    }

    /// Calls the running generation, and counts that as a frame: the whole of what most hosts need.
    /// `hot` looks its symbol up and calls it. When that panics, the module's memory is put back as
    /// it was before the call and the last good generation runs on, from the next call on.
    ///
    /// None when nothing runs, or nobody registered the module.
    pub fn call<R>(
        &self,
        name: &str,
        hot: impl FnOnce(&Generation, Option<&mut Memory>) -> Result<R, Panicked>,
    ) -> Option<Called<R>> {
        let generation = self.running(name)?;
        let cell = self.memory(name)?;
        let mut memory = cell.lock();
        let began = thread_time();
        let result = guard::call(|| {
            // Copied under the guard too: that is the module's code as well.
            let before = memory.as_ref().map(Memory::try_clone).transpose();
            let before = before.map_err(|error| Panicked {
                message: error.to_string(),
            })?;
            match guard::call(|| hot(&generation, memory.as_mut())) {
                Ok(value) => Ok(Ok(value)),
                Err(caught) => {
                    *memory = before;
                    Ok(Err(caught))
                }
            }
        });
        let cost = thread_time().saturating_sub(began);
        drop(memory);
        let result = result.and_then(|result| result);
        let rolled_back = match &result {
            Ok(_) => self.drew(name, cost),
            Err(caught) => self.panicked(name, caught),
        };
        Some(Called {
            result,
            rolled_back,
        })
    }

    /// A frame was drawn with the running generation, at the cost of so much processor time of its
    /// thread. Taken back is a generation on probation that is slow too often in a row. With no lock
    /// on the module's memory.
    #[must_use]
    pub fn drew(&self, name: &str, cost: Duration) -> Option<RolledBack> {
        let (place, cell) = self.cell(name).ok()?;
        // Most frames are drawn by code that is trusted, and need no lock on its memory.
        self.shared.lock().slots[place].trial.as_ref()?;
        let mut memory = cell.lock();
        self.shared.lock().slots[place].drew(cost, &mut memory)
    }

    /// Tells that the running generation panicked, after the host has put back what that call had
    /// changed of the module's memory. The last good one runs on. On probation, the module's memory
    /// is put back as it was at the swap and the file is refused from now on. None where nobody
    /// registered the module. With no lock on the module's memory.
    #[must_use]
    pub fn panicked(&self, name: &str, caught: &Caught) -> Option<RolledBack> {
        let (place, cell) = self.cell(name).ok()?;
        let mut memory = cell.lock();
        Some(self.shared.lock().slots[place].panicked(caught, &mut memory))
    }

    /// Goes back to any generation that ran, with the module's memory as it is now. To be called
    /// between two frames, with no lock on the module's memory.
    ///
    /// # Errors
    /// When there is no such generation, it runs already, failed its probation, or its code fails
    /// over the memory.
    pub fn roll_back(&self, name: &str, number: u32) -> Result<Arc<Generation>, RollBackError> {
        let (place, cell) = self.cell(name)?;
        let mut memory = cell.lock();
        self.shared.lock().slots[place].roll_back(number, &mut memory)
    }

    /// A module's memory as text, to be given to another process; none where it has none. With no
    /// lock on the module's memory.
    ///
    /// # Errors
    /// When nobody registered it, or its code fails over it.
    pub fn capture_state(&self, name: &str) -> Result<Option<CapturedState>, StateError> {
        let (place, cell) = self.cell(name)?;
        let memory = match &*cell.lock() {
            Some(memory) => Some(memory.to_ron()?),
            None => self.shared.lock().slots[place].restored.clone(),
        };
        Ok(memory.map(|memory| CapturedState {
            module: name.to_owned(),
            memory,
        }))
    }

    /// Gives a module the memory that was captured, as far as the running generation can read it; or,
    /// where none runs yet, the first one to come. What became of it is told where it is known yet.
    /// With no lock on the module's memory.
    ///
    /// # Errors
    /// When nobody registered it, the state is another module's, or its code fails over it: then
    /// the memory stays as it was.
    pub fn restore_state(
        &self,
        name: &str,
        captured: &CapturedState,
    ) -> Result<Option<Migration>, StateError> {
        let (place, cell) = self.cell(name)?;
        if captured.module != name {
            return Err(StateError::Other(captured.module.clone()));
        }
        let mut memory = cell.lock();
        let running = self.shared.lock().slots[place].status.running.clone();
        let Some(running) = running else {
            self.shared.lock().slots[place].restored = Some(captured.memory.clone());
            return Ok(None);
        };
        let (restored, migration) = carry(running.memory_table(), Some(&captured.memory))?;
        *memory = restored;
        Ok(migration)
    }

    fn cell(&self, name: &str) -> Result<(usize, MemoryCell), UnknownModule> {
        let place = self.shared.place(name)?;
        let cell = self.shared.lock().slots[place].cell.clone();
        Ok((place, cell))
    }
}

/// The processor time that this thread has used.
fn thread_time() -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is valid to be written to. The clock exists on every Linux, so this cannot fail.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanos = u32::try_from(time.tv_nsec).unwrap_or(0);
    Duration::new(seconds, nanos)
}
