//! Following a broker: its state once, then every change, through broken connections and restarts.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until, timeout};
use warden::StreamEvent;
use warden::wire::Status;

use crate::client::{Client, MAX_ANSWER, refusal};
use crate::connect::{Call, Transport};
use crate::endpoint::Address;
use crate::error::Error;
use crate::sse::{Decoder, RawEvent};

/// The broker sends a comment every 15 s; a line that is silent for longer is dead.
const SILENCE: Duration = Duration::from_secs(40);
/// How long an answer to the first request may take.
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);
/// The first and the longest pause between two attempts to connect.
const RETRY_FIRST: Duration = Duration::from_millis(50);
const RETRY_MOST: Duration = Duration::from_secs(1);
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
pub struct EventStream {
    transport: Arc<Transport>,
    line: Option<Line>,
    /// Decoded and not yet taken; no more than one chunk of the connection holds.
    ready: VecDeque<FeedItem>,
    last_revision: Option<u64>,
    last_complaint: Option<String>,
    retry_at: Instant,
    pause: Duration,
}

#[derive(Debug)]
struct Line {
    address: Address,
    body: Incoming,
    decoder: Decoder,
}

impl EventStream {
    pub(crate) fn new(transport: Arc<Transport>) -> Self {
        Self {
            transport,
            line: None,
            ready: VecDeque::new(),
            last_revision: None,
            last_complaint: None,
            retry_at: Instant::now(),
            pause: RETRY_FIRST,
        }
    }

    /// The next item. May be dropped and called again without losing any.
    pub async fn next(&mut self) -> FeedItem {
        loop {
            if let Some(item) = self.ready.pop_front() {
                return item;
            }
            let advanced = match &mut self.line {
                Some(line) => match line.read().await {
                    Ok(events) => self.accept(events),
                    Err(error) => Err(error),
                },
                None => {
                    sleep_until(self.retry_at).await;
                    self.open().await
                }
            };
            if let Err(error) = advanced {
                self.line = None;
                self.retry_at = Instant::now() + self.pause;
                self.pause = (self.pause * 2).min(RETRY_MOST);
                let complaint = error.to_string();
                if self.last_complaint.as_ref() != Some(&complaint) {
                    self.last_complaint = Some(complaint);
                    self.ready.push_back(FeedItem::Disconnected { error });
                }
            }
        }
    }

    async fn open(&mut self) -> Result<(), Error> {
        let mut headers: Vec<(HeaderName, HeaderValue)> = vec![(
            header::ACCEPT,
            HeaderValue::from_static("text/event-stream"),
        )];
        if let Some(revision) = self.last_revision {
            headers.push((
                HeaderName::from_static("last-event-id"),
                HeaderValue::from(revision),
            ));
        }
        let call = Call {
            method: Method::GET,
            path: "/v1/events",
            body: None,
            headers,
        };
        let opening = timeout(OPEN_TIMEOUT, self.transport.send(&call, true));
        let (address, response) = opening.await.unwrap_or_else(|_| {
            Err(Error::Unreachable {
                address: self.transport.endpoint().to_string(),
                reason: format!("no answer within {} s", OPEN_TIMEOUT.as_secs()),
                was_connected: true,
            })
        })?;
        if response.status() != StatusCode::OK {
            return Err(refusal(&address, response).await);
        }
        self.last_complaint = None;
        self.ready.push_back(FeedItem::Connected {
            address: address.clone(),
        });
        self.line = Some(Line {
            address,
            body: response.into_body(),
            decoder: Decoder::new(MAX_ANSWER),
        });
        Ok(())
    }

    fn accept(&mut self, events: Vec<RawEvent>) -> Result<(), Error> {
        for raw in events {
            match parse(&raw, self.last_revision) {
                Ok((revision, item)) => {
                    self.last_revision = Some(revision);
                    self.pause = RETRY_FIRST;
                    self.ready.push_back(item);
                }
                Err(what) => {
                    // What was folded cannot be trusted any more: start from a snapshot.
                    self.last_revision = None;
                    let address = self.line.as_ref().map(|line| line.address.to_string());
                    return Err(Error::Protocol {
                        address: address.unwrap_or_default(),
                        what,
                    });
                }
            }
        }
        Ok(())
    }
}

impl Line {
    async fn read(&mut self) -> Result<Vec<RawEvent>, Error> {
        let broken = |reason: String| Error::Unreachable {
            address: self.address.to_string(),
            reason,
            was_connected: true,
        };
        let frame = match timeout(SILENCE, self.body.frame()).await {
            Ok(Some(Ok(frame))) => frame,
            Ok(Some(Err(source))) => return Err(broken(source.to_string())),
            Ok(None) => return Err(broken("the broker closed the event stream".to_owned())),
            Err(_) => return Err(broken(format!("silent for {} s", SILENCE.as_secs()))),
        };
        let mut events = Vec::new();
        if let Ok(bytes) = frame.into_data() {
            let fed = self.decoder.feed(&bytes, |event| events.push(event));
            fed.map_err(|_| Error::Protocol {
                address: self.address.to_string(),
                what: format!("an event of more than {MAX_ANSWER} bytes"),
            })?;
        }
        Ok(events)
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
