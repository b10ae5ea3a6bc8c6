//! Which requests and leases live with which process, and which processes are therefore watched.
//! Also those are that a lease was taken from whose GPUs drain.

use std::collections::{HashMap, HashSet};

use tokio::sync::mpsc::UnboundedSender;
use warden::event::Lease;
use warden::wire::Outcome;
use warden::{Arbiter, Caller, Change, Code, Event, Fact, Owner, Refusal, Request, RequestId};

use crate::engine::inbox::Joins;
use crate::owners::Watch;
use crate::{files, process};

/// So many processes stay watched that own nothing just now: whoever locks again and again is
/// not opened anew each time. Where few files may be open, it is an eighth of those that may be
/// watched.
const IDLE_WATCHED: usize = 256;

/// The index, and the line to the task that watches. That line is bounded by what it carries: a
/// message for a process that comes to own something, one when it owns nothing any more or ends,
/// and two for a lease that drains.
#[derive(Debug)]
pub(super) struct Owned {
    by_request: HashMap<RequestId, Owner>,
    by_owner: HashMap<Owner, HashSet<RequestId>>,
    /// Whose lease another process took over, as it may: what they have started under it is still to
    /// be ended with them.
    former: HashSet<Owner>,
    idle: usize,
    watcher: UnboundedSender<Watch>,
}

impl Owned {
    pub(super) fn new(watcher: UnboundedSender<Watch>) -> Self {
        Self {
            by_request: HashMap::new(),
            by_owner: HashMap::new(),
            former: HashSet::new(),
            idle: 0,
            watcher,
        }
    }

    /// Takes in what a fact says of owners.
    pub(super) fn note(&mut self, event: &Event, change: &Change) {
        match change {
            Change::Queued(waiter) => self.set(&waiter.id, waiter.owner),
            Change::LeaseEnded {
                lease,
                drains_until_ms,
                ..
            } => {
                self.remove(&lease.request_id);
                if drains_until_ms.is_some() {
                    self.drain(lease);
                }
            }
            Change::Drained(lease) => self.tell(Watch::Drained(lease.id())),
            Change::WaiterEnded { waiter, .. } => self.remove(&waiter.id),
            _ => {
                if let Fact::Attached(joined) | Fact::Rejoined(joined) = &event.fact
                    && joined.owner.is_some()
                {
                    let before = self.by_request.get(&joined.request_id).copied();
                    if matches!(change, Change::Adopted(_)) {
                        self.former
                            .extend(before.filter(|_| before != joined.owner));
                    }
                    self.set(&joined.request_id, joined.owner);
                }
            }
        }
    }

    /// A request lives with this process from here on.
    pub(super) fn set(&mut self, request_id: &RequestId, owner: Option<Owner>) {
        let Some(owner) = owner else {
            return;
        };
        if self.by_request.get(request_id) == Some(&owner) {
            return;
        }
        self.remove(request_id);
        self.by_request.insert(request_id.clone(), owner);
        match self.by_owner.entry(owner) {
            std::collections::hash_map::Entry::Occupied(mut requests) => {
                if requests.get().is_empty() {
                    self.idle -= 1;
                }
                requests.get_mut().insert(request_id.clone());
            }
            std::collections::hash_map::Entry::Vacant(entry) => {
                entry.insert(HashSet::from([request_id.clone()]));
                self.tell(Watch::Begin(owner));
            }
        }
    }

    /// A lease was taken from its owner, and its GPUs go to nobody while anything of it lives.
    pub(super) fn drain(&self, lease: &Lease) {
        if let Some(owner) = lease.owner {
            self.tell(Watch::Drain(lease.id(), owner));
        }
    }

    fn remove(&mut self, request_id: &RequestId) {
        let Some(owner) = self.by_request.remove(request_id) else {
            return;
        };
        let Some(requests) = self.by_owner.get_mut(&owner) else {
            return;
        };
        requests.remove(request_id);
        if requests.is_empty() {
            self.idle += 1;
            if self.idle > IDLE_WATCHED.min(files::most_watched() / 8) {
                self.sweep();
            }
        }
    }

    fn sweep(&mut self) {
        let watcher = &self.watcher;
        self.by_owner.retain(|owner, requests| {
            let is_needed = !requests.is_empty() || self.former.contains(owner);
            if !is_needed {
                // Nobody listens any more only where the broker is ending.
                let _ = watcher.send(Watch::End(*owner));
            }
            is_needed
        });
        self.idle = self.by_owner.values().filter(|all| all.is_empty()).count();
    }

    /// A process has ended. Where something lives with it, what it left is ended first.
    pub(super) fn ended(&mut self, owner: &Owner) {
        match self.by_owner.get(owner) {
            Some(requests) if requests.is_empty() && !self.former.contains(owner) => {
                self.gone(owner);
            }
            Some(_) => self.tell(Watch::Orphans(*owner)),
            None => {}
        }
    }

    /// A process is gone, and so are its orphans: what lived with it.
    pub(super) fn gone(&mut self, owner: &Owner) -> Vec<RequestId> {
        self.former.remove(owner);
        let Some(requests) = self.by_owner.remove(owner) else {
            return Vec::new();
        };
        if requests.is_empty() {
            self.idle -= 1;
        }
        for request_id in &requests {
            self.by_request.remove(request_id);
        }
        requests.into_iter().collect()
    }

    /// Why a lock may not become one with the request that has its id already: that is a lease whose
    /// owner has ended, and with it the lease does, though what that one left may be ending still; or
    /// its owner lives, and the lock is not to join another's.
    pub(super) fn why_not_joined(
        &self,
        arbiter: &Arbiter,
        request: &Request,
        caller: &Caller,
        joins: Joins,
    ) -> Option<Refusal> {
        let id = request.id.as_ref()?;
        // Its own process may always post again, and need not be looked at for it.
        let owner = self.by_request.get(id);
        let owner = owner.filter(|owner| request.owner != Some(**owner))?;
        let lease = arbiter.leases().find(|lease| lease.request_id == *id);
        let first = match lease {
            Some(lease) => &lease.request,
            None if joins == Joins::Own => &arbiter.waiter(id)?.request,
            None => return None,
        };
        if !caller.may_touch(&first.door) {
            return None;
        }
        match process::lives(owner) {
            false if lease.is_some() => Some(Refusal::request_ended(id, Outcome::OwnerGone)),
            true if joins == Joins::Own => {
                let detail = format!(
                    "Process {} has the request {id}. Take another id, or come back when that one \
                     has ended.",
                    owner.pid
                );
                Some(Refusal::new(Code::RequestConflict, detail))
            }
            _ => None,
        }
    }

    /// Every process that owns something.
    pub(super) fn owners(&self) -> impl Iterator<Item = &Owner> {
        let owning = self
            .by_owner
            .iter()
            .filter(|(_, requests)| !requests.is_empty());
        owning.map(|(owner, _)| owner)
    }

    fn tell(&self, watch: Watch) {
        let _ = self.watcher.send(watch);
    }
}
