//! Random histories. Every fact of each is held against the oracle and the laws.

mod disk;

use std::cell::RefCell;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use warden::event::Lease;
use warden::policy::{YieldMode, YieldPolicy};
use warden::wire::{LockBody, PriorityName};
use warden::{Code, Command, GpuId, Owner, Policy, Reply, RequestId};

use crate::world::{Coverage, World, caller, gpu};

/// What happens next; indexes are taken modulo what there is.
#[derive(Clone, Debug)]
enum Step {
    Wait(u64),
    Post {
        body: Box<LockBody>,
        named: bool,
    },
    Again {
        which: usize,
        wait: bool,
        other_fields: bool,
        pid: Option<u32>,
    },
    Lose(usize),
    Undelivered(usize),
    Look(usize),
    Renew {
        which: usize,
        loaded: bool,
    },
    Stale(usize),
    Release(usize),
    Cancel(usize),
    OwnerGone(usize),
    Reset,
    Force(usize),
    ForceAll {
        clear_queue: bool,
    },
    Gpus(usize),
    Policy {
        max_bypass: u32,
        loads: u32,
        reserve: u64,
        yields: YieldMode,
        drain_ms: u64,
    },
    Drained(usize),
    Crash {
        host_restarted: bool,
    },
    ShutDownAndStart,
    Suspend,
    Recover,
    Doubt,
    Withdraw(usize),
}

fn bodies() -> impl Strategy<Value = LockBody> {
    let wanted = prop_oneof![
        5 => Just((None, None)),
        2 => (2..=3u64).prop_map(|count| (Some(count), None)),
        2 => (0..4u32).prop_map(|gpu| (None, Some(vec![gpu]))),
        1 => Just((None, Some(vec![2, 0]))),
    ];
    let size = prop_oneof![
        3 => Just(None),
        2 => prop::sample::select(vec![1_000u64, 3_000, 4_000, 7_680, 15_000]).prop_map(Some),
    ];
    let operation = prop_oneof![4 => Just(None), 1 => Just(Some("model_load".to_owned()))];
    let priority = prop::sample::select(vec![0i64, 10, 15, 20]);
    let timeout = prop_oneof![
        1 => Just(0u64), 1 => Just(2_000), 4 => Just(60_000), 6 => Just(3_600_000)
    ];
    let ttl = prop::sample::select(vec![1_000u64, 5_000, 60_000]);
    let rest = (
        prop::bool::weighted(0.8),
        prop::option::weighted(0.3, 1..4u32),
    );
    (wanted, size, operation, priority, timeout, ttl, rest).prop_map(
        |((gpus, gpu_ids), vram_mib, operation, priority, timeout_ms, ttl_ms, (wait, pid))| {
            let id = |index| GpuId::from(format!("GPU-{index}"));
            LockBody {
                client: "client".to_owned(),
                priority: Some(PriorityName::Number(priority)),
                operation,
                gpus,
                gpu_ids: gpu_ids.map(|ids| ids.into_iter().map(id).collect()),
                vram_mib,
                timeout_ms: Some(timeout_ms),
                ttl_ms: Some(ttl_ms),
                wait: Some(wait),
                pid,
                ..LockBody::default()
            }
        },
    )
}

fn steps() -> impl Strategy<Value = Step> {
    let which = 0..1_000usize;
    prop_oneof![
        8 => prop::sample::select(vec![1u64, 100, 700, 3_000, 9_000, 61_000]).prop_map(Step::Wait),
        30 => (bodies(), prop::bool::weighted(0.7))
            .prop_map(|(body, named)| Step::Post { body: Box::new(body), named }),
        8 => (which.clone(), prop::bool::weighted(0.7), prop::bool::weighted(0.1), prop::option::of(5..7u32))
            .prop_map(|(which, wait, other_fields, pid)| Step::Again { which, wait, other_fields, pid }),
        5 => which.clone().prop_map(Step::Lose),
        3 => which.clone().prop_map(Step::Undelivered),
        5 => which.clone().prop_map(Step::Look),
        6 => (which.clone(), any::<bool>()).prop_map(|(which, loaded)| Step::Renew { which, loaded }),
        1 => which.clone().prop_map(Step::Stale),
        22 => which.clone().prop_map(Step::Release),
        2 => which.clone().prop_map(Step::Cancel),
        2 => which.clone().prop_map(Step::OwnerGone),
        1 => Just(Step::Reset),
        1 => which.clone().prop_map(Step::Force),
        1 => prop::bool::weighted(0.2).prop_map(|clear_queue| Step::ForceAll { clear_queue }),
        1 => (0..4usize).prop_map(Step::Gpus),
        1 => (
            1..4u32,
            1..3u32,
            prop::sample::select(vec![0u64, 512, 2_000]),
            prop::sample::select(vec![YieldMode::Never, YieldMode::Ask, YieldMode::Take]),
            prop::sample::select(vec![0u64, 10_000]),
        )
            .prop_map(|(max_bypass, loads, reserve, yields, drain_ms)| {
                Step::Policy { max_bypass, loads, reserve, yields, drain_ms }
            }),
        2 => which.clone().prop_map(Step::Drained),
        1 => prop::bool::weighted(0.2).prop_map(|host_restarted| Step::Crash { host_restarted }),
        1 => Just(Step::ShutDownAndStart),
        1 => Just(Step::Suspend),
        3 => Just(Step::Recover),
        1 => Just(Step::Doubt),
        1 => which.prop_map(Step::Withdraw),
    ]
}

const SIZES: [Option<u64>; 4] = [Some(8_192), Some(16_384), None, Some(8_192)];

impl World<'_> {
    fn nth_waiter(&self, which: usize) -> Option<(RequestId, Option<warden::Connection>)> {
        let depth = self.arbiter.queue_depth();
        let waiter = self.arbiter.waiters().nth(which.checked_rem(depth)?)?;
        Some((waiter.id.clone(), waiter.connection))
    }

    fn nth_lease(&self, which: usize) -> Option<Lease> {
        let count = self.arbiter.leases().count();
        self.arbiter
            .leases()
            .nth(which.checked_rem(count)?)
            .cloned()
    }

    fn known(&self, which: usize) -> Option<RequestId> {
        let waiters = self.arbiter.waiters().map(|waiter| waiter.id.clone());
        let leases = self.arbiter.leases().map(|lease| lease.request_id.clone());
        let ended = self
            .bodies
            .iter()
            .filter_map(|body| body.request_id.clone());
        let all: Vec<RequestId> = waiters.chain(leases).chain(ended.take(3)).collect();
        all.get(which.checked_rem(all.len())?).cloned()
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Wait(ms) => self.wait(*ms),
            Step::Post { body, named } => self.post_new(body, *named),
            Step::Again {
                which,
                wait,
                other_fields,
                pid,
            } => self.post_again(*which, *wait, *other_fields, *pid),
            Step::Lose(which) => self.lose(*which),
            Step::Look(which) | Step::Cancel(which) | Step::OwnerGone(which) => {
                if let Some(request_id) = self.known(*which) {
                    self.step_request(step, request_id, *which);
                }
            }
            Step::Undelivered(which)
            | Step::Renew { which, .. }
            | Step::Stale(which)
            | Step::Release(which)
            | Step::Force(which) => {
                if let Some(lease) = self.nth_lease(*which) {
                    self.step_lease(step, &lease);
                }
            }
            Step::Reset | Step::ForceAll { .. } | Step::Gpus(_) | Step::Policy { .. } => {
                self.step_operator(step);
            }
            Step::Drained(which) => {
                let count = self.arbiter.draining().count();
                let nth = which.checked_rem(count);
                let drain = nth.and_then(|nth| self.arbiter.draining().nth(nth));
                if let Some(lease_id) = drain.map(|drain| drain.lease.id()) {
                    self.must(&Command::Drained { lease_id });
                }
            }
            Step::Crash { .. } | Step::ShutDownAndStart => self.step_restart(step),
            Step::Suspend | Step::Recover | Step::Doubt | Step::Withdraw(_) => {
                self.step_disk(step);
            }
        }
    }

    fn lose(&mut self, which: usize) {
        if let Some((request_id, Some(connection))) = self.nth_waiter(which) {
            self.must(&Command::ConnectionLost {
                request_id,
                connection,
            });
        }
    }

    /// What happens to one request, wherever it stands.
    fn step_request(&mut self, step: &Step, request_id: RequestId, which: usize) {
        let caller = caller();
        match step {
            Step::Look(_) => {
                let connection = self.connection();
                let _ = self.run(&Command::Look {
                    request_id,
                    caller,
                    connection,
                });
            }
            Step::Cancel(_) => {
                let _ = self.run(&Command::Cancel { request_id, caller });
            }
            _ => {
                let owner = Owner {
                    pid: 1 + (which as u32) % 3,
                    start: None,
                };
                self.must(&Command::OwnerGone {
                    request_id,
                    owner,
                    remains: which.is_multiple_of(2),
                });
            }
        }
    }

    /// What happens to one lease.
    fn step_lease(&mut self, step: &Step, lease: &Lease) {
        let (lease_id, token, caller) = (lease.id(), lease.token, caller());
        match step {
            Step::Undelivered(_) => {
                if let Some(connection) = lease.connection {
                    self.must(&Command::Undelivered {
                        request_id: lease.request_id.clone(),
                        connection,
                    });
                }
            }
            Step::Renew { loaded, .. } => self.must(&Command::Renew {
                lease_id,
                token,
                operation: loaded.then(|| "inference".to_owned()),
                caller,
            }),
            Step::Stale(_) => {
                let refused = self.run(&Command::Release {
                    lease_id,
                    token: token + 1,
                    caller,
                });
                let refused = refused.expect_err("the number is another");
                assert_eq!(refused.code, Code::StaleToken);
            }
            Step::Force(_) => self.must(&Command::ForceRelease { lease_id }),
            _ => {
                let release = Command::Release {
                    lease_id,
                    token,
                    caller,
                };
                self.must(&release);
                let refused = self.run(&release).expect_err("it has ended");
                assert_eq!(refused.code, Code::LeaseEnded);
            }
        }
    }

    /// What an operator does, or another file of rules, or the hardware.
    fn step_operator(&mut self, step: &Step) {
        match step {
            Step::ForceAll { clear_queue } => self.must(&Command::ForceReleaseAll {
                clear_queue: *clear_queue,
            }),
            Step::Gpus(missing) => {
                let all = (0..4)
                    .zip(SIZES)
                    .filter(|(index, _)| index != missing || *missing == 0);
                self.gpus = all.map(|(index, size)| gpu(index as u32, size)).collect();
                self.must(&Command::ChangeGpus {
                    gpus: self.gpus.clone(),
                });
            }
            Step::Policy {
                max_bypass,
                loads,
                reserve,
                yields,
                drain_ms,
            } => {
                self.policy.r#yield.mode = *yields;
                self.policy.drain_ms = *drain_ms;
                self.policy.max_bypass = *max_bypass;
                // Fewer slots than are in use would break law 5 by order of the operator.
                self.policy.model_loads_at_once = *loads;
                self.policy.vram_reserve_mib = *reserve;
                self.must(&Command::ChangePolicy {
                    policy: Box::new(self.policy.clone()),
                });
            }
            _ => {
                let owner_gone = self.nth_lease(0).map(|lease| lease.id());
                self.must(&Command::Reset {
                    owner_gone: owner_gone.into_iter().collect(),
                });
            }
        }
    }

    fn must(&mut self, command: &Command) {
        self.run(command)
            .unwrap_or_else(|refusal| panic!("{command:?}: {refusal:?}"));
    }

    fn post_new(&mut self, body: &LockBody, named: bool) {
        let number = self.bodies.len();
        let request_id = named.then(|| RequestId::from(format!("request-{number}")));
        let body = LockBody {
            request_id,
            ..body.clone()
        };
        self.bodies.push(body.clone());
        match self.post(&body) {
            Ok(Reply::Waiting {
                superseded: None, ..
            }) => {}
            Ok(other) => panic!("a new request is answered with {other:?}"),
            Err(refusal) => {
                let expected = [Code::ImpossibleRequest, Code::QueueFull];
                let unwritable = refusal.code == Code::JournalUnwritable && self.is_suspended();
                assert!(
                    unwritable || expected.contains(&refusal.code),
                    "{refusal:?}"
                );
            }
        }
    }

    /// Law 7: the same id is the same request.
    fn post_again(&mut self, which: usize, wait: bool, other_fields: bool, pid: Option<u32>) {
        let Some(body) = self.bodies.get(which % self.bodies.len().max(1)) else {
            return;
        };
        let Some(id) = body.request_id.clone() else {
            return;
        };
        let mut body = LockBody {
            wait: Some(wait),
            pid,
            ..body.clone()
        };
        if other_fields {
            body.client.push('!');
        }
        let waiting = self.arbiter.waiter(&id).cloned();
        let lease = self
            .arbiter
            .leases()
            .find(|lease| lease.request_id == id)
            .cloned();
        let depth = self.arbiter.queue_depth();
        let first = waiting.as_ref().map(|waiter| &waiter.request);
        let first = first.or(lease.as_ref().map(|lease| &lease.request));
        // The first post with this id may have been refused, and one with other fields taken.
        let conflicts = first.is_some_and(|first| *first.client != *body.client);
        match (self.post(&body), waiting, lease) {
            (Err(refusal), _, _) if refusal.code == Code::ImpossibleRequest => {}
            (Err(refusal), None, Some(lease)) if refusal.code == Code::JournalUnwritable => {
                let changes_hands = lease.owner.map(|owner| owner.pid) != body.pid;
                assert!(self.is_suspended() && (lease.undelivered || changes_hands));
            }
            (Err(refusal), Some(_), _) | (Err(refusal), _, Some(_)) => {
                assert!(conflicts);
                assert_eq!(refusal.code, Code::RequestConflict);
            }
            (
                Ok(Reply::Waiting {
                    request_id,
                    superseded,
                }),
                Some(waiter),
                _,
            ) => {
                assert_eq!(request_id, id);
                assert!(self.arbiter.queue_depth() <= depth);
                let older = waiter.connection.filter(|_| waiter.wait);
                assert_eq!(superseded, older);
                if superseded.is_some() {
                    self.coverage.saw("superseded poll");
                }
            }
            (Ok(Reply::Granted { grant, .. }), _, Some(lease)) => {
                assert_eq!((grant.lease_id, grant.token), (lease.id(), lease.token));
                self.coverage.saw("same lease again");
            }
            (Err(refusal), None, None) => {
                let never_was = [Code::QueueFull, Code::JournalUnwritable];
                let ended = refusal.code == Code::RequestEnded && refusal.outcome.is_some();
                assert!(ended || never_was.contains(&refusal.code), "{refusal:?}");
            }
            // It had been refused before, as impossible or because the queue was full.
            (
                Ok(Reply::Waiting {
                    superseded: None, ..
                }),
                None,
                None,
            ) => {}
            (other, ..) => panic!("a re-post is answered with {other:?}"),
        }
    }
}

#[test]
fn the_laws_hold_over_random_histories() {
    let coverage = RefCell::new(Coverage::default());
    let history = (1..=4usize, prop::collection::vec(steps(), 20..120));
    let config = Config {
        cases: 200,
        failure_persistence: None,
        ..Config::default()
    };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
    let mut runner = TestRunner::new_with_rng(config, rng);
    let outcome = runner.run(&history, |(count, steps)| {
        let gpus = (0..4)
            .zip(SIZES)
            .take(count)
            .map(|(index, size)| gpu(index, size))
            .collect();
        let policy = Policy {
            max_bypass: 2,
            max_queue: 25,
            r#yield: YieldPolicy {
                mode: YieldMode::Take,
                gap: 5,
                after_ms: 100,
                grace_ms: 3_000,
                min_hold_ms: 700,
            },
            ..Policy::default()
        };
        let mut coverage = coverage.borrow_mut();
        let mut world = World::new(gpus, policy, &mut coverage);
        for (number, step) in steps.iter().enumerate() {
            world.step(step);
            if number % 7 == 0 {
                world.check_picture();
            }
        }
        world.check_picture();
        if world.is_suspended() {
            world.recover();
        }
        world.check_replay();
        for (modulus, gap) in [(7, 1), (3, 1), (40, 25)] {
            world.check_salvage(|number| number % modulus < gap);
        }
        Ok(())
    });
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
    coverage.borrow().demand(&[
        "ask withdrawn",
        "asked to yield",
        "backfill",
        "drained",
        "drained for too long",
        "drains",
        "impossible",
        "kept",
        "overdue",
        "same lease again",
        "share",
        "superseded poll",
        "time-out",
        "waiters while nothing is durable",
        "waiters over a restart",
        "yielded",
    ]);
}
