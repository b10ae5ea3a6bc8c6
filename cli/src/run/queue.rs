//! Waiting in the queue: for the grant, for signals, and telling how it stands meanwhile.

use std::pin::pin;
use std::time::Duration;

use rustix::process::Signal;
use tokio::time::{sleep, timeout};
use warden::wire::{Granted, LockBody, RequestPhase, RequestState};
use warden::{Code, RequestId};
use warden_client::{Client, Error, EventStream, new_request_id};

use crate::quantity::spoken;
use crate::run::progress::Progress;
use crate::run::signals::{Signals, is_end};
use crate::run::stop_self;

/// A grant that comes within this time needs no words.
const QUIET: Duration = Duration::from_millis(150);
/// The clock on a terminal.
const TICK: Duration = Duration::from_secs(1);
/// Events that come in a burst are one change for the reader.
const BURST: Duration = Duration::from_millis(100);
/// How long an interrupted wait may take to leave the queue. After that its owner's end, which is
/// ours, does it.
const CANCEL: Duration = Duration::from_secs(3);

/// How the wait ended.
#[derive(Debug)]
pub enum Waited {
    /// With a lease; whether this program was stopped meanwhile, so that the lease may be old.
    Granted {
        /// The lease.
        granted: Box<Granted>,
        /// Nothing was renewed for an unknown time.
        was_stopped: bool,
    },
    /// By a signal, which took the request out of the queue.
    Interrupted(Signal),
}

/// Queues, and keeps the place through restarts of the broker.
pub async fn wait(
    client: &Client,
    body: &LockBody,
    signals: &mut Signals,
    progress: &mut Progress,
) -> Result<Waited, Error> {
    let request_id = match &body.request_id {
        Some(id) => id.clone(),
        None => new_request_id()?,
    };
    let mut body = body.clone();
    body.request_id = Some(request_id.clone());
    let mut lock = pin!(client.lock_new(body));
    let mut was_stopped = false;
    let ended = {
        let mut telling = pin!(tell(client, &request_id, progress));
        loop {
            tokio::select! {
                answer = &mut lock => break Ok(answer),
                signal = signals.next() => {
                    if is_end(signal) {
                        break Err(signal);
                    }
                    if signal == Signal::TSTP {
                        was_stopped = true;
                        stop_self();
                    }
                }
                never = &mut telling => match never {},
            }
        }
    };
    progress.clear();
    match ended {
        Ok(answer) => {
            let granted = Box::new(answer?);
            Ok(Waited::Granted {
                granted,
                was_stopped,
            })
        }
        Err(signal) => {
            leave(client, &request_id).await;
            Ok(Waited::Interrupted(signal))
        }
    }
}

/// Takes the request out of the queue, or gives back what it became.
async fn leave(client: &Client, request_id: &RequestId) {
    match timeout(CANCEL, client.cancel(request_id)).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => tracing::debug!(%error, "not cancelled"),
        Err(_) => tracing::debug!("not cancelled: the broker does not answer"),
    }
}

enum Never {}

/// Shows place and reason whenever they may have changed.
async fn tell(client: &Client, request_id: &RequestId, progress: &mut Progress) -> Never {
    sleep(QUIET).await;
    let mut events = client.events();
    loop {
        match client.request(request_id).await {
            Ok(state) if state.state == RequestPhase::Waiting => {
                let (message, clock) = words(&state);
                progress.show(&message, &clock);
            }
            Ok(_) => {}
            // It has not arrived yet.
            Err(error) if error.code() == Some(Code::UnknownRequest) => {}
            Err(error) if error.is_away() => {
                progress.show("the broker is away; waiting for it to come back", "");
            }
            Err(error) => tracing::debug!(%error, "cannot tell the place"),
        }
        change(&mut events, progress.has_clock()).await;
        sleep(BURST).await;
    }
}

async fn change(events: &mut EventStream, has_clock: bool) {
    if has_clock {
        let _ = timeout(TICK, events.next()).await;
    } else {
        events.next().await;
    }
}

fn words(state: &RequestState) -> (String, String) {
    let place = state
        .place
        .map_or_else(String::new, |place| format!(", place {place}"));
    let why = state
        .why
        .as_ref()
        .map_or_else(String::new, |why| format!(": {}", why.text));
    let left = state.times_out_in_ms.map_or_else(String::new, |left| {
        format!(", gives up in {}", spoken(left))
    });
    let clock = format!(" ({}{left})", spoken(state.waited_ms));
    (format!("waiting{place}{why}"), clock)
}
