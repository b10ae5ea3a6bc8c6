//! Who gets which GPU, and when: the state, and the rules over it.
//!
//! [`Arbiter::decide`] says which facts follow from a command, and changes nothing;
//! [`Arbiter::apply`] takes a fact in, and decides nothing. What follows from state and time alone
//! (grants, time-outs, expiry) is decided by [`Command::Tick`], a fact at a time, so that each
//! decision sees the one before it applied.
//!
//! - `decide`, `due`, `serve`, `yields` and `drain` hold the rules, `apply` and `rebuild` the
//!   changes of the state.
//! - `queue`, `front`, `line`, `soonest` and `timers` are the orders in which the state is kept, so
//!   that no command looks at the waiters one by one.
//! - `memory` knows what became of requests and leases, `image` is the state as plain data,
//!   `view` what the outside sees of it.
//! - `pause` is about times in which nothing may be granted, `salvage` about a journal with gaps.

mod apply;
mod decide;
mod drain;
mod due;
mod front;
mod image;
mod line;
mod memory;
mod pause;
mod queue;
mod rebuild;
mod salvage;
mod serve;
mod soonest;
mod timers;
mod view;
mod yields;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use self::due::Due;
use self::memory::{Memory, Whereabouts};
use self::pause::Suspended;
use self::queue::Queue;
use self::serve::Served;
use self::timers::{SeatTimers, Timers};
use self::yields::Looks;
use crate::command::{Command, Now, Refusal, Reply};
use crate::event::{Change, Drain, Event, Lease, Waiter};
use crate::fit::Devices;
use crate::gpu::Gpu;
use crate::id::{LeaseId, RequestId};
use crate::policy::Policy;
use crate::wire::Counters;

pub use self::image::Image;
pub use self::memory::{EndedLease, EndedRequest, REMEMBERED};
pub use self::pause::Doubt;

/// A poll (`wait: false`) that nobody looks at lives so long.
pub const LOOK_MS: u64 = 60_000;

/// What a command comes to.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// The facts, to be applied in this order.
    pub events: Vec<Event>,
    /// What the caller is told.
    pub answer: Result<Reply, Refusal>,
}

/// The state: queue, leases, GPUs, rules, and what is remembered of the past.
#[derive(Clone, Debug, PartialEq)]
pub struct Arbiter {
    policy: Policy,
    devices: Devices,
    queue: Queue,
    /// By token, which is by grant.
    leases: BTreeMap<u64, Arc<Lease>>,
    /// How many of them load a model.
    model_loads: u32,
    /// Leases that have ended and whose GPUs go to nobody yet, by token.
    draining: BTreeMap<u64, Drain>,
    /// Leases whose holders were asked to yield, by token.
    asked: BTreeSet<u64>,
    memory: Memory,
    /// When leases end, by token.
    lease_timers: Timers,
    /// When leases are taken from holders that were asked, by token.
    take_timers: Timers,
    /// When drains are over, by token.
    drain_timers: Timers,
    /// When waiters are given up, by seat.
    gone_timers: SeatTimers,
    /// When waiters time out, by seat.
    timeout_timers: SeatTimers,
    next_token: u64,
    next_arrival: u64,
    revision: u64,
    clock_ms: u64,
    /// Until then nobody is skipped; nothing once that is over.
    resume_until_ms: Option<u64>,
    shutting_down: bool,
    /// A lease may have been lost.
    doubt: Option<Doubt>,
    counters: Counters,
    served: Served,
    looks: Looks,
    suspended: Suspended,
}

impl Default for Arbiter {
    fn default() -> Self {
        Self {
            policy: Policy::default(),
            devices: Devices::default(),
            queue: Queue::default(),
            leases: BTreeMap::new(),
            model_loads: 0,
            draining: BTreeMap::new(),
            asked: BTreeSet::new(),
            memory: Memory::default(),
            lease_timers: Timers::default(),
            take_timers: Timers::default(),
            drain_timers: Timers::default(),
            gone_timers: SeatTimers::default(),
            timeout_timers: SeatTimers::default(),
            next_token: 1,
            next_arrival: 1,
            revision: 0,
            clock_ms: 0,
            resume_until_ms: None,
            shutting_down: false,
            doubt: None,
            counters: Counters::default(),
            served: Served::default(),
            looks: Looks::default(),
            suspended: Suspended::default(),
        }
    }
}

impl Arbiter {
    /// An arbiter before its first start: no GPUs, default rules, nobody waits.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Decides and applies a command, and then whatever follows from it, until all is quiet.
    /// `seen` is shown each fact just after it was applied, with the state as it is then: there
    /// it goes to the journal, and its change to the stream and to waiting connections. The
    /// answer to a command is told once the facts are committed.
    ///
    /// # Errors
    /// Why the command was refused; what else had become due has happened all the same.
    pub fn handle(
        &mut self,
        now: Now,
        command: &Command,
        seen: &mut dyn FnMut(&Self, &Event, &Change),
    ) -> Result<Reply, Refusal> {
        if !matches!(command, Command::Start(_)) {
            self.settle(now, seen);
        }
        let (facts, reply) = self.verdict(now, command)?;
        for fact in facts {
            self.take_in(now, fact.into(), seen);
        }
        self.settle(now, seen);
        Ok(reply)
    }

    fn settle(&mut self, now: Now, seen: &mut dyn FnMut(&Self, &Event, &Change)) {
        if self.served.0 && now.clock_ms < self.first_ms() && !self.devices.has_abandoned() {
            return;
        }
        while let Some(due) = self.next_due(now) {
            self.take_in(now, due, seen);
        }
        self.served = Served(true);
        self.looks = Looks(self.next_look_ms(now.clock_ms));
    }

    fn take_in(&mut self, at: Now, due: Due, seen: &mut dyn FnMut(&Self, &Event, &Change)) {
        let event = Event { at, fact: due.fact };
        let change = self.apply_to(&event, due.seats);
        seen(self, &event, &change);
    }

    /// The time of the last fact: where a new broker's clock goes on.
    #[must_use]
    pub fn clock_ms(&self) -> u64 {
        self.clock_ms
    }

    /// The number that the next lease, or the next request without an id, gets. What is told to
    /// anybody must lie below a bound that is synced to disk.
    #[must_use]
    pub fn next_token(&self) -> u64 {
        self.next_token
    }

    /// The number of the last fact that the stream tells. Likewise.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// The rules that hold.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The GPUs that a request may ask for, by index.
    pub fn gpus(&self) -> impl Iterator<Item = &Gpu> {
        self.devices.present_gpus()
    }

    /// Live leases, by token.
    pub fn leases(&self) -> impl Iterator<Item = &Lease> {
        self.leases.values().map(|lease| &**lease)
    }

    /// Leases that have ended and whose GPUs go to nobody yet, by token.
    pub fn draining(&self) -> impl Iterator<Item = &Drain> {
        self.draining.values()
    }

    /// Waiters, in turn.
    pub fn waiters(&self) -> impl Iterator<Item = &Waiter> {
        self.queue.in_turn().map(|seated| &*seated.waiter)
    }

    /// How many wait.
    #[must_use]
    pub fn queue_depth(&self) -> usize {
        self.queue.len()
    }

    /// One waiter.
    #[must_use]
    pub fn waiter(&self, request_id: &RequestId) -> Option<&Waiter> {
        let Whereabouts::Waiting(seat) = self.memory.request(request_id)? else {
            return None;
        };
        self.queue.seated(seat).map(|seated| &*seated.waiter)
    }

    /// One live lease.
    #[must_use]
    pub fn lease(&self, lease_id: &LeaseId) -> Option<&Lease> {
        self.leases
            .get(&crate::number::token_of(lease_id)?)
            .map(|lease| &**lease)
    }

    /// What was granted, ended, refused so far.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Whether a [`Command::ShutDown`] was given since the last start.
    #[must_use]
    pub fn is_shutting_down(&self) -> bool {
        self.shutting_down
    }
}
