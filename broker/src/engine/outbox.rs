//! What facts cause, held back until they are in the journal: answers to connections, and events
//! for the stream.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::oneshot;
use warden::wire::Outcome;
use warden::{
    Arbiter, Change, Code, Connection, Event, LeaseId, Now, Policy, Reply, Request, RequestId,
};

use crate::clock::rfc3339;
use crate::disk::journal::{Journal, JournalError};
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

/// What the engine has to say, and to whom.
#[derive(Debug)]
pub(super) struct Outbox {
    pub(super) journal: Journal,
    pub(super) owned: Owned,
    inbox: Arc<Inbox>,
    waiting: HashMap<Connection, Waiting>,
    answers: Vec<(oneshot::Sender<Answer>, Answer)>,
    told: Vec<Told>,
    /// Rules that hold as soon as that is committed.
    policy: Option<Arc<Policy>>,
    failed: Option<JournalError>,
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
            policy: None,
            failed: None,
        }
    }

    /// A fact was decided and applied: it goes to the journal now, and what it causes is kept.
    pub(super) fn saw(&mut self, now: Now, arbiter: &Arbiter, event: &Event, change: &Change) {
        if self.failed.is_none()
            && let Err(error) = self.journal.append(event)
        {
            self.failed = Some(error);
        }
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
        let waiting = self.waiting.drain();
        let answers = waiting.map(|(_, waiting)| (waiting.to, Err(failure.clone())));
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

    /// Makes everything since the last commit durable.
    pub(super) fn commit(&mut self) -> Result<(), JournalError> {
        match self.failed.take() {
            Some(error) => Err(error),
            None => self.journal.commit(),
        }
    }

    /// Says what was held back. Whoever is not there any more to hear of a lease has its
    /// [`Delivery`] dropped, which tells the inbox.
    pub(super) fn send_answers(&mut self) {
        for (to, answer) in self.answers.drain(..) {
            drop(to.send(answer));
        }
    }

    /// What the stream is to tell.
    pub(super) fn told(&mut self) -> &mut Vec<Told> {
        &mut self.told
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
            if let Ok(Answered {
                delivery: Some(delivery),
                ..
            }) = std::mem::replace(answer, Err(failure.clone()))
            {
                // There is no lease behind it.
                delivery.delivered();
            }
        }
        self.send_answers();
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
