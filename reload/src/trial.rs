//! Probation, and going back to a former generation: by a panic, by slow frames, by hand.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use warden_hot::{Memory, MemoryError};

use crate::failure::{Fault, Stage};
use crate::generation::{Generation, Standing};
use crate::guard::Caught;
use crate::module::Probation;
use crate::slot::{Carried, Slot};
use crate::state::{Snapshot, carry};
use crate::status::OnProbation;
use crate::{Failure, UnknownModule};

/// A generation on probation.
#[derive(Debug)]
pub(crate) struct Trial {
    rules: Probation,
    began: Instant,
    until: SystemTime,
    frames: u32,
    /// Slow frames running.
    slow: u32,
    /// The module's memory as the generation before left it.
    memory: Option<Memory>,
    /// The host's state at the swap.
    snapshot: Option<Snapshot>,
}

/// The running generation was taken back. Pointers are to be taken anew from `to`.
#[derive(Clone, Debug)]
pub struct RolledBack {
    /// What was taken back.
    pub from: Option<Arc<Generation>>,
    /// What runs now; with none, nothing of the module may be called.
    pub to: Option<Arc<Generation>>,
    /// What the host gave to [`crate::HotReloader::swap_with`] when that generation took over, where
    /// it failed its probation: the host puts it back. The module's own memory is back already.
    pub snapshot: Option<Snapshot>,
    /// Why.
    pub failure: Failure,
}

/// Why a generation was not gone back to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RollBackError {
    /// Nobody registered the module.
    #[error(transparent)]
    Unknown(#[from] UnknownModule),
    /// It never ran.
    #[error("`{module}` has no generation {number}")]
    NoSuch {
        /// The module.
        module: String,
        /// The number that was asked for.
        number: u32,
    },
    /// It runs already.
    #[error("generation {0} runs already")]
    Runs(u32),
    /// It failed its probation.
    #[error("generation {number} is in quarantine: {why}")]
    Quarantined {
        /// The generation.
        number: u32,
        /// What it did.
        why: String,
    },
    /// Its code failed over the module's memory.
    #[error("generation {number} cannot take the module's memory: {why}")]
    Memory {
        /// The generation.
        number: u32,
        /// What was said.
        why: String,
    },
}

impl Trial {
    pub fn new(rules: &Probation, memory: Option<Memory>, snapshot: Option<Snapshot>) -> Self {
        Self {
            rules: *rules,
            began: Instant::now(),
            until: SystemTime::now() + rules.time,
            frames: 0,
            slow: 0,
            memory,
            snapshot,
        }
    }

    pub fn left(&self) -> OnProbation {
        OnProbation {
            frames: self.frames,
            until: self.until,
            slow: self.slow,
            frames_left: self.rules.frames.saturating_sub(self.frames),
            time_left: self.rules.time.saturating_sub(self.began.elapsed()),
        }
    }

    fn is_over(&self) -> bool {
        let left = self.left();
        left.frames_left == 0 && left.time_left.is_zero()
    }
}

impl Carried {
    /// Made anew where the memory has changed since.
    pub fn brought_up(
        self,
        memory: &Option<Memory>,
        restored: Option<&str>,
        to: &Generation,
    ) -> Result<Self, Fault> {
        let fault = |error: MemoryError| Fault::new(Stage::Migrate, error.to_string());
        let now = memory.as_ref().map(Memory::to_ron).transpose();
        let now = now.map_err(fault)?.or_else(|| restored.map(str::to_owned));
        if now == self.from {
            return Ok(self);
        }
        let (memory, migration) = carry(to.mapped.memory, now.as_deref()).map_err(fault)?;
        Ok(Self {
            from: now,
            memory,
            migration,
        })
    }
}

impl Slot {
    /// A frame was drawn, and took `cost` of its thread's processor time.
    pub fn drew(&mut self, cost: Duration, memory: &mut Option<Memory>) -> Option<RolledBack> {
        let trial = self.trial.as_mut()?;
        trial.frames = trial.frames.saturating_add(1);
        trial.slow = if cost > trial.rules.slow {
            trial.slow + 1
        } else {
            0
        };
        if trial.slow >= trial.rules.slow_max {
            let why = format!(
                "{} frames running took more than {} ms, the last one {} ms",
                trial.slow,
                trial.rules.slow.as_millis(),
                cost.as_millis()
            );
            return Some(self.condemned(Fault::new(Stage::Probation, why), memory));
        }
        if trial.is_over() {
            self.trial = None;
        }
        None
    }

    /// What runs has panicked.
    pub fn panicked(&mut self, caught: &Caught, memory: &mut Option<Memory>) -> RolledBack {
        let title = format!("panicked: {}", caught.message);
        let stage = match self.trial {
            Some(_) => Stage::Probation,
            None => Stage::Trusted,
        };
        let fault = Fault::new(stage, title).with(caught.to_string(), caught.place.clone());
        self.condemned(fault, memory)
    }

    /// Takes the running generation back: for good if it is on probation.
    fn condemned(&mut self, mut fault: Fault, memory: &mut Option<Memory>) -> RolledBack {
        let from = self.status.running.take();
        if let Some(from) = &from {
            fault.title = format!("generation {} {}", from.number, fault.title);
        }
        let trial = self.trial.take();
        if let (Some(_), Some(from)) = (&trial, &from) {
            self.quarantined
                .insert(from.sha256.clone(), fault.title.clone());
        }
        let standing = match trial {
            Some(_) => Standing::Quarantined,
            None => Standing::RolledBack,
        };
        let to = self.former.pop();
        let (before, snapshot) = trial.map_or((None, None), |trial| (trial.memory, trial.snapshot));
        self.give_back(memory, before, to.as_deref());
        let failure = self.failed(fault);
        if let Some(from) = &from {
            self.stands(from.number, standing, Some(&failure));
        }
        if let Some(to) = &to {
            self.stands(to.number, Standing::Running, None);
        }
        self.status.running = to.clone();
        RolledBack {
            from,
            to,
            snapshot,
            failure,
        }
    }

    /// Puts memory in place that `to` can use: the very memory that it left, or else as much of the
    /// present one as it can read.
    fn give_back(
        &mut self,
        memory: &mut Option<Memory>,
        before: Option<Memory>,
        to: Option<&Generation>,
    ) {
        let Some(to) = to else {
            // Kept as text for whoever comes next.
            self.restored = before.as_ref().or(memory.as_ref()).and_then(ron);
            *memory = None;
            return;
        };
        *memory = before.or_else(|| {
            let now = memory.as_ref().and_then(ron);
            let carried = carry(to.mapped.memory, now.as_deref());
            let carried = carried.or_else(|_| carry(to.mapped.memory, None));
            carried.ok().and_then(|(memory, _)| memory)
        });
    }

    /// Goes back to a generation by hand, with the memory as it is now.
    pub fn roll_back(
        &mut self,
        number: u32,
        memory: &mut Option<Memory>,
    ) -> Result<Arc<Generation>, RollBackError> {
        let to = self.generations.get(&number).cloned();
        let to = to.ok_or_else(|| RollBackError::NoSuch {
            module: self.module.name.clone(),
            number,
        })?;
        if let Some(why) = self.quarantined.get(&to.sha256) {
            let why = why.clone();
            return Err(RollBackError::Quarantined { number, why });
        }
        if self
            .status
            .running
            .as_ref()
            .is_some_and(|running| running.number == number)
        {
            return Err(RollBackError::Runs(number));
        }
        let why = |error: MemoryError| RollBackError::Memory {
            number,
            why: error.to_string(),
        };
        let now = match memory {
            Some(memory) => Some(memory.to_ron().map_err(why)?),
            None => self.restored.clone(),
        };
        let (carried, migration) = carry(to.mapped.memory, now.as_deref()).map_err(why)?;
        *memory = carried;
        self.moved(number, migration);
        // What was on its way was asked for before this.
        self.ready = None;
        if let Some(running) = self.status.running.take() {
            self.stands(running.number, Standing::RolledBack, None);
        }
        self.former.retain(|former| former.number != number);
        self.trial = None;
        self.restored = None;
        self.stands(number, Standing::Running, None);
        // The operator has seen what failed.
        self.status.failure = None;
        self.runs_now(Arc::clone(&to));
        Ok(to)
    }
}

fn ron(memory: &Memory) -> Option<String> {
    memory.to_ron().ok()
}
