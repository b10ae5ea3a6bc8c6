//! While the command runs: signals go to it, the lease is kept, and a lease that is lost ends it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, sleep_until};
use warden::stream::{EndedRow, Row};
use warden::wire::Outcome;
use warden::{LeaseId, StreamEvent};
use warden_client::{FeedItem, Lease, LeaseState, Refusal};

use crate::exit::Exit;
use crate::run::command::Child;
use crate::run::witness::Witness;
use crate::run::{Session, stop_self};

/// What a command whose lease is lost has between TERM and KILL: half of what the broker waits at
/// most before it grants the GPUs on (`drain_ms`, 10 s).
const GRACE: Duration = Duration::from_secs(5);

/// How the command ended, and how the lease did, where that was first.
#[derive(Debug)]
pub struct Ended {
    /// The command's own end.
    pub exit: Exit,
    /// The broker's word that the lease is over.
    pub lost: Option<Arc<Refusal>>,
}

impl Session<'_> {
    /// Watches until the command is over.
    pub(super) async fn supervise(
        &mut self,
        child: &Child,
        lease: &Lease,
        mut witness: Option<Witness>,
    ) -> io::Result<Ended> {
        let mut children = signal(SignalKind::child())?;
        let mut events = self.client.events();
        let mut standing = lease.watch();
        let mut lost = None;
        let mut kill_at: Option<Instant> = None;
        loop {
            // First, since what happened before SIGCHLD was listened to is in no stream.
            child.poll()?;
            if let Some(exit) = child.ended() {
                return Ok(Ended { exit, lost });
            }
            if child.take_stop() {
                // So that the shell that waits for us sees a stopped job, whoever stopped it.
                stop_self();
            }
            tokio::select! {
                _ = children.recv() => {}
                sent = self.signals.next() => {
                    child.poll()?;
                    // A continuation has not reached what is still stopped, whoever else got it.
                    let is_due = sent == Signal::CONT && child.is_stopped();
                    let is_due = is_due || !has_reached(child, witness.as_mut(), sent).await;
                    if is_due && !self.signals.is_undone(sent) {
                        child.signal(sent);
                    }
                }
                item = events.next(), if lost.is_none() => {
                    if may_have_ended(&item, &lease.granted().lease_id) {
                        lease.renew_now();
                    }
                }
                Ok(()) = standing.changed(), if lost.is_none() => {
                    lost = self.heed(&standing.borrow_and_update(), child);
                    kill_at = lost.is_some().then(|| Instant::now() + GRACE);
                }
                () = at(kill_at), if kill_at.is_some() => {
                    kill_at = None;
                    self.progress.say("the command did not end when asked; killing it");
                    child.signal(Signal::KILL);
                }
            }
        }
    }

    /// Tells of a change of the lease; asks the command to end where the lease is lost.
    fn heed(&mut self, state: &LeaseState, child: &Child) -> Option<Arc<Refusal>> {
        match state {
            LeaseState::Held => None,
            LeaseState::YieldAsked => {
                self.progress
                    .say("the broker asks to have the lease back soon");
                None
            }
            LeaseState::Lost(refusal) => {
                self.progress
                    .say(format_args!("{} Ending the command.", reason(refusal)));
                child.signal(Signal::TERM);
                // One that is stopped would not hear it.
                child.signal(Signal::CONT);
                Some(Arc::clone(refusal))
            }
        }
    }
}

/// Why the lease is over, for people.
pub fn reason(refusal: &Refusal) -> String {
    let outcome = refusal.outcome().map(Outcome::as_str);
    let outcome = outcome.map_or_else(String::new, |outcome| format!(" ({outcome})"));
    format!(
        "the lease was taken away{outcome}: {}",
        refusal.problem.detail
    )
}

async fn at(instant: Option<Instant>) {
    match instant {
        Some(instant) => sleep_until(instant).await,
        None => std::future::pending().await,
    }
}

/// Whether the command got this signal too, so that it must not get it again from us.
async fn has_reached(child: &Child, witness: Option<&mut Witness>, signal: Signal) -> bool {
    if !child.is_in_our_group() {
        return false;
    }
    match witness {
        Some(witness) => witness.saw(signal).await,
        None => comes_from_keys(signal) && is_foreground(),
    }
}

/// Without a witness this much is sure: what the terminal sends, it sends to all in front of it.
fn comes_from_keys(signal: Signal) -> bool {
    [Signal::INT, Signal::QUIT, Signal::TSTP, Signal::WINCH].contains(&signal)
}

fn is_foreground() -> bool {
    rustix::termios::tcgetpgrp(io::stdin()) == Ok(rustix::process::getpgrp())
}

/// Whether the broker should be asked about the lease now. Only its answer to the lease's holder
/// counts: the stream may be another broker's by now.
fn may_have_ended(item: &FeedItem, own: &LeaseId) -> bool {
    match item {
        FeedItem::Snapshot(status) => !status.leases.iter().any(|lease| lease.lease_id == *own),
        FeedItem::Event { event, .. } => match &**event {
            StreamEvent::Ended(EndedRow {
                row: Row::Lease(lease),
                ..
            }) => lease.lease_id == *own,
            _ => false,
        },
        FeedItem::Connected { .. } | FeedItem::Disconnected { .. } => false,
    }
}
