//! One stream of server-sent events, for ever: through broken connections and restarts, resumed
//! after the last event that was seen.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::time::{Instant, sleep_until, timeout};

use crate::client::{MAX_ANSWER, refusal};
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

/// What a follower of a stream is told.
pub(crate) trait Item: Sized {
    /// Where the stream is.
    const PATH: &'static str;

    /// A broker answered, after nothing was heard of any for so long; no time at the first one.
    fn connected(address: Address, unheard: Duration) -> Self;

    /// It is gone.
    fn disconnected(error: Error) -> Self;

    /// Reads one event, with its number, and checks that it may follow the last one.
    ///
    /// # Errors
    /// Why it cannot be trusted, in words.
    fn read(raw: &RawEvent, last: Option<u64>) -> Result<(u64, Self), String>;
}

/// Follows one stream.
#[derive(Debug)]
pub(crate) struct Follower<T> {
    transport: Arc<Transport>,
    line: Option<Line>,
    /// Decoded and not yet taken; no more than one chunk of the connection holds.
    ready: VecDeque<T>,
    last: Option<u64>,
    /// When something came, were it a comment.
    heard: Option<Instant>,
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

impl<T: Item> Follower<T> {
    pub(crate) fn new(transport: Arc<Transport>) -> Self {
        Self {
            transport,
            line: None,
            ready: VecDeque::new(),
            last: None,
            heard: None,
            last_complaint: None,
            retry_at: Instant::now(),
            pause: RETRY_FIRST,
        }
    }

    /// The next item. May be dropped and called again without losing any.
    pub(crate) async fn next(&mut self) -> T {
        loop {
            if let Some(item) = self.ready.pop_front() {
                return item;
            }
            let advanced = match &mut self.line {
                Some(line) => match line.read().await {
                    Ok(events) => {
                        self.heard = Some(Instant::now());
                        self.accept(events)
                    }
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
                    self.ready.push_back(T::disconnected(error));
                }
            }
        }
    }

    async fn open(&mut self) -> Result<(), Error> {
        let mut headers: Vec<(HeaderName, HeaderValue)> = vec![(
            header::ACCEPT,
            HeaderValue::from_static("text/event-stream"),
        )];
        if let Some(last) = self.last {
            headers.push((
                HeaderName::from_static("last-event-id"),
                HeaderValue::from(last),
            ));
        }
        let call = Call {
            method: Method::GET,
            path: T::PATH,
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
        let unheard = self.heard.replace(Instant::now());
        let unheard = unheard.map_or(Duration::ZERO, |heard| heard.elapsed());
        self.ready.push_back(T::connected(address.clone(), unheard));
        self.line = Some(Line {
            address,
            body: response.into_body(),
            decoder: Decoder::new(MAX_ANSWER),
        });
        Ok(())
    }

    fn accept(&mut self, events: Vec<RawEvent>) -> Result<(), Error> {
        for raw in events {
            match T::read(&raw, self.last) {
                Ok((number, item)) => {
                    self.last = Some(number);
                    self.pause = RETRY_FIRST;
                    self.ready.push_back(item);
                }
                Err(what) => {
                    // What was folded cannot be trusted any more: start from a snapshot.
                    self.last = None;
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
