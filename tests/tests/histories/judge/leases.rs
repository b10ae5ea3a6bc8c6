//! Leases, as their holders knew them.

use std::collections::HashMap;

use warden::wire::{LockBody, Outcome};
use warden::{Code, GpuId, RequestId};

use super::faults::{Deadline, Faults, TICK, delay};
use super::{Law, Verdict};
use crate::record::{Answer, At, Call, ClientNo, History, MS, Ns, Op, Rules, Told};

/// An answer about a lease: when it was asked for, when it was there, and what it said.
#[derive(Clone, Copy, Debug)]
pub struct Said<T> {
    pub at: Ns,
    pub answered: Ns,
    pub what: T,
}

#[derive(Debug)]
pub struct Lease {
    pub told: Told,
    pub client: ClientNo,
    /// Its request was first posted no sooner.
    pub asked: Ns,
    /// Its holder knew of it no later.
    pub seen: Ns,
    pub share_mib: Option<u64>,
    pub loads: bool,
    /// It lives and dies with its holder's process.
    pub owned: bool,
    /// Answers by which it lived.
    pub lives: Vec<Said<()>>,
    renewals: Vec<Ns>,
    /// Answers by which it had ended; the call that ended it included.
    pub over: Vec<Said<Outcome>>,
    /// Its holder gave it back no sooner.
    pub left: Option<Ns>,
    /// Its owner's process ended no sooner.
    pub orphaned: Option<Ns>,
    /// It ends by time no sooner, as far as was known at the end of the history.
    pub sure_until: Ns,
}

#[derive(Debug)]
pub struct Leases {
    /// In order of tokens.
    pub all: Vec<Lease>,
}

/// What a lock asks for that matters here.
fn new_lease(told: &Told, body: &LockBody, client: ClientNo, asked: Ns, seen: Ns) -> Lease {
    Lease {
        told: told.clone(),
        client,
        asked,
        seen,
        share_mib: body.vram_mib,
        loads: body.operation.as_deref() == Some("model_load"),
        owned: body.pid.is_some(),
        lives: Vec::new(),
        renewals: Vec::new(),
        over: Vec::new(),
        left: None,
        orphaned: None,
        sure_until: 0,
    }
}

/// While leases are gathered.
struct Gathering<'a> {
    /// The first post of each request that its client named.
    posts: HashMap<&'a RequestId, (Ns, &'a LockBody)>,
    by_token: HashMap<u64, Lease>,
    by_request: HashMap<&'a RequestId, u64>,
}

impl Leases {
    pub fn gather(history: &History, faults: &Faults, verdict: &mut Verdict) -> Self {
        let mut gathering = Gathering {
            posts: HashMap::new(),
            by_token: HashMap::new(),
            by_request: HashMap::new(),
        };
        for op in &history.ops {
            gathering.note_post(op);
        }
        for op in &history.ops {
            gathering.note_grant(op, verdict);
        }
        for op in &history.ops {
            gathering.note_use(op, faults, verdict);
        }
        let mut all: Vec<Lease> = gathering.by_token.into_values().collect();
        all.sort_by_key(|lease| lease.told.token);
        for lease in &mut all {
            lease.orphaned = faults.end_of(lease.client).filter(|_| lease.owned);
            lease.renewals.sort_unstable();
            lease.lives.sort_by_key(|said| said.at);
            lease.over.sort_by_key(|said| said.answered);
            lease.sure_until = lease.sure_until(faults, Ns::MAX);
        }
        Self { all }
    }

    /// What each was told of its end could be, and nothing was told of it after that.
    pub fn check_ends(&self, faults: &Faults, verdict: &mut Verdict) {
        for lease in &self.all {
            lease.check_end(faults, verdict);
        }
    }
}

impl<'a> Gathering<'a> {
    fn note_post(&mut self, op: &'a Op) {
        if let Call::Lock(body) = &op.call
            && let Some(id) = &body.request_id
        {
            let first = self.posts.entry(id).or_insert((op.at, &**body));
            first.0 = first.0.min(op.at);
        }
    }

    fn note_grant(&mut self, op: &'a Op, verdict: &mut Verdict) {
        let Some((answered, Answer::Granted(told))) = &op.answer else {
            return;
        };
        let (named, asked, body) = match (&op.call, self.posts.get(&told.request_id)) {
            (_, Some((asked, body))) => (true, *asked, *body),
            (Call::Lock(body), None) if body.request_id.is_none() => (false, op.at, &**body),
            _ => {
                let how = || format!("{told:?} was granted to nobody who asked");
                return verdict.demand(Law::Answer, false, how);
            }
        };
        if named {
            let token = *self
                .by_request
                .entry(&told.request_id)
                .or_insert(told.token);
            verdict.demand(Law::LostRequest, token == told.token, || {
                format!("one request became two leases: {told:?}, and one with token {token}")
            });
        }
        let before = self.by_token.contains_key(&told.token);
        let lease = || new_lease(told, body, op.client, asked, *answered);
        let known = self.by_token.entry(told.token).or_insert_with(lease);
        known.seen = known.seen.min(*answered);
        // Without a name of its client's a request is told of its lease once.
        let same = known.told == *told && (named || !before);
        verdict.demand(Law::Token, same, || {
            format!("one token for two leases: {:?} and {told:?}", known.told)
        });
        known.lives.push(Said {
            at: op.at,
            answered: *answered,
            what: (),
        });
    }

    /// The lease that a call is about, if its client ever knew of it.
    fn of_call(&mut self, op: &Op) -> Option<&mut Lease> {
        let token = match &op.call {
            Call::Renew { token, .. } | Call::Unlock { token, .. } => *token,
            Call::Cancel(id) | Call::Look(id) => *self.by_request.get(id)?,
            Call::Lock(body) => *self.by_request.get(body.request_id.as_ref()?)?,
        };
        self.by_token.get_mut(&token)
    }

    fn note_use(&mut self, op: &Op, faults: &Faults, verdict: &mut Verdict) {
        let Some(lease) = self.of_call(op) else {
            return;
        };
        if matches!(op.call, Call::Unlock { .. } | Call::Cancel(_)) {
            lease.left = Some(lease.left.map_or(op.at, |left| left.min(op.at)));
        }
        let Some((answered, answer)) = &op.answer else {
            return;
        };
        let (at, answered) = (op.at, *answered);
        match answer {
            Answer::Renewed => {
                lease.renewals.push(at);
                lease.lives.push(Said {
                    at,
                    answered,
                    what: (),
                });
            }
            Answer::Released(_) | Answer::LeaseEnded(_) | Answer::Ended(_)
                if faults.may_forget(at, answered) => {}
            Answer::Released(outcome) => {
                // It lived until then, and no two calls can both have ended it.
                let before = lease.over.iter().any(|said| said.answered < at);
                verdict.demand(Law::Reason, !before, || format!("{lease} ended twice"));
                lease.over.push(Said {
                    at,
                    answered,
                    what: *outcome,
                });
            }
            Answer::LeaseEnded(outcome) | Answer::Ended(outcome) => lease.over.push(Said {
                at,
                answered,
                what: *outcome,
            }),
            Answer::Refused(Code::UnknownLease | Code::StaleToken | Code::UnknownRequest) => {
                verdict.demand(Law::LostLease, false, || {
                    format!("{lease} is not known at {}: {answer:?}", At(answered))
                });
            }
            _ => {}
        }
    }
}

impl Lease {
    fn check_end(&self, faults: &Faults, verdict: &mut Verdict) {
        let Some(end) = self.over.first() else {
            return;
        };
        for said in &self.over {
            verdict.demand(Law::Reason, said.what == end.what, || {
                format!("{self} ended as {:?} and as {:?}", end.what, said.what)
            });
            verdict.demand(Law::Reason, self.could_be(faults, said), || {
                let sure_until = At(self.sure_until(faults, said.answered));
                let (what, at) = (said.what, At(said.answered));
                format!("{self} cannot be {what:?} at {at}; it was sure until {sure_until}")
            });
        }
        let late = self.lives.iter().find(|life| life.at > end.answered);
        verdict.demand(Law::Reason, late.is_none(), || {
            format!("{self} had ended at {} and lives again", At(end.answered))
        });
    }

    /// Whether a lease that its holder knew of can have ended so by then.
    fn could_be(&self, faults: &Faults, said: &Said<Outcome>) -> bool {
        let by = |instant: Option<Ns>| instant.is_some_and(|instant| instant <= said.answered);
        match said.what {
            Outcome::Released | Outcome::Yielded => by(self.left),
            Outcome::OwnerGone => by(self.orphaned),
            Outcome::Expired => self.sure_until(faults, said.answered) <= said.answered,
            // Nobody forced, reset or rebooted anything, and its answer was delivered.
            _ => false,
        }
    }

    /// The lease ends by time no sooner, as far as can be known at `now`. Its ttl runs on the
    /// broker's clock, which is never faster than ours, from its grant, which was no sooner than
    /// it had waited for, or from its last renewal.
    fn sure_until(&self, faults: &Faults, now: Ns) -> Ns {
        let ttl = self.told.ttl_ms * MS;
        let granted = self.asked + (self.told.waited_ms * MS).saturating_sub(TICK);
        let mut until = Deadline::new(granted + ttl - TICK);
        let mut renewals = self.renewals.iter().peekable();
        let known = faults
            .pauses
            .iter()
            .filter(|(at, _)| self.seen <= *at && *at < now);
        for (at, pause) in known {
            while let Some(renewed) = renewals.next_if(|renewed| *renewed < at) {
                until.renew(renewed + ttl - TICK);
            }
            until.pause(ttl, *at, *pause);
        }
        for renewed in renewals.filter(|renewed| **renewed < now) {
            until.renew(renewed + ttl - TICK);
        }
        until.at()
    }

    /// How it ended, where anybody ever heard.
    pub fn outcome(&self) -> Option<Outcome> {
        self.over.first().map(|said| said.what)
    }

    /// Between which instants it ended, where anybody ever heard that it did.
    pub fn ended(&self) -> Option<(Ns, Ns)> {
        let end = self.over.first()?;
        let from = match end.what {
            Outcome::Released | Outcome::Yielded => self.left,
            Outcome::OwnerGone => self.orphaned,
            _ => Some(self.sure_until),
        };
        let from = from.unwrap_or(end.answered).max(self.asked);
        Some((from.min(end.answered), end.answered))
    }

    /// Until when its holder may rely on it.
    pub fn relied_until(&self) -> Ns {
        [self.left, self.orphaned]
            .into_iter()
            .flatten()
            .fold(self.sure_until, Ns::min)
    }

    /// Until when nobody else may be on its GPUs: they are not granted on while a process that it
    /// was taken from may still use them.
    pub fn gpus_until(&self, faults: &Faults, rules: &Rules) -> Ns {
        let taken = self.owned && self.outcome() == Some(Outcome::Expired);
        if !taken {
            return self.relied_until();
        }
        let drained = self.sure_until + (rules.drain_ms * MS).saturating_sub(TICK);
        let pauses = faults.pauses.iter();
        let drained = pauses
            .filter(|(at, _)| self.sure_until <= *at)
            .fold(drained, |until, (at, pause)| delay(until, *at, *pause));
        self.orphaned
            .map_or(drained, |orphaned| drained.min(orphaned))
    }

    pub fn uses(&self, gpu: &GpuId) -> bool {
        self.told.gpu_ids.contains(gpu)
    }
}

impl std::fmt::Display for Lease {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "lease {} of client {} (request {}, GPUs {:?}, seen at {})",
            self.told.token,
            self.client,
            self.told.request_id,
            self.told.gpu_ids,
            At(self.seen)
        )
    }
}
