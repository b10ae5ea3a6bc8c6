//! What a command comes to.

use std::sync::Arc;

use super::apply::rejoin;
use super::memory::Whereabouts;
use super::queue::Seated;
use super::{Arbiter, Decision};
use crate::command::{Caller, Command, Connection, Now, Refusal, Reply, Start};
use crate::event::{Event, Fact, Joined, Lease};
use crate::gpu::{Gpu, MAX_GPUS};
use crate::id::{LeaseId, RequestId};
use crate::number::{self, token_of};
use crate::policy::Policy;
use crate::problem::Code;
use crate::request::{Door, Operation, Owner, Request, RequestError};
use crate::wire::{Ended, ForcedAll, Outcome, WasReset};

/// Facts and an answer, or a refusal.
pub(super) type Verdict = Result<(Vec<Fact>, Reply), Refusal>;

fn done(facts: Vec<Fact>) -> Verdict {
    Ok((facts, Reply::Done))
}

impl Caller {
    pub(super) fn may_touch(&self, door: &Door) -> bool {
        self.operator || self.door == *door
    }
}

impl Arbiter {
    /// Which facts follow from this command at this time. Changes nothing.
    #[must_use]
    pub fn decide(&self, now: Now, command: &Command) -> Decision {
        let (facts, answer) = match self.verdict(now, command) {
            Ok((facts, reply)) => (facts, Ok(reply)),
            Err(refusal) => (Vec::new(), Err(refusal)),
        };
        let events = facts
            .into_iter()
            .map(|fact| Event { at: now, fact })
            .collect();
        Decision { events, answer }
    }

    pub(super) fn verdict(&self, now: Now, command: &Command) -> Verdict {
        match command {
            Command::Start(start) => self.start(start),
            Command::Acquire {
                request,
                caller,
                connection,
            } => self.acquire(now, request, caller, *connection),
            Command::Look {
                request_id,
                caller,
                connection,
            } => self.look(now, request_id, caller, *connection),
            Command::ConnectionLost {
                request_id,
                connection,
            } => done(self.connection_lost(request_id, *connection)),
            Command::Undelivered {
                request_id,
                connection,
            } => done(self.undelivered(request_id, *connection)),
            Command::Renew {
                lease_id,
                token,
                operation,
                caller,
            } => self.renew(now, lease_id, *token, operation.as_deref(), caller),
            Command::Release {
                lease_id,
                token,
                caller,
            } => self.release(now, lease_id, *token, caller),
            Command::Cancel { request_id, caller } => self.cancel(now, request_id, caller),
            Command::OwnerGone { request_id, owner } => done(self.owner_gone(request_id, *owner)),
            Command::Reset { owner_gone } => Ok(self.reset(owner_gone)),
            Command::ForceRelease { lease_id } => self.force_release(now, lease_id),
            Command::ForceReleaseAll { clear_queue } => Ok(self.force_all(*clear_queue)),
            Command::ChangeGpus { gpus } => self.change_gpus(gpus),
            Command::ChangePolicy { policy } => done(self.change_policy(policy)),
            Command::CountRefused { refused } => done(vec![Fact::Refused {
                refused: refused.clone(),
            }]),
            Command::ShutDown if self.shutting_down => done(Vec::new()),
            Command::ShutDown => done(vec![Fact::ShutDown]),
            Command::Tick => done(self.next_due(now).into_iter().collect()),
        }
    }

    fn start(&self, start: &Start) -> Verdict {
        let mut facts = vec![Fact::Started {
            token_floor: start.token_floor,
            revision_floor: start.revision_floor,
        }];
        if *start.policy != self.policy {
            facts.push(Fact::PolicyChanged {
                policy: start.policy.clone(),
            });
        }
        if !self.devices.present_gpus().eq(&start.gpus) {
            check_gpus(&start.gpus)?;
            facts.push(Fact::GpusChanged {
                gpus: start.gpus.clone(),
            });
        }
        if start.host_restarted {
            let outcome = Outcome::HostRestarted;
            let tokens = self.leases.keys();
            facts.extend(tokens.map(|token| Fact::LeaseEnded {
                token: *token,
                outcome,
            }));
        }
        // Without an id of the client's a waiter was its connection, and that is gone.
        facts.extend(
            self.waiters_ended(|seated| match &seated.waiter.request.id {
                None => Some(Outcome::ClientGone),
                Some(_) => {
                    let request = &seated.waiter.request;
                    let possible = request.check_possible(&start.gpus, &start.policy);
                    possible.is_err().then_some(Outcome::Impossible)
                }
            }),
        );
        done(facts)
    }

    /// Ends of those for whom there is an outcome, by arrival.
    fn waiters_ended(&self, outcome: impl Fn(&Seated) -> Option<Outcome>) -> Vec<Fact> {
        let ends = self
            .queue
            .seats()
            .filter_map(|(seat, seated)| Some((seated.waiter.arrival, seat, outcome(seated)?)));
        let mut ends: Vec<_> = ends.collect();
        ends.sort_unstable_by_key(|(arrival, ..)| *arrival);
        let ends = ends.into_iter();
        ends.filter_map(|(_, seat, outcome)| self.waiter_ended(seat, outcome))
            .collect()
    }

    fn acquire(
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
                let seated = self.queue.seated(*seat);
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
                let lease = self.leases.get(token).ok_or_else(|| unknown_request(id))?;
                check_same(id, request, &lease.request, caller)?;
                let mut after = Lease::clone(lease);
                let joined = joined(id, request, connection);
                rejoin(now, &mut after, &joined);
                let seen = after.owner.map(|owner| owner.pid) != lease.owner.map(|owner| owner.pid);
                let fact = if seen { Fact::Rejoined } else { Fact::Attached };
                let grant = self.grant(now, &after);
                let reply = Reply::Granted {
                    grant,
                    superseded: lease.connection,
                };
                Ok((vec![fact(joined)], reply))
            }
            Some((id, Whereabouts::Ended(ended))) => {
                if !caller.may_touch(&ended.door) {
                    return Err(taken(id));
                }
                Err(request_ended(id, ended.outcome))
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
        let max_queue = self.policy.max_queue;
        if self.queue.len() >= max_queue {
            let detail = format!("The queue is full: {max_queue} wait already. Try again later.");
            return Err(Refusal::new(Code::QueueFull, detail));
        }
        let made = || number::request_id(self.next_token);
        let request_id = request.id.clone().unwrap_or_else(made);
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

    fn look(&self, now: Now, id: &RequestId, caller: &Caller, connection: Connection) -> Verdict {
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
            Whereabouts::Waiting(seat) => match self.queue.seated(*seat) {
                Some(seated) if !seated.waiter.wait => looked(),
                _ => Vec::new(),
            },
            Whereabouts::Leased(token) => match self.leases.get(token) {
                Some(lease) if lease.undelivered => looked(),
                _ => Vec::new(),
            },
            Whereabouts::Ended(_) => Vec::new(),
        };
        let view = self
            .request_view(now, id, whereabouts)
            .ok_or_else(|| unknown_request(id))?;
        Ok((facts, Reply::Request(Box::new(view))))
    }

    pub(super) fn door<'a>(&'a self, whereabouts: &'a Whereabouts) -> Option<&'a Door> {
        match whereabouts {
            Whereabouts::Waiting(seat) => Some(&self.queue.seated(*seat)?.waiter.request.door),
            Whereabouts::Leased(token) => Some(&self.leases.get(token)?.request.door),
            Whereabouts::Ended(ended) => Some(&ended.door),
        }
    }

    fn connection_lost(&self, id: &RequestId, connection: Connection) -> Vec<Fact> {
        let Some(Whereabouts::Waiting(seat)) = self.memory.request(id) else {
            return Vec::new();
        };
        let Some(seated) = self.queue.seated(*seat) else {
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
        self.waiter_ended(*seat, Outcome::ClientGone)
            .into_iter()
            .collect()
    }

    fn undelivered(&self, id: &RequestId, connection: Connection) -> Vec<Fact> {
        let Some(Whereabouts::Leased(token)) = self.memory.request(id) else {
            return Vec::new();
        };
        let Some(lease) = self.leases.get(token) else {
            return Vec::new();
        };
        if lease.connection != Some(connection) || lease.undelivered {
            return Vec::new();
        }
        let token = *token;
        if lease.request.id.is_some() {
            return vec![Fact::Undelivered { token }];
        }
        vec![Fact::LeaseEnded {
            token,
            outcome: Outcome::Undelivered,
        }]
    }

    /// A lease for its holder, or why there is none.
    fn held(&self, id: &LeaseId, caller: Option<&Caller>) -> Result<&Lease, Refusal> {
        let token = token_of(id).ok_or_else(|| unknown_lease(id))?;
        let may_touch = |door: &Door| caller.is_none_or(|caller| caller.may_touch(door));
        if let Some(lease) = self.leases.get(&token) {
            let may_touch = may_touch(&lease.request.door);
            return if may_touch {
                Ok(lease)
            } else {
                Err(unknown_lease(id))
            };
        }
        match self.memory.ended_lease(token) {
            Some(ended) if may_touch(&ended.door) => {
                let outcome = ended.outcome;
                let detail = format!("The lease {id} has ended: {}.", outcome.as_str());
                Err(Refusal {
                    outcome: Some(outcome),
                    ..Refusal::new(Code::LeaseEnded, detail)
                })
            }
            _ => Err(unknown_lease(id)),
        }
    }

    fn held_by(&self, id: &LeaseId, token: u64, caller: &Caller) -> Result<&Lease, Refusal> {
        let lease = self.held(id, Some(caller))?;
        if lease.token != token {
            let detail = format!("The fencing token of the lease {id} is not {token}.");
            return Err(Refusal::new(Code::StaleToken, detail));
        }
        Ok(lease)
    }

    fn renew(
        &self,
        now: Now,
        id: &LeaseId,
        token: u64,
        operation: Option<&str>,
        caller: &Caller,
    ) -> Verdict {
        let lease = self.held_by(id, token, caller)?;
        let operation = match operation {
            Some(name) if name != lease.operation.as_str() => Some(self.changed_operation(name)?),
            _ => None,
        };
        let ttl_ms = lease.request.ttl_ms;
        let reply = Reply::Renewed {
            lease_id: id.clone(),
            ttl_ms,
            expires_wall_ms: now.wall_ms.saturating_add(ttl_ms),
            yield_asked: false,
        };
        Ok((vec![Fact::Renewed { token, operation }], reply))
    }

    fn changed_operation(&self, name: &str) -> Result<Operation, RequestError> {
        let operation = Operation::parse(name, &self.policy)?;
        if operation.is_model_load() {
            let detail = "a lease cannot become a model load: its slot is queued for; ask for it \
                          with a request";
            return Err(RequestError::invalid("operation", detail));
        }
        Ok(operation)
    }

    fn release(&self, now: Now, id: &LeaseId, token: u64, caller: &Caller) -> Verdict {
        let lease = self.held_by(id, token, caller)?;
        Ok(ended(now, id, lease, Outcome::Released))
    }

    fn force_release(&self, now: Now, id: &LeaseId) -> Verdict {
        Ok(ended(now, id, self.held(id, None)?, Outcome::Forced))
    }

    fn cancel(&self, now: Now, id: &RequestId, caller: &Caller) -> Verdict {
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
                    .waiter_ended(*seat, Outcome::Cancelled)
                    .into_iter()
                    .collect();
                (
                    facts,
                    Reply::Request(Box::new(view.ended(Outcome::Cancelled))),
                )
            }
            Whereabouts::Leased(token) => {
                let outcome = Outcome::Released;
                let facts = vec![Fact::LeaseEnded {
                    token: *token,
                    outcome,
                }];
                (facts, Reply::Request(Box::new(view.ended(outcome))))
            }
            Whereabouts::Ended(_) => (Vec::new(), Reply::Request(Box::new(view))),
        })
    }

    fn owner_gone(&self, id: &RequestId, owner: Owner) -> Vec<Fact> {
        let gone = |current: Option<Owner>| current == Some(owner);
        match self.memory.request(id) {
            Some(Whereabouts::Waiting(seat)) => match self.queue.seated(*seat) {
                Some(seated) if gone(seated.waiter.owner) => self
                    .waiter_ended(*seat, Outcome::ClientGone)
                    .into_iter()
                    .collect(),
                _ => Vec::new(),
            },
            Some(Whereabouts::Leased(token)) => match self.leases.get(token) {
                Some(lease) if gone(lease.owner) => {
                    vec![Fact::LeaseEnded {
                        token: *token,
                        outcome: Outcome::OwnerGone,
                    }]
                }
                _ => Vec::new(),
            },
            _ => Vec::new(),
        }
    }

    fn reset(&self, owner_gone: &[LeaseId]) -> (Vec<Fact>, Reply) {
        let stale: Vec<&Lease> = {
            let gone: std::collections::BTreeSet<u64> =
                owner_gone.iter().filter_map(token_of).collect();
            let leases = self.leases();
            leases
                .filter(|lease| lease.undelivered || gone.contains(&lease.token))
                .collect()
        };
        let outcome = Outcome::Reset;
        let facts = stale
            .iter()
            .map(|lease| Fact::LeaseEnded {
                token: lease.token,
                outcome,
            })
            .collect();
        let ended = stale.iter().map(|lease| lease.id()).collect();
        (facts, Reply::WasReset(WasReset { ended }))
    }

    fn force_all(&self, clear_queue: bool) -> (Vec<Fact>, Reply) {
        // The waiters first, or they would be served with what the leases free.
        let cleared = if clear_queue {
            self.waiters_ended(|_| Some(Outcome::Cleared))
        } else {
            Vec::new()
        };
        let outcome = Outcome::Forced;
        let forced = self.leases.keys().map(|token| Fact::LeaseEnded {
            token: *token,
            outcome,
        });
        let reply = Reply::ForcedAll(ForcedAll {
            ended: self.leases().map(Lease::id).collect(),
            cleared: cleared
                .iter()
                .filter_map(|fact| match fact {
                    Fact::WaiterEnded { request_id, .. } => Some(request_id.clone()),
                    _ => None,
                })
                .collect(),
        });
        (cleared.iter().cloned().chain(forced).collect(), reply)
    }

    fn change_gpus(&self, gpus: &[Gpu]) -> Verdict {
        check_gpus(gpus)?;
        if self.devices.present_gpus().eq(gpus) {
            return done(Vec::new());
        }
        let mut facts = vec![Fact::GpusChanged {
            gpus: gpus.to_vec(),
        }];
        facts.extend(self.impossible(gpus, &self.policy));
        done(facts)
    }

    fn change_policy(&self, policy: &Policy) -> Vec<Fact> {
        if *policy == self.policy {
            return Vec::new();
        }
        let gpus: Vec<Gpu> = self.devices.present_gpus().cloned().collect();
        let mut facts = vec![Fact::PolicyChanged {
            policy: Box::new(policy.clone()),
        }];
        facts.extend(self.impossible(&gpus, policy));
        facts
    }

    fn impossible(&self, gpus: &[Gpu], policy: &Policy) -> Vec<Fact> {
        self.waiters_ended(|seated| {
            let possible = seated.waiter.request.check_possible(gpus, policy);
            possible.is_err().then_some(Outcome::Impossible)
        })
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

fn check_gpus(gpus: &[Gpu]) -> Result<(), Refusal> {
    if gpus.len() <= MAX_GPUS {
        return Ok(());
    }
    let detail = format!(
        "{} GPUs are more than the {MAX_GPUS} of one broker",
        gpus.len()
    );
    Err(RequestError::invalid("gpus", detail).into())
}

fn ended(now: Now, id: &LeaseId, lease: &Lease, outcome: Outcome) -> (Vec<Fact>, Reply) {
    let held_ms = now.clock_ms.saturating_sub(lease.granted.clock_ms);
    let reply = Reply::Ended(Ended {
        lease_id: id.clone(),
        outcome,
        held_ms,
    });
    (
        vec![Fact::LeaseEnded {
            token: lease.token,
            outcome,
        }],
        reply,
    )
}

fn taken(id: &RequestId) -> Refusal {
    let detail = format!("The request id {id} is taken. Take another one.");
    Refusal::new(Code::RequestConflict, detail)
}

fn request_ended(id: &RequestId, outcome: Outcome) -> Refusal {
    let detail = format!(
        "The request {id} has ended: {}. Take another id for a new request.",
        outcome.as_str()
    );
    Refusal {
        outcome: Some(outcome),
        ..Refusal::new(Code::RequestEnded, detail)
    }
}

fn unknown_request(id: &RequestId) -> Refusal {
    Refusal::new(Code::UnknownRequest, format!("There is no request {id}."))
}

fn unknown_lease(id: &LeaseId) -> Refusal {
    Refusal::new(Code::UnknownLease, format!("There is no lease {id}."))
}
