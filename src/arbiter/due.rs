//! What follows from state and time alone.

use super::Arbiter;
use super::queue::Seat;
use super::timers::Timers;
use crate::command::Now;
use crate::event::Fact;
use crate::wire::Outcome;

/// A fact that is due, and whom it is about where that is known already: the seats of the one that
/// is granted and of the one that it passes.
pub(super) struct Due {
    pub(super) fact: Fact,
    pub(super) seats: Option<(Seat, Option<Seat>)>,
}

impl From<Fact> for Due {
    fn from(fact: Fact) -> Self {
        Self { fact, seats: None }
    }
}

impl Arbiter {
    /// The next fact that is due, in the order of time: what frees something at an instant comes
    /// before what is granted then, and that before what times out then.
    pub(super) fn next_due(&self, now: Now) -> Option<Due> {
        let timeout = self.timeout_timers.first();
        let timeout_at = self.timeout_timers.first_ms();
        if let Some(freed) = self.next_freed(now.clock_ms.min(timeout_at)) {
            return Some(freed.into());
        }
        if let Some(grant) = self.next_grant() {
            return Some(grant);
        }
        let (at_ms, seat) = timeout?;
        if at_ms > now.clock_ms {
            return None;
        }
        let ended = self.waiter_ended(u32::try_from(seat).ok()?, Outcome::TimedOut)?;
        Some(ended.into())
    }

    /// The first of what ends something up to this time.
    fn next_freed(&self, up_to_ms: u64) -> Option<Fact> {
        if self.devices.has_abandoned() {
            let gpus = self.devices.present_gpus().cloned().collect();
            return Some(Fact::GpusChanged { gpus });
        }
        let (lease_ms, gone_ms) = (self.lease_timers.first_ms(), self.gone_timers.first_ms());
        let first_ms = lease_ms
            .min(gone_ms)
            .min(self.resume_until_ms.unwrap_or(u64::MAX));
        if first_ms > up_to_ms || first_ms == u64::MAX {
            return None;
        }
        if lease_ms == first_ms {
            let (_, token) = self.lease_timers.first()?;
            let undelivered = self.leases.get(&token)?.undelivered;
            let outcome = if undelivered {
                Outcome::Undelivered
            } else {
                Outcome::Expired
            };
            return Some(Fact::LeaseEnded { token, outcome });
        }
        if gone_ms == first_ms {
            let (_, seat) = self.gone_timers.first()?;
            return self.waiter_ended(u32::try_from(seat).ok()?, Outcome::ClientGone);
        }
        Some(Fact::Resumed)
    }

    /// A waiter leaves the queue without a lease.
    pub(super) fn waiter_ended(&self, seat: u32, outcome: Outcome) -> Option<Fact> {
        let seated = self.queue.seated(seat)?;
        let timed_out = outcome == Outcome::TimedOut;
        Some(Fact::WaiterEnded {
            request_id: seated.waiter.id.clone(),
            outcome,
            place: self.queue.place(seat) as u64,
            holders: if timed_out {
                self.holders(seated)
            } else {
                Vec::new()
            },
        })
    }

    /// When [`crate::Command::Tick`] next has something to say, on the broker's clock, if nothing
    /// else happens. Holds once [`Self::handle`] has returned.
    #[must_use]
    pub fn next_deadline(&self) -> Option<u64> {
        let first_ms = self.first_ms();
        (first_ms != u64::MAX).then_some(first_ms)
    }

    /// When something is due by time alone; never where nothing is.
    pub(super) fn first_ms(&self) -> u64 {
        let timers = [&self.lease_timers, &self.gone_timers, &self.timeout_timers];
        let resumed_ms = self.resume_until_ms.unwrap_or(u64::MAX);
        timers
            .map(Timers::first_ms)
            .into_iter()
            .fold(resumed_ms, u64::min)
    }
}
