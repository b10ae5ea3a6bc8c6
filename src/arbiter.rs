//! Who gets which GPU, and when: the state, and the rules over it.
//!
//! [`Arbiter::decide`] says which facts follow from a command, and changes nothing;
//! [`Arbiter::apply`] takes a fact in, and decides nothing. What follows from state and time alone
//! (grants, time-outs, expiry) is decided by [`Command::Tick`], a fact at a time, so that each
//! decision sees the one before it applied.

use crate::command::{Command, Now, Refusal, Reply};
use crate::event::{Change, Event, Lease, Waiter};
use crate::gpu::Gpu;
use crate::id::{LeaseId, RequestId};
use crate::policy::Policy;
use crate::snapshot::{About, Snapshot};
use crate::stream::StreamEvent;
use crate::wire::{Counters, Status};

/// What a command comes to.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// The facts, to be applied in this order.
    pub events: Vec<Event>,
    /// What the caller is told.
    pub answer: Result<Reply, Refusal>,
}

/// The state: queue, leases, GPUs, rules, and what is remembered of the past.
#[derive(Clone, Debug, Default)]
pub struct Arbiter {}

impl Arbiter {
    /// An arbiter before its first start: no GPUs, default rules, nobody waits.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Which facts follow from this command at this time. Changes nothing.
    #[must_use]
    pub fn decide(&self, now: Now, command: &Command) -> Decision {
        let _ = (now, command);
        unimplemented!()
    }

    /// Takes a fact in; it must be the next that [`Self::decide`] gave, or the next in the
    /// journal. Says what it changed.
    pub fn apply(&mut self, event: &Event) -> Change {
        let _ = event;
        unimplemented!()
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
        let _ = (now, command, seen);
        unimplemented!()
    }

    /// When [`Command::Tick`] next has something to say, on the broker's clock.
    #[must_use]
    pub fn next_deadline(&self) -> Option<u64> {
        unimplemented!()
    }

    /// The time of the last fact: where a new broker's clock goes on.
    #[must_use]
    pub fn clock_ms(&self) -> u64 {
        unimplemented!()
    }

    /// The number that the next lease, or the next request without an id, gets. What is told to
    /// anybody must lie below a bound that is synced to disk.
    #[must_use]
    pub fn next_token(&self) -> u64 {
        unimplemented!()
    }

    /// The number of the last fact that the stream tells. Likewise.
    #[must_use]
    pub fn revision(&self) -> u64 {
        unimplemented!()
    }

    /// The rules that hold.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        unimplemented!()
    }

    /// The GPUs that a request may ask for.
    pub fn gpus(&self) -> impl Iterator<Item = &Gpu> {
        [].into_iter()
    }

    /// Live leases, by token.
    pub fn leases(&self) -> impl Iterator<Item = &Lease> {
        [].into_iter()
    }

    /// Waiters, in turn.
    pub fn waiters(&self) -> impl Iterator<Item = &Waiter> {
        [].into_iter()
    }

    /// How many wait.
    #[must_use]
    pub fn queue_depth(&self) -> usize {
        unimplemented!()
    }

    /// One waiter.
    #[must_use]
    pub fn waiter(&self, request_id: &RequestId) -> Option<&Waiter> {
        let _ = request_id;
        unimplemented!()
    }

    /// One live lease.
    #[must_use]
    pub fn lease(&self, lease_id: &LeaseId) -> Option<&Lease> {
        let _ = lease_id;
        unimplemented!()
    }

    /// What was granted, ended, refused so far.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        unimplemented!()
    }

    /// Whether a [`Command::ShutDown`] was given since the last start.
    #[must_use]
    pub fn is_shutting_down(&self) -> bool {
        unimplemented!()
    }

    /// A granted lease as its holder is told.
    #[must_use]
    pub fn grant(&self, now: Now, lease: &Lease) -> crate::command::Grant {
        let _ = (now, lease);
        unimplemented!()
    }

    /// The whole state as the outside sees it.
    #[must_use]
    pub fn snapshot(&self, now: Now, about: &About, rfc3339: &dyn Fn(u64) -> String) -> Snapshot {
        let _ = (now, about, rfc3339);
        unimplemented!()
    }

    /// [`Self::snapshot`] as it goes over the wire.
    #[must_use]
    pub fn status(&self, now: Now, about: &About, rfc3339: &dyn Fn(u64) -> String) -> Status {
        let snapshot = self.snapshot(now, about, rfc3339);
        snapshot.status(now.clock_ms, rfc3339(now.wall_ms))
    }

    /// What the stream tells of a change, right after it was applied; nothing where it is silent.
    /// Its id is [`Self::revision`] at that moment.
    #[must_use]
    pub fn stream_event(
        &self,
        now: Now,
        change: &Change,
        rfc3339: &dyn Fn(u64) -> String,
    ) -> Option<StreamEvent> {
        let _ = (now, change, rfc3339);
        unimplemented!()
    }
}
