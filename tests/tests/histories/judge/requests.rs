//! Requests, as those who posted them knew them.

use std::collections::HashMap;

use warden::wire::{LockBody, Outcome};
use warden::{Code, RequestId};

use super::faults::{Faults, TICK};
use super::leases::Said;
use super::{Law, Verdict};
use crate::record::{Answer, At, Call, ClientNo, History, MS, Ns, Op};

#[derive(Debug)]
pub struct Request<'a> {
    pub id: &'a RequestId,
    body: &'a LockBody,
    client: ClientNo,
    /// It was first posted no sooner.
    posted: Ns,
    /// A post of it may have been taken on.
    may_be_known: bool,
    /// A connection that it was posted on was not kept to the answer.
    broken: bool,
    /// Its client first closed such a connection itself.
    hung_up: Option<Ns>,
    /// When posts were told that a newer one gets the answer.
    superseded: Vec<Ns>,
    cancelled: Option<Ns>,
    /// It became a lease that its client knew of.
    leased: bool,
    /// Answers by which it had been taken on.
    known: Vec<Said<Option<Outcome>>>,
    /// Answers by which there was no such request.
    unknown: Vec<Said<()>>,
}

/// Requests that their clients named: of others nobody can ask.
#[derive(Debug)]
pub struct Requests<'a> {
    pub all: HashMap<&'a RequestId, Request<'a>>,
}

impl<'a> Requests<'a> {
    pub fn gather(history: &'a History, faults: &Faults) -> Self {
        let mut all: HashMap<&RequestId, Request> = HashMap::new();
        for op in &history.ops {
            if let Call::Lock(body) = &op.call
                && let Some(id) = &body.request_id
            {
                let request = all
                    .entry(id)
                    .or_insert_with(|| Request::new(id, body, op.client, op.at));
                request.posted = request.posted.min(op.at);
            }
        }
        for op in &history.ops {
            let id = match &op.call {
                Call::Lock(body) => body.request_id.as_ref(),
                Call::Cancel(id) | Call::Look(id) => Some(id),
                Call::Renew { .. } | Call::Unlock { .. } => None,
            };
            if let Some(request) = id.and_then(|id| all.get_mut(id)) {
                request.note(op, faults);
            }
        }
        Self { all }
    }

    pub fn check(&self, history: &History, faults: &Faults, verdict: &mut Verdict) {
        for request in self.all.values() {
            request.check_known(verdict);
            request.check_superseded(verdict);
            request.check_end(history, faults, verdict);
        }
    }
}

impl<'a> Request<'a> {
    fn new(id: &'a RequestId, body: &'a LockBody, client: ClientNo, posted: Ns) -> Self {
        Self {
            id,
            body,
            client,
            posted,
            may_be_known: false,
            broken: false,
            hung_up: None,
            superseded: Vec::new(),
            cancelled: None,
            leased: false,
            known: Vec::new(),
            unknown: Vec::new(),
        }
    }

    fn note(&mut self, op: &Op, faults: &Faults) {
        let answer = op.answer.as_ref().map(|(_, answer)| answer);
        match op.call {
            Call::Lock(_) => {
                // Who waits when the broker makes way is told to post again.
                let leaves = answer == Some(&Answer::Refused(Code::ShuttingDown));
                let untouched = matches!(answer, Some(Answer::NotSent | Answer::Refused(_)));
                self.may_be_known |= leaves || !untouched;
                let unwritable = answer == Some(&Answer::Refused(Code::JournalUnwritable));
                let lost = matches!(answer, None | Some(Answer::Lost | Answer::HungUp));
                self.broken |= lost || leaves || unwritable;
            }
            Call::Cancel(_) => {
                let first = self.cancelled.map_or(op.at, |first| first.min(op.at));
                self.cancelled = Some(first);
            }
            _ => {}
        }
        let Some((answered, answer)) = &op.answer else {
            return;
        };
        let (at, answered) = (op.at, *answered);
        let what = match answer {
            Answer::Granted(_) => {
                self.leased = true;
                None
            }
            Answer::Waiting => None,
            // Its client has left, and it may be back in the queue.
            Answer::Ended(_) if faults.may_forget(at, answered) => return self.broken = true,
            Answer::Ended(outcome) => Some(*outcome),
            Answer::HungUp => {
                let first = self.hung_up.map_or(answered, |first| first.min(answered));
                return self.hung_up = Some(first);
            }
            Answer::Refused(Code::Superseded) => return self.superseded.push(answered),
            Answer::Refused(Code::UnknownRequest) => {
                let what = ();
                return self.unknown.push(Said { at, answered, what });
            }
            _ => return,
        };
        self.known.push(Said { at, answered, what });
    }

    /// What was once known is never forgotten, and what was never posted is not known.
    fn check_known(&self, verdict: &mut Verdict) {
        let first = self.known.iter().map(|said| said.answered).min();
        let forgotten = |said: &&Said<()>| first.is_some_and(|first| first < said.at);
        if let Some(said) = self.unknown.iter().find(forgotten) {
            verdict.breach(Law::LostRequest, || {
                let forgotten = At(said.answered);
                format!("request {} was known, and at {forgotten} is not", self.id)
            });
        }
        let made_up = !self.may_be_known && !self.known.is_empty();
        verdict.demand(Law::LostRequest, !made_up, || {
            format!("request {} is known and never arrived", self.id)
        });
        // Everyone was asked after once nobody waited or held anything.
        let ended = self.known.iter().any(|said| said.what.is_some());
        verdict.demand(Law::LostRequest, ended || self.known.is_empty(), || {
            format!("request {} never ended", self.id)
        });
    }

    /// A client that waits on one connection at a time is superseded by nobody; but the broker may
    /// come to read a post whose connection was closed after the one that took its place.
    fn check_superseded(&self, verdict: &mut Verdict) {
        for at in &self.superseded {
            let may_be = self.hung_up.is_some_and(|hung_up| hung_up < *at);
            verdict.demand(Law::Answer, may_be, || {
                format!(
                    "request {} is superseded at {} by nothing",
                    self.id,
                    At(*at)
                )
            });
        }
    }

    fn check_end(&self, history: &History, faults: &Faults, verdict: &mut Verdict) {
        let ends = self
            .known
            .iter()
            .filter_map(|said| Some((said.answered, said.what?)));
        let Some((ended, outcome)) = ends.clone().min_by_key(|(answered, _)| *answered) else {
            return;
        };
        for (answered, other) in ends {
            verdict.demand(Law::LostRequest, outcome == other, || {
                format!("request {} ended as {outcome:?} and as {other:?}", self.id)
            });
            verdict.demand(
                Law::Reason,
                self.could_be(other, answered, history, faults),
                || {
                    format!(
                        "request {} cannot be {other:?} at {}",
                        self.id,
                        At(answered)
                    )
                },
            );
        }
        let alive = |said: &&Said<Option<Outcome>>| said.what.is_none() && said.at > ended;
        if let Some(late) = self.known.iter().find(alive) {
            verdict.breach(Law::LostRequest, || {
                let (ended, late) = (At(ended), At(late.answered));
                format!(
                    "request {} had ended at {ended}, and at {late} lives",
                    self.id
                )
            });
        }
    }

    /// Whether it can have ended so by then. The ends of leases that their holders knew of are
    /// judged with the lease.
    fn could_be(&self, outcome: Outcome, by: Ns, history: &History, faults: &Faults) -> bool {
        let wait = self.body.wait != Some(false);
        let after_ms = |ms: u64| self.posted + (ms * MS).saturating_sub(TICK) <= by;
        let killed = faults
            .end_of(self.client)
            .is_some_and(|killed| killed <= by);
        let cancelled = self.cancelled.is_some_and(|cancelled| cancelled <= by);
        let ttl_ms = self.body.ttl_ms.unwrap_or_default();
        match outcome {
            Outcome::TimedOut => !self.leased && after_ms(self.body.timeout_ms.unwrap_or_default()),
            Outcome::Cancelled => !self.leased && cancelled,
            Outcome::ClientGone => !self.leased && (self.broken || killed),
            _ if self.leased => true,
            Outcome::Released | Outcome::Yielded => cancelled,
            Outcome::OwnerGone => killed && self.body.pid.is_some(),
            // Its client, who never knew, cannot have renewed.
            Outcome::Expired => after_ms(ttl_ms) && (self.broken || !wait),
            Outcome::Undelivered => after_ms(history.rules.grace_ms) && (self.broken || !wait),
            // Nobody cleared the queue, forced, reset or rebooted anything.
            _ => false,
        }
    }
}
