//! The registry of hot modules, and the thread on which their new generations are made.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::{fmt, io};

use crate::manifest::Stamp;
use crate::orders::{Pending, Shared, UnknownModule};
use crate::pipeline::Pipeline;
use crate::slot::Slot;
use crate::staging::Staging;
use crate::watch::{WatchError, Watcher};
use crate::{Failure, HotModule, RegisterError, Status, Watch};

/// What a [`HotReloader`] is started with.
pub struct Start {
    /// Below this directory copies are loaded from; made where it is missing. It must not lie on a
    /// file system that forbids execution.
    pub staging: PathBuf,
    /// What the host was built with: `warden_manifest::stamp!(…)`.
    pub stamp: Stamp,
    /// Called, from another thread, when there is something for the host to see: a build begins, a
    /// generation is ready, an attempt has failed, a newer file lies there.
    pub wake: Box<dyn Fn() + Send + Sync>,
}

impl fmt::Debug for Start {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Start")
            .field("staging", &self.staging)
            .finish_non_exhaustive()
    }
}

/// Why nothing can be reloaded here.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// No place for the copies.
    #[error("{} cannot be used to load code from: {error}; make it writable", path.display())]
    Staging {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// No thread.
    #[error("the reload thread cannot be started: {0}")]
    Thread(io::Error),
}

/// The registry of hot modules. New generations are made on a thread of its own; what changes which
/// one runs ([`Self::swap`], [`Self::drew`], [`Self::panicked`], [`Self::roll_back`]) is for the
/// host to call between two frames.
#[derive(Debug)]
pub struct HotReloader {
    pub(crate) shared: Arc<Shared>,
    watcher: Watcher,
    worker: Option<JoinHandle<()>>,
}

impl HotReloader {
    /// Starts without modules.
    ///
    /// # Errors
    /// When the staging directory cannot be made or no thread started.
    pub fn start(start: Start) -> Result<Self, StartError> {
        let staging = Staging::new(&start.staging).map_err(|error| StartError::Staging {
            path: start.staging.clone(),
            error,
        })?;
        let shared = Arc::new(Shared::new(start.wake));
        let worker = {
            let shared = Arc::clone(&shared);
            let mut pipeline = Pipeline::new(staging, start.stamp);
            let work = move || {
                while let Some(order) = shared.next() {
                    let outcome = pipeline.make(&shared, &order);
                    shared.done();
                    order.answer(outcome);
                    shared.wake();
                    pipeline.settle(&shared, &order);
                }
            };
            thread::Builder::new().name("reload".to_owned()).spawn(work)
        };
        Ok(Self {
            watcher: Watcher::new(Arc::clone(&shared)),
            shared,
            worker: Some(worker.map_err(StartError::Thread)?),
        })
    }

    /// Adds a module. Nothing of it is loaded yet.
    ///
    /// # Errors
    /// When the name is taken or cannot be one, or when what it goes after is not registered.
    pub fn register(&self, module: HotModule) -> Result<(), RegisterError> {
        module.checked()?;
        let mut state = self.shared.lock();
        let known = |name: &str| state.slots.iter().any(|slot| slot.module.name == name);
        if known(&module.name) {
            return Err(RegisterError::Taken(module.name));
        }
        if let Some(missing) = module.after.iter().find(|name| !known(name)) {
            let missing = missing.clone();
            return Err(RegisterError::After {
                module: module.name,
                missing,
            });
        }
        state.slots.push(Slot::new(module));
        Ok(())
    }

    /// Loads a module's file as it lies on the disk.
    ///
    /// # Errors
    /// When nobody registered it.
    pub fn load(&self, name: &str) -> Result<Pending, UnknownModule> {
        Ok(self.shared.order(self.shared.place(name)?, false))
    }

    /// Builds a module and loads what was built. A build of it that is under way is cancelled: it
    /// may have read older source.
    ///
    /// # Errors
    /// When nobody registered it.
    pub fn reload(&self, name: &str) -> Result<Pending, UnknownModule> {
        Ok(self.shared.order(self.shared.place(name)?, true))
    }

    /// Reloads every module, each after those that it goes after.
    #[must_use]
    pub fn reload_all(&self) -> Vec<(String, Pending)> {
        let names: Vec<String> = {
            let state = self.shared.lock();
            let names = state.slots.iter().map(|slot| slot.module.name.clone());
            names.collect()
        };
        names
            .into_iter()
            .filter_map(|name| self.reload(&name).ok().map(|pending| (name, pending)))
            .collect()
    }

    /// Gives up the attempt that is under way or waits, and ends its build or its rehearsal: the
    /// outcome is [`crate::Outcome::Cancelled`]. What is ready already stays so. False where there
    /// was nothing to give up.
    ///
    /// # Errors
    /// When nobody registered it.
    pub fn cancel(&self, name: &str) -> Result<bool, UnknownModule> {
        Ok(self.shared.cancel(self.shared.place(name)?))
    }

    /// Has a module's file watched, or no longer. A change that is an attempt's own does not count.
    ///
    /// # Errors
    /// When nobody registered it, or its directory cannot be watched.
    pub fn watch(&self, name: &str, watch: Watch) -> Result<(), WatchError> {
        self.watcher.watch(self.shared.place(name)?, watch)
    }

    /// How a module stands.
    #[must_use]
    pub fn status(&self, name: &str) -> Option<Status> {
        let place = self.shared.place(name).ok()?;
        let state = self.shared.lock();
        let slot = &state.slots[place];
        let mut status = slot.status.clone();
        status.probation = slot.trial.as_ref().map(crate::trial::Trial::left);
        Some(status)
    }

    /// Every module, in the order of registration.
    #[must_use]
    pub fn modules(&self) -> Vec<Arc<HotModule>> {
        let state = self.shared.lock();
        let modules = state.slots.iter().map(|slot| Arc::clone(&slot.module));
        modules.collect()
    }

    /// The newest failure that no success has cleared yet.
    #[must_use]
    pub fn last_error(&self) -> Option<Failure> {
        let state = self.shared.lock();
        let slots = state.slots.iter();
        let failures = slots.filter_map(|slot| slot.status.failure.as_ref());
        failures.max_by_key(|failure| failure.at).cloned()
    }

    /// Whether the last attempt of any module failed, or what ran was taken back.
    #[must_use]
    pub fn is_error_state(&self) -> bool {
        let state = self.shared.lock();
        let mut slots = state.slots.iter();
        slots.any(|slot| slot.status.failure.is_some())
    }
}

impl Drop for HotReloader {
    fn drop(&mut self) {
        self.shared.end();
        if let Some(worker) = self.worker.take() {
            // A panic of the reload thread was told when it happened.
            let _ = worker.join();
        }
    }
}
