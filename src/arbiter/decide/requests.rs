//! Commands about one request.

use std::sync::Arc;

use super::Verdict;
use crate::arbiter::Arbiter;
use crate::arbiter::apply::rejoin;
use crate::arbiter::memory::Whereabouts;
use crate::command::{Caller, Connection, Now, Refusal, Reply};
use crate::event::{Fact, Joined, Lease};
use crate::id::RequestId;
use crate::number;
use crate::problem::Code;
use crate::request::{Door, Owner, Request};
use crate::wire::Outcome;

impl Arbiter {
    pub(super) fn acquire(
        &self,
        now: Now,
        request: &Arc<Request>,
        caller: &Caller,
        connection: Connection,
    ) -> Verdict {
        let known = request
            .id
            .as_ref()
            .and_then(|id| Some((id, self.memory.request(id)?)));
        match known {
            None => self.queue_up(request, connection),
            Some((id, Whereabouts::Waiting(seat))) => {
                let seated = self.queue.seated(seat);
                let waiter = &seated.ok_or_else(|| unknown_request(id))?.waiter;
                self.check_open()?;
                check_same(id, request, &waiter.request, caller)?;
                let joined = joined(id, request, connection);
                let was_connected = waiter.is_connected();
                let fact = if was_connected {
                    Fact::Attached
                } else {
                    Fact::Rejoined
                };
                let superseded = waiter.connection.filter(|_| waiter.wait);
                Ok((
                    vec![fact(joined)],
                    Reply::Waiting {
                        request_id: id.clone(),
                        superseded,
                    },
                ))
            }
            Some((id, Whereabouts::Leased(token))) => {
                let lease = self.leases.get(&token).ok_or_else(|| unknown_request(id))?;
                check_same(id, request, &lease.request, caller)?;
                let mut after = Lease::clone(lease);
                let joined = joined(id, request, connection);
                rejoin(now, &mut after, &joined);
                let seen = after.owner.map(|owner| owner.pid) != lease.owner.map(|owner| owner.pid);
                if lease.undelivered || seen {
                    self.check_durable()?;
                }
                let fact = if seen { Fact::Rejoined } else { Fact::Attached };
                let grant = self.grant(now, &after);
                let reply = Reply::Granted {
                    grant,
                    superseded: lease.connection,
                };
                Ok((vec![fact(joined)], reply))
            }
            Some((id, Whereabouts::Ended(number))) => {
                let ended = self.memory.ended_request(number);
                let ended = ended.ok_or_else(|| unknown_request(id))?;
                if !caller.may_touch(&ended.door) {
                    return Err(taken(id));
                }
                Err(Refusal::request_ended(id, ended.outcome))
            }
        }
    }

    fn check_open(&self) -> Result<(), Refusal> {
        if !self.shutting_down {
            return Ok(());
        }
        let detail = "The broker is shutting down and grants nothing more. Post again later: a \
                      request with an id of the client's keeps its place.";
        Err(Refusal::new(Code::ShuttingDown, detail))
    }

    fn queue_up(&self, request: &Arc<Request>, connection: Connection) -> Verdict {
        self.check_open()?;
        self.check_durable()?;
        let max_queue = self.policy.max_queue;
        if self.queue.len() >= max_queue {
            let detail = format!("The queue is full: {max_queue} wait already. Try again later.");
            return Err(Refusal::new(Code::QueueFull, detail));
        }
        let request_id = request.id.clone().unwrap_or_else(|| self.made_id());
        let reply = Reply::Waiting {
            request_id: request_id.clone(),
            superseded: None,
        };
        let request = Arc::clone(request);
        Ok((
            vec![Fact::Queued {
                request_id,
                request,
                connection,
            }],
            reply,
        ))
    }

    /// The name of a request whose client gave none. A client may have taken the one that comes of
    /// its number: it can be foretold, and a broker that lost its data begins again at the first.
    fn made_id(&self) -> RequestId {
        let made = number::request_id(self.next_token);
        let beside = (2_u64..).map(|more| RequestId::from(format!("{made}-{more}")));
        let mut names = std::iter::once(made.clone()).chain(beside);
        let is_free = |id: &RequestId| self.memory.request(id).is_none();
        names.find(is_free).unwrap_or(made)
    }

    pub(super) fn look(
        &self,
        now: Now,
        id: &RequestId,
        caller: &Caller,
        connection: Connection,
    ) -> Verdict {
        let looked = || {
            vec![Fact::Looked {
                request_id: id.clone(),
                connection,
            }]
        };
        let whereabouts = self.memory.request(id).ok_or_else(|| unknown_request(id))?;
        let door = self.door(whereabouts).ok_or_else(|| unknown_request(id))?;
        if !caller.may_touch(door) {
            return Err(unknown_request(id));
        }
        let facts = match whereabouts {
            Whereabouts::Waiting(seat) => match self.queue.seated(seat) {
                Some(seated) if !seated.waiter.wait => looked(),
                _ => Vec::new(),
            },
            Whereabouts::Leased(token) => match self.leases.get(&token) {
                Some(lease) if lease.undelivered => {
                    // The next broker would not know that it was told, and end it with the grace.
                    self.check_durable()?;
                    looked()
                }
                _ => Vec::new(),
            },
            Whereabouts::Ended(_) => Vec::new(),
        };
        let view = self
            .request_view(now, id, whereabouts)
            .ok_or_else(|| unknown_request(id))?;
        Ok((facts, Reply::Request(Box::new(view))))
    }

    pub(in crate::arbiter) fn door(&self, whereabouts: Whereabouts) -> Option<&Door> {
        match whereabouts {
            Whereabouts::Waiting(seat) => Some(&self.queue.seated(seat)?.waiter.request.door),
            Whereabouts::Leased(token) => Some(&self.leases.get(&token)?.request.door),
            Whereabouts::Ended(number) => Some(&self.memory.ended_request(number)?.door),
        }
    }

    pub(super) fn connection_lost(&self, id: &RequestId, connection: Connection) -> Vec<Fact> {
        let Some(Whereabouts::Waiting(seat)) = self.memory.request(id) else {
            return Vec::new();
        };
        let Some(seated) = self.queue.seated(seat) else {
            return Vec::new();
        };
        let waiter = &seated.waiter;
        if !waiter.wait || waiter.connection != Some(connection) {
            return Vec::new();
        }
        if waiter.request.id.is_some() {
            return vec![Fact::Disconnected {
                request_id: id.clone(),
            }];
        }
        self.waiter_ended(seat, Outcome::ClientGone)
            .into_iter()
            .collect()
    }

    pub(super) fn undelivered(&self, id: &RequestId, connection: Connection) -> Vec<Fact> {
        let Some(Whereabouts::Leased(token)) = self.memory.request(id) else {
            return Vec::new();
        };
        let Some(lease) = self.leases.get(&token) else {
            return Vec::new();
        };
        if lease.connection != Some(connection) || lease.undelivered {
            return Vec::new();
        }
        if lease.request.id.is_some() {
            return vec![Fact::Undelivered { token }];
        }
        vec![lease.ended(Outcome::Undelivered)]
    }

    pub(super) fn cancel(&self, now: Now, id: &RequestId, caller: &Caller) -> Verdict {
        let whereabouts = self.memory.request(id).ok_or_else(|| unknown_request(id))?;
        let door = self.door(whereabouts).ok_or_else(|| unknown_request(id))?;
        if !caller.may_touch(door) {
            return Err(unknown_request(id));
        }
        let view = self.request_view(now, id, whereabouts);
        let view = view.ok_or_else(|| unknown_request(id))?;
        Ok(match whereabouts {
            Whereabouts::Waiting(seat) => {
                let facts = self
                    .waiter_ended(seat, Outcome::Cancelled)
                    .into_iter()
                    .collect();
                (
                    facts,
                    Reply::Request(Box::new(view.ended(Outcome::Cancelled))),
                )
            }
            Whereabouts::Leased(token) => {
                let lease = self.leases.get(&token).ok_or_else(|| unknown_request(id))?;
                let outcome = lease.given_back();
                // Without its token anybody of the same poster may ask for it; whoever holds it may
                // be at work.
                let ended = if lease.undelivered {
                    lease.ended(outcome)
                } else {
                    self.taken(now, lease, outcome)
                };
                let view = view.ended(outcome);
                (vec![ended], Reply::Request(Box::new(view)))
            }
            Whereabouts::Ended(_) => (Vec::new(), Reply::Request(Box::new(view))),
        })
    }

    /// It was told to nobody: whether it waits or was granted already makes no difference.
    pub(super) fn withdraw(&self, id: &RequestId) -> Vec<Fact> {
        match self.memory.request(id) {
            Some(Whereabouts::Waiting(_) | Whereabouts::Leased(_)) => vec![Fact::Withdrawn {
                request_id: id.clone(),
            }],
            _ => Vec::new(),
        }
    }

    pub(super) fn owner_gone(
        &self,
        now: Now,
        id: &RequestId,
        owner: Owner,
        remains: bool,
    ) -> Vec<Fact> {
        let gone = |current: Option<Owner>| current == Some(owner);
        match self.memory.request(id) {
            Some(Whereabouts::Waiting(seat)) => match self.queue.seated(seat) {
                Some(seated) if gone(seated.waiter.owner) => self
                    .waiter_ended(seat, Outcome::ClientGone)
                    .into_iter()
                    .collect(),
                _ => Vec::new(),
            },
            Some(Whereabouts::Leased(token)) => match self.leases.get(&token) {
                Some(lease) if gone(lease.owner) && remains => {
                    vec![self.taken(now, lease, Outcome::OwnerGone)]
                }
                Some(lease) if gone(lease.owner) => vec![lease.ended(Outcome::OwnerGone)],
                _ => Vec::new(),
            },
            _ => Vec::new(),
        }
    }
}

fn joined(id: &RequestId, request: &Request, connection: Connection) -> Joined {
    Joined {
        request_id: id.clone(),
        connection,
        wait: request.wait,
        owner: request.owner,
    }
}

fn check_same(
    id: &RequestId,
    again: &Request,
    first: &Request,
    caller: &Caller,
) -> Result<(), Refusal> {
    if !caller.may_touch(&first.door) {
        return Err(taken(id));
    }
    if again.fingerprint != first.fingerprint {
        let detail = format!(
            "The request id {id} stands for a request with other fields. Send the same fields \
             to join it, or take another id."
        );
        return Err(Refusal::new(Code::RequestConflict, detail));
    }
    Ok(())
}

fn taken(id: &RequestId) -> Refusal {
    let detail = format!("The request id {id} is taken. Take another one.");
    Refusal::new(Code::RequestConflict, detail)
}

fn unknown_request(id: &RequestId) -> Refusal {
    Refusal::new(Code::UnknownRequest, format!("There is no request {id}."))
}
