//! Watches the processes that leases live with, tells the engine when one is gone, and sees to what
//! it leaves.
//!
//! A pidfd becomes readable when its process ends. It names one process for good; so that it is
//! the right one, its start time is compared once it is open. When an owner has ended that still
//! had something, its orphans are ended before its leases are; and while a lease drains that was
//! taken from it, it and all that it started are watched until they are gone.

mod lookout;
mod remains;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::sleep;
use warden::{Command, LeaseId, Owner};

use self::lookout::Lookout;
use self::remains::Known;
use crate::engine::inbox::{Inbox, Input};
use crate::tree::Held;
use crate::{files, process, readiness};

/// How often a process is looked at that the kernel gives no pidfd for, or that there is no room for.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// What the engine tells the watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Watch {
    /// Something lives with this process.
    Begin(Owner),
    /// Nothing does any more.
    End(Owner),
    /// This process has ended and had something until then: its orphans are to be ended.
    Orphans(Owner),
    /// This lease was taken from its owner, and drains.
    Drain(LeaseId, Owner),
    /// It drains no more.
    Drained(LeaseId),
}

/// What a task of the watch came to.
enum Done {
    /// The process has ended.
    Ended(Owner),
    /// And its orphans have, but for those that are left.
    Orphans(Owner, Option<Known>),
    /// And everything that it started.
    AllGone(Owner),
}

/// Leases that were taken from one owner, and the task that waits until all of it is gone.
struct Drains {
    lease_ids: HashSet<LeaseId>,
    task: AbortHandle,
}

/// Everything that is watched.
struct Watches {
    lookout: Lookout,
    tasks: JoinSet<Done>,
    owners: HashMap<Owner, AbortHandle>,
    drains: HashMap<Owner, Drains>,
    /// What could not be ended of owners that are gone, until their GPUs drain.
    left: HashMap<Owner, Known>,
    inbox: Arc<Inbox>,
}

/// Watches until the engine is gone.
pub(crate) async fn watch(mut orders: UnboundedReceiver<Watch>, inbox: Arc<Inbox>) {
    let mut watches = Watches {
        lookout: Lookout::new(),
        tasks: JoinSet::new(),
        owners: HashMap::new(),
        drains: HashMap::new(),
        left: HashMap::new(),
        inbox,
    };
    loop {
        tokio::select! {
            order = orders.recv() => match order {
                Some(order) => watches.obey(order),
                None => return,
            },
            Some(done) = watches.tasks.join_next() => {
                if let Ok(done) = done {
                    watches.tell(done);
                }
            }
        }
    }
}

impl Watches {
    fn obey(&mut self, order: Watch) {
        let lookout = self.lookout.clone();
        match order {
            Watch::Begin(owner) => {
                let task = self.tasks.spawn(async move {
                    ended(owner).await;
                    Done::Ended(owner)
                });
                self.owners.insert(owner, task);
            }
            Watch::End(owner) => {
                if let Some(task) = self.owners.remove(&owner) {
                    task.abort();
                }
            }
            Watch::Orphans(owner) => {
                self.tasks.spawn(async move {
                    let left = remains::end_orphans(owner, &lookout).await;
                    Done::Orphans(owner, left)
                });
            }
            Watch::Drain(lease_id, owner) => {
                let tasks = &mut self.tasks;
                let left = self.left.remove(&owner).unwrap_or_default();
                let drains = self.drains.entry(owner).or_insert_with(|| Drains {
                    lease_ids: HashSet::new(),
                    task: tasks.spawn(async move {
                        remains::all_gone(owner, left, &lookout).await;
                        Done::AllGone(owner)
                    }),
                });
                drains.lease_ids.insert(lease_id);
            }
            Watch::Drained(lease_id) => self.drains.retain(|_, drains| {
                drains.lease_ids.remove(&lease_id);
                if drains.lease_ids.is_empty() {
                    drains.task.abort();
                }
                !drains.lease_ids.is_empty()
            }),
        }
    }

    fn tell(&mut self, done: Done) {
        match done {
            Done::Ended(owner) => {
                self.owners.remove(&owner);
                self.inbox.tell(Input::OwnerEnded(owner));
            }
            Done::Orphans(owner, left) => {
                let remains = left.is_some();
                if let Some(left) = left {
                    // Nothing may have drained for those before.
                    self.left.retain(|_, left| left.iter().any(is_there));
                    self.left.insert(owner, left);
                }
                self.inbox.tell(Input::OwnerGone { owner, remains });
            }
            Done::AllGone(owner) => {
                let drains = self.drains.remove(&owner);
                for lease_id in drains.into_iter().flat_map(|drains| drains.lease_ids) {
                    self.inbox.tell(Input::Tell(Command::Drained { lease_id }));
                }
            }
        }
    }
}

fn is_there((pid, start): &(u32, u64)) -> bool {
    process::lives(&Owner {
        pid: *pid,
        start: Some(*start),
    })
}

/// Returns once the process is gone.
async fn ended(owner: Owner) {
    let Some(_counted) = files::watch(owner) else {
        return poll(owner).await;
    };
    let held = Held::of_number(owner.pid).and_then(|held| match held {
        Some(held) => readiness::of(held.into_fd()).map(Some),
        None => Ok(None),
    });
    match held {
        Ok(Some(pidfd)) => {
            // Opened first, compared then: the number cannot change hands in between.
            if process::lives(&owner) && pidfd.readable().await.is_err() {
                poll(owner).await;
            }
        }
        Ok(None) => {}
        Err(error) => {
            tracing::warn!(%error, pid = owner.pid, "no pidfd can be watched");
            poll(owner).await;
        }
    }
}

async fn poll(owner: Owner) {
    while process::lives(&owner) {
        sleep(LOOK_EVERY).await;
    }
}
