//! The arbiter with its default policy and one GPU, driven as a broker does it. Its clients renew
//! their leases as the client library does, and go on working where they are asked to yield.

use std::sync::Arc;

use warden::wire::{LockBody, Outcome, PriorityName};
use warden::{
    Arbiter, Caller, Change, Command, Connection, Door, Gpu, GpuId, LeaseId, Now, Origin, Policy,
    Request, RequestId, Start,
};

use super::play::{Rules, Told};
use super::trace::PROGRAMS;

const VRAM_MIB: u64 = 24_576;
/// Midnight.
const WALL_MS: u64 = 1_800_000_000_000;

/// What programs say beside their name, their priority and what they do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Says {
    Nothing,
    /// How long they are ready to wait.
    Patience,
    /// How much memory they need.
    Memory,
}

pub struct Ours {
    arbiter: Arbiter,
    says: Says,
    /// How many requests were posted.
    posted: u64,
    leases: [Option<Held>; PROGRAMS.len()],
    told: Vec<(usize, Told)>,
    passed_max: u32,
}

struct Held {
    lease_id: LeaseId,
    token: u64,
    ttl_ms: u64,
    renews_at_ms: u64,
}

impl Ours {
    pub fn new(says: Says) -> Self {
        let mut ours = Self {
            arbiter: Arbiter::new(),
            says,
            posted: 0,
            leases: [const { None }; PROGRAMS.len()],
            told: Vec::new(),
            passed_max: 0,
        };
        let start = Start {
            token_floor: 1,
            revision_floor: 0,
            host_restarted: false,
            gpus: vec![gpu()],
            policy: Box::new(Policy::default()),
        };
        ours.run(0, &Command::Start(start));
        ours
    }

    fn run(&mut self, now_ms: u64, command: &Command) {
        let now = Now {
            clock_ms: now_ms,
            wall_ms: WALL_MS + now_ms,
        };
        let Self {
            arbiter,
            leases,
            told,
            ..
        } = self;
        let mut seen = |_: &Arbiter, _: &_, change: &Change| match change {
            Change::Granted { lease, .. } => {
                let program = program_of(&lease.request_id);
                let ttl_ms = lease.request.ttl_ms;
                leases[program] = Some(Held {
                    lease_id: lease.id(),
                    token: lease.token,
                    ttl_ms,
                    renews_at_ms: now_ms + ttl_ms / 3,
                });
                told.push((program, Told::Granted));
            }
            Change::WaiterEnded {
                waiter, outcome, ..
            } => {
                assert_eq!(
                    *outcome,
                    Outcome::TimedOut,
                    "nothing else ends a waiter here"
                );
                told.push((program_of(&waiter.id), Told::TimedOut));
            }
            Change::LeaseEnded { lease, outcome, .. } => {
                // Given back, maybe after having been asked to.
                let given_back = matches!(outcome, Outcome::Released | Outcome::Yielded);
                assert!(
                    given_back,
                    "{} lost its lease: {outcome:?}",
                    lease.request_id
                );
            }
            _ => {}
        };
        let answer = arbiter.handle(now, command, &mut seen);
        answer.expect("no command of a well-behaved client is refused");
        let passed = self.arbiter.waiters().map(|waiter| waiter.passed).max();
        self.passed_max = self.passed_max.max(passed.unwrap_or(0));
    }
}

impl Rules for Ours {
    fn ask(&mut self, now_ms: u64, program: usize) {
        self.posted += 1;
        let about = &PROGRAMS[program];
        let body = LockBody {
            client: about.name.to_owned(),
            priority: about
                .priority
                .map(|name| PriorityName::Name(name.to_owned())),
            operation: Some(about.operation.to_owned()),
            vram_mib: (self.says == Says::Memory).then_some(about.vram_mib),
            timeout_ms: (self.says == Says::Patience).then_some(about.patience_ms),
            request_id: Some(RequestId::from(format!("{program}-{}", self.posted))),
            ..LockBody::default()
        };
        let origin = Origin {
            door: caller().door,
            host: "here".into(),
        };
        let request = Request::parse(&body, &origin, self.arbiter.policy(), &[gpu()]);
        let command = Command::Acquire {
            request: Arc::new(request.expect("a client says nothing wrong")),
            caller: caller(),
            connection: Connection(self.posted),
        };
        self.run(now_ms, &command);
    }

    fn release(&mut self, now_ms: u64, program: usize) {
        let held = self.leases[program].take().expect("who works holds");
        let command = Command::Release {
            lease_id: held.lease_id,
            token: held.token,
            caller: caller(),
        };
        self.run(now_ms, &command);
    }

    fn told(&mut self, now_ms: u64) -> Vec<(usize, Told)> {
        for program in 0..PROGRAMS.len() {
            let due = self.leases[program]
                .as_mut()
                .filter(|held| held.renews_at_ms <= now_ms);
            let Some(held) = due else { continue };
            held.renews_at_ms = now_ms + held.ttl_ms / 3;
            let command = Command::Renew {
                lease_id: held.lease_id.clone(),
                token: held.token,
                operation: None,
                caller: caller(),
            };
            self.run(now_ms, &command);
        }
        self.run(now_ms, &Command::Tick);
        std::mem::take(&mut self.told)
    }

    fn next_ms(&self) -> Option<u64> {
        let renewals = self.leases.iter().flatten().map(|held| held.renews_at_ms);
        renewals.chain(self.arbiter.next_deadline()).min()
    }

    fn passed_max(&self) -> u32 {
        self.passed_max
    }
}

fn program_of(request_id: &RequestId) -> usize {
    let program = request_id
        .as_str()
        .split_once('-')
        .map(|(program, _)| program);
    let program = program.and_then(|program| program.parse().ok());
    program.expect("ids are made here")
}

fn caller() -> Caller {
    Caller {
        door: Door::new("uid:1000"),
        operator: false,
    }
}

fn gpu() -> Gpu {
    Gpu {
        id: GpuId::from("GPU-0".to_owned()),
        index: 0,
        name: "Simulated".to_owned(),
        source: "simulated".to_owned(),
        simulated: true,
        vram_total_mib: Some(VRAM_MIB),
    }
}
