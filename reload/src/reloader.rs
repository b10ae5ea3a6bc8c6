//! The registry of hot modules, and the thread on which their new generations are made.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::SystemTime;
use std::{fmt, io};

use crate::compile::Running;
use crate::manifest::Stamp;
use crate::pipeline::Pipeline;
use crate::slot::{Slot, Status};
use crate::staging::Staging;
use crate::{Caught, Failure, Generation, HotModule, RegisterError, Stage};

/// What a [`HotReloader`] is started with.
pub struct Start {
    /// Below this directory copies are loaded from; made where it is missing. It must not lie on a
    /// file system that forbids execution.
    pub staging: PathBuf,
    /// What the host was built with: `warden_manifest::stamp!(…)`.
    pub stamp: Stamp,
    /// Called, from another thread, when there is something for the host to see: a build begins, a
    /// generation is ready, an attempt has failed.
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

/// Nobody registered a module of that name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no hot module is named `{0}`")]
pub struct UnknownModule(pub String);

/// What came of asking for a new generation.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// This generation waits for [`HotReloader::swap`].
    Ready(u32),
    /// The build is the one that runs already.
    Unchanged,
    /// The running generation stays.
    Failed(Failure),
    /// It was asked for once more before it came to anything.
    Superseded,
}

/// An attempt that is under way. May be dropped: the attempt goes on.
#[derive(Debug)]
pub struct Pending(Receiver<Outcome>);

impl Pending {
    /// Blocks until it is known what came of it.
    #[must_use]
    pub fn wait(self) -> Outcome {
        self.0.recv().unwrap_or(Outcome::Superseded)
    }

    /// What came of it, once that is known; told once.
    #[must_use]
    pub fn outcome(&self) -> Option<Outcome> {
        match self.0.try_recv() {
            Ok(outcome) => Some(outcome),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => Some(Outcome::Superseded),
        }
    }
}

/// The registry of hot modules. Everything but the swap happens on a thread of its own.
#[derive(Debug)]
pub struct HotReloader {
    shared: Arc<Shared>,
    worker: Option<JoinHandle<()>>,
}

/// What the host's thread and the reload thread share.
#[derive(Debug)]
pub(crate) struct Shared {
    state: Mutex<State>,
    ordered: Condvar,
    pub building: Running,
}

#[derive(Debug, Default)]
pub(crate) struct State {
    /// In the order of registration, in which a module comes after those that it goes after.
    pub slots: Vec<Slot>,
    /// At most one for each module.
    orders: VecDeque<Order>,
    /// The module that is being made.
    making: Option<usize>,
    ended: bool,
}

#[derive(Debug)]
pub(crate) struct Order {
    /// Its place among the slots.
    pub slot: usize,
    /// Build first, or take the file as it is.
    pub build: bool,
    reply: SyncSender<Outcome>,
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
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            ordered: Condvar::new(),
            building: Running::default(),
        });
        let worker = {
            let shared = Arc::clone(&shared);
            let mut pipeline = Pipeline::new(staging, start.stamp, start.wake);
            let work = move || {
                while let Some(order) = shared.next() {
                    let outcome = pipeline.make(&shared, &order);
                    shared.lock().making = None;
                    // Nobody may be waiting.
                    let _ = order.reply.try_send(outcome);
                    pipeline.wake();
                    pipeline.settle(&shared, &order);
                }
            };
            thread::Builder::new().name("reload".to_owned()).spawn(work)
        };
        Ok(Self {
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
        self.order(self.place(name)?, false)
    }

    /// Builds a module and loads what was built. A build of it that is under way is cancelled: it
    /// may have read older source.
    ///
    /// # Errors
    /// When nobody registered it.
    pub fn reload(&self, name: &str) -> Result<Pending, UnknownModule> {
        self.order(self.place(name)?, true)
    }

    /// Reloads every module, each after those that it goes after.
    #[must_use]
    pub fn reload_all(&self) -> Vec<(String, Pending)> {
        let names: Vec<String> = self
            .shared
            .lock()
            .slots
            .iter()
            .map(|slot| slot.module.name.clone())
            .collect();
        names
            .into_iter()
            .filter_map(|name| self.reload(&name).ok().map(|pending| (name, pending)))
            .collect()
    }

    /// Takes the generation that is ready, if one is, into use. To be called between two frames;
    /// the host then takes its pointers from what is returned, and no longer those from before.
    #[must_use]
    pub fn swap(&self, name: &str) -> Option<Arc<Generation>> {
        let place = self.place(name).ok()?;
        self.shared.lock().slots[place].swap()
    }

    /// Tells that the running generation panicked. The last good one runs on, and its pointers are
    /// to be taken again; with none left, nothing of the module may be called.
    #[must_use]
    pub fn panicked(&self, name: &str, caught: &Caught) -> Option<Arc<Generation>> {
        let place = self.place(name).ok()?;
        self.shared.lock().slots[place].panicked(caught)
    }

    /// How a module stands.
    #[must_use]
    pub fn status(&self, name: &str) -> Option<Status> {
        let place = self.place(name).ok()?;
        Some(self.shared.lock().slots[place].status.clone())
    }

    /// Every module, in the order of registration.
    #[must_use]
    pub fn modules(&self) -> Vec<Arc<HotModule>> {
        self.shared
            .lock()
            .slots
            .iter()
            .map(|slot| Arc::clone(&slot.module))
            .collect()
    }

    /// The newest failure that no success has cleared yet.
    #[must_use]
    pub fn last_error(&self) -> Option<Failure> {
        let state = self.shared.lock();
        let failures = state
            .slots
            .iter()
            .filter_map(|slot| slot.status.failure.as_ref());
        failures.max_by_key(|failure| failure.at).cloned()
    }

    /// Whether the last attempt of any module failed, or what ran was taken back.
    #[must_use]
    pub fn is_error_state(&self) -> bool {
        self.shared
            .lock()
            .slots
            .iter()
            .any(|slot| slot.status.failure.is_some())
    }

    fn place(&self, name: &str) -> Result<usize, UnknownModule> {
        let state = self.shared.lock();
        let place = state.slots.iter().position(|slot| slot.module.name == name);
        place.ok_or_else(|| UnknownModule(name.to_owned()))
    }

    fn order(&self, slot: usize, build: bool) -> Result<Pending, UnknownModule> {
        let (reply, pending) = sync_channel(1);
        let mut state = self.shared.lock();
        state.orders.retain(|order| {
            let superseded = order.slot == slot;
            if superseded {
                let _ = order.reply.try_send(Outcome::Superseded);
            }
            !superseded
        });
        state.orders.push_back(Order { slot, build, reply });
        let first = if build { Stage::Build } else { Stage::Load };
        state.slots[slot].status.stage = Some((first, SystemTime::now()));
        if state.making == Some(slot) {
            self.shared.building.cancel();
        }
        drop(state);
        self.shared.ordered.notify_one();
        Ok(Pending(pending))
    }
}

impl Drop for HotReloader {
    fn drop(&mut self) {
        self.shared.lock().ended = true;
        self.shared.ordered.notify_one();
        self.shared.building.cancel();
        if let Some(worker) = self.worker.take() {
            // A panic of the reload thread was told when it happened.
            let _ = worker.join();
        }
    }
}

impl Shared {
    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the next order; none when it is over.
    fn next(&self) -> Option<Order> {
        let mut state = self.lock();
        loop {
            if state.ended {
                return None;
            }
            if let Some(order) = state.orders.pop_front() {
                state.making = Some(order.slot);
                return Some(order);
            }
            state = self
                .ordered
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl State {
    /// Whether something waits to be done.
    pub fn is_ordered(&self) -> bool {
        self.ended || !self.orders.is_empty()
    }

    /// Whether another attempt for the same module waits already.
    pub fn superseded(&self, order: &Order) -> bool {
        self.ended || self.orders.iter().any(|other| other.slot == order.slot)
    }
}
