//! What facts cause, held back until they are in the journal: answers to connections, and events
//! for the stream.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use tokio::sync::oneshot;
use warden::event::Waiter;
use warden::wire::Outcome;
use warden::{
    Arbiter, Change, Code, Connection, Event, LeaseId, Now, Policy, Reply, Request, RequestId,
};

use crate::clock::rfc3339;
use crate::disk::journal::Journal;
use crate::engine::Delivery;
use crate::engine::inbox::{Answer, Answered, Inbox};
use crate::engine::owned::Owned;
use crate::http::answer::{Extra, Failure};
use crate::stream::Told;

/// A connection that waits for its answer.
#[derive(Debug)]
struct Waiting {
    to: oneshot::Sender<Answer>,
    /// Known once the request is queued.
    request_id: Option<RequestId>,
    /// It wants the grant; else its place in the queue will do.
    wait: bool,
}

/// A grant to somebody who waited, which is not in the journal yet.
#[derive(Debug)]
struct Held {
    to: oneshot::Sender<Answer>,
    waited: Waited,
}

#[derive(Debug)]
struct Waited {
    answered: Answered,
    token: u64,
    /// Whoever waits does so no longer, on the broker's clock.
    times_out_at_ms: u64,
}

/// What the engine has to say, and to whom.
#[derive(Debug)]
pub(super) struct Outbox {
    pub(super) journal: Journal,
    pub(super) owned: Owned,
    inbox: Arc<Inbox>,
    waiting: HashMap<Connection, Waiting>,
    answers: Vec<(oneshot::Sender<Answer>, Answer)>,
    told: Vec<Told>,
    /// Those who came into the queue since the last commit.
    newcomers: Vec<Arc<Waiter>>,
    /// Grants that are told once the journal can be written again.
    held: Vec<Held>,
    /// Rules that hold as soon as that is committed.
    policy: Option<Arc<Policy>>,
    /// And other GPUs.
    other_gpus: bool,
}

impl Outbox {
    pub(super) fn new(journal: Journal, owned: Owned, inbox: Arc<Inbox>) -> Self {
        Self {
            journal,
            owned,
            inbox,
            waiting: HashMap::new(),
            answers: Vec::new(),
            told: Vec::new(),
            newcomers: Vec::new(),
            held: Vec::new(),
            policy: None,
            other_gpus: false,
        }
    }

    /// A fact was decided and applied: it goes to the journal now, and what it causes is kept.
    pub(super) fn saw(&mut self, now: Now, arbiter: &Arbiter, event: &Event, change: &Change) {
        self.journal.append(event);
        self.owned.note(event, change);
        match change {
            Change::Granted { lease, .. } => {
                let waits = |connection: &Connection| {
                    let waiting = self.waiting.get(connection);
                    waiting.is_some_and(|waiting| waiting.wait)
                };
                if let Some(connection) = lease.connection.filter(waits) {
                    let grant = arbiter.grant(now, lease);
                    self.grant(connection, grant);
                }
            }
            Change::WaiterEnded {
                waiter,
                outcome,
                place,
                holders,
            } => {
                if let Some(connection) = waiter.connection {
                    let failure = ended(&waiter.request, *outcome, *place, holders);
                    self.fail(connection, failure);
                }
            }
            Change::Queued(waiter) => self.newcomers.push(Arc::clone(waiter)),
            Change::LeaseEnded { lease, outcome, .. } if !self.held.is_empty() => {
                self.let_go(lease.token, *outcome);
            }
            Change::GpusChanged => self.other_gpus = true,
            Change::PolicyChanged => self.policy = Some(Arc::new(arbiter.policy().clone())),
            _ => {}
        }
        if let Some(event) = arbiter.stream_event(now, change, &rfc3339) {
            self.told
                .push(Told::new(arbiter.revision(), now.clock_ms, event));
        }
    }

    /// Other rules, once what they rest on is committed.
    pub(super) fn new_policy(&mut self) -> Option<Arc<Policy>> {
        self.policy.take()
    }

    /// Whether there are other GPUs since this was last asked.
    pub(super) fn has_other_gpus(&mut self) -> bool {
        std::mem::take(&mut self.other_gpus)
    }

    /// A connection waits from here on.
    pub(super) fn wait(
        &mut self,
        connection: Connection,
        request: &Request,
        to: oneshot::Sender<Answer>,
    ) {
        self.waiting.insert(
            connection,
            Waiting {
                to,
                request_id: request.id.clone(),
                wait: request.wait,
            },
        );
    }

    /// The request that a waiting connection waits for has a name now.
    pub(super) fn name(&mut self, connection: Connection, request_id: RequestId) {
        if let Some(waiting) = self.waiting.get_mut(&connection) {
            waiting.request_id = Some(request_id);
        }
    }

    /// A connection that waits no more, with what it waited for where that is known.
    pub(super) fn leave(
        &mut self,
        connection: Connection,
    ) -> Option<(oneshot::Sender<Answer>, Option<RequestId>)> {
        let waiting = self.waiting.remove(&connection)?;
        Some((waiting.to, waiting.request_id))
    }

    /// A waiting connection gets its lease.
    pub(super) fn grant(&mut self, connection: Connection, grant: warden::Grant) {
        if let Some(waiting) = self.waiting.remove(&connection) {
            let delivery = self.delivery(grant.request_id.clone(), connection);
            let reply = Reply::Granted {
                grant,
                superseded: None,
            };
            self.answer(waiting.to, reply, Some(delivery));
        }
    }

    /// A waiting connection is told why it gets nothing.
    pub(super) fn fail(&mut self, connection: Connection, failure: Failure) {
        if let Some(waiting) = self.waiting.remove(&connection) {
            self.answers.push((waiting.to, Err(failure)));
        }
    }

    /// Every waiting connection is told the same.
    pub(super) fn fail_all(&mut self, failure: &Failure) {
        let waiting = self.waiting.drain().map(|(_, waiting)| waiting.to);
        // Whoever is told so does not get its grant: dropping it says that it was not delivered.
        let held = self.held.drain(..).map(|held| held.to);
        let answers = waiting.chain(held).map(|to| (to, Err(failure.clone())));
        self.answers.extend(answers);
    }

    /// An answer, told once what it rests on is committed.
    pub(super) fn answer(
        &mut self,
        to: oneshot::Sender<Answer>,
        reply: Reply,
        delivery: Option<Delivery>,
    ) {
        self.answers.push((to, Ok(Answered { reply, delivery })));
    }

    /// A refusal, told in turn with the answers.
    pub(super) fn refuse(&mut self, to: oneshot::Sender<Answer>, failure: Failure) {
        self.answers.push((to, Err(failure)));
    }

    pub(super) fn delivery(&self, request_id: RequestId, connection: Connection) -> Delivery {
        Delivery::new(Arc::clone(&self.inbox), request_id, connection)
    }

    /// Says what was held back. Whoever is not there any more to hear of a lease has its
    /// [`Delivery`] dropped, which tells the inbox.
    pub(super) fn send_answers(&mut self) {
        self.newcomers.clear();
        for (to, answer) in self.answers.drain(..) {
            drop(to.send(answer));
        }
    }

    /// What the stream is to tell.
    pub(super) fn told(&mut self) -> &mut Vec<Told> {
        &mut self.told
    }

    /// The journal cannot be written. Those who came since the last commit are refused: their
    /// requests, which are to be withdrawn. Whoever waited before and is granted something that is
    /// not in the journal goes on waiting.
    pub(super) fn take_back(
        &mut self,
        arbiter: &Arbiter,
        durable_token: u64,
        failure: &Failure,
    ) -> Vec<RequestId> {
        let newcomers = std::mem::take(&mut self.newcomers);
        let newcomers: HashSet<RequestId> =
            newcomers.iter().map(|waiter| waiter.id.clone()).collect();
        let is_new = |id: Option<&RequestId>| id.is_some_and(|id| newcomers.contains(id));
        let waiting = self.waiting.iter();
        let refused: Vec<Connection> = waiting
            .filter(|(_, waiting)| is_new(waiting.request_id.as_ref()))
            .map(|(connection, _)| *connection)
            .collect();
        for connection in refused {
            self.fail(connection, failure.clone());
        }
        for (_, answer) in &mut self.answers {
            if is_new(answer.as_ref().ok().and_then(stands_for)) {
                disown(answer, failure);
            }
        }
        for (_, answer) in &mut self.answers {
            // That it is told of is as little in the journal, and the next broker would take it for
            // undelivered. Here it is so too, since the delivery is dropped.
            let tells = answer.as_ref().is_ok_and(|told| told.delivery.is_some());
            if tells && is_granted_from(0, answer) && !is_granted_from(durable_token, answer) {
                *answer = Err(failure.clone());
            }
        }
        let (granted, others) = std::mem::take(&mut self.answers)
            .into_iter()
            .partition(|(_, answer)| is_granted_from(durable_token, answer));
        self.answers = others;
        for (to, answer) in granted {
            match answer
                .ok()
                .and_then(|answered| Waited::of(answered, arbiter))
            {
                Some(waited) => self.held.push(Held { to, waited }),
                None => self.refuse(to, failure.clone()),
            }
        }
        newcomers.into_iter().collect()
    }

    /// Nothing that was to be answered holds.
    pub(super) fn take_back_all(&mut self, failure: &Failure) {
        for (_, answer) in self.answers.iter_mut().filter(|(_, answer)| answer.is_ok()) {
            disown(answer, failure);
        }
    }

    /// While the journal cannot be written: says what may be said though it is not in the journal,
    /// and refuses what would hand over a lease that is not.
    pub(super) fn send_safe_answers(&mut self, now: Now, durable_token: u64, failure: &Failure) {
        for (_, answer) in &mut self.answers {
            if is_granted_from(durable_token, answer) {
                *answer = Err(failure.clone());
            }
        }
        let is_over = |held: &mut Held| held.waited.times_out_at_ms <= now.clock_ms;
        let over = self.held.extract_if(.., is_over);
        let over = over.map(|held| (held.to, Err(failure.clone())));
        self.answers.extend(over);
        self.send_answers();
    }

    /// The journal has everything again: grants that were held back are told.
    pub(super) fn release_held(&mut self) {
        let held = self.held.drain(..);
        let answers = held.map(|held| (held.to, Ok(held.waited.answered)));
        self.answers.extend(answers);
    }

    /// A lease has ended; if its grant was held back there is none to tell.
    fn let_go(&mut self, token: u64, outcome: Outcome) {
        let its = |held: &mut Held| held.waited.token == token;
        for held in self.held.extract_if(.., its) {
            let failure = Failure {
                code: Code::RequestEnded,
                detail:
                    "the request was granted, and ended before the broker could write that down"
                        .to_owned(),
                extra: Box::new(Extra {
                    outcome: Some(outcome),
                    ..Extra::default()
                }),
            };
            let mut answer = Ok(held.waited.answered);
            disown(&mut answer, &failure);
            self.answers.push((held.to, answer));
        }
    }

    /// Nothing since the last commit is durable: whoever was to hear otherwise, or still waits,
    /// is told.
    pub(super) fn disown(&mut self) {
        let failure = Failure::new(
            Code::JournalUnwritable,
            "the broker could not write its journal and ends; leases stay as they are",
        );
        self.told.clear();
        self.fail_all(&failure);
        for (_, answer) in &mut self.answers {
            disown(answer, &failure);
        }
        self.send_answers();
    }
}

impl Waited {
    /// Nothing where the answer grants nothing that anybody waited for.
    fn of(answered: Answered, arbiter: &Arbiter) -> Option<Self> {
        let Reply::Granted { grant, .. } = &answered.reply else {
            return None;
        };
        let lease = arbiter.lease(&grant.lease_id)?;
        let arrived_ms = lease.granted.clock_ms.saturating_sub(lease.waited_ms);
        Some(Self {
            token: grant.token,
            times_out_at_ms: arrived_ms.saturating_add(lease.request.timeout_ms),
            answered,
        })
    }
}

/// The live request that an answer tells of.
fn stands_for(answered: &Answered) -> Option<&RequestId> {
    match &answered.reply {
        Reply::Granted { grant, .. } => Some(&grant.request_id),
        Reply::Request(view) if view.state.outcome.is_none() => Some(&view.state.request_id),
        _ => None,
    }
}

/// Whether an answer hands over a lease with this token or a later one.
fn is_granted_from(token: u64, answer: &Answer) -> bool {
    let grant = match answer.as_ref().map(|answered| &answered.reply) {
        Ok(Reply::Granted { grant, .. }) => Some(grant),
        Ok(Reply::Request(view)) => view.grant.as_ref(),
        _ => None,
    };
    grant.is_some_and(|grant| grant.token >= token)
}

/// There is no lease behind this answer.
fn disown(answer: &mut Answer, failure: &Failure) {
    if let Ok(Answered {
        delivery: Some(delivery),
        ..
    }) = std::mem::replace(answer, Err(failure.clone()))
    {
        delivery.delivered();
    }
}

fn ended(request: &Request, outcome: Outcome, place: u64, holders: &[LeaseId]) -> Failure {
    if outcome == Outcome::TimedOut {
        let who = match holders {
            [] => String::new(),
            [one] => format!("; lease {one} holds what it could use"),
            [one, more @ ..] => {
                format!(
                    "; lease {one} and {} more hold what it could use",
                    more.len()
                )
            }
        };
        return Failure {
            code: Code::QueueTimeout,
            detail: format!(
                "not granted within {} ms; it stood at place {place}{who}",
                request.timeout_ms
            ),
            extra: Box::new(Extra {
                place: Some(place),
                holders: Some(holders.to_vec()),
                outcome: Some(outcome),
                ..Extra::default()
            }),
        };
    }
    let how = match outcome {
        Outcome::Cancelled => "it was cancelled",
        Outcome::Cleared => "an operator cleared the queue",
        Outcome::OwnerGone => "its owner's process is gone",
        Outcome::ClientGone => "nobody came back for it in time",
        Outcome::Impossible => "no GPU here can serve it any more",
        _ => "it ended",
    };
    Failure {
        code: Code::RequestEnded,
        detail: format!("the request left the queue: {how}"),
        extra: Box::new(Extra {
            outcome: Some(outcome),
            ..Extra::default()
        }),
    }
}
