//! Leases that are taken from living processes: their GPUs are granted on once those are gone, or
//! have had their time.

use std::sync::Arc;

use super::Arbiter;
use crate::command::Now;
use crate::event::{Change, Drain, Fact, Lease};
use crate::id::LeaseId;
use crate::number::token_of;
use crate::wire::Outcome;

impl Lease {
    /// Its end, where nobody is left on its GPUs.
    pub(super) fn ended(&self, outcome: Outcome) -> Fact {
        Fact::LeaseEnded {
            token: self.token,
            outcome,
            drains_until_ms: None,
        }
    }

    /// How it ends when its holder gives it back.
    pub(super) fn given_back(&self) -> Outcome {
        match self.asked {
            Some(_) => Outcome::Yielded,
            None => Outcome::Released,
        }
    }
}

impl Arbiter {
    /// The end of a lease that is taken from its holder. Without a known owner there is nothing
    /// to wait for.
    pub(super) fn taken(&self, now: Now, lease: &Lease, outcome: Outcome) -> Fact {
        let drain_ms = self.policy.drain_ms;
        let drains = lease.owner.is_some() && drain_ms > 0;
        Fact::LeaseEnded {
            token: lease.token,
            outcome,
            drains_until_ms: drains.then(|| now.clock_ms + drain_ms),
        }
    }

    pub(super) fn drained_by(&self, lease_id: &LeaseId) -> Vec<Fact> {
        let token = token_of(lease_id).filter(|token| self.draining.contains_key(token));
        token
            .map(|token| Fact::Drained { token })
            .into_iter()
            .collect()
    }

    /// A lease has ended, and its GPUs stay taken.
    pub(super) fn drain(&mut self, token: u64, lease: &Arc<Lease>, until_ms: u64) {
        self.drain_timers.set(until_ms, token);
        let lease = Arc::clone(lease);
        self.draining.insert(token, Drain { lease, until_ms });
    }

    pub(super) fn drained(&mut self, token: u64) -> Option<Change> {
        let Drain { lease, until_ms } = self.draining.remove(&token)?;
        self.drain_timers.unset(until_ms, token);
        self.devices.give_back(lease.gpus, lease.request.vram_mib);
        Some(Change::Drained(lease))
    }
}
