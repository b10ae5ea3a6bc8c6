//! What clients know and what was told: the small side of a state, and the judge of every fact.
//! It goes by the contract and by what was told before, never by what the arbiter makes of it.

use std::sync::Arc;

use warden::arbiter::Image;
use warden::event::{Ask, Fact, Lease, Waiter};
use warden::policy::YieldMode;
use warden::wire::Outcome;
use warden::{Arbiter, Change, Event, RequestId};

use super::action::Action;
use super::law::{Breach, Law, Laws};
use super::scene::{Kind, Scene, Who};
use super::tally::{Fired, Rule};
use crate::oracle::{Next, Oracle};

/// A request that was posted and, as far as was told, has not ended.
#[derive(Clone, Debug)]
pub struct Asked {
    pub who: Who,
    pub id: RequestId,
    /// When it was posted, on the broker's clock.
    pub at_ms: u64,
    /// How often others may still be given what it could use while it waits: less often than
    /// (`max_bypass` + 1) k for the k-th longest waiter.
    pub patience: u32,
}

/// A request that this step ended.
#[derive(Clone, Debug)]
pub struct Ended {
    pub who: Who,
    /// The token of the lease that it was.
    pub token: Option<u64>,
    pub outcome: Outcome,
}

/// A fact of the journal, and those before it back to the start of the broker.
#[derive(Debug)]
pub struct Written {
    event: Event,
    before: Journal,
}

pub type Journal = Option<Arc<Written>>;

#[derive(Clone, Debug)]
pub struct Ledger {
    /// The arbiter's state after the last fact.
    pub image: Arc<Image>,
    pub asked: Vec<Asked>,
    /// The highest token of any lease.
    pub told_token: u64,
    /// The state that the broker began with, and the facts since.
    pub began: Arc<Arbiter>,
    pub journal: Journal,
    /// What this step ended.
    pub ended: Vec<Ended>,
    /// What this step showed.
    pub fired: Fired,
    pub breach: Option<Breach>,
}

/// One step, while it is judged.
pub struct Judge<'a> {
    pub scene: &'a Scene,
    pub laws: Laws,
    pub action: Action,
    pub ledger: &'a mut Ledger,
}

fn bits(gpus: u64) -> impl Iterator<Item = usize> {
    (0..64).filter(move |gpu| gpus >> gpu & 1 == 1)
}

fn loads(image: &Image) -> usize {
    let leases = image.leases.iter();
    leases
        .filter(|lease| lease.operation.is_model_load())
        .count()
}

impl Ledger {
    /// Facts since the broker began, the first first.
    pub fn facts(&self) -> Vec<&Event> {
        let mut facts = Vec::new();
        let mut next = &self.journal;
        while let Some(written) = next {
            facts.push(&written.event);
            next = &written.before;
        }
        facts.reverse();
        facts
    }

    pub fn waiter(&self, asked: &Asked) -> Option<&Waiter> {
        self.image
            .waiters
            .iter()
            .find(|waiter| waiter.id == asked.id)
    }

    pub fn lease(&self, asked: &Asked) -> Option<&Lease> {
        let leases = &mut self.image.leases.iter();
        leases.find(|lease| lease.request_id == asked.id)
    }
}

impl Judge<'_> {
    /// Remembers that a law is broken, if it is one of those looked at and the first.
    pub fn breach(&mut self, law: Law, how: impl FnOnce() -> String) {
        if self.ledger.breach.is_none() && self.laws.has(law) {
            let how = how();
            self.ledger.breach = Some(Breach { law, how });
        }
    }

    fn demand(&mut self, law: Law, holds: bool, how: impl FnOnce() -> String) {
        if !holds {
            self.breach(law, how);
        }
    }

    /// A fact was journalled and applied.
    pub fn take_in(&mut self, arbiter: &Arbiter, event: &Event, change: &Change) {
        let before = Arc::clone(&self.ledger.image);
        self.ledger.image = Arc::new(arbiter.image());
        self.ledger.journal = Some(Arc::new(Written {
            event: event.clone(),
            before: self.ledger.journal.take(),
        }));
        let now_ms = event.at.clock_ms;
        match &event.fact {
            Fact::Granted {
                request_id,
                token,
                gpus,
                passed,
            } => {
                self.judge_lease(*token, *gpus);
                self.judge_turn(&before, request_id, *gpus, passed.as_ref());
                self.count_bypass(&before, request_id, *gpus);
            }
            Fact::YieldAsked { token, by } => {
                let owed = Oracle::new(&before).next_ask(now_ms);
                let right = owed.as_ref() == Some(&(*token, by.clone()));
                self.demand(Law::Asks, right, || {
                    format!("{by} has {token} asked, due is {owed:?}")
                });
                self.ledger.fired.saw(Rule::Asked);
            }
            Fact::LeaseEnded {
                token,
                outcome,
                drains_until_ms,
            } => {
                let lease = before.leases.iter().find(|lease| lease.token == *token);
                let drains = lease.is_some_and(|lease| self.drains(lease, *outcome));
                self.demand(
                    Law::DoubleGrant,
                    drains == drains_until_ms.is_some(),
                    || format!("{outcome:?}: drains until {drains_until_ms:?}"),
                );
                if drains {
                    self.ledger.fired.saw(Rule::Drains);
                }
                let taken = *outcome == Outcome::Yielded
                    && !matches!(self.action, Action::Release(_) | Action::Cancel(_));
                if taken {
                    self.ledger.fired.saw(Rule::Taken);
                }
                let id = lease.map(|lease| &lease.request_id);
                let told = matches!(change, Change::LeaseEnded { .. });
                let why = lease.is_some_and(|lease| self.lease_may_end(now_ms, lease, *outcome));
                self.end(id.filter(|_| told), Some(*token), *outcome, why);
            }
            Fact::WaiterEnded {
                request_id,
                outcome,
                ..
            } => {
                let mut waiters = before.waiters.iter();
                let waiter = waiters.find(|waiter| waiter.id == *request_id);
                let told = matches!(change, Change::WaiterEnded { .. });
                let why =
                    waiter.is_some_and(|waiter| self.waiter_may_end(now_ms, waiter, *outcome));
                self.end(Some(request_id).filter(|_| told), None, *outcome, why);
            }
            fact => self.see(fact),
        }
    }

    fn see(&mut self, fact: &Fact) {
        let rule = match fact {
            Fact::Resumed => Rule::Resumed,
            Fact::YieldWithdrawn { .. } => Rule::Withdrawn,
            Fact::Drained { .. } => Rule::Drained,
            Fact::ShutDown => Rule::ShutDown,
            Fact::GpusChanged { gpus } if gpus.len() < self.scene.gpus.len() => Rule::Unplugged,
            Fact::Disconnected { .. } => Rule::Disconnected,
            Fact::Rejoined(_) => Rule::Rejoined,
            Fact::Looked { .. } => Rule::Looked,
            Fact::Undelivered { .. } => Rule::Untold,
            Fact::Renewed {
                operation: Some(_), ..
            } => Rule::Loaded,
            Fact::Renewed { .. } => Rule::Renewed,
            Fact::Started { .. } if !self.ledger.asked.is_empty() => Rule::Restarted,
            _ => return,
        };
        self.ledger.fired.saw(rule);
    }

    fn asked(&self, id: &RequestId) -> Option<&Asked> {
        self.ledger.asked.iter().find(|asked| asked.id == *id)
    }

    /// What a grant gives, beside what is held.
    fn judge_lease(&mut self, token: u64, gpus: u64) {
        let image = Arc::clone(&self.ledger.image);
        for gpu in bits(gpus) {
            let draining = image.draining.iter().map(|drain| &*drain.lease);
            let on = image.leases.iter().chain(draining);
            let on = on.filter(|lease| lease.gpus >> gpu & 1 == 1);
            let sizes: Vec<Option<u64>> = on.map(|lease| lease.request.vram_mib).collect();
            let alone = sizes.len() <= 1 || !sizes.contains(&None);
            self.demand(Law::DoubleGrant, alone, || {
                format!("GPU {gpu} is held alone, beside another lease")
            });
            let shared: u64 = sizes.iter().copied().flatten().sum();
            let total = image.gpus.get(gpu).and_then(|(gpu, _)| gpu.vram_total_mib);
            let room = total.unwrap_or(0) - image.policy.vram_reserve_mib;
            self.demand(Law::DoubleGrant, shared <= room, || {
                format!("shares of {shared} MiB on GPU {gpu}, which has {room}")
            });
            if sizes.len() > 1 {
                self.ledger.fired.saw(Rule::Beside);
            }
        }
        let at_once = loads(&image);
        let most = self.scene.policy.model_loads_at_once as usize;
        self.demand(Law::OneLoad, at_once <= most, || {
            format!("{at_once} model loads")
        });
        let told = self.ledger.told_token;
        self.demand(Law::Tokens, token > told, || {
            format!("token {token} after {told}")
        });
        self.ledger.told_token = told.max(token);
    }

    /// Whether it is the one whose turn it is, and who is passed.
    fn judge_turn(
        &mut self,
        before: &Image,
        id: &RequestId,
        gpus: u64,
        passed: Option<&RequestId>,
    ) {
        let Some(who) = self.asked(id).map(|asked| asked.who) else {
            return self.breach(Law::Lost, || format!("{id} is granted and did not ask"));
        };
        let count = gpus.count_ones();
        self.demand(Law::AllOrNone, count == who.kind.count(), || {
            format!("{who} is given {count} GPUs")
        });
        let next = Oracle::new(before).next();
        let right =
            |next: &Next| next.request_id == *id && bits(gpus).eq(next.gpus.iter().copied());
        self.demand(Law::Turn, next.as_ref().is_some_and(right), || {
            format!("{who} is given {gpus:#b}, and next is {next:?}")
        });
        let Some(next) = next else { return };
        self.demand(Law::Passes, next.passed.as_ref() == passed, || {
            format!("{who} passes {:?}, said is {passed:?}", next.passed)
        });
        let fired = [
            (Rule::Turn, true),
            (Rule::Backfill, next.backfill),
            (Rule::Passed, passed.is_some()),
            (Rule::Overdue, next.overdue),
            (Rule::AllAtOnce, count > 1),
            (Rule::Load, who.kind == Kind::Load),
        ];
        for (rule, _) in fired.iter().filter(|(_, fired)| *fired) {
            self.ledger.fired.saw(*rule);
        }
    }

    /// Counts the grant against everyone else who waits for what it gave, whoever it is said to
    /// pass.
    fn count_bypass(&mut self, before: &Image, id: &RequestId, gpus: u64) {
        let oracle = Oracle::new(before);
        let granted = before.waiters.iter().find(|waiter| waiter.id == *id);
        let loads_model = |waiter: &Waiter| waiter.request.operation.is_model_load();
        let slot_free = loads(before) < self.scene.policy.model_loads_at_once as usize;
        let takes_slot = granted.is_some_and(loads_model);
        let mut starving = None;
        for waiter in &before.waiters {
            let mut asked = self.ledger.asked.iter_mut();
            let Some(asked) = asked.find(|asked| asked.id == waiter.id && *id != waiter.id) else {
                continue;
            };
            let load = loads_model(waiter);
            // Without the slot a model load can use no GPU whoever has it.
            let waits_for = waiter.is_connected() && (!load || slot_free);
            let usable = oracle.usable(waiter);
            let uses = !usable.is_empty()
                && (load && takes_slot || bits(gpus).any(|gpu| usable.contains(&gpu)));
            if !waits_for || !uses {
                continue;
            }
            match asked.patience.checked_sub(1) {
                Some(patience) => asked.patience = patience,
                None => starving = Some(asked.who),
            }
        }
        if let Some(who) = starving {
            self.breach(Law::Starving, || {
                format!("others were given what {who} waits for, once more than the bound")
            });
        }
    }

    /// A request is told to have ended.
    fn end(
        &mut self,
        id: Option<&RequestId>,
        token: Option<u64>,
        outcome: Outcome,
        has_reason: bool,
    ) {
        let position = id.and_then(|id| self.ledger.asked.iter().position(|asked| asked.id == *id));
        let Some(position) = position else {
            return self.breach(Law::Lost, || {
                format!("an end ({outcome:?}) of what does not live: {id:?}")
            });
        };
        let asked = self.ledger.asked.remove(position);
        self.demand(Law::Reason, has_reason, || {
            format!("{} is told that it is {outcome:?}", asked.who)
        });
        self.ledger.fired.saw(outcome.into());
        let who = asked.who;
        self.ledger.ended.push(Ended {
            who,
            token,
            outcome,
        });
    }

    fn is_about(&self, who: Who, id: &RequestId) -> bool {
        self.asked(id).is_some_and(|asked| asked.who == who)
    }

    /// Whether somebody may still be on its GPUs: it was taken from an owner, or one left somebody.
    fn drains(&self, lease: &Lease, outcome: Outcome) -> bool {
        let taken = match (outcome, self.action) {
            (Outcome::Forced | Outcome::Expired | Outcome::Reset, _) => true,
            (Outcome::Released | Outcome::Yielded, Action::Cancel(_)) => !lease.undelivered,
            (Outcome::Yielded, Action::Release(_)) => false,
            (Outcome::Yielded, _) | (Outcome::OwnerGone, Action::OwnerLeaves(_)) => true,
            _ => false,
        };
        taken && lease.owner.is_some() && self.scene.policy.drain_ms > 0
    }

    fn lease_may_end(&self, now_ms: u64, lease: &Lease, outcome: Outcome) -> bool {
        let about = |who: Who| self.is_about(who, &lease.request_id);
        let is_over = lease.deadline_ms <= now_ms;
        match (outcome, self.action) {
            (Outcome::Released, Action::Release(who) | Action::Cancel(who)) => {
                about(who) && lease.asked.is_none()
            }
            (Outcome::Yielded, Action::Release(who) | Action::Cancel(who)) if about(who) => {
                lease.asked.is_some()
            }
            (Outcome::Yielded, _) => {
                let rules = self.scene.policy.r#yield;
                let over = |ask: &Ask| ask.at_ms + rules.grace_ms <= now_ms;
                rules.mode == YieldMode::Take && lease.asked.as_ref().is_some_and(over)
            }
            (Outcome::OwnerGone, Action::OwnerGone(who) | Action::OwnerLeaves(who))
            | (Outcome::Forced, Action::Force(who)) => about(who),
            (Outcome::Forced, Action::ForceAll | Action::ClearAll) => true,
            (Outcome::Expired, _) => is_over && !lease.undelivered,
            (Outcome::Undelivered, Action::Undelivered(who)) => {
                about(who) && lease.request.id.is_none()
            }
            (Outcome::Undelivered, _) => is_over && lease.undelivered,
            (Outcome::Reset, Action::Reset) => lease.undelivered,
            (Outcome::Reset, Action::ResetGone(who)) => lease.undelivered || about(who),
            (Outcome::HostRestarted, Action::Reboot) => true,
            _ => false,
        }
    }

    fn waiter_may_end(&self, now_ms: u64, waiter: &Waiter, outcome: Outcome) -> bool {
        let about = |who: Who| self.is_about(who, &waiter.id);
        let posted_ms = self.asked(&waiter.id).map_or(u64::MAX, |asked| asked.at_ms);
        match (outcome, self.action) {
            (Outcome::Cancelled, Action::Cancel(who))
            | (Outcome::ClientGone, Action::OwnerGone(who) | Action::OwnerLeaves(who)) => {
                about(who)
            }
            (Outcome::TimedOut, _) => posted_ms.saturating_add(waiter.request.timeout_ms) <= now_ms,
            (Outcome::ClientGone, Action::Lose(who)) if waiter.request.id.is_none() => about(who),
            (Outcome::ClientGone, Action::Crash | Action::Reboot) => waiter.request.id.is_none(),
            (Outcome::ClientGone, _) => waiter.gone_at_ms.is_some_and(|at_ms| at_ms <= now_ms),
            (Outcome::Cleared, Action::ClearAll) => true,
            (Outcome::Impossible, Action::Unplug) => self
                .asked(&waiter.id)
                .is_some_and(|asked| asked.who.kind == Kind::Both),
            _ => false,
        }
    }
}
