//! Taking in what is left of a damaged journal.
//!
//! Facts were decided each on top of all before it, so one that contradicts the state here tells
//! what must have been in a gap: a lease that stands where another is granted had ended. Whom
//! a fact is about may have been in a gap too; then it changes nothing, and what it gave is lost.

use super::Arbiter;
use super::memory::Whereabouts;
use crate::event::{Event, Fact};
use crate::fit::positions;
use crate::id::RequestId;
use crate::wire::Outcome;

impl Arbiter {
    /// Takes in a fact though facts before it may be missing. However many are: an exclusive lease
    /// is alone on its GPUs, shares fit, and a request is in one place.
    pub fn salvage(&mut self, event: &Event) {
        match &event.fact {
            Fact::Queued { request_id, .. } => self.clear_id(event, request_id),
            Fact::Granted {
                request_id, gpus, ..
            } => {
                let Some(seat) = self.waiting(request_id) else {
                    return;
                };
                let known = self.devices.list().len();
                if positions(*gpus).any(|position| position >= known) {
                    // It waits no more, and what it got cannot be told.
                    self.clear_id(event, request_id);
                    return;
                }
                let vram_mib = self
                    .queue
                    .seated(seat)
                    .and_then(|seated| seated.waiter.request.vram_mib);
                self.make_room(event, *gpus, vram_mib);
            }
            _ => {}
        }
        self.apply(event);
    }

    /// Whoever has this id has ended unseen.
    fn clear_id(&mut self, event: &Event, request_id: &RequestId) {
        if let Some(Whereabouts::Waiting(_) | Whereabouts::Leased(_)) =
            self.memory.request(request_id)
        {
            let request_id = request_id.clone();
            self.apply(&Event {
                at: event.at,
                fact: Fact::Withdrawn { request_id },
            });
        }
    }

    /// Ends leases, the oldest first, until one more fits.
    fn make_room(&mut self, event: &Event, gpus: u64, vram_mib: Option<u64>) {
        while let Some(fact) = self.in_the_way(gpus, vram_mib) {
            self.apply(&Event { at: event.at, fact });
        }
    }

    /// What must have happened unseen to something that still stands in the way.
    fn in_the_way(&self, gpus: u64, vram_mib: Option<u64>) -> Option<Fact> {
        let crowded = positions(gpus)
            .filter(|&position| match vram_mib {
                Some(size) => self.devices.room_mib(position) < size,
                None => self
                    .devices
                    .list()
                    .get(position)
                    .is_some_and(|device| device.leases > 0),
            })
            .fold(0, |set, position| set | 1 << position);
        let draining = self.draining.iter();
        let mut drained = draining.filter(|(_, drain)| drain.lease.gpus & crowded != 0);
        if let Some((&token, _)) = drained.next() {
            return Some(Fact::Drained { token });
        }
        let mut leases = self.leases();
        leases
            .find(|lease| lease.gpus & crowded != 0)
            .map(|lease| lease.ended(Outcome::Reset))
    }
}
