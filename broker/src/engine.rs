//! The engine, which owns the arbiter and the journal and is worked by one thread at a time, and
//! what leads to and from it.

pub(crate) mod inbox;
mod outage;
mod outbox;
mod owned;
mod settle;
mod turn;
mod workshop;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::oneshot;
use warden::{Command, Connection, RequestId, Snapshot};

use crate::engine::inbox::{Answer, Inbox, Input, Joins};
use crate::http::answer::Failure;

pub(crate) use turn::{Engine, Parts};
pub(crate) use workshop::Workshop;

/// The lease that an answer hands over. Dropped without [`Delivery::delivered`], it says that
/// nobody got it.
#[derive(Debug)]
pub(crate) struct Delivery {
    inbox: Option<Arc<Inbox>>,
    request_id: RequestId,
    connection: Connection,
}

impl Delivery {
    fn new(inbox: Arc<Inbox>, request_id: RequestId, connection: Connection) -> Self {
        Self {
            inbox: Some(inbox),
            request_id,
            connection,
        }
    }

    /// The answer was written whole to an open connection.
    pub(crate) fn delivered(mut self) {
        self.inbox = None;
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        if let Some(inbox) = self.inbox.take() {
            inbox.tell(Input::Tell(Command::Undelivered {
                request_id: self.request_id.clone(),
                connection: self.connection,
            }));
        }
    }
}

/// The routes' end of the engine.
#[derive(Clone, Debug)]
pub(crate) struct Desk {
    inbox: Arc<Inbox>,
    workshop: Arc<Workshop>,
    connections: Arc<AtomicU64>,
}

impl Desk {
    pub(crate) fn new(inbox: Arc<Inbox>, workshop: Arc<Workshop>) -> Self {
        Self {
            inbox,
            workshop,
            connections: Arc::new(AtomicU64::new(1)),
        }
    }

    /// The number of one more connection that waits for an answer.
    pub(crate) fn connection(&self) -> Connection {
        Connection(self.connections.fetch_add(1, Ordering::Relaxed))
    }

    fn put(&self, input: Input) -> Result<(), Failure> {
        self.inbox.offer(input)?;
        self.workshop.nudge();
        Ok(())
    }

    /// The whole state as it is now.
    pub(crate) async fn picture(&self) -> Result<Snapshot, Failure> {
        let (to, picture) = oneshot::channel();
        self.put(Input::Picture(to))?;
        picture.await.map_err(|_| Failure::shutting_down())
    }

    /// Has the journal made short, so that another program reads it soon. Refused where the journal
    /// cannot be written: what is not in it would be lost.
    pub(crate) async fn shorten(&self) -> Result<(), Failure> {
        let (to, done) = oneshot::channel();
        self.put(Input::Shorten(to))?;
        done.await.unwrap_or_else(|_| Err(Failure::shutting_down()))
    }

    /// Has the engine say nothing more that is not in the journal, since another program is about to
    /// go on from that. The inner error is why the journal cannot be written; then all goes on.
    pub(crate) async fn make_way(&self) -> Result<Result<(), String>, Failure> {
        let (to, ready) = oneshot::channel();
        self.put(Input::MakeWay(to))?;
        ready.await.map_err(|_| Failure::shutting_down())
    }

    /// Asks; who waits for the answer does so later.
    pub(crate) fn post(&self, command: Command) -> Result<oneshot::Receiver<Answer>, Failure> {
        let (to, answer) = oneshot::channel();
        self.put(Input::Ask { command, to })?;
        Ok(answer)
    }

    /// Asks, and waits for the answer.
    pub(crate) async fn ask(&self, command: Command) -> Answer {
        self.post(command)?
            .await
            .unwrap_or_else(|_| Err(Failure::shutting_down()))
    }

    /// Posts a reset, and waits for the answer.
    pub(crate) async fn reset(&self) -> Answer {
        let (to, answer) = oneshot::channel();
        self.put(Input::Reset { to })?;
        answer
            .await
            .unwrap_or_else(|_| Err(Failure::shutting_down()))
    }

    /// Posts a lock, which the rules may refuse, and waits for the grant, for the place in the queue, or for its end. Where
    /// this future is dropped before, the engine hears that the connection is gone.
    pub(crate) async fn lock(
        &self,
        request: Arc<warden::Request>,
        caller: warden::Caller,
        joins: Joins,
        refusal: Option<Box<warden::Refusal>>,
    ) -> Answer {
        let connection = self.connection();
        let (to, answer) = oneshot::channel();
        self.put(Input::Lock {
            request,
            caller,
            connection,
            joins,
            refusal,
            to,
        })?;
        let mut hung = Hung {
            inbox: Some(&self.inbox),
            connection,
        };
        let answer = answer.await;
        hung.inbox = None;
        answer.unwrap_or_else(|_| Err(Failure::shutting_down()))
    }
}

/// Tells the engine when a lock's future is dropped, as hyper does when the connection closes.
struct Hung<'a> {
    inbox: Option<&'a Inbox>,
    connection: Connection,
}

impl Drop for Hung<'_> {
    fn drop(&mut self) {
        if let Some(inbox) = self.inbox {
            inbox.tell(Input::Hung(self.connection));
        }
    }
}
