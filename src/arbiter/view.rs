//! What the outside sees of the state.

use super::Arbiter;
use super::memory::Whereabouts;
use super::queue::Seated;
use crate::command::{Connection, Grant, Now, RequestView};
use crate::event::{Change, Drain, Lease, Waiter};
use crate::explain::{Drainer, Explainer, HOLDERS_MAX, Holder, Person, gpu_state, turn_key};
use crate::fit::positions;
use crate::id::{LeaseId, RequestId};
use crate::request::Wanted;
use crate::snapshot::{About, Snapshot};
use crate::stream::{EndedRow, GpusRow, GrantedRow, PolicyRow, Row, StreamEvent};
use crate::wire::{
    Draining, GpuStatus, LeaseStatus, Outcome, RequestPhase, RequestState, Status, WaiterStatus,
    Why, WhyCode,
};

impl Seated {
    pub(super) fn person(&self) -> Person<'_> {
        let Waiter {
            request, arrival, ..
        } = &*self.waiter;
        Person {
            id: &self.waiter.id,
            key: turn_key(self.overdue, request.priority.0, *arrival),
            shape: self.shape,
            usable: self.usable,
            connected: self.waiter.is_connected(),
        }
    }
}

impl RequestView {
    /// The same request once it has ended like this.
    pub(super) fn ended(mut self, outcome: Outcome) -> Self {
        self.grant = None;
        self.state = RequestState {
            state: RequestPhase::Ended,
            place: None,
            times_out_in_ms: None,
            why: None,
            outcome: Some(outcome),
            ..self.state
        };
        self
    }
}

impl Drain {
    /// Only a lease with an owner drains.
    fn pid(&self) -> u32 {
        self.lease.owner.map_or(0, |owner| owner.pid)
    }

    fn status(&self, now: Now, rfc3339: &dyn Fn(u64) -> String) -> Draining {
        Draining {
            lease_id: self.lease.id(),
            client: self.lease.request.client.to_string(),
            pid: self.pid(),
            vram_mib: self.lease.request.vram_mib,
            until: rfc3339(wall_ms(now, self.until_ms)),
        }
    }
}

/// Unix time at a time to come on the broker's clock, should that run on.
fn wall_ms(now: Now, at_ms: u64) -> u64 {
    now.wall_ms
        .saturating_add(at_ms.saturating_sub(now.clock_ms))
}

impl Arbiter {
    /// Leases on what a waiter could use, the model-load slot included.
    pub(super) fn holders(&self, seated: &Seated) -> Vec<LeaseId> {
        let holding = self.leases().filter(|lease| {
            let both_load = lease.operation.is_model_load() && seated.shape.model_load;
            lease.gpus & seated.usable != 0 || both_load
        });
        holding.take(HOLDERS_MAX).map(Lease::id).collect()
    }

    fn explainer(&self) -> Explainer<'_> {
        let holders = self.leases.values().map(|lease| Holder {
            id: lease.id(),
            client: &lease.request.client,
            gpus: lease.gpus,
            model_load: lease.operation.is_model_load(),
        });
        let draining = self.draining.values().map(|drain| Drainer {
            client: &drain.lease.request.client,
            pid: drain.pid(),
            gpus: drain.lease.gpus,
        });
        let in_turn = self.queue.in_turn().map(Seated::person);
        let slots = self.policy.model_loads_at_once;
        Explainer::new(
            &self.devices,
            holders.collect(),
            draining.collect(),
            slots,
            self.pause(),
            in_turn,
        )
    }

    /// Where a request stands. A lease whose answer did not get through is shown as it is once
    /// this one has.
    pub(super) fn request_view(
        &self,
        now: Now,
        id: &RequestId,
        whereabouts: Whereabouts,
    ) -> Option<RequestView> {
        let state = |state, waited_ms| RequestState {
            request_id: id.clone(),
            state,
            place: None,
            waited_ms,
            times_out_in_ms: None,
            why: None,
            lease: None,
            outcome: None,
        };
        Some(match whereabouts {
            Whereabouts::Waiting(seat) => {
                let seated = self.queue.seated(seat)?;
                let waiter = &seated.waiter;
                let waited_ms = now.clock_ms.saturating_sub(waiter.arrived.clock_ms);
                let times_out_in_ms = waiter.times_out_at_ms().saturating_sub(now.clock_ms);
                let in_turn = || self.queue.in_turn().map(Seated::person);
                let why = self.explainer().why(&seated.person(), in_turn);
                let state = RequestState {
                    place: Some(self.queue.place(seat) as u64),
                    times_out_in_ms: Some(times_out_in_ms),
                    why: Some(why),
                    ..state(RequestPhase::Waiting, waited_ms)
                };
                RequestView { state, grant: None }
            }
            Whereabouts::Leased(token) => {
                let mut lease = Lease::clone(self.leases.get(&token)?);
                super::apply::deliver(now, &mut lease, Connection(0));
                let state = state(RequestPhase::Granted, lease.waited_ms);
                RequestView {
                    state,
                    grant: Some(self.grant(now, &lease)),
                }
            }
            Whereabouts::Ended(number) => {
                let ended = self.memory.ended_request(number)?;
                let view = state(RequestPhase::Ended, ended.waited_ms);
                RequestView {
                    state: view,
                    grant: None,
                }
                .ended(ended.outcome)
            }
        })
    }

    /// A granted lease as its holder is told.
    #[must_use]
    pub fn grant(&self, now: Now, lease: &Lease) -> Grant {
        let expires_in_ms = lease.deadline_ms.saturating_sub(now.clock_ms);
        Grant {
            request_id: lease.request_id.clone(),
            lease_id: lease.id(),
            token: lease.token,
            gpu_ids: self.devices.ids(lease.gpus),
            ttl_ms: lease.request.ttl_ms,
            granted_wall_ms: lease.granted.wall_ms,
            expires_wall_ms: now.wall_ms.saturating_add(expires_in_ms),
            waited_ms: lease.waited_ms,
        }
    }

    /// The whole state as a picture, on the broker's clock.
    #[must_use]
    pub fn snapshot(&self, now: Now, about: &About, rfc3339: &dyn Fn(u64) -> String) -> Snapshot {
        Snapshot::new(self.status(now, about, rfc3339), now.clock_ms)
    }

    /// The whole state as it goes over the wire.
    #[must_use]
    pub fn status(&self, now: Now, about: &About, rfc3339: &dyn Fn(u64) -> String) -> Status {
        let mut explainer = self.explainer();
        let in_turn = || self.queue.in_turn().map(Seated::person);
        let queue = self.queue.in_turn().zip(1..).map(|(seated, place)| {
            let why = explainer.why(&seated.person(), in_turn);
            self.waiter_status(now, &seated.waiter, place, why)
        });
        let queue = queue.collect();
        Status {
            at: rfc3339(now.wall_ms),
            version: about.version.clone(),
            started_at: about.started_at.clone(),
            revision: self.revision,
            gpus: self.gpu_statuses(now, explainer.kept_gpus(), rfc3339),
            leases: self
                .leases
                .values()
                .map(|lease| self.lease_status(now, lease, rfc3339))
                .collect(),
            queue,
            queue_depth: self.queue.len() as u64,
            counters: self.counters.clone(),
            policy: self.policy.clone(),
            notices: self.doubt_notice(rfc3339).into_iter().collect(),
            refused_files: Vec::new(),
        }
    }

    fn gpu_statuses(&self, now: Now, kept: u64, rfc3339: &dyn Fn(u64) -> String) -> Vec<GpuStatus> {
        let mut draining = vec![Vec::new(); self.devices.list().len()];
        for drain in self.draining.values() {
            for position in positions(drain.lease.gpus) {
                if let Some(draining) = draining.get_mut(position) {
                    draining.push(drain.status(now, rfc3339));
                }
            }
        }
        let mut lease_ids = vec![Vec::new(); self.devices.list().len()];
        for lease in self.leases.values() {
            for position in positions(lease.gpus) {
                if let Some(ids) = lease_ids.get_mut(position) {
                    ids.push(lease.id());
                }
            }
        }
        let on_each = lease_ids.into_iter().zip(draining);
        let devices = self.devices.list().iter().zip(on_each).enumerate();
        devices
            .map(|(position, (device, (lease_ids, draining)))| GpuStatus {
                id: device.gpu.id.clone(),
                index: device.gpu.index,
                name: device.gpu.name.clone(),
                source: device.gpu.source.clone(),
                simulated: device.gpu.simulated,
                vram_total_mib: device.gpu.vram_total_mib,
                state: gpu_state(
                    device.gone,
                    !lease_ids.is_empty(),
                    !draining.is_empty(),
                    kept >> position & 1 != 0,
                ),
                lease_ids,
                draining,
            })
            .collect()
    }

    fn lease_status(
        &self,
        now: Now,
        lease: &Lease,
        rfc3339: &dyn Fn(u64) -> String,
    ) -> LeaseStatus {
        // Whoever has not heard of it yet has it for its ttl from when it does.
        let expires_in_ms = match lease.undelivered {
            true => lease.request.ttl_ms,
            false => lease.deadline_ms.saturating_sub(now.clock_ms),
        };
        LeaseStatus {
            lease_id: lease.id(),
            client: lease.request.client.to_string(),
            priority: lease.request.priority.0,
            operation: lease.operation.as_str().to_owned(),
            gpu_ids: self.devices.ids(lease.gpus),
            vram_mib: lease.request.vram_mib,
            pid: lease.owner.map(|owner| owner.pid),
            host: lease.request.host.to_string(),
            granted_at: rfc3339(lease.granted.wall_ms),
            held_ms: now.clock_ms.saturating_sub(lease.granted.clock_ms),
            ttl_ms: lease.request.ttl_ms,
            expires_in_ms,
            yield_asked: lease.asked.is_some(),
        }
    }

    fn waiter_status(&self, now: Now, waiter: &Waiter, place: u64, why: Why) -> WaiterStatus {
        let request = &waiter.request;
        let (gpus, gpu_ids) = match &request.wanted {
            Wanted::Any(count) => (u64::from(*count), None),
            Wanted::Named(ids) => (ids.len() as u64, Some(ids.clone())),
        };
        WaiterStatus {
            request_id: waiter.id.clone(),
            place,
            arrival: waiter.arrival,
            client: request.client.to_string(),
            priority: request.priority.0,
            operation: request.operation.as_str().to_owned(),
            gpus,
            gpu_ids,
            vram_mib: request.vram_mib,
            waited_ms: now.clock_ms.saturating_sub(waiter.arrived.clock_ms),
            times_out_in_ms: waiter.times_out_at_ms().saturating_sub(now.clock_ms),
            passed: waiter.passed,
            connected: waiter.is_connected(),
            why,
        }
    }

    /// A waiter that still waits, with its place. Why it waits follows from the picture, changes
    /// with what others do, and is what a reader of the stream works out or asks the status for:
    /// here stands only what this very change says of it.
    fn current_waiter(&self, now: Now, waiter: &Waiter, text: &str) -> WaiterStatus {
        let seat = match self.memory.request(&waiter.id) {
            Some(Whereabouts::Waiting(seat)) => seat,
            _ => return self.former_waiter(now, waiter, 0, Outcome::Cancelled, &[]),
        };
        let code = if waiter.is_connected() {
            WhyCode::Turn
        } else {
            WhyCode::Disconnected
        };
        let why = Why {
            code,
            text: text.to_owned(),
            behind: Vec::new(),
            holders: Vec::new(),
        };
        self.waiter_status(now, waiter, self.queue.place(seat) as u64, why)
    }

    /// A waiter as it left.
    fn former_waiter(
        &self,
        now: Now,
        waiter: &Waiter,
        place: u64,
        outcome: Outcome,
        holders: &[LeaseId],
    ) -> WaiterStatus {
        let code = if waiter.is_connected() {
            WhyCode::Held
        } else {
            WhyCode::Disconnected
        };
        let text = format!("It waits no more: {}", outcome.as_str());
        let why = Why {
            code,
            text,
            behind: Vec::new(),
            holders: holders.to_vec(),
        };
        self.waiter_status(now, waiter, place, why)
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
        let lease_status = |lease: &Lease| self.lease_status(now, lease, rfc3339);
        Some(match change {
            Change::Silent => return None,
            Change::Queued(waiter) => {
                StreamEvent::Queued(self.current_waiter(now, waiter, "It has arrived"))
            }
            Change::Disconnected(waiter) => StreamEvent::Disconnected(self.current_waiter(
                now,
                waiter,
                "Its connection is gone",
            )),
            Change::Rejoined(waiter) => {
                StreamEvent::Rejoined(Row::Waiter(self.current_waiter(now, waiter, "It is back")))
            }
            Change::Adopted(lease) => StreamEvent::Rejoined(Row::Lease(lease_status(lease))),
            Change::Granted { lease, passed } => StreamEvent::Granted(GrantedRow {
                request_id: lease.request_id.clone(),
                passed: passed.clone(),
                lease: lease_status(lease),
            }),
            Change::Renewed(lease) => StreamEvent::Renewed(lease_status(lease)),
            Change::YieldAsked(lease) => StreamEvent::YieldAsked(lease_status(lease)),
            Change::LeaseEnded {
                lease,
                outcome,
                drains_until_ms,
            } => StreamEvent::Ended(EndedRow {
                outcome: *outcome,
                drains_until: drains_until_ms.map(|until_ms| rfc3339(wall_ms(now, until_ms))),
                row: Row::Lease(lease_status(lease)),
            }),
            Change::WaiterEnded {
                waiter,
                outcome,
                place,
                holders,
            } => {
                let row = self.former_waiter(now, waiter, *place, *outcome, holders);
                let row = EndedRow {
                    outcome: *outcome,
                    drains_until: None,
                    row: Row::Waiter(row),
                };
                match outcome {
                    Outcome::TimedOut => StreamEvent::TimedOut(row),
                    Outcome::Cancelled => StreamEvent::Cancelled(row),
                    _ => StreamEvent::Ended(row),
                }
            }
            Change::GpusChanged | Change::Drained(_) => {
                let gpus = self.gpu_statuses(now, self.explainer().kept_gpus(), rfc3339);
                StreamEvent::GpusChanged(GpusRow { gpus })
            }
            Change::PolicyChanged => StreamEvent::PolicyChanged(PolicyRow {
                policy: self.policy.clone(),
            }),
        })
    }
}
