//! What changes the whole state at once: a start of the broker, other GPUs, other rules. The
//! orders in which waiters are kept are then made anew; that is rare.

use super::Arbiter;
use super::queue::Queue;
use super::timers::{SeatTimers, Timers};
use std::sync::Arc;

use crate::command::Now;
use crate::event::{Drain, Waiter};
use crate::fit::Devices;
use crate::gpu::Gpu;

impl Arbiter {
    /// A broker began: every connection is gone, and every grace and lease begins anew, since the
    /// clients could reach nobody.
    pub(super) fn restart(&mut self, at: Now) {
        let now_ms = at.clock_ms;
        let grace_ms = self.policy.reconnect_grace_ms;
        self.shutting_down = false;
        for lease in self.leases.values_mut().map(Arc::make_mut) {
            let life_ms = if lease.undelivered {
                grace_ms
            } else {
                lease.request.ttl_ms
            };
            lease.deadline_ms = now_ms + life_ms;
            // Whether its answer got through nobody knows now: its holder may live.
            lease.connection = None;
        }
        self.reseat(|waiter| {
            waiter.connection = None;
            let grace_ms = if waiter.wait {
                grace_ms
            } else {
                super::LOOK_MS
            };
            waiter.gone_at_ms = Some(now_ms + grace_ms);
        });
        let resume_ms = self.policy.resume_ms;
        self.resume_until_ms = (self.queue.len() > 0 && resume_ms > 0).then(|| now_ms + resume_ms);
    }

    /// These are the GPUs now, under the rules that hold. One that is none of them any more but
    /// has a lease stays until that has ended.
    pub(super) fn replace_gpus(&mut self, gpus: &[Gpu]) {
        let list = self.devices.list();
        let gone = list
            .iter()
            .filter(|device| device.leases > 0 && !gpus.iter().any(|gpu| gpu.id == device.gpu.id));
        let gone = gone.map(|device| (device.gpu.clone(), true));
        let all: Vec<(Gpu, bool)> = gpus
            .iter()
            .map(|gpu| (gpu.clone(), false))
            .chain(gone)
            .collect();
        let mut devices = Devices::new(all, self.policy.vram_reserve_mib);
        for lease in self.leases.values_mut().map(Arc::make_mut) {
            lease.gpus = devices.positions_of(&self.devices.ids(lease.gpus));
            devices.take(lease.gpus, lease.request.vram_mib);
        }
        for drain in self.draining.values_mut() {
            let lease = Arc::make_mut(&mut drain.lease);
            lease.gpus = devices.positions_of(&self.devices.ids(lease.gpus));
            devices.take(lease.gpus, lease.request.vram_mib);
        }
        self.devices = devices;
        self.reseat(|_| {});
    }

    /// Makes all indexes anew, over waiters that `change` was applied to.
    fn reseat(&mut self, change: impl Fn(&mut Waiter)) {
        let mut waiters: Vec<_> = self
            .queue
            .seats()
            .map(|(_, seated)| (Arc::clone(&seated.waiter), seated.record))
            .collect();
        waiters.sort_unstable_by_key(|(waiter, _)| waiter.arrival);
        self.queue = Queue::default();
        self.gone_timers = SeatTimers::default();
        self.timeout_timers = SeatTimers::default();
        for (mut waiter, record) in waiters {
            change(Arc::make_mut(&mut waiter));
            self.seat(waiter, record);
        }
        self.lease_timers = Timers::default();
        for lease in self.leases.values() {
            self.lease_timers.set(lease.deadline_ms, lease.token);
        }
        self.renew_takes();
    }

    /// Makes everything that follows from waiters and leases, over those given.
    pub(super) fn fill(&mut self, waiters: Vec<Waiter>) {
        for lease in self.leases.values() {
            self.devices.take(lease.gpus, lease.request.vram_mib);
            self.model_loads += u32::from(lease.operation.is_model_load());
        }
        for Drain { lease, until_ms } in self.draining.values() {
            self.devices.take(lease.gpus, lease.request.vram_mib);
            self.drain_timers.set(*until_ms, lease.token);
        }
        let leases = self.leases.values();
        let asked = leases.filter(|lease| lease.asked.is_some());
        self.asked = asked.map(|lease| lease.token).collect();
        for waiter in waiters {
            let record = self.memory.begin(waiter.id.clone());
            self.seat(Arc::new(waiter), record);
        }
        self.reseat(|_| {});
    }
}
