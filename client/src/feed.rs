//! Following a broker: its state once, then every change, through broken connections and restarts.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use warden::StreamEvent;
use warden::wire::Status;

use crate::client::Client;
use crate::connect::Transport;
use crate::endpoint::Address;
use crate::error::Error;
use crate::follow::{Follower, Item};
use crate::sse::RawEvent;

/// How many items a [`Feed`] holds for a reader that is busy. One that stays busy is disconnected
/// by the broker and resumes from where it was.
const FEED_CAPACITY: usize = 1024;

/// What a follower is told, in order.
#[derive(Clone, Debug)]
pub enum FeedItem {
    /// A broker answered. Either a snapshot follows or, on a resume, the events since the last one
    /// that was seen: what was folded until now stands.
    Connected {
        /// Where it answered.
        address: Address,
        /// For how long nothing was heard of any before, with the 15 s that a broker may be silent;
        /// no time at the first one. The events since then, which follow, are as old as that.
        unheard: Duration,
    },
    /// The state of everything, as of its revision: whatever was folded before is void.
    Snapshot(Box<Status>),
    /// One change, with its revision: one more than the item before it.
    Event {
        /// The event's number.
        revision: u64,
        /// What changed; never a [`StreamEvent::Snapshot`].
        event: Box<StreamEvent>,
    },
    /// The broker is gone, or cannot be reached or understood. Said again only when the reason is
    /// another one; the stream goes on trying.
    Disconnected {
        /// Why.
        error: Error,
    },
}

/// The events of a broker, for ever: [`EventStream::next`] never ends.
#[derive(Debug)]
pub struct EventStream(Follower<FeedItem>);

impl EventStream {
    pub(crate) fn new(transport: Arc<Transport>) -> Self {
        Self(Follower::new(transport))
    }

    /// The next item. May be dropped and called again without losing any.
    pub async fn next(&mut self) -> FeedItem {
        self.0.next().await
    }
}

impl Item for FeedItem {
    const PATH: &'static str = "/v1/events";

    fn connected(address: Address, unheard: Duration) -> Self {
        Self::Connected { address, unheard }
    }

    fn disconnected(error: Error) -> Self {
        Self::Disconnected { error }
    }

    fn read(raw: &RawEvent, last: Option<u64>) -> Result<(u64, Self), String> {
        parse(raw, last)
    }
}

/// Reads one event and checks that it is the next one.
fn parse(raw: &RawEvent, last: Option<u64>) -> Result<(u64, FeedItem), String> {
    let name = &raw.name;
    let revision: u64 = raw
        .id
        .parse()
        .map_err(|_| format!("the id of a {name} event is no revision: {:?}", raw.id))?;
    let mut json = serde_json::Deserializer::from_slice(&raw.data);
    let event = StreamEvent::parse(name, &mut json)
        .map_err(|source| format!("event {revision} ({name}) cannot be read: {source}"))?
        .ok_or_else(|| format!("event {revision} is of a kind not known here: {name}"))?;
    let event = match event {
        StreamEvent::Snapshot(status) => return Ok((revision, FeedItem::Snapshot(status))),
        event => Box::new(event),
    };
    if last.is_none_or(|last| last.checked_add(1) != Some(revision)) {
        return Err(format!("event {revision} does not follow {last:?}"));
    }
    Ok((revision, FeedItem::Event { revision, event }))
}

/// An [`EventStream`] that runs by itself, and calls back whenever there is something to take.
/// Dropping it ends it.
#[derive(Debug)]
pub struct Feed {
    items: mpsc::Receiver<FeedItem>,
    task: AbortHandle,
}

impl Feed {
    /// Starts following in the current tokio runtime. `wake` is called from there after each item
    /// that was put in; it must be quick.
    #[must_use]
    pub fn spawn(client: &Client, wake: impl Fn() + Send + 'static) -> Self {
        let (put, items) = mpsc::channel(FEED_CAPACITY);
        let mut events = client.events();
        let task = tokio::spawn(async move {
            loop {
                let item = events.next().await;
                if put.send(item).await.is_err() {
                    return;
                }
                wake();
            }
        });
        Self {
            items,
            task: task.abort_handle(),
        }
    }

    /// The next item, if it is there already.
    pub fn try_next(&mut self) -> Option<FeedItem> {
        self.items.try_recv().ok()
    }

    /// The next item. None only when the runtime is shutting down.
    pub async fn next(&mut self) -> Option<FeedItem> {
        self.items.recv().await
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.task.abort();
    }
}
