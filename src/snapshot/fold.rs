//! How an event changes the picture.

use std::fmt;
use std::sync::Arc;

use super::{LeaseRow, Seat, Snapshot, WaiterRow, shape};
use crate::explain::turn_key;
use crate::fit::{Devices, positions};
use crate::gpu::Gpu;
use crate::id::{GpuId, LeaseId, RequestId};
use crate::number::token_of;
use crate::stream::{GrantedRow, Row, StreamEvent};
use crate::wire::{Draining, GpuState, LeaseStatus};

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

impl Snapshot {
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
                    Row::Lease(status) => self.take_lease(status, ended.drains_until.as_ref())?,
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

    fn take_lease(
        &mut self,
        ended: &LeaseStatus,
        drains_until: Option<&String>,
    ) -> Result<(), FoldError> {
        let id = &ended.lease_id;
        let number = self.lease_number(id)?;
        self.lease_numbers.remove(id);
        let Some(row) = self.leases.remove(&number) else {
            return Ok(());
        };
        let gpus = self.devices.positions_of(&row.status.gpu_ids);
        if drains_until.is_none() {
            self.devices.give_back(gpus, row.status.vram_mib);
        }
        for position in positions(gpus) {
            let status = &mut self.gpus[position];
            status.lease_ids.retain(|lease_id| lease_id != id);
            status.draining.extend(drains_until.map(|until| Draining {
                lease_id: id.clone(),
                client: ended.client.clone(),
                pid: ended.pid.unwrap_or_default(),
                vram_mib: ended.vram_mib,
                until: until.clone(),
            }));
            status
                .draining
                .sort_by_key(|drain| token_of(&drain.lease_id));
        }
        Ok(())
    }

    pub(super) fn put_waiter(&mut self, row: WaiterRow) {
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
    pub(super) fn lay_out(&mut self) {
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
        let draining = self.drained_gpus().into_values();
        let draining: Vec<(u64, Option<u64>)> = draining
            .map(|(drain, gpus)| (gpus, drain.vram_mib))
            .collect();
        for (gpus, vram_mib) in draining {
            self.devices.take(gpus, vram_mib);
        }
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
}
