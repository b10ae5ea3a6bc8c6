//! The picture that the outside has of the state: made from a status, kept up to date by folding
//! the stream's events over it, and asked for what follows from the rules: places, reasons, the
//! state of each GPU.
//!
//! Durations in the rows are turned into instants on the reader's own monotonic clock when they
//! come in (`clock_ms`, any origin), so that figures run on without new events.

mod fold;
mod rows;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::explain::{Drainer, Explainer, Holder, Person, TurnKey, gpu_state};
use crate::fit::{Devices, Shape, Which};
use crate::id::{LeaseId, RequestId};
use crate::number::token_of;
use crate::policy::Policy;
use crate::request::Operation;
use crate::wire::notice::Notice;
use crate::wire::{
    Counters, Draining, GpuState, GpuStatus, LeaseStatus, Status, WaiterStatus, Why,
};

pub use self::fold::FoldError;
pub use self::rows::{LeaseRow, WaiterRow};
pub use crate::explain::{BEHIND_MAX, HOLDERS_MAX, LOOK_AHEAD};

/// What a broker says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    /// Its version.
    pub version: String,
    /// When it was ready, RFC 3339.
    pub started_at: String,
}

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
    notices: Vec<Notice>,
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
            notices,
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
            notices,
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
            notices: self.notices.clone(),
            refused_files: Vec::new(),
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
        let draining = self.drained_gpus().into_values();
        let draining = draining.map(|(drain, gpus)| Drainer {
            client: &drain.client,
            pid: drain.pid,
            gpus,
        });
        Explainer::new(
            &self.devices,
            holders.collect(),
            draining.collect(),
            slots,
            self.notices.iter().find_map(|notice| notice.code.pause()),
            self.in_turn(),
        )
    }

    fn state_of(&self, position: usize, kept: u64) -> GpuState {
        let both = self
            .devices
            .list()
            .get(position)
            .zip(self.gpus.get(position));
        both.map_or(GpuState::Gone, |(device, status)| {
            gpu_state(
                device.gone,
                !status.lease_ids.is_empty(),
                !status.draining.is_empty(),
                kept >> position & 1 != 0,
            )
        })
    }

    /// What drains, in order of its lease's grant, and where.
    fn drained_gpus(&self) -> BTreeMap<u64, (&Draining, u64)> {
        let mut all = BTreeMap::new();
        for (position, status) in self.gpus.iter().enumerate() {
            for drain in &status.draining {
                let token = token_of(&drain.lease_id).unwrap_or_default();
                all.entry(token).or_insert((drain, 0)).1 |= 1 << position;
            }
        }
        all
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

    /// What keeps the broker from doing all that it should, as old as the last status.
    #[must_use]
    pub fn notices(&self) -> &[Notice] {
        &self.notices
    }

    /// The same, as it is now: no event tells of it.
    pub fn set_notices(&mut self, notices: Vec<Notice>) {
        self.notices = notices;
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
