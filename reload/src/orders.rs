//! What was asked of the reload thread, and what came of it.

use std::collections::VecDeque;
use std::fmt;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use crate::process::Running;
use crate::slot::Slot;
use crate::{Failure, Stage};

/// Nobody registered a module of that name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no hot module is named `{0}`")]
pub struct UnknownModule(pub String);

/// What came of asking for a new generation.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// This generation waits for [`crate::HotReloader::swap`].
    Ready(u32),
    /// The build is the one that runs already.
    Unchanged,
    /// The running generation stays.
    Failed(Failure),
    /// It was asked for once more before it came to anything.
    Superseded,
    /// Somebody cancelled it. What runs and what failed before stay as they were.
    Cancelled,
}

/// In a line, for logs.
impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ready(generation) => write!(f, "generation {generation} is ready"),
            Self::Unchanged => f.write_str("unchanged"),
            Self::Failed(failure) => failure.fmt(f),
            Self::Superseded => f.write_str("asked for once more"),
            Self::Cancelled => f.write_str("cancelled"),
        }
    }
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

/// What the host's thread, the reload thread and the watching thread share.
pub(crate) struct Shared {
    state: Mutex<State>,
    ordered: Condvar,
    /// The build or the rehearsal that runs.
    pub process: Running,
    wake: Box<dyn Fn() + Send + Sync>,
}

#[derive(Debug, Default)]
pub(crate) struct State {
    /// In the order of registration, in which a module comes after those that it goes after.
    pub slots: Vec<Slot>,
    /// At most one for each module.
    orders: VecDeque<Order>,
    /// The module that is being made.
    making: Option<Making>,
    ended: bool,
}

#[derive(Debug)]
struct Making {
    slot: usize,
    cancelled: bool,
}

#[derive(Debug)]
pub(crate) struct Order {
    /// Its place among the slots.
    pub slot: usize,
    /// Build first, or take the file as it is.
    pub build: bool,
    reply: SyncSender<Outcome>,
}

impl Order {
    /// Nobody may be waiting.
    pub fn answer(&self, outcome: Outcome) {
        let _ = self.reply.try_send(outcome);
    }
}

impl Shared {
    pub fn new(wake: Box<dyn Fn() + Send + Sync>) -> Self {
        Self {
            state: Mutex::default(),
            ordered: Condvar::new(),
            process: Running::default(),
            wake,
        }
    }

    /// Tells the host that there is something to see. Not to be called under the lock.
    pub fn wake(&self) {
        (self.wake)();
    }

    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn place(&self, name: &str) -> Result<usize, UnknownModule> {
        let state = self.lock();
        let place = state.slots.iter().position(|slot| slot.module.name == name);
        place.ok_or_else(|| UnknownModule(name.to_owned()))
    }

    /// Asks for a new generation, instead of any that was asked for before.
    pub fn order(&self, slot: usize, build: bool) -> Pending {
        let (reply, pending) = sync_channel(1);
        let mut state = self.lock();
        state.withdraw(slot, &Outcome::Superseded);
        state.orders.push_back(Order { slot, build, reply });
        let first = if build { Stage::Build } else { Stage::Load };
        state.slots[slot].status.stage = Some((first, SystemTime::now()));
        if state.is_making(slot) {
            self.process.cancel();
        }
        drop(state);
        self.ordered.notify_one();
        Pending(pending)
    }

    /// Gives up what was asked for. False where nothing was.
    pub fn cancel(&self, slot: usize) -> bool {
        let mut state = self.lock();
        let waited = state.withdraw(slot, &Outcome::Cancelled);
        match &mut state.making {
            Some(making) if making.slot == slot => {
                making.cancelled = true;
                self.process.cancel();
                true
            }
            _ => {
                if waited {
                    state.slots[slot].given_up();
                }
                waited
            }
        }
    }

    /// Waits for the next order; none when it is over.
    pub fn next(&self) -> Option<Order> {
        let mut state = self.lock();
        loop {
            if state.ended {
                return None;
            }
            if let Some(order) = state.orders.pop_front() {
                state.making = Some(Making {
                    slot: order.slot,
                    cancelled: false,
                });
                return Some(order);
            }
            state = self
                .ordered
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// What was asked for is done.
    pub fn done(&self) {
        self.lock().making = None;
    }

    /// Nothing more is made.
    pub fn end(&self) {
        self.lock().ended = true;
        self.ordered.notify_one();
        self.process.cancel();
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = &self.state;
        f.debug_struct("Shared")
            .field("state", state)
            .finish_non_exhaustive()
    }
}

impl State {
    /// Whether something waits to be done.
    pub fn is_ordered(&self) -> bool {
        self.ended || !self.orders.is_empty()
    }

    /// Whether anything is being made, or waits to be.
    pub fn is_busy(&self) -> bool {
        self.making.is_some() || !self.orders.is_empty()
    }

    /// Whether that module is being made.
    pub fn is_making(&self, slot: usize) -> bool {
        self.making
            .as_ref()
            .is_some_and(|making| making.slot == slot)
    }

    /// What an order comes to that nobody wants any more; none while it is wanted.
    pub fn given_up(&self, order: &Order) -> Option<Outcome> {
        if self.making.as_ref().is_some_and(|making| making.cancelled) {
            Some(Outcome::Cancelled)
        } else if self.ended || self.orders.iter().any(|other| other.slot == order.slot) {
            Some(Outcome::Superseded)
        } else {
            None
        }
    }

    /// Answers what waits for a module with `outcome`. False where nothing does.
    fn withdraw(&mut self, slot: usize, outcome: &Outcome) -> bool {
        let before = self.orders.len();
        self.orders.retain(|order| {
            let keep = order.slot != slot;
            if !keep {
                order.answer(outcome.clone());
            }
            keep
        });
        self.orders.len() < before
    }
}
