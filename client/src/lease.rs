//! A lease that keeps itself alive, and says when it is asked for and when it is lost.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use warden::stream::{EndedRow, Row};
use warden::wire::{Ended, Granted, LeaseStatus, RenewBody};
use warden::{Code, LeaseId, StreamEvent};

use crate::client::Client;
use crate::error::{Error, Refusal};
use crate::feed::FeedItem;

/// How soon a renewal that did not reach the broker is tried again.
const RETRY: Duration = Duration::from_millis(500);
/// How often giving back is tried while the broker is away; after that the lease ends with its
/// owner's process or its ttl.
const RELEASE_ATTEMPTS: u32 = 3;

/// How a lease stands, as far as its holder can know.
#[derive(Clone, Debug)]
pub enum LeaseState {
    /// It is held.
    Held,
    /// It is held, and somebody more urgent waits for it: the holder is asked to give it back as
    /// soon as it can. An ask may be withdrawn, and made anew.
    YieldAsked,
    /// The broker has ended it: what ran on it must stop.
    Lost(Arc<Refusal>),
}

impl LeaseState {
    /// Whether the holder is asked to give it back.
    #[must_use]
    pub fn is_yield_asked(&self) -> bool {
        matches!(self, Self::YieldAsked)
    }
}

/// A granted lease: renewed at a third of its ttl in a task of its own, given back on
/// [`Lease::close`] or, as well as that can be done, when dropped.
#[derive(Debug)]
pub struct Lease {
    client: Client,
    granted: Granted,
    state: watch::Receiver<LeaseState>,
    wake: Arc<Notify>,
    renewals: JoinHandle<()>,
    /// Reads the events, where the holder wants to know at once.
    events: Option<JoinHandle<()>>,
    is_closed: bool,
}

impl Lease {
    /// Keeps what was granted. Must be called in a tokio runtime.
    #[must_use]
    pub fn keep(client: Client, granted: Granted) -> Self {
        let (report, state) = watch::channel(LeaseState::Held);
        let wake = Arc::new(Notify::new());
        let renewals = tokio::spawn(renew(
            client.clone(),
            granted.clone(),
            report,
            Arc::clone(&wake),
        ));
        Self {
            client,
            granted,
            state,
            wake,
            renewals,
            events: None,
            is_closed: false,
        }
    }

    /// What the broker granted.
    #[must_use]
    pub fn granted(&self) -> &Granted {
        &self.granted
    }

    /// How it stands now.
    #[must_use]
    pub fn state(&self) -> LeaseState {
        self.state.borrow().clone()
    }

    /// Changes of [`Lease::state`], for a caller that waits for more than one thing.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<LeaseState> {
        self.state.clone()
    }

    /// Waits until the broker has ended the lease; for ever where it does not.
    pub async fn lost(&self) -> Arc<Refusal> {
        let mut state = self.state.clone();
        loop {
            if let LeaseState::Lost(refusal) = &*state.borrow_and_update() {
                return Arc::clone(refusal);
            }
            if state.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Waits until the broker asks to have the lease back, or has ended it. Returns at once while
    /// an ask stands; one that was withdrawn before this looked is never seen.
    pub async fn asked(&self) -> LeaseState {
        let mut state = self.state.clone();
        loop {
            let now = state.borrow_and_update().clone();
            if !matches!(now, LeaseState::Held) {
                return now;
            }
            if state.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Asks the broker now rather than at the next renewal.
    pub fn renew_now(&self) {
        self.wake.notify_one();
    }

    /// Follows the broker's events from here on, so that an ask and a loss are known within a
    /// second rather than at the next renewal, a third of the ttl from now. Costs a connection.
    ///
    /// An event only has the broker asked at once: the stream may be another broker's by now, and
    /// nothing but the answer to its holder counts.
    pub fn follow_events(&mut self) {
        if self.events.is_none() {
            let events = follow(
                self.client.clone(),
                self.granted.lease_id.clone(),
                self.state.clone(),
                Arc::clone(&self.wake),
            );
            self.events = Some(tokio::spawn(events));
        }
    }

    /// Says what the holder does from here on: a model load that has loaded becomes `inference`
    /// and frees its slot.
    ///
    /// # Errors
    /// As [`Client::renew`].
    pub async fn set_operation(&self, operation: &str) -> Result<(), Error> {
        let mut body = renewal(&self.granted);
        body.operation = Some(operation.to_owned());
        self.client.renew(&body).await.map(|_| ())
    }

    /// Gives the lease back.
    ///
    /// # Errors
    /// `lease_ended` where it was over before; the broker away, in which case the lease ends with
    /// its owner's process or its ttl.
    pub async fn close(mut self) -> Result<Ended, Error> {
        self.is_closed = true;
        self.stop();
        release(&self.client, &self.granted).await
    }

    fn stop(&self) {
        self.renewals.abort();
        if let Some(events) = &self.events {
            events.abort();
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.stop();
        if self.is_closed || matches!(*self.state.borrow(), LeaseState::Lost(_)) {
            return;
        }
        // Without a runtime there is nobody to send it; the lease ends with its owner or its ttl.
        if let Ok(runtime) = Handle::try_current() {
            let (client, granted) = (self.client.clone(), self.granted.clone());
            runtime.spawn(async move {
                if let Err(error) = release(&client, &granted).await {
                    tracing::debug!(%error, lease = %granted.lease_id, "not given back");
                }
            });
        }
    }
}

fn renewal(granted: &Granted) -> RenewBody {
    RenewBody {
        lease_id: granted.lease_id.clone(),
        token: granted.token,
        operation: None,
    }
}

async fn release(client: &Client, granted: &Granted) -> Result<Ended, Error> {
    let mut attempt = 1;
    loop {
        match client.unlock(&granted.lease_id, granted.token).await {
            Err(error) if error.is_away() && attempt < RELEASE_ATTEMPTS => {
                tokio::time::sleep(RETRY / 4 * attempt).await;
                attempt += 1;
            }
            answer => return answer,
        }
    }
}

/// Renews until the broker says that the lease is over. Nothing else ends it: not silence, not a
/// refusal of another kind.
async fn renew(
    client: Client,
    granted: Granted,
    report: watch::Sender<LeaseState>,
    wake: Arc<Notify>,
) {
    let body = renewal(&granted);
    let mut ttl = Duration::from_millis(granted.ttl_ms);
    let mut pause = ttl / 3;
    loop {
        // A wake-up only shortens the pause.
        let _ = timeout(pause, wake.notified()).await;
        pause = match client.renew(&body).await {
            Ok(renewed) => {
                ttl = Duration::from_millis(renewed.ttl_ms);
                let state = match renewed.yield_asked {
                    true => LeaseState::YieldAsked,
                    false => LeaseState::Held,
                };
                report.send_if_modified(|was| {
                    let is_other = was.is_yield_asked() != state.is_yield_asked();
                    *was = state;
                    is_other
                });
                ttl / 3
            }
            Err(Error::Problem(refusal)) if refusal.problem.code == Code::LeaseEnded => {
                report.send_replace(LeaseState::Lost(Arc::from(refusal)));
                return;
            }
            Err(error) => {
                tracing::debug!(%error, lease = %granted.lease_id, "not renewed");
                RETRY.min(ttl / 3)
            }
        };
    }
}

/// Has the broker asked whenever an event says otherwise than its last answer. Ends with the lease.
async fn follow(
    client: Client,
    lease_id: LeaseId,
    state: watch::Receiver<LeaseState>,
    wake: Arc<Notify>,
) {
    let mut events = client.events();
    loop {
        let item = events.next().await;
        let is_asked = match &*state.borrow() {
            LeaseState::Lost(_) => return,
            state => state.is_yield_asked(),
        };
        if is_news(&item, &lease_id, is_asked) {
            wake.notify_one();
        }
    }
}

/// Whether this says of a lease that it has ended, or is asked for where it was not.
fn is_news(item: &FeedItem, own: &LeaseId, is_asked: bool) -> bool {
    let is_own = |lease: &&LeaseStatus| lease.lease_id == *own;
    match item {
        FeedItem::Snapshot(status) => {
            let lease = status.leases.iter().find(is_own);
            lease.is_none_or(|lease| lease.yield_asked != is_asked)
        }
        FeedItem::Event { event, .. } => match &**event {
            StreamEvent::YieldAsked(lease) => is_own(&lease),
            StreamEvent::Ended(EndedRow {
                row: Row::Lease(lease),
                ..
            }) => is_own(&lease),
            _ => false,
        },
        FeedItem::Connected { .. } | FeedItem::Disconnected { .. } => false,
    }
}
