//! What follows from state and time alone.

use super::Arbiter;
use super::queue::Seat;
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
        if let Some(freed) = self.next_freed(now, timeout_at) {
            return Some(freed.into());
        }
        if let Some(grant) = self.next_grant() {
            return Some(grant);
        }
        if let Some((at_ms, seat)) = timeout
            && at_ms <= now.clock_ms
        {
            let ended = self.waiter_ended(seat, Outcome::TimedOut)?;
            return Some(ended.into());
        }
        self.next_yield(now).map(Due::from)
    }

    /// The first of what ends something up to now, unless a time-out comes before.
    fn next_freed(&self, now: Now, timeout_at_ms: u64) -> Option<Fact> {
        let up_to_ms = now.clock_ms.min(timeout_at_ms);
        if self.devices.has_abandoned() {
            let gpus = self.devices.present_gpus().cloned().collect();
            return Some(Fact::GpusChanged { gpus });
        }
        let (lease_ms, gone_ms) = (self.first_expiry_ms(), self.gone_timers.first_ms());
        let (take_ms, drain_ms) = (self.first_take_ms(), self.drain_timers.first_ms());
        let doubt_ms = self.doubt_ends_ms();
        let first_ms = lease_ms
            .min(gone_ms)
            .min(take_ms)
            .min(drain_ms)
            .min(doubt_ms)
            .min(self.resume_until_ms.unwrap_or(u64::MAX));
        if first_ms > up_to_ms || first_ms == u64::MAX {
            return None;
        }
        if lease_ms == first_ms {
            let (_, token) = self.lease_timers.first()?;
            let lease = self.leases.get(&token)?;
            return Some(if lease.undelivered {
                lease.ended(Outcome::Undelivered)
            } else {
                self.taken(now, lease, Outcome::Expired)
            });
        }
        if take_ms == first_ms {
            let (_, token) = self.take_timers.first()?;
            return Some(self.taken(now, self.leases.get(&token)?, Outcome::Yielded));
        }
        if drain_ms == first_ms {
            let (_, token) = self.drain_timers.first()?;
            return Some(Fact::Drained { token });
        }
        if gone_ms == first_ms {
            let (_, seat) = self.gone_timers.first()?;
            return self.waiter_ended(seat, Outcome::ClientGone);
        }
        if doubt_ms == first_ms {
            return Some(Fact::Trusted);
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
    /// else happens. Holds once [`Self::handle`] has returned; may be early, never late.
    #[must_use]
    pub fn next_deadline(&self) -> Option<u64> {
        let first_ms = self.first_timer_ms().min(self.next_look_ms(self.clock_ms));
        (first_ms != u64::MAX).then_some(first_ms)
    }

    /// When something may be due by time alone; never where nothing is.
    pub(super) fn first_ms(&self) -> u64 {
        self.first_timer_ms().min(self.looks.0)
    }

    fn first_timer_ms(&self) -> u64 {
        let resumed_ms = self.resume_until_ms.unwrap_or(u64::MAX);
        [
            self.drain_timers.first_ms(),
            self.gone_timers.first_ms(),
            self.timeout_timers.first_ms(),
            self.first_expiry_ms(),
            self.first_take_ms(),
            self.doubt_ends_ms(),
        ]
        .into_iter()
        .fold(resumed_ms, u64::min)
    }
}
