//! Who is asked to give a lease back, and for whom. `api.md`, "Policy", `yield`.
//!
//! Waiters are looked at in turn. One that is urgent and has waited its while chooses among the
//! GPUs that it could use: those that nobody need be asked for, then those that were asked for it
//! already, then those of the least urgent holders; as many as it wants and no more. What one has
//! chosen is no choice for those after it, so that each waiter has its own holders asked.

use std::cmp::Reverse;

use super::Arbiter;
use super::memory::Whereabouts;
use super::queue::Seated;
use crate::command::Now;
use crate::event::{Ask, Change, Event, Fact, Lease};
use crate::explain::LOOK_AHEAD;
use crate::fit::{Which, positions};
use crate::id::RequestId;
use crate::policy::YieldMode;

/// Nobody need be asked before this time, on the broker's clock: known since the last time that
/// it was looked at, until something happens that may change it. Knowing it spares work and
/// decides nothing, so it is no part of the state and any two are equal.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Looks(pub(super) u64);

impl PartialEq for Looks {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

/// What a look comes to.
enum Look {
    /// This is due.
    Due(Fact),
    /// Nothing is before this time, if nothing else happens.
    Later(u64),
}

const NEVER: u64 = u64::MAX;

/// A GPU as an urgent waiter sees it: who would have to leave it.
struct Choice<'a> {
    position: usize,
    in_the_way: Vec<&'a Lease>,
}

impl Choice<'_> {
    /// The better comes first.
    fn rank(&self, waiter: &RequestId) -> (u8, Reverse<u8>, usize, usize) {
        let asked = |lease: &&Lease| lease.asked.as_ref().is_some_and(|ask| ask.by == *waiter);
        let effort = match self.in_the_way.as_slice() {
            [] => 0,
            all if all.iter().all(asked) => 1,
            _ => 2,
        };
        let priorities = self.in_the_way.iter();
        let most_urgent = priorities.map(|lease| lease.request.priority.0).min();
        (
            effort,
            Reverse(most_urgent.unwrap_or(u8::MAX)),
            self.in_the_way.len(),
            self.position,
        )
    }
}

impl Arbiter {
    /// When it must be looked at again once this fact, which is about to be applied, is.
    pub(super) fn looks_again_ms(&self, event: &Event) -> u64 {
        match &event.fact {
            Fact::Renewed { token, .. } => self.once_delivered_ms(*token),
            Fact::Looked { request_id, .. } => match self.memory.request(request_id) {
                Some(Whereabouts::Leased(token)) => self.once_delivered_ms(token),
                _ => NEVER,
            },
            Fact::Refused { .. } => NEVER,
            Fact::Queued { .. } => event.at.clock_ms + self.policy.r#yield.after_ms,
            _ => 0,
        }
    }

    /// Nobody is asked for a lease that was not delivered yet; this is about to deliver it.
    fn once_delivered_ms(&self, token: u64) -> u64 {
        let lease = self.leases.get(&token);
        match lease.is_some_and(|lease| lease.undelivered) {
            true => 0,
            false => NEVER,
        }
    }

    /// The next holder that is to be asked, or no longer.
    pub(super) fn next_yield(&self, now: Now) -> Option<Fact> {
        if self.looks.0 > now.clock_ms {
            return None;
        }
        match self.yield_due(now.clock_ms) {
            Look::Due(fact) => Some(fact),
            Look::Later(_) => None,
        }
    }

    /// When somebody is next to be asked, while nothing is due now.
    pub(super) fn next_look_ms(&self, now_ms: u64) -> u64 {
        if self.looks.0 > now_ms {
            return self.looks.0;
        }
        match self.yield_due(now_ms) {
            Look::Due(_) => now_ms,
            Look::Later(at_ms) => at_ms,
        }
    }

    fn yield_due(&self, now_ms: u64) -> Look {
        let never = self.policy.r#yield.mode == YieldMode::Never;
        let asked = self.asked.iter().filter_map(|token| self.leases.get(token));
        for lease in asked {
            let waits = |ask: &Ask| self.waiting(&ask.by).is_some();
            if never || !lease.asked.as_ref().is_some_and(waits) {
                return Look::Due(Fact::YieldWithdrawn { token: lease.token });
            }
        }
        if never || self.is_paused() || self.queue.len() == 0 {
            return Look::Later(NEVER);
        }
        // The oldest lease is the first that anybody may be asked for.
        let oldest = self.leases.values().next();
        match oldest.map(|lease| self.askable_at_ms(lease)) {
            None => Look::Later(NEVER),
            Some(at_ms) if at_ms > now_ms => Look::Later(at_ms),
            Some(_) => self.look_in_turn(now_ms),
        }
    }

    fn askable_at_ms(&self, lease: &Lease) -> u64 {
        let held_ms = self.policy.r#yield.min_hold_ms;
        lease.granted.clock_ms.saturating_add(held_ms)
    }

    fn is_urgent_to(&self, seated: &Seated, lease: &Lease) -> bool {
        let waiter = u16::from(seated.waiter.request.priority.0);
        let gap = u16::from(self.policy.r#yield.gap);
        seated.overdue || waiter + gap <= u16::from(lease.request.priority.0)
    }

    /// Everyone in turn for whom somebody may be asked.
    fn look_in_turn(&self, now_ms: u64) -> Look {
        let after_ms = self.policy.r#yield.after_ms;
        let unasked = self.leases().filter(|lease| lease.asked.is_none());
        let Some(least_urgent) = unasked.max_by_key(|lease| lease.request.priority) else {
            return Look::Later(NEVER);
        };
        let (mut chosen, mut slot_chosen) = (0, false);
        let mut later_ms = NEVER;
        for seated in self.queue.in_turn().take(LOOK_AHEAD) {
            if !self.is_urgent_to(seated, least_urgent) {
                break;
            }
            if !seated.here || seated.usable == 0 {
                continue;
            }
            let ripe_ms = seated.waiter.arrived.clock_ms.saturating_add(after_ms);
            if ripe_ms > now_ms {
                later_ms = later_ms.min(ripe_ms);
                continue;
            }
            let in_the_way = if seated.shape.model_load && !self.slot_free() {
                match std::mem::replace(&mut slot_chosen, true) {
                    true => continue,
                    false => self.loading(seated),
                }
            } else {
                self.choose_from(seated, &mut chosen)
            };
            for lease in in_the_way.iter().filter(|lease| lease.asked.is_none()) {
                let at_ms = self.askable_at_ms(lease);
                if at_ms <= now_ms {
                    let (token, by) = (lease.token, seated.waiter.id.clone());
                    return Look::Due(Fact::YieldAsked { token, by });
                }
                later_ms = later_ms.min(at_ms);
            }
        }
        Look::Later(later_ms)
    }

    /// The model load that is in the way of another: the one that was asked for it, else the least
    /// urgent.
    fn loading(&self, seated: &Seated) -> Vec<&Lease> {
        let loads = self.leases().filter(|lease| {
            lease.operation.is_model_load()
                && !lease.undelivered
                && self.is_urgent_to(seated, lease)
        });
        let by_it = |lease: &Lease| {
            let ask = lease.asked.as_ref();
            ask.is_some_and(|ask| ask.by == seated.waiter.id)
        };
        let first = loads.max_by_key(|lease| (by_it(lease), lease.request.priority, lease.token));
        first.into_iter().collect()
    }

    /// Who is in the way on the GPUs that it chooses, which are added to those chosen. Nobody where
    /// asking would not free as many as it wants.
    fn choose_from(&self, seated: &Seated, chosen: &mut u64) -> Vec<&Lease> {
        let (among, count) = match seated.shape.which {
            Which::Any(count) => (seated.usable & !*chosen, count),
            Which::Named(gpus) => (gpus & !*chosen, gpus.count_ones()),
        };
        let choices = positions(among).filter_map(|position| self.choice(seated, position));
        let mut choices: Vec<Choice<'_>> = choices.collect();
        choices.sort_by_key(|choice| choice.rank(&seated.waiter.id));
        if choices.len() < count as usize {
            return Vec::new();
        }
        choices.truncate(count as usize);
        *chosen |= choices
            .iter()
            .fold(0, |set, choice| set | 1 << choice.position);
        let mut all: Vec<&Lease> = choices
            .into_iter()
            .flat_map(|choice| choice.in_the_way)
            .collect();
        all.sort_by_key(|lease| lease.token);
        all.dedup_by_key(|lease| lease.token);
        all
    }

    /// Who would have to leave a GPU for this waiter; nothing where one of them may not be asked.
    fn choice(&self, seated: &Seated, position: usize) -> Option<Choice<'_>> {
        let leases = self.leases();
        let mut on_it: Vec<&Lease> = leases
            .filter(|lease| lease.gpus >> position & 1 != 0)
            .collect();
        let mut in_the_way = Vec::new();
        match seated.shape.vram_mib {
            None => in_the_way = on_it,
            Some(size) => {
                on_it.sort_by_key(|lease| (lease.request.priority, lease.token));
                while self.room_beside_mib(position, &on_it) < size {
                    in_the_way.push(on_it.pop()?);
                }
            }
        }
        let may_be_asked = |lease: &&Lease| self.is_urgent_to(seated, lease) && !lease.undelivered;
        in_the_way.iter().all(may_be_asked).then_some(Choice {
            position,
            in_the_way,
        })
    }

    /// What a share could have on a GPU with these leases on it and no others.
    fn room_beside_mib(&self, position: usize, leases: &[&Lease]) -> u64 {
        let sizes = leases.iter().map(|lease| lease.request.vram_mib);
        let shared_mib: Option<u64> = sizes.sum();
        let capacity_mib = self.devices.capacity_mib_at(position);
        shared_mib.map_or(0, |shared_mib| capacity_mib.saturating_sub(shared_mib))
    }

    pub(super) fn yield_asked(&mut self, at: Now, token: u64, by: &RequestId) -> Option<Change> {
        let at_ms = at.clock_ms;
        let by = by.clone();
        let lease = self.change_lease(token, |lease| lease.asked = Some(Ask { by, at_ms }))?;
        let change = Change::YieldAsked(lease.clone());
        self.asked.insert(token);
        if let Some(take_ms) = self.take_ms(at_ms) {
            self.take_timers.set(take_ms, token);
        }
        Some(change)
    }

    pub(super) fn yield_withdrawn(&mut self, token: u64) -> Option<Change> {
        self.unask(token);
        let lease = self.change_lease(token, |lease| lease.asked = None)?;
        Some(Change::YieldAsked(lease.clone()))
    }

    /// A lease whose holder was asked ends, or is not asked any more.
    pub(super) fn unask(&mut self, token: u64) {
        if !self.asked.remove(&token) {
            return;
        }
        let ask = self
            .leases
            .get(&token)
            .and_then(|lease| lease.asked.as_ref());
        if let Some(take_ms) = ask.and_then(|ask| self.take_ms(ask.at_ms)) {
            self.take_timers.unset(take_ms, token);
        }
    }

    /// When a lease is taken whose holder was asked at this time; never where that is only asked.
    fn take_ms(&self, asked_at_ms: u64) -> Option<u64> {
        let rules = self.policy.r#yield;
        (rules.mode == YieldMode::Take).then(|| asked_at_ms.saturating_add(rules.grace_ms))
    }

    /// Makes the timers anew, under the rules that hold.
    pub(super) fn renew_takes(&mut self) {
        self.take_timers = super::Timers::default();
        for token in &self.asked {
            let ask = self
                .leases
                .get(token)
                .and_then(|lease| lease.asked.as_ref());
            if let Some(take_ms) = ask.and_then(|ask| self.take_ms(ask.at_ms)) {
                self.take_timers.set(take_ms, *token);
            }
        }
    }
}
