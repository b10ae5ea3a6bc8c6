//! Commands about one lease.

use super::Verdict;
use crate::arbiter::Arbiter;
use crate::command::{Caller, Now, Refusal, Reply};
use crate::event::{Fact, Lease};
use crate::id::LeaseId;
use crate::number::token_of;
use crate::problem::Code;
use crate::request::{Door, Operation, RequestError};
use crate::wire::{Ended, Outcome};

impl Arbiter {
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

    pub(super) fn renew(
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
            yield_asked: lease.asked.is_some(),
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

    pub(super) fn release(&self, now: Now, id: &LeaseId, token: u64, caller: &Caller) -> Verdict {
        let lease = self.held_by(id, token, caller)?;
        let outcome = lease.given_back();
        Ok((vec![lease.ended(outcome)], told(now, id, lease, outcome)))
    }

    pub(super) fn force_release(&self, now: Now, id: &LeaseId) -> Verdict {
        let lease = self.held(id, None)?;
        let outcome = Outcome::Forced;
        Ok((
            vec![self.taken(now, lease, outcome)],
            told(now, id, lease, outcome),
        ))
    }
}

fn told(now: Now, id: &LeaseId, lease: &Lease, outcome: Outcome) -> Reply {
    let held_ms = now.clock_ms.saturating_sub(lease.granted.clock_ms);
    Reply::Ended(Ended {
        lease_id: id.clone(),
        outcome,
        held_ms,
    })
}

fn unknown_lease(id: &LeaseId) -> Refusal {
    Refusal::new(Code::UnknownLease, format!("There is no lease {id}."))
}
