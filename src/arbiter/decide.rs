//! What a command comes to: here those about everything at once, and the table of all.

mod leases;
mod requests;

use std::collections::BTreeSet;

use super::queue::Seated;
use super::{Arbiter, Decision};
use crate::command::{Command, Now, Refusal, Reply, Start};
use crate::event::{Event, Fact, Lease};
use crate::gpu::{Gpu, MAX_GPUS};
use crate::id::LeaseId;
use crate::number::token_of;
use crate::policy::Policy;
use crate::request::{Request, RequestError};
use crate::wire::{ForcedAll, Outcome, WasReset};

/// Facts and an answer, or a refusal.
pub(super) type Verdict = Result<(Vec<Fact>, Reply), Refusal>;

fn done(facts: Vec<Fact>) -> Verdict {
    Ok((facts, Reply::Done))
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
            Command::Rejoin {
                request,
                caller,
                connection,
                refusal,
            } => {
                let id = request.id.as_ref();
                match id.and_then(|id| self.memory.request(id)) {
                    Some(_) => self.acquire(now, request, caller, *connection),
                    None => Err((**refusal).clone()),
                }
            }
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
            Command::Withdraw { request_id } => done(self.withdraw(request_id)),
            Command::OwnerGone {
                request_id,
                owner,
                remains,
            } => done(self.owner_gone(now, request_id, *owner, *remains)),
            Command::Drained { lease_id } => done(self.drained_by(lease_id)),
            Command::Reset { owner_gone } => Ok(self.reset(now, owner_gone)),
            Command::ForceRelease { lease_id } => self.force_release(now, lease_id),
            Command::ForceReleaseAll { clear_queue } => Ok(self.force_all(now, *clear_queue)),
            Command::ChangeGpus { gpus } => self.change_gpus(gpus),
            Command::ChangePolicy { policy } => done(self.change_policy(policy)),
            Command::CountRefused { refused } => done(vec![Fact::Refused {
                refused: refused.clone(),
            }]),
            Command::ShutDown if self.shutting_down => done(Vec::new()),
            Command::ShutDown => done(vec![Fact::ShutDown]),
            Command::Tick => done(self.next_due(now).map(|due| due.fact).into_iter().collect()),
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
            let restarted = Outcome::HostRestarted;
            facts.extend(self.leases().map(|lease| lease.ended(restarted)));
            let tokens = self.draining.keys();
            facts.extend(tokens.map(|&token| Fact::Drained { token }));
        }
        if start.host_restarted {
            // Whoever held what may have been lost is gone with it.
            facts.extend(self.doubt.map(|_| Fact::Trusted));
        }
        // Without an id of the client's a waiter was its connection, and that is gone.
        facts.extend(
            self.waiters_ended(|seated| match &seated.waiter.request.id {
                None => Some(Outcome::ClientGone),
                Some(_) => {
                    let request = &seated.waiter.request;
                    never_possible(request, &start.gpus)
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

    fn reset(&self, now: Now, owner_gone: &[LeaseId]) -> (Vec<Fact>, Reply) {
        let gone: BTreeSet<u64> = owner_gone.iter().filter_map(token_of).collect();
        let is_gone = |lease: &Lease| gone.contains(&lease.token);
        let leases = self.leases();
        let stale: Vec<&Lease> = leases
            .filter(|lease| lease.undelivered || is_gone(lease))
            .collect();
        // Of an owner that is gone something may still be there.
        let taken = |lease: &&Lease| self.taken(now, lease, Outcome::Reset);
        let mut facts: Vec<Fact> = stale.iter().map(taken).collect();
        facts.extend(self.doubt.map(|_| Fact::Trusted));
        let ended = stale.iter().map(|lease| lease.id()).collect();
        (facts, Reply::WasReset(WasReset { ended }))
    }

    fn force_all(&self, now: Now, clear_queue: bool) -> (Vec<Fact>, Reply) {
        // The waiters first, or they would be served with what the leases free.
        let cleared = if clear_queue {
            self.waiters_ended(|_| Some(Outcome::Cleared))
        } else {
            Vec::new()
        };
        let leases = self.leases();
        let forced = leases.map(|lease| self.taken(now, lease, Outcome::Forced));
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
        facts.extend(self.waiters_ended(|seated| never_possible(&seated.waiter.request, gpus)));
        done(facts)
    }

    /// Ends nothing, whatever the new rules are: they hold for what comes from here on, and for the
    /// order in which those who wait are served.
    fn change_policy(&self, policy: &Policy) -> Vec<Fact> {
        if *policy == self.policy {
            return Vec::new();
        }
        vec![Fact::PolicyChanged {
            policy: Box::new(policy.clone()),
        }]
    }
}

/// How a waiter ends that these GPUs can serve under no rules. The reserve is not looked at: a rule
/// can be changed back a moment later, and who was ended by a slip of it could not be.
fn never_possible(request: &Request, gpus: &[Gpu]) -> Option<Outcome> {
    let possible = request.check_possible(gpus, 0);
    possible.is_err().then_some(Outcome::Impossible)
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
