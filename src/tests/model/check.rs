//! What must hold of a state, whatever led to it.

use std::sync::Arc;

use warden::event::{Ask, Lease};
use warden::policy::YieldMode;
use warden::{Arbiter, Code, Command, Connection};

use super::action::Action;
use super::broken;
use super::key::key;
use super::law::Law;
use super::scene::{Kind, Who, caller};
use super::tally::Rule;
use super::world::{Small, World};
use crate::oracle::Oracle;

impl Small {
    /// Looks at what a step has left, and names the state.
    pub fn close(&self, world: &mut World, action: Action) {
        self.check_live(world, action);
        self.check_quiet(world, action);
        self.check_late(world, action);
        let rest = match self.scene.mischief {
            Some(_) => &[world.mischief_left, world.posted][..],
            None => &[],
        };
        let key = key(&world.ledger, world.now_ms, rest);
        world.key = key.into();
    }

    /// Whoever asked and was not told of an end waits or holds, once.
    fn check_live(&self, world: &mut World, action: Action) {
        let image = &world.ledger.image;
        let waiting = image.waiters.iter().map(|waiter| &waiter.id);
        let holding = image.leases.iter().map(|lease| &lease.request_id);
        let mut live: Vec<_> = waiting.chain(holding).collect();
        let mut asked: Vec<_> = world.ledger.asked.iter().map(|asked| &asked.id).collect();
        live.sort_unstable();
        asked.sort_unstable();
        if live == asked {
            return;
        }
        let how = format!("{asked:?} asked, {live:?} wait or hold");
        self.judge(world, action).breach(Law::Lost, || how);
    }

    /// When all is quiet nobody can be served, and nothing is due.
    fn check_quiet(&self, world: &mut World, action: Action) {
        let image = Arc::clone(&world.ledger.image);
        let now_ms = world.now_ms;
        let oracle = Oracle::new(&image);
        let next = oracle.next();
        self.see_waits(world, &oracle);
        let judge = &mut self.judge(world, action);
        if let Some(next) = next {
            judge.breach(Law::Idle, || format!("{next:?} could be served"));
        }
        let owed = oracle.next_ask(now_ms);
        if owed.is_some() {
            judge.breach(Law::Asks, || format!("{owed:?} should be asked"));
        }
        let waits = |ask: &Ask| image.waiters.iter().any(|waiter| waiter.id == ask.by);
        let asks = image.leases.iter().filter_map(|lease| lease.asked.as_ref());
        if let Some(ask) = asks.clone().find(|ask| !waits(ask)) {
            judge.breach(Law::Asks, || format!("{} waits no more", ask.by));
        }
        let rules = self.scene.policy.r#yield;
        let takes = asks.filter(|_| rules.mode == YieldMode::Take);
        let takes = takes.map(|ask| ask.at_ms + rules.grace_ms);
        let drains = image.draining.iter().map(|drain| drain.until_ms);
        let waiters = image.waiters.iter();
        let waits = waiters.map(|waiter| waiter.times_out_at_ms());
        let gone = image.waiters.iter().filter_map(|waiter| waiter.gone_at_ms);
        let leases = image.leases.iter().map(|lease| lease.deadline_ms);
        let due = waits.chain(gone).chain(leases).chain(takes).chain(drains);
        let due = due.chain(image.resume_until_ms);
        if due.min().is_some_and(|at_ms| at_ms <= now_ms) {
            judge.breach(Law::Due, || "its time is over".to_owned());
        }
        let deadline = world.arbiter.next_deadline();
        if deadline.is_some_and(|at_ms| at_ms <= now_ms) {
            let judge = &mut self.judge(world, action);
            judge.breach(Law::Due, || format!("{deadline:?} is past"));
        }
    }

    /// Which waits the state shows.
    fn see_waits(&self, world: &mut World, oracle: &Oracle) {
        let image = &world.ledger.image;
        if image.waiters.is_empty() || image.shutting_down {
            return;
        }
        let taken = image
            .leases
            .iter()
            .fold(0, |taken, lease| taken | lease.gpus);
        let free = u64::from(taken.count_ones()) < image.gpus.len() as u64;
        let mut waiters = image.waiters.iter();
        let slot = waiters.any(|waiter| waiter.request.operation.is_model_load());
        let loading = image.leases.iter();
        let loading = loading
            .filter(|lease| lease.operation.is_model_load())
            .count();
        let awaited = image.resume_until_ms.is_some() && free;
        let kept = oracle.keeps();
        let fired = &mut world.ledger.fired;
        if slot && free && loading > 0 {
            fired.saw(Rule::Slot);
        }
        if kept {
            fired.saw(Rule::Kept);
        }
        if awaited {
            fired.saw(Rule::Awaited);
        }
    }

    /// What comes after the end is told how it ended.
    fn check_late(&self, world: &mut World, action: Action) {
        let mut wrong = None;
        for ended in &world.ledger.ended {
            let answer = |command| world.arbiter.decide(world.now(), &command).answer;
            let refused = |command, code| {
                let refusal = answer(command).err();
                refusal.is_some_and(|refusal| {
                    refusal.code == code && refusal.outcome == Some(ended.outcome)
                })
            };
            let caller = caller();
            if let Some(token) = ended.token {
                let lease_id = warden::number::lease_id(token);
                let release = Command::Release {
                    lease_id,
                    token,
                    caller: caller.clone(),
                };
                if !refused(release, Code::LeaseEnded) {
                    wrong = Some(ended.who);
                }
            }
            if ended.who.kind != Kind::Nameless {
                let again = Command::Acquire {
                    request: self.scene.request(ended.who),
                    caller,
                    connection: Connection(0),
                };
                if !refused(again, Code::RequestEnded) {
                    wrong = Some(ended.who);
                }
            }
        }
        if !world.ledger.ended.is_empty() {
            world.ledger.fired.saw(Rule::Late);
        }
        if let Some(who) = wrong {
            let judge = &mut self.judge(world, action);
            judge.breach(Law::SameId, || {
                format!("{who} comes late and is not told how it ended")
            });
        }
    }

    /// Everything that was to be asked was asked, and has ended.
    pub fn is_over(&self, world: &World) -> bool {
        let asked = |kind: &Kind| world.posted >> *kind as u8 & 1 == 1;
        self.scene.cast.keys().all(asked) && world.ledger.asked.is_empty()
    }

    /// Once clients are back and holders let go, everyone is served, without a moment's wait.
    pub fn drains(&self, world: &World) -> bool {
        let mut world = world.clone();
        let small = |world: &mut World, command: &Command| {
            let now = world.now();
            let seen = &mut |_: &Arbiter, _: &_, _: &_| {};
            broken::handle(self.fault, &mut world.arbiter, now, command, seen).is_ok()
        };
        if world.arbiter.is_shutting_down() {
            let arbiter = &world.arbiter;
            let start = self
                .scene
                .start(arbiter.next_token(), arbiter.revision(), false);
            small(&mut world, &Command::Start(start));
        }
        let away: Vec<Who> = world
            .ledger
            .asked
            .iter()
            .map(|asked| asked.who)
            .filter(|who| who.kind != Kind::Nameless)
            .collect();
        for who in away {
            let again = Command::Acquire {
                request: self.scene.request(who),
                caller: caller(),
                connection: world.connection(),
            };
            small(&mut world, &again);
        }
        for _ in 0..=self.scene.clients {
            let held: Vec<_> = world.arbiter.leases().map(Lease::id).collect();
            for lease_id in held {
                small(&mut world, &Command::ForceRelease { lease_id });
            }
            let draining = world.arbiter.draining();
            let draining: Vec<_> = draining.map(|drain| drain.lease.id()).collect();
            for lease_id in draining {
                small(&mut world, &Command::Drained { lease_id });
            }
        }
        world.arbiter.queue_depth() == 0
    }
}
