//! A mix of commands that keeps the queue at one length, for the benchmark of decide + apply
//! (feature `workload`).
//!
//! Equal parts acquire, hand-off and renew on four GPUs. One acquire in ten asks for two GPUs, one
//! for a named GPU, one for a share, one is a model load, and one loses its connection, in place
//! of an earlier one that comes back: so a tenth of the queue is disconnected throughout. Every
//! request has an id of the client's, and every ended one is remembered. Same seed, same end.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::arbiter::Arbiter;
use crate::command::{Caller, Command, Connection, Now, Start};
use crate::event::Change;
use crate::gpu::Gpu;
use crate::id::{GpuId, LeaseId, RequestId};
use crate::policy::Policy;
use crate::request::{Door, Origin, Request};
use crate::wire::{LockBody, PriorityName};

const GPUS: u64 = 4;
const VRAM_MIB: u64 = 24_576;
/// Requests are made ahead, outside the measured time, so many at a time.
const BATCH: usize = 10_000;

/// An arbiter under load.
#[derive(Debug)]
pub struct Workload {
    arbiter: Arbiter,
    random: SplitMix,
    now: Now,
    origin: Origin,
    caller: Caller,
    gpus: Vec<Gpu>,
    made: u64,
    posted: u64,
    connection: u64,
    /// Live leases, the oldest first.
    leases: VecDeque<(LeaseId, u64)>,
    disconnected: VecDeque<Arc<Request>>,
    /// All that were made: to free one is no part of deciding or applying, just as to make it.
    requests: Vec<Arc<Request>>,
    facts: u64,
    grants: u64,
}

/// What a run came to.
#[derive(Clone, Copy, Debug)]
pub struct Measured {
    /// Acquires, hand-offs and renewals. What disconnects and comes back is carried out beside
    /// them and not counted.
    pub commands: u64,
    /// How long they took.
    pub took: Duration,
    /// Facts that were applied.
    pub facts: u64,
    /// Leases that were granted.
    pub grants: u64,
}

impl Workload {
    /// An arbiter with so many waiters.
    #[must_use]
    pub fn new(waiters: usize, seed: u64) -> Self {
        let gpus: Vec<Gpu> = (0..GPUS).map(gpu).collect();
        let door = Door::new("uid:1000");
        let mut workload = Self {
            arbiter: Arbiter::new(),
            random: SplitMix(seed),
            now: Now {
                clock_ms: 1_000,
                wall_ms: 1_800_000_000_000,
            },
            origin: Origin {
                door: door.clone(),
                host: "bench".into(),
            },
            caller: Caller {
                door,
                operator: false,
            },
            gpus,
            made: 0,
            posted: 0,
            connection: 0,
            leases: VecDeque::new(),
            disconnected: VecDeque::new(),
            requests: Vec::new(),
            facts: 0,
            grants: 0,
        };
        let policy = Policy {
            max_queue: 1_000_000,
            ..Policy::default()
        };
        workload.run(&Command::Start(Start {
            token_floor: 1,
            revision_floor: 0,
            host_restarted: false,
            gpus: workload.gpus.clone(),
            policy: Box::new(policy),
        }));
        while workload.arbiter.queue_depth() < waiters {
            let request = workload.request();
            workload.acquire(&request);
            workload.requests.push(request);
        }
        workload
    }

    /// Carries out so many commands, a third of each kind. `clock` tells the time, from any origin.
    pub fn measure(&mut self, commands: u64, clock: &dyn Fn() -> Duration) -> Measured {
        let (facts, grants) = (self.facts, self.grants);
        let mut took = Duration::ZERO;
        let mut done = 0;
        while done < commands {
            let requests: Vec<_> = (0..BATCH).map(|_| self.request()).collect();
            let start = clock();
            for request in &requests {
                self.acquire(request);
                self.hand_off();
                self.renew();
            }
            took += clock().saturating_sub(start);
            self.requests.extend(requests);
            done += 3 * BATCH as u64;
            self.now.clock_ms += 1;
            self.now.wall_ms += 1;
        }
        let (facts, grants) = (self.facts - facts, self.grants - grants);
        Measured {
            commands: done,
            took,
            facts,
            grants,
        }
    }

    /// How many wait.
    #[must_use]
    pub fn waiters(&self) -> usize {
        self.arbiter.queue_depth()
    }

    /// The arbiter, for what else is measured on a full queue.
    #[must_use]
    pub fn arbiter(&self) -> &Arbiter {
        &self.arbiter
    }

    /// The time on the broker's clock.
    #[must_use]
    pub fn now(&self) -> Now {
        self.now
    }

    /// A hash (FNV-1a) of the end state: who waits in which order, how often passed; who holds
    /// what; the numbers.
    #[must_use]
    pub fn checksum(&self) -> u64 {
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        let mut add = |number: u64| {
            for byte in number.to_le_bytes() {
                hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
            }
        };
        for waiter in self.arbiter.waiters() {
            add(waiter.arrival);
            add(u64::from(waiter.passed));
        }
        for lease in self.arbiter.leases() {
            add(lease.token);
            add(lease.gpus);
            add(lease.deadline_ms);
        }
        add(self.arbiter.next_token());
        add(self.arbiter.revision());
        add(self.arbiter.counters().passes);
        hash
    }

    fn run(&mut self, command: &Command) {
        let Self {
            arbiter,
            leases,
            facts,
            grants,
            ..
        } = self;
        // A refusal shows as a queue that does not keep its length.
        let _ = arbiter.handle(self.now, command, &mut |_, _, change| {
            *facts += 1;
            if let Change::Granted { lease, .. } = change {
                *grants += 1;
                leases.push_back((lease.id(), lease.token));
            }
        });
    }

    fn acquire(&mut self, request: &Arc<Request>) {
        self.post(Arc::clone(request));
        self.posted += 1;
        if !self.posted.is_multiple_of(10) {
            return;
        }
        let Some(request_id) = request.id.clone() else {
            return;
        };
        let connection = Connection(self.connection);
        self.run(&Command::ConnectionLost {
            request_id,
            connection,
        });
        self.disconnected.push_back(Arc::clone(request));
        if self.disconnected.len() > self.arbiter.queue_depth() / 10
            && let Some(back) = self.disconnected.pop_front()
        {
            self.post(back);
        }
    }

    fn post(&mut self, request: Arc<Request>) {
        self.connection += 1;
        let connection = Connection(self.connection);
        let caller = self.caller.clone();
        self.run(&Command::Acquire {
            request,
            caller,
            connection,
        });
    }

    /// The oldest lease ends, and what it frees goes on.
    fn hand_off(&mut self) {
        let Some((lease_id, token)) = self.leases.pop_front() else {
            return;
        };
        let caller = self.caller.clone();
        self.run(&Command::Release {
            lease_id,
            token,
            caller,
        });
    }

    fn renew(&mut self) {
        let picked = self.random.below(self.leases.len().max(1) as u64) as usize;
        let Some((lease_id, token)) = self.leases.get(picked).cloned() else {
            return;
        };
        let caller = self.caller.clone();
        self.run(&Command::Renew {
            lease_id,
            token,
            operation: None,
            caller,
        });
    }

    fn request(&mut self) -> Arc<Request> {
        self.made += 1;
        let priorities = [0, 10, 15, 15, 15, 20, 20];
        let priority = priorities[self.random.below(priorities.len() as u64) as usize];
        let kind = self.random.below(10);
        let body = LockBody {
            client: format!("client-{}", self.made % 97),
            priority: Some(PriorityName::Number(priority)),
            operation: (kind == 3).then(|| "model_load".to_owned()),
            gpus: (kind == 0).then_some(2),
            gpu_ids: (kind == 1).then(|| vec![gpu_id(self.random.below(GPUS))]),
            vram_mib: (kind == 2).then(|| 1 + self.random.below(VRAM_MIB - 512)),
            timeout_ms: Some(24 * 60 * 60 * 1000),
            request_id: Some(RequestId::from(format!("request-{}", self.made))),
            ..LockBody::default()
        };
        let policy = self.arbiter.policy();
        match Request::parse(&body, &self.origin, policy, &self.gpus) {
            Ok(request) => Arc::new(request),
            Err(error) => panic!("the workload's own request is refused: {error}"),
        }
    }
}

fn gpu_id(index: u64) -> GpuId {
    GpuId::from(format!("GPU-{index}"))
}

fn gpu(index: u64) -> Gpu {
    Gpu {
        id: gpu_id(index),
        index: index as u32,
        name: "Simulated".to_owned(),
        source: "simulated".to_owned(),
        simulated: true,
        vram_total_mib: Some(VRAM_MIB),
    }
}

/// SplitMix64 (S. Vigna, <https://prng.di.unimi.it/splitmix64.c>).
#[derive(Debug)]
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut value = self.0;
        value = (value ^ value >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        value = (value ^ value >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        value ^ value >> 31
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }
}
