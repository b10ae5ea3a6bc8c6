//! Watches the processes that leases live with, and tells the engine when one is gone.
//!
//! A pidfd becomes readable when its process ends. It names one process for good; so that it is
//! the right one, its start time is compared once it is open.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, pidfd_open};
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::sleep;
use warden::Owner;

use crate::engine::inbox::{Inbox, Input};
use crate::{process, readiness};

/// How often a process is looked at that the kernel gives no pidfd for.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// What the engine tells the watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Watch {
    /// Something lives with this process.
    Begin(Owner),
    /// Nothing does any more.
    End(Owner),
}

/// Watches until the engine is gone.
pub(crate) async fn watch(mut orders: UnboundedReceiver<Watch>, inbox: Arc<Inbox>) {
    let mut watches: HashMap<Owner, AbortHandle> = HashMap::new();
    let mut tasks = JoinSet::new();
    loop {
        tokio::select! {
            order = orders.recv() => match order {
                Some(Watch::Begin(owner)) => {
                    watches.insert(owner, tasks.spawn(ended(owner)));
                }
                Some(Watch::End(owner)) => {
                    if let Some(task) = watches.remove(&owner) {
                        task.abort();
                    }
                }
                None => return,
            },
            Some(done) = tasks.join_next() => {
                if let Ok(owner) = done {
                    watches.remove(&owner);
                    inbox.tell(Input::OwnerGone(owner));
                }
            }
        }
    }
}

/// Returns once the process is gone.
async fn ended(owner: Owner) -> Owner {
    match open(owner) {
        Some(pidfd) => {
            // Opened first, compared then: the number cannot change hands in between.
            if process::lives(&owner) && pidfd.readable().await.is_err() {
                poll(owner).await;
            }
        }
        None => poll(owner).await,
    }
    owner
}

fn open(owner: Owner) -> Option<AsyncFd<OwnedFd>> {
    let pid = Pid::from_raw(i32::try_from(owner.pid).ok()?)?;
    let pidfd = pidfd_open(pid, PidfdFlags::NONBLOCK).ok()?;
    readiness::of(pidfd)
        .inspect_err(|error| tracing::warn!(%error, pid = owner.pid, "no pidfd can be watched"))
        .ok()
}

async fn poll(owner: Owner) {
    while process::lives(&owner) {
        sleep(LOOK_EVERY).await;
    }
}
