//! The way in to the engine: bounded for whoever can be refused, always open for facts that must
//! not be lost (of those there is at most one for each connection, lease, process or save of the
//! policy).

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use warden::{Command, Connection, Owner, Reply, Request, Snapshot};

use crate::engine::Delivery;
use crate::http::answer::Failure;

/// Requests that may stand before the engine; at its pace a tenth of a second's worth.
const CAPACITY: usize = 8_192;

/// What the engine says to a request.
pub(crate) type Answer = Result<Answered, Failure>;

/// A request that was carried out.
#[derive(Debug)]
pub(crate) struct Answered {
    /// What to say.
    pub(crate) reply: Reply,
    /// Where saying it hands over a lease.
    pub(crate) delivery: Option<Delivery>,
}

/// Which requests that are there already a lock with their id may become one with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Joins {
    /// Any of the same poster.
    Any,
    /// None of another process that lives.
    Own,
}

/// Everything that comes in to the engine.
#[derive(Debug)]
pub(crate) enum Input {
    /// A lock, posted on a connection.
    Lock {
        /// What is asked for.
        request: std::sync::Arc<Request>,
        /// By whom.
        caller: warden::Caller,
        /// Where.
        connection: Connection,
        /// With what.
        joins: Joins,
        /// Why the rules refuse it, unless it is one that was posted under others.
        refusal: Option<Box<warden::Refusal>>,
        /// Hears of the grant, or of the place in the queue.
        to: oneshot::Sender<Answer>,
    },
    /// Anything else that is answered.
    Ask {
        /// What.
        command: Command,
        /// Hears the answer.
        to: oneshot::Sender<Answer>,
    },
    /// An operator's reset: the engine looks which owners are gone.
    Reset {
        /// Hears the answer.
        to: oneshot::Sender<Answer>,
    },
    /// A fact that nobody waits for.
    Tell(Command),
    /// The connection of a waiting lock closed.
    Hung(Connection),
    /// A process has ended that something may live with.
    OwnerEnded(Owner),
    /// And what it left on the GPUs is gone too, but for what could not be ended.
    OwnerGone { owner: Owner, remains: bool },
    /// The whole state is asked for.
    Picture(oneshot::Sender<Snapshot>),
    /// Another program is about to read the journal: it is to be short, and all in it.
    Shorten(oneshot::Sender<Result<(), Failure>>),
    /// Another program is about to go on with what is in the journal: from here on nothing is said
    /// that is not in it. An error is why it cannot be written; then nothing changes.
    MakeWay(oneshot::Sender<Result<(), String>>),
    /// No more grants; whoever waits, or would, is told this.
    ShutDown(Failure),
    /// The thread ends.
    Stop,
}

/// The inbox.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    queue: Mutex<Queue>,
    filled: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    inputs: Vec<Input>,
    asleep: bool,
    woken: bool,
    closed: bool,
}

impl Inbox {
    /// Puts in what can be refused. Who does so nudges the workshop next.
    ///
    /// # Errors
    /// Where the inbox is full, or the engine gone.
    pub(crate) fn offer(&self, input: Input) -> Result<(), Failure> {
        let mut queue = self.lock();
        if queue.closed {
            return Err(Failure::shutting_down());
        }
        if queue.inputs.len() >= CAPACITY {
            return Err(Failure::new(
                warden::Code::TooManyRequests,
                "more requests are coming in than the broker can take; try again in a moment",
            ));
        }
        queue.inputs.push(input);
        Ok(())
    }

    /// Puts in what must not be lost; the engine's thread takes it up.
    pub(crate) fn tell(&self, input: Input) {
        let mut queue = self.lock();
        if queue.closed {
            return;
        }
        queue.inputs.push(input);
        let asleep = std::mem::take(&mut queue.asleep);
        drop(queue);
        if asleep {
            self.filled.notify_one();
        }
    }

    /// Waits until there is something in it or [`Self::wake`] is called, for at most this long, or
    /// for as long as it takes.
    pub(crate) fn wait(&self, patience: Option<Duration>) {
        let mut queue = self.lock();
        if queue.inputs.is_empty() && !queue.woken && patience != Some(Duration::ZERO) {
            queue.asleep = true;
            queue = match patience {
                Some(patience) => {
                    let woken = self.filled.wait_timeout(queue, patience);
                    woken.unwrap_or_else(PoisonError::into_inner).0
                }
                None => {
                    let woken = self.filled.wait(queue);
                    woken.unwrap_or_else(PoisonError::into_inner)
                }
            };
            queue.asleep = false;
        }
        queue.woken = false;
    }

    /// Moves everything into `into`, which is empty.
    pub(crate) fn drain(&self, into: &mut Vec<Input>) {
        std::mem::swap(&mut self.lock().inputs, into);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lock().inputs.is_empty()
    }

    /// Wakes the engine's thread, should it sleep before an inbox that is not empty.
    pub(crate) fn rouse(&self) {
        let mut queue = self.lock();
        let asleep = std::mem::take(&mut queue.asleep);
        drop(queue);
        if asleep {
            self.filled.notify_one();
        }
    }

    /// Lets the engine's thread look at what there is to do, now or when it next would sleep.
    pub(crate) fn wake(&self) {
        let mut queue = self.lock();
        queue.woken = true;
        let asleep = std::mem::take(&mut queue.asleep);
        drop(queue);
        if asleep {
            self.filled.notify_one();
        }
    }

    /// Refuses everything from here on and drops what is in it, which tells whoever waits.
    pub(crate) fn close(&self) {
        let inputs = {
            let mut queue = self.lock();
            queue.closed = true;
            std::mem::take(&mut queue.inputs)
        };
        // Outside the lock: dropping a delivery tells this very inbox.
        drop(inputs);
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        // Nothing panics while it holds this lock.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
