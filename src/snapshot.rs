//! The picture that the outside has of the state: made from a status, kept up to date by folding
//! the stream's events over it, and asked for what follows from the rules: places, reasons, the
//! state of each GPU.
//!
//! Durations in the rows are turned into instants on the reader's own monotonic clock when they
//! come in (`clock_ms`, any origin), so that figures run on without new events.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use crate::explain::{Explainer, Holder, Person, TurnKey, gpu_state, turn_key};
use crate::fit::{Devices, Shape, Which, positions};
use crate::gpu::Gpu;
use crate::id::{GpuId, LeaseId, RequestId};
use crate::policy::Policy;
use crate::request::Operation;
use crate::stream::{GrantedRow, Row, StreamEvent};
use crate::wire::{Counters, GpuState, GpuStatus, LeaseStatus, Status, WaiterStatus, Why};

pub use crate::explain::{BEHIND_MAX, HOLDERS_MAX, LOOK_AHEAD};

/// What a broker says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    /// Its version.
    pub version: String,
    /// When it was ready, RFC 3339.
    pub started_at: String,
}

/// A lease in the picture.
#[derive(Clone, Debug, PartialEq)]
pub struct LeaseRow {
    /// As it came; its durations were true at `seen_ms`.
    pub status: LeaseStatus,
    /// When it came, on the reader's clock.
    pub seen_ms: u64,
}

impl LeaseRow {
    /// Since the grant.
    #[must_use]
    pub fn held_ms(&self, clock_ms: u64) -> u64 {
        self.status.held_ms + clock_ms.saturating_sub(self.seen_ms)
    }

    /// Until its deadline.
    #[must_use]
    pub fn expires_in_ms(&self, clock_ms: u64) -> u64 {
        self.status
            .expires_in_ms
            .saturating_sub(clock_ms.saturating_sub(self.seen_ms))
    }
}

/// A waiter in the picture. `place` and `why` of its status are as old as the row; ask
/// [`Snapshot::waiters`] for the place and [`Snapshot::why`] for the reason.
#[derive(Clone, Debug, PartialEq)]
pub struct WaiterRow {
    /// As it came; its durations were true at `seen_ms`.
    pub status: WaiterStatus,
    /// When it came, on the reader's clock.
    pub seen_ms: u64,
}

impl WaiterRow {
    /// Since its arrival.
    #[must_use]
    pub fn waited_ms(&self, clock_ms: u64) -> u64 {
        self.status.waited_ms + clock_ms.saturating_sub(self.seen_ms)
    }

    /// Until its time-out.
    #[must_use]
    pub fn times_out_in_ms(&self, clock_ms: u64) -> u64 {
        self.status
            .times_out_in_ms
            .saturating_sub(clock_ms.saturating_sub(self.seen_ms))
    }
}

/// Why an event does not fit on a picture: ask for a new snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FoldError {
    /// Another revision was expected.
    Gap {
        /// The one after the picture's.
        expected: u64,
        /// The event's.
        got: u64,
    },
    /// The event is about something that the picture does not have.
    Unknown(String),
}

impl fmt::Display for FoldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gap { expected, got } => {
                write!(
                    f,
                    "expected event {expected} of the broker, got event {got}"
                )
            }
            Self::Unknown(id) => write!(f, "the broker told of {id}, which is not in the picture"),
        }
    }
}

impl std::error::Error for FoldError {}

/// A waiter and what follows from its row.
#[derive(Clone, Debug)]
struct Seat {
    row: Arc<WaiterRow>,
    shape: Shape,
    usable: u64,
}

/// The picture. Cloning shares the rows.
#[derive(Clone, Debug)]
pub struct Snapshot {
    about: About,
    revision: u64,
    gpus: Vec<GpuStatus>,
    devices: Devices,
    policy: Policy,
    counters: Counters,
    /// By a number in order of grant.
    leases: BTreeMap<u64, Arc<LeaseRow>>,
    lease_numbers: HashMap<LeaseId, u64>,
    next_lease: u64,
    queue: BTreeMap<TurnKey, Seat>,
    keys: HashMap<RequestId, TurnKey>,
}

impl Snapshot {
    /// A picture of what a status says, come in at `clock_ms`.
    #[must_use]
    pub fn new(status: Status, clock_ms: u64) -> Self {
        let Status {
            version,
            started_at,
            revision,
            gpus,
            leases,
            queue,
            counters,
            policy,
            ..
        } = status;
        let mut snapshot = Self {
            about: About {
                version,
                started_at,
            },
            revision,
            gpus,
            devices: Devices::default(),
            policy,
            counters,
            leases: BTreeMap::new(),
            lease_numbers: HashMap::new(),
            next_lease: 0,
            queue: BTreeMap::new(),
            keys: HashMap::new(),
        };
        for status in leases {
            let number = snapshot.next_lease;
            snapshot.next_lease += 1;
            snapshot
                .lease_numbers
                .insert(status.lease_id.clone(), number);
            snapshot.leases.insert(
                number,
                Arc::new(LeaseRow {
                    status,
                    seen_ms: clock_ms,
                }),
            );
        }
        snapshot.lay_out();
        for status in queue {
            snapshot.put_waiter(WaiterRow {
                status,
                seen_ms: clock_ms,
            });
        }
        snapshot
    }

    /// Takes in the next event, come in at `clock_ms`.
    ///
    /// # Errors
    /// An event that is not the next, or that does not fit, changes nothing. A `snapshot` always
    /// fits.
    pub fn fold(
        &mut self,
        revision: u64,
        event: &StreamEvent,
        clock_ms: u64,
    ) -> Result<(), FoldError> {
        if let StreamEvent::Snapshot(status) = event {
            *self = Self::new((**status).clone(), clock_ms);
            return Ok(());
        }
        let expected = self.revision + 1;
        if revision != expected {
            return Err(FoldError::Gap {
                expected,
                got: revision,
            });
        }
        self.fold_next(event, clock_ms)?;
        self.revision = revision;
        Ok(())
    }

    fn fold_next(&mut self, event: &StreamEvent, seen_ms: u64) -> Result<(), FoldError> {
        match event {
            StreamEvent::Snapshot(_) => {}
            StreamEvent::Queued(status) => {
                self.put_waiter(WaiterRow {
                    status: status.clone(),
                    seen_ms,
                });
            }
            StreamEvent::Disconnected(status) | StreamEvent::Rejoined(Row::Waiter(status)) => {
                self.take_waiter(&status.request_id)?;
                self.put_waiter(WaiterRow {
                    status: status.clone(),
                    seen_ms,
                });
            }
            StreamEvent::Rejoined(Row::Lease(status))
            | StreamEvent::Renewed(status)
            | StreamEvent::YieldAsked(status) => {
                let number = self.lease_number(&status.lease_id)?;
                let row = LeaseRow {
                    status: status.clone(),
                    seen_ms,
                };
                self.leases.insert(number, Arc::new(row));
            }
            StreamEvent::Granted(granted) => self.granted(granted, seen_ms)?,
            StreamEvent::Ended(ended)
            | StreamEvent::TimedOut(ended)
            | StreamEvent::Cancelled(ended) => {
                match &ended.row {
                    Row::Lease(status) => self.take_lease(&status.lease_id)?,
                    Row::Waiter(status) => drop(self.take_waiter(&status.request_id)?),
                }
                *self.counters.ended.entry(ended.outcome).or_default() += 1;
            }
            StreamEvent::GpusChanged(row) => {
                self.gpus.clone_from(&row.gpus);
                self.relay();
            }
            StreamEvent::PolicyChanged(row) => {
                self.policy.clone_from(&row.policy);
                self.relay();
            }
        }
        Ok(())
    }

    fn granted(&mut self, granted: &GrantedRow, seen_ms: u64) -> Result<(), FoldError> {
        let GrantedRow {
            request_id,
            passed,
            lease,
        } = granted;
        if let Some(passed) = passed
            .as_ref()
            .filter(|passed| !self.keys.contains_key(*passed))
        {
            return Err(FoldError::Unknown(passed.to_string()));
        }
        self.take_waiter(request_id)?;
        if let Some(passed) = passed {
            let seat = self.take_waiter(passed)?;
            let mut row = (*seat.row).clone();
            row.status.passed += 1;
            self.put_waiter(row);
            self.counters.passes += 1;
        }
        self.counters.granted += 1;
        let number = self.next_lease;
        self.next_lease += 1;
        self.lease_numbers.insert(lease.lease_id.clone(), number);
        let gpus = self.devices.positions_of(&lease.gpu_ids);
        self.devices.take(gpus, lease.vram_mib);
        for position in positions(gpus) {
            self.gpus[position].lease_ids.push(lease.lease_id.clone());
        }
        let row = LeaseRow {
            status: lease.clone(),
            seen_ms,
        };
        self.leases.insert(number, Arc::new(row));
        Ok(())
    }

    fn lease_number(&self, id: &LeaseId) -> Result<u64, FoldError> {
        let number = self.lease_numbers.get(id).copied();
        number.ok_or_else(|| FoldError::Unknown(id.to_string()))
    }

    fn take_lease(&mut self, id: &LeaseId) -> Result<(), FoldError> {
        let number = self.lease_number(id)?;
        self.lease_numbers.remove(id);
        if let Some(row) = self.leases.remove(&number) {
            let gpus = self.devices.positions_of(&row.status.gpu_ids);
            self.devices.give_back(gpus, row.status.vram_mib);
            for position in positions(gpus) {
                self.gpus[position]
                    .lease_ids
                    .retain(|lease_id| lease_id != id);
            }
        }
        Ok(())
    }

    fn put_waiter(&mut self, row: WaiterRow) {
        let status = &row.status;
        let shape = shape(status, &self.devices);
        let usable = shape.usable(&self.devices);
        let overdue = status.passed >= self.policy.max_bypass;
        let key = turn_key(overdue, status.priority, status.arrival);
        self.keys.insert(status.request_id.clone(), key);
        self.queue.insert(
            key,
            Seat {
                row: Arc::new(row),
                shape,
                usable,
            },
        );
    }

    fn take_waiter(&mut self, id: &RequestId) -> Result<Seat, FoldError> {
        let seat = self.keys.remove(id).and_then(|key| self.queue.remove(&key));
        seat.ok_or_else(|| FoldError::Unknown(id.to_string()))
    }

    /// Puts the leases on the GPUs.
    fn lay_out(&mut self) {
        let gpus = self.gpus.iter().map(|status| {
            let gpu = Gpu {
                id: status.id.clone(),
                index: status.index,
                name: status.name.clone(),
                source: status.source.clone(),
                simulated: status.simulated,
                vram_total_mib: status.vram_total_mib,
            };
            (gpu, status.state == GpuState::Gone)
        });
        self.devices = Devices::new(gpus, self.policy.vram_reserve_mib);
        let order: Vec<GpuId> = self
            .devices
            .list()
            .iter()
            .map(|device| device.gpu.id.clone())
            .collect();
        self.gpus
            .sort_by_key(|status| order.iter().position(|id| *id == status.id));
        self.gpus.truncate(order.len());
        for row in self.leases.values_mut() {
            let gpus = self.devices.positions_of(&row.status.gpu_ids);
            self.devices.take(gpus, row.status.vram_mib);
            let in_order = self.devices.ids(gpus);
            if in_order != row.status.gpu_ids {
                Arc::make_mut(row).status.gpu_ids = in_order;
            }
        }
    }

    /// Makes everything anew that follows from GPUs and rules.
    fn relay(&mut self) {
        self.lay_out();
        let queue = std::mem::take(&mut self.queue);
        self.keys.clear();
        for seat in queue.into_values() {
            self.put_waiter(Arc::unwrap_or_clone(seat.row));
        }
    }

    /// The whole picture as a status.
    #[must_use]
    pub fn status(&self, clock_ms: u64, at: String) -> Status {
        let mut explainer = self.explainer();
        let gpus = self
            .gpus
            .iter()
            .zip(0..)
            .map(|(status, position)| GpuStatus {
                state: self.state_of(position, explainer.kept_gpus()),
                ..status.clone()
            });
        let gpus = gpus.collect();
        let leases = self.leases.values().map(|row| LeaseStatus {
            held_ms: row.held_ms(clock_ms),
            expires_in_ms: row.expires_in_ms(clock_ms),
            ..row.status.clone()
        });
        let queue = self
            .queue
            .iter()
            .zip(1..)
            .map(|((key, seat), place)| WaiterStatus {
                place,
                waited_ms: seat.row.waited_ms(clock_ms),
                times_out_in_ms: seat.row.times_out_in_ms(clock_ms),
                why: explainer.why(&person(key, seat), || self.in_turn()),
                ..seat.row.status.clone()
            });
        Status {
            at,
            version: self.about.version.clone(),
            started_at: self.about.started_at.clone(),
            revision: self.revision,
            gpus,
            leases: leases.collect(),
            queue: queue.collect(),
            queue_depth: self.queue.len() as u64,
            counters: self.counters.clone(),
            policy: self.policy.clone(),
        }
    }

    fn in_turn(&self) -> impl Iterator<Item = Person<'_>> {
        self.queue.iter().map(|(key, seat)| person(key, seat))
    }

    fn explainer(&self) -> Explainer<'_> {
        let holders = self.leases.values().map(|row| Holder {
            id: row.status.lease_id.clone(),
            client: &row.status.client,
            gpus: self.devices.positions_of(&row.status.gpu_ids),
            model_load: row.status.operation == Operation::MODEL_LOAD,
        });
        let slots = self.policy.model_loads_at_once;
        Explainer::new(
            &self.devices,
            holders.collect(),
            slots,
            false,
            self.in_turn(),
        )
    }

    fn state_of(&self, position: usize, kept: u64) -> GpuState {
        let device = self.devices.list().get(position);
        device.map_or(GpuState::Gone, |device| {
            gpu_state(device.gone, device.leases > 0, kept >> position & 1 != 0)
        })
    }

    /// The number of the last event in it.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// What the broker says of itself.
    #[must_use]
    pub fn about(&self) -> &About {
        &self.about
    }

    /// The rules that hold.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Granted, ended, refused so far. What was refused is as old as the last status.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The GPUs by index, with their leases. Their `state` is as old as the last status; ask
    /// [`Self::gpu_states`].
    #[must_use]
    pub fn gpus(&self) -> &[GpuStatus] {
        &self.gpus
    }

    /// What each of [`Self::gpus`] is doing, in their order.
    #[must_use]
    pub fn gpu_states(&self) -> Vec<GpuState> {
        let kept = self.explainer().kept_gpus();
        (0..self.gpus.len())
            .map(|position| self.state_of(position, kept))
            .collect()
    }

    /// What the GPU at this position of [`Self::gpus`] is doing.
    #[must_use]
    pub fn gpu_state(&self, position: usize) -> GpuState {
        self.state_of(position, self.explainer().kept_gpus())
    }

    /// The leases, by grant.
    pub fn leases(&self) -> impl Iterator<Item = &Arc<LeaseRow>> {
        self.leases.values()
    }

    /// One lease.
    #[must_use]
    pub fn lease(&self, lease_id: &LeaseId) -> Option<&Arc<LeaseRow>> {
        self.leases.get(self.lease_numbers.get(lease_id)?)
    }

    /// The waiters in turn: the first has place 1.
    pub fn waiters(&self) -> impl Iterator<Item = &Arc<WaiterRow>> {
        self.queue.values().map(|seat| &seat.row)
    }

    /// One waiter.
    #[must_use]
    pub fn waiter(&self, request_id: &RequestId) -> Option<&Arc<WaiterRow>> {
        Some(&self.queue.get(self.keys.get(request_id)?)?.row)
    }

    /// How many wait.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.queue.len()
    }

    /// Why these wait, and for whom; in their order, nothing for one that does not wait. Asked
    /// for the rows on screen it costs a few microseconds; for all of them take
    /// [`Self::status`]. A reason names at most the first [`BEHIND_MAX`] that come before, looked
    /// for among the first [`LOOK_AHEAD`] of the queue, and at most [`HOLDERS_MAX`] leases.
    pub fn whys<'a>(
        &self,
        request_ids: impl IntoIterator<Item = &'a RequestId>,
    ) -> Vec<Option<Why>> {
        let mut explainer = self.explainer();
        let why = |request_id| {
            let key = self.keys.get(request_id)?;
            let person = person(key, self.queue.get(key)?);
            Some(explainer.why(&person, || self.in_turn()))
        };
        request_ids.into_iter().map(why).collect()
    }

    /// Why one waiter waits, and for whom; nothing where it does not.
    #[must_use]
    pub fn why(&self, request_id: &RequestId) -> Option<Why> {
        self.whys([request_id]).pop().flatten()
    }
}

fn person<'a>(key: &TurnKey, seat: &'a Seat) -> Person<'a> {
    Person {
        id: &seat.row.status.request_id,
        key: *key,
        shape: seat.shape,
        usable: seat.usable,
        connected: seat.row.status.connected,
    }
}

fn shape(status: &WaiterStatus, devices: &Devices) -> Shape {
    let which = match &status.gpu_ids {
        Some(ids) => Which::Named(devices.positions_of(ids)),
        None => Which::Any(u32::try_from(status.gpus).unwrap_or(u32::MAX)),
    };
    let model_load = status.operation == Operation::MODEL_LOAD;
    Shape {
        which,
        vram_mib: status.vram_mib,
        model_load,
    }
}
