//! Who is served next. `api.md`, "Order, precisely", in one place.

use super::Arbiter;
use super::due::Due;
use super::front::{Front, Turn};
use super::queue::{Class, Seat};
use crate::event::Fact;
use crate::fit::{Kept, Shape, Which};

/// Nobody can be served: known since the last time that nobody could, until something happens
/// that may change it. Knowing it spares work and decides nothing, so it is no part of the state
/// and any two are equal.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Served(pub(super) bool);

impl PartialEq for Served {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Arbiter {
    /// Whether all who could be served stay served after this fact, if they are now.
    pub(super) fn leaves_served(&self, fact: &Fact) -> bool {
        match fact {
            Fact::Undelivered { .. }
            | Fact::Looked { .. }
            | Fact::Refused { .. }
            | Fact::YieldAsked { .. }
            | Fact::YieldWithdrawn { .. } => true,
            Fact::Renewed { operation, .. } => operation.is_none(),
            Fact::Queued { request, .. } => {
                let shape = Shape::of(request, &self.devices);
                shape.choose(&self.devices, 0).is_none()
            }
            // One that is neither overdue nor waited for had nothing kept for it.
            Fact::Disconnected { request_id } | Fact::WaiterEnded { request_id, .. } => {
                let seated = self
                    .waiting(request_id)
                    .and_then(|seat| self.queue.seated(seat));
                self.resume_until_ms.is_none() && seated.is_some_and(|seated| !seated.overdue)
            }
            _ => false,
        }
    }

    /// The next grant, if anybody can be given anything now. One at a time: each changes who
    /// comes next.
    pub(super) fn next_grant(&self) -> Option<Due> {
        if self.served.0 || self.is_paused() || !self.devices.has_room() {
            return None;
        }
        let (seat, gpus) = self.next_served()?;
        let seated = self.queue.seated(seat)?;
        let model_load = seated.shape.model_load;
        let passed = self
            .queue
            .longest_waiting(seated.arrival(), gpus, model_load);
        let passed_id = |seat| Some(self.queue.seated(seat)?.waiter.id.clone());
        let fact = Fact::Granted {
            request_id: seated.waiter.id.clone(),
            token: self.next_token,
            gpus,
            passed: passed.and_then(passed_id),
        };
        let seats = Some((seat, passed));
        Some(Due { fact, seats })
    }

    pub(super) fn slot_free(&self) -> bool {
        self.model_loads < self.policy.model_loads_at_once
    }

    /// The overdue by arrival, then everyone by turn, each where it fits beside what is kept.
    /// While the broker resumes, a disconnected waiter is not skipped: whatever it could use is
    /// kept for it.
    fn next_served(&self) -> Option<(Seat, u64)> {
        let mut kept = Kept::default();
        let resuming = self.resume_until_ms.is_some();
        if self.queue.has_overdue() {
            for seat in self.queue.overdue_heads(resuming) {
                let seated = self.queue.seated(seat)?;
                let slot_free = self.slot_free();
                let shape = &seated.shape;
                if let Some(gpus) = kept.or_keep(shape, seated.usable, &self.devices, slot_free) {
                    if seated.here {
                        return Some((seat, gpus));
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
            let (_, seat) = here.into_iter().chain(away).min()?;
            let seated = self.queue.seated(seat)?;
            if seated.here {
                let gpus = seated.shape.choose(&self.devices, kept.gpus)?;
                return Some((seat, gpus));
            }
            kept.keep(&seated.shape, seated.usable);
        }
    }

    /// The first in turn, among those that are not overdue, that can be given what it wants.
    fn first_fitting(&self, kept: &Kept, front: impl Fn(&Class) -> &Front) -> Option<(Turn, Seat)> {
        let slot = !kept.slot && self.slot_free();
        let free = self.devices.free() & !kept.gpus;
        let mut first = None;
        for class in self.queue.classes() {
            let Shape {
                which,
                vram_mib,
                model_load,
            } = class.shape;
            if model_load && !slot {
                continue;
            }
            // The largest share that it could be given; for a whole GPU anything above nothing.
            let room = match (vram_mib, which) {
                (None, Which::Any(count)) => u64::from(free.count_ones() >= count),
                (None, Which::Named(gpus)) => u64::from(gpus & !free == 0),
                (Some(_), Which::Any(count)) => self.devices.best_room_mib(count, kept.gpus),
                (Some(_), Which::Named(gpus)) if gpus & kept.gpus != 0 => 0,
                (Some(_), Which::Named(gpus)) => self.devices.least_room_mib(gpus),
            };
            if room > 0 {
                first = front(class).first(room).into_iter().chain(first).min();
            }
        }
        first
    }
}
