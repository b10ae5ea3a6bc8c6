//! The state as plain data: a broker may keep one and replay only the journal behind it, and
//! tests compare two.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Arbiter;
use super::memory::{EndedLease, EndedRequest};
use super::pause::Doubt;
use crate::event::{Drain, Lease, Waiter};
use crate::fit::Devices;
use crate::gpu::Gpu;
use crate::id::RequestId;
use crate::policy::Policy;
use crate::wire::Counters;

/// All that [`Arbiter::apply`] has made of the facts so far.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Image {
    /// The rules.
    pub policy: Policy,
    /// The GPUs, and whether each is gone and stands there for its lease alone.
    pub gpus: Vec<(Gpu, bool)>,
    /// By token.
    pub leases: Vec<Lease>,
    /// Leases that have ended and whose GPUs go to nobody yet, by token.
    #[serde(default)]
    pub draining: Vec<Drain>,
    /// By arrival.
    pub waiters: Vec<Waiter>,
    /// Ended requests that carried a client's id, the oldest first.
    pub ended_requests: Vec<(RequestId, EndedRequest)>,
    /// Ended leases by token, the oldest end first.
    pub ended_leases: Vec<(u64, EndedLease)>,
    /// The next number of a lease or request.
    pub next_token: u64,
    /// The next number in order of arrival.
    pub next_arrival: u64,
    /// The number of the last fact that the stream told.
    pub revision: u64,
    /// The time of the last fact.
    pub clock_ms: u64,
    /// Until then nobody is skipped.
    pub resume_until_ms: Option<u64>,
    /// Nothing is granted.
    pub shutting_down: bool,
    /// A lease may have been lost.
    #[serde(default)]
    pub doubt: Option<Doubt>,
    /// Granted, ended, refused so far.
    pub counters: Counters,
}

impl Arbiter {
    /// The state as plain data.
    #[must_use]
    pub fn image(&self) -> Image {
        let mut waiters: Vec<Waiter> = self
            .queue
            .seats()
            .map(|(_, seated)| Waiter::clone(&seated.waiter))
            .collect();
        waiters.sort_unstable_by_key(|waiter| waiter.arrival);
        let devices = self.devices.list().iter();
        let requests = self.memory.ended_requests();
        let leases = self.memory.ended_leases();
        Image {
            policy: self.policy.clone(),
            gpus: devices
                .map(|device| (device.gpu.clone(), device.gone))
                .collect(),
            leases: self.leases().cloned().collect(),
            draining: self.draining().cloned().collect(),
            waiters,
            ended_requests: requests
                .map(|(id, ended)| (id.clone(), ended.clone()))
                .collect(),
            ended_leases: leases
                .map(|(token, ended)| (token, ended.clone()))
                .collect(),
            next_token: self.next_token,
            next_arrival: self.next_arrival,
            revision: self.revision,
            clock_ms: self.clock_ms,
            resume_until_ms: self.resume_until_ms,
            shutting_down: self.shutting_down,
            doubt: self.doubt,
            counters: self.counters.clone(),
        }
    }
}

impl From<Image> for Arbiter {
    fn from(image: Image) -> Self {
        let mut arbiter = Self {
            devices: Devices::new(image.gpus, image.policy.vram_reserve_mib),
            policy: image.policy,
            next_token: image.next_token,
            next_arrival: image.next_arrival,
            revision: image.revision,
            clock_ms: image.clock_ms,
            resume_until_ms: image.resume_until_ms,
            shutting_down: image.shutting_down,
            doubt: image.doubt,
            counters: image.counters,
            ..Self::default()
        };
        for (id, ended) in image.ended_requests {
            let record = arbiter.memory.begin(id);
            arbiter.memory.end_request(record, ended, true);
        }
        for (token, ended) in image.ended_leases {
            arbiter.memory.end_lease(token, ended);
        }
        for lease in image.leases {
            let id = lease.request_id.clone();
            let record = arbiter.memory.begin(id);
            arbiter.memory.leased(record, lease.token);
            arbiter.leases.insert(lease.token, Arc::new(lease));
        }
        let draining = image.draining.into_iter();
        arbiter.draining = draining.map(|drain| (drain.lease.token, drain)).collect();
        arbiter.fill(image.waiters);
        arbiter
    }
}
