//! Who is served next. `api.md`, "Order, precisely", in one place.

use super::Arbiter;
use super::queue::{Class, Seated};
use crate::command::Now;
use crate::event::{Event, Fact};
use crate::fit::{Kept, Which};

impl Arbiter {
    /// The next grant, if anybody can be given anything now. One at a time: each changes who
    /// comes next.
    pub(super) fn next_grant(&self, now: Now) -> Option<Event> {
        if self.shutting_down || self.queue.len() == 0 || !self.devices.has_room() {
            return None;
        }
        let (seated, gpus) = self.next_served()?;
        let waiter = &seated.waiter;
        let model_load = seated.shape.model_load;
        let passed = self.queue.longest_waiting(waiter.arrival, gpus, model_load);
        let fact = Fact::Granted {
            request_id: waiter.id.clone(),
            token: self.next_token,
            gpus,
            passed: passed.map(|passed| passed.waiter.id.clone()),
        };
        Some(Event { at: now, fact })
    }

    fn slot_free(&self) -> bool {
        self.model_loads < self.policy.model_loads_at_once
    }

    /// The overdue by arrival, then everyone by turn, each where it fits beside what is kept.
    /// While the broker resumes, a disconnected waiter is not skipped: whatever it could use is
    /// kept for it.
    fn next_served(&self) -> Option<(&Seated, u64)> {
        let mut kept = Kept::default();
        let resuming = self.resume_until_ms.is_some();
        if self.queue.has_overdue() {
            for seat in self.queue.overdue_heads(resuming) {
                let seated = self.queue.seated(seat)?;
                let slot_free = self.slot_free();
                let shape = &seated.shape;
                if let Some(gpus) = kept.or_keep(shape, seated.usable, &self.devices, slot_free) {
                    if seated.waiter.is_connected() {
                        return Some((seated, gpus));
                    }
                    kept.keep(shape, seated.usable);
                }
            }
        }
        loop {
            let here = self.first_fitting(&kept, |class| &class.here);
            let away = if resuming {
                self.first_fitting(&kept, |class| &class.away)
            } else {
                None
            };
            let (seated, gpus) = here.into_iter().chain(away).min_by_key(|(seated, _)| {
                (seated.waiter.request.priority, seated.waiter.arrival)
            })?;
            if seated.waiter.is_connected() {
                return Some((seated, gpus));
            }
            kept.keep(&seated.shape, seated.usable);
        }
    }

    /// The first in turn, among those that are not overdue, that can be given what it wants.
    fn first_fitting(
        &self,
        kept: &Kept,
        front: impl Fn(&Class) -> &super::front::Front,
    ) -> Option<(&Seated, u64)> {
        let mut first = None;
        for class in self.queue.classes() {
            if class.shape.model_load && (kept.slot || !self.slot_free()) {
                continue;
            }
            let room = match (class.shape.vram_mib, class.shape.which) {
                (None, _) => u64::from(class.shape.choose(&self.devices, kept.gpus).is_some()),
                (Some(_), Which::Any(count)) => self.devices.best_room_mib(count, kept.gpus),
                (Some(_), Which::Named(gpus)) if gpus & kept.gpus != 0 => 0,
                (Some(_), Which::Named(gpus)) => self.devices.least_room_mib(gpus),
            };
            if room > 0 {
                first = front(class).first(room).into_iter().chain(first).min();
            }
        }
        let (_, seat) = first?;
        let seated = self.queue.seated(seat)?;
        Some((seated, seated.shape.choose(&self.devices, kept.gpus)?))
    }
}
