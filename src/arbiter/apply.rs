//! Takes facts in. Nothing is decided here: the same facts give the same state, at their time as
//! in a replay.

use std::sync::Arc;

use super::Arbiter;
use super::memory::{EndedLease, EndedRequest, Record, Whereabouts};
use super::pause::Doubt;
use super::queue::Seat;
use crate::command::{Connection, Now};
use crate::event::{Change, Event, Fact, Joined, Lease, Waiter};
use crate::fit::Shape;
use crate::id::{LeaseId, RequestId};
use crate::request::{Operation, Request};
use crate::wire::Outcome;

impl Arbiter {
    /// Takes a fact in; it must be the next that [`Self::decide`] gave, or the next in the
    /// journal. Says what it changed. A fact about something that is not there, which neither of
    /// the two ever gives, changes nothing.
    pub fn apply(&mut self, event: &Event) -> Change {
        self.apply_to(event, None)
    }

    /// The same, where the seats of whom a grant is about are at hand.
    pub(super) fn apply_to(
        &mut self,
        event: &Event,
        seats: Option<(Seat, Option<Seat>)>,
    ) -> Change {
        let at = event.at;
        self.clock_ms = self.clock_ms.max(at.clock_ms);
        self.served.0 = self.served.0 && self.leaves_served(&event.fact);
        self.looks.0 = self.looks.0.min(self.looks_again_ms(event));
        let change = self
            .applied(at, &event.fact, seats)
            .unwrap_or(Change::Silent);
        if !matches!(change, Change::Silent) {
            self.revision += 1;
        }
        change
    }

    fn applied(
        &mut self,
        at: Now,
        fact: &Fact,
        seats: Option<(Seat, Option<Seat>)>,
    ) -> Option<Change> {
        match fact {
            Fact::Started { .. }
            | Fact::Resumed
            | Fact::ShutDown
            | Fact::Doubted { .. }
            | Fact::Trusted
            | Fact::GpusChanged { .. }
            | Fact::PolicyChanged { .. }
            | Fact::Refused { .. } => self.applied_to_all(at, fact),
            Fact::Queued {
                request_id,
                request,
                connection,
            } => Some(self.queued(at, request_id, request, *connection)),
            Fact::Disconnected { request_id } => self.disconnected(at, request_id),
            Fact::Rejoined(joined) => self.joined(at, joined),
            Fact::Attached(joined) => {
                self.joined(at, joined);
                None
            }
            Fact::Looked {
                request_id,
                connection,
            } => {
                self.looked(at, request_id, *connection);
                None
            }
            Fact::Granted {
                request_id,
                token,
                gpus,
                passed,
            } => {
                let seats = seats.or_else(|| self.seats(request_id, passed.as_ref()))?;
                self.granted(at, seats, *token, *gpus, passed.as_ref())
            }
            Fact::Undelivered { token } => {
                self.undeliver(at, *token);
                None
            }
            Fact::Renewed { token, operation } => self.renewed(at, *token, operation.as_ref()),
            Fact::YieldAsked { token, by } => self.yield_asked(at, *token, by),
            Fact::YieldWithdrawn { token } => self.yield_withdrawn(*token),
            Fact::LeaseEnded {
                token,
                outcome,
                drains_until_ms,
            } => self.lease_ended(at, *token, *outcome, *drains_until_ms),
            Fact::Drained { token } => self.drained(*token),
            Fact::WaiterEnded {
                request_id,
                outcome,
                place,
                holders,
            } => self.waiter_gone(at, request_id, *outcome, *place, holders),
            Fact::Withdrawn { request_id } => self.withdrawn(at, request_id),
        }
    }

    /// Takes in what is about no request or lease in particular.
    fn applied_to_all(&mut self, at: Now, fact: &Fact) -> Option<Change> {
        match fact {
            Fact::Started {
                token_floor,
                revision_floor,
            } => {
                self.next_token = self.next_token.max(*token_floor);
                self.revision = self.revision.max(*revision_floor);
                self.restart(at);
            }
            Fact::Resumed => self.resume_until_ms = None,
            Fact::ShutDown => self.shutting_down = true,
            Fact::Doubted { max_ttl_ms } => {
                let max_ttl_ms = *max_ttl_ms;
                self.doubt = Some(Doubt {
                    since: at,
                    max_ttl_ms,
                });
            }
            Fact::Trusted => self.doubt = None,
            Fact::GpusChanged { gpus } => {
                self.replace_gpus(gpus);
                return Some(Change::GpusChanged);
            }
            Fact::PolicyChanged { policy } => {
                self.policy = (**policy).clone();
                self.replace_gpus(&self.gpus().cloned().collect::<Vec<_>>());
                return Some(Change::PolicyChanged);
            }
            Fact::Refused { refused } => {
                for (code, count) in refused {
                    *self.counters.refused.entry(*code).or_default() += count;
                }
            }
            _ => {}
        }
        None
    }

    fn queued(
        &mut self,
        at: Now,
        id: &RequestId,
        request: &Arc<Request>,
        connection: Connection,
    ) -> Change {
        if request.id.is_none() {
            self.next_token += 1;
        }
        let waiter = Arc::new(Waiter {
            id: id.clone(),
            request: Arc::clone(request),
            arrival: self.next_arrival,
            arrived: at,
            passed: 0,
            connection: Some(connection),
            wait: request.wait,
            owner: request.owner,
            gone_at_ms: (!request.wait).then(|| at.clock_ms + super::LOOK_MS),
        });
        self.next_arrival += 1;
        let change = Change::Queued(Arc::clone(&waiter));
        let record = self.memory.begin(id.clone());
        self.seat(waiter, record);
        change
    }

    /// Lets a waiter into the queue, with its timers.
    pub(super) fn seat(&mut self, waiter: Arc<Waiter>, record: Record) {
        let (times_out_at_ms, gone_at_ms) = (waiter.times_out_at_ms(), waiter.gone_at_ms);
        let shape = Shape::of(&waiter.request, &self.devices);
        let usable = shape.usable(&self.devices);
        let max_bypass = self.policy.max_bypass;
        let seat = self.queue.insert(waiter, record, shape, usable, max_bypass);
        self.timeout_timers.set(times_out_at_ms, seat);
        if let Some(gone_at_ms) = gone_at_ms {
            self.gone_timers.set(gone_at_ms, seat);
        }
        self.memory.waits(record, seat);
    }

    /// Takes a waiter out of the queue, with its timers.
    fn unseat(&mut self, seat: Seat) -> Option<(Arc<Waiter>, Record)> {
        let (waiter, record) = self.queue.remove(seat)?;
        self.timeout_timers.unset(seat);
        if waiter.gone_at_ms.is_some() {
            self.gone_timers.unset(seat);
        }
        Some((waiter, record))
    }

    pub(super) fn waiting(&self, id: &RequestId) -> Option<Seat> {
        match self.memory.request(id)? {
            Whereabouts::Waiting(seat) => Some(seat),
            _ => None,
        }
    }

    /// Those of the one that is granted and of the one that it passes.
    fn seats(
        &self,
        granted: &RequestId,
        passed: Option<&RequestId>,
    ) -> Option<(Seat, Option<Seat>)> {
        let passed = passed.and_then(|passed| self.waiting(passed));
        Some((self.waiting(granted)?, passed))
    }

    /// Sets when a waiter is given up.
    fn set_gone_at(&mut self, seat: Seat, gone_at_ms: Option<u64>) {
        let Some(waiter) = self.queue.waiter_mut(seat) else {
            return;
        };
        if std::mem::replace(&mut waiter.gone_at_ms, gone_at_ms).is_some() {
            self.gone_timers.unset(seat);
        }
        if let Some(gone_at_ms) = gone_at_ms {
            self.gone_timers.set(gone_at_ms, seat);
        }
    }

    fn disconnected(&mut self, at: Now, id: &RequestId) -> Option<Change> {
        let seat = self.waiting(id)?;
        self.queue
            .reconnect(seat, |waiter| waiter.connection = None);
        self.set_gone_at(seat, Some(at.clock_ms + self.policy.reconnect_grace_ms));
        Some(Change::Disconnected(
            self.queue.seated(seat)?.waiter.clone(),
        ))
    }

    fn joined(&mut self, at: Now, joined: &Joined) -> Option<Change> {
        match self.memory.request(&joined.request_id)? {
            Whereabouts::Waiting(seat) => {
                self.queue.reconnect(seat, |waiter| {
                    waiter.connection = Some(joined.connection);
                    waiter.wait = joined.wait;
                    waiter.owner = joined.owner.or(waiter.owner);
                });
                let gone_at_ms = (!joined.wait).then(|| at.clock_ms + super::LOOK_MS);
                self.set_gone_at(seat, gone_at_ms);
                Some(Change::Rejoined(self.queue.seated(seat)?.waiter.clone()))
            }
            Whereabouts::Leased(token) => {
                let lease = self.change_lease(token, |lease| rejoin(at, lease, joined))?;
                Some(Change::Adopted(Arc::clone(lease)))
            }
            Whereabouts::Ended(_) => None,
        }
    }

    fn looked(&mut self, at: Now, id: &RequestId, connection: Connection) {
        match self.memory.request(id) {
            Some(Whereabouts::Waiting(seat)) => {
                self.set_gone_at(seat, Some(at.clock_ms + super::LOOK_MS));
                if let Some(waiter) = self.queue.waiter_mut(seat) {
                    waiter.connection = Some(connection);
                }
            }
            Some(Whereabouts::Leased(token)) => {
                self.change_lease(token, |lease| deliver(at, lease, connection));
            }
            _ => {}
        }
    }

    fn granted(
        &mut self,
        at: Now,
        (seat, passed): (Seat, Option<Seat>),
        token: u64,
        gpus: u64,
        passed_id: Option<&RequestId>,
    ) -> Option<Change> {
        let (waiter, record) = self.unseat(seat)?;
        if let Some(passed) = passed {
            self.queue.pass(passed, self.policy.max_bypass);
            self.counters.passes += 1;
        }
        let life_ms = if waiter.wait {
            waiter.request.ttl_ms
        } else {
            self.policy.reconnect_grace_ms
        };
        let lease = Arc::new(Lease {
            token,
            request_id: waiter.id.clone(),
            operation: waiter.request.operation.clone(),
            gpus,
            granted: at,
            waited_ms: at.clock_ms.saturating_sub(waiter.arrived.clock_ms),
            deadline_ms: at.clock_ms + life_ms,
            undelivered: !waiter.wait,
            connection: waiter.connection,
            owner: waiter.owner,
            request: Arc::clone(&waiter.request),
            asked: None,
        });
        self.devices.take(gpus, lease.request.vram_mib);
        self.model_loads += u32::from(lease.operation.is_model_load());
        self.lease_timers.set(lease.deadline_ms, token);
        self.next_token = self.next_token.max(token + 1);
        self.counters.granted += 1;
        self.memory.leased(record, token);
        self.leases.insert(token, Arc::clone(&lease));
        Some(Change::Granted {
            lease,
            passed: passed_id.cloned(),
        })
    }

    /// Changes a lease and keeps its timer with it.
    pub(super) fn change_lease(
        &mut self,
        token: u64,
        change: impl FnOnce(&mut Lease),
    ) -> Option<&Arc<Lease>> {
        let shared = self.leases.get_mut(&token)?;
        let lease = Arc::make_mut(shared);
        let before_ms = lease.deadline_ms;
        change(lease);
        if lease.deadline_ms != before_ms {
            self.lease_timers.unset(before_ms, token);
            self.lease_timers.set(lease.deadline_ms, token);
        }
        Some(shared)
    }

    /// The answer did not get through: its client has until the end of the grace to come back.
    fn undeliver(&mut self, at: Now, token: u64) {
        let deadline_ms = at.clock_ms + self.policy.reconnect_grace_ms;
        self.change_lease(token, |lease| {
            lease.undelivered = true;
            lease.deadline_ms = deadline_ms;
        });
    }

    fn renewed(&mut self, at: Now, token: u64, operation: Option<&Operation>) -> Option<Change> {
        let before = self.leases.get(&token)?.operation.is_model_load();
        let lease = self.change_lease(token, |lease| {
            lease.deadline_ms = at.clock_ms + lease.request.ttl_ms;
            // Whoever renews has had its answer.
            lease.undelivered = false;
            lease.connection = None;
            if let Some(operation) = operation {
                lease.operation = operation.clone();
            }
        })?;
        let lease = Arc::clone(lease);
        if before && !lease.operation.is_model_load() {
            self.model_loads -= 1;
        }
        Some(Change::Renewed(lease))
    }

    fn lease_ended(
        &mut self,
        at: Now,
        token: u64,
        outcome: Outcome,
        drains_until_ms: Option<u64>,
    ) -> Option<Change> {
        self.unask(token);
        let lease = self.leases.remove(&token)?;
        self.lease_timers.unset(lease.deadline_ms, token);
        match drains_until_ms {
            Some(until_ms) => self.drain(token, &lease, until_ms),
            None => self.devices.give_back(lease.gpus, lease.request.vram_mib),
        }
        self.model_loads -= u32::from(lease.operation.is_model_load());
        *self.counters.ended.entry(outcome).or_default() += 1;
        let door = || lease.request.door.clone();
        let held_ms = at.clock_ms.saturating_sub(lease.granted.clock_ms);
        let ended = EndedRequest {
            door: door(),
            outcome,
            waited_ms: lease.waited_ms,
        };
        let named = lease.request.id.is_some();
        let ended_lease = EndedLease {
            door: door(),
            outcome,
            held_ms,
        };
        if let Some(record) = self.memory.end_lease(token, ended_lease) {
            self.memory.end_request(record, ended, named);
        }
        Some(Change::LeaseEnded {
            lease,
            outcome,
            drains_until_ms,
        })
    }

    /// Ends a request, and forgets that it ever was.
    fn withdrawn(&mut self, at: Now, id: &RequestId) -> Option<Change> {
        let change = match self.memory.request(id)? {
            Whereabouts::Waiting(seat) => {
                let place = self.queue.place(seat) as u64;
                self.waiter_gone(at, id, Outcome::ClientGone, place, &[])
            }
            Whereabouts::Leased(token) => self.lease_ended(at, token, Outcome::Undelivered, None),
            Whereabouts::Ended(_) => None,
        }?;
        self.memory.forget_last_ended(id);
        Some(change)
    }

    fn waiter_gone(
        &mut self,
        at: Now,
        id: &RequestId,
        outcome: Outcome,
        place: u64,
        holders: &[LeaseId],
    ) -> Option<Change> {
        let seat = self.waiting(id)?;
        let (waiter, record) = self.unseat(seat)?;
        *self.counters.ended.entry(outcome).or_default() += 1;
        let waited_ms = at.clock_ms.saturating_sub(waiter.arrived.clock_ms);
        let ended = EndedRequest {
            door: waiter.request.door.clone(),
            outcome,
            waited_ms,
        };
        let named = waiter.request.id.is_some();
        self.memory.end_request(record, ended, named);
        Some(Change::WaiterEnded {
            waiter,
            outcome,
            place,
            holders: holders.to_vec(),
        })
    }
}

/// An answer with the lease is on its way.
pub(super) fn deliver(at: Now, lease: &mut Lease, connection: Connection) {
    if lease.undelivered {
        lease.undelivered = false;
        lease.deadline_ms = at.clock_ms + lease.request.ttl_ms;
        lease.connection = Some(connection);
    } else if lease.connection.is_some() {
        // Whether the one before it got through is not known; this one will tell.
        lease.connection = Some(connection);
    }
}

pub(super) fn rejoin(at: Now, lease: &mut Lease, joined: &Joined) {
    deliver(at, lease, joined.connection);
    lease.owner = joined.owner.or(lease.owner);
}
