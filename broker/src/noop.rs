//! What the benchmarks compare the lock route with: the same server, doors and parsing, answers of
//! the same size, and no engine. One route does nothing; two are a bare queue in memory, which
//! keeps no journal, tells no stream, and loses the GPU with the first client that dies.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::{Request, State};
use axum::routing::post;
use http::StatusCode;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use warden::wire::{Ended, Granted, LockBody, Outcome as End, UnlockBody};

use crate::error::ServeError;
use crate::http::answer::{Failure, json};
use crate::http::doors::Doors;
use crate::http::input;
use crate::http::routes::{Outcome, with_refusals};
use crate::http::server::{Server, listen_tcp};

/// Serves `POST /noop`, `/fifo/lock` and `/fifo/unlock` on a free loopback port, which is returned,
/// until the runtime ends.
///
/// # Errors
/// [`ServeError`] where nothing can be listened on.
pub fn serve(token: &str) -> Result<u16, ServeError> {
    let (tcp, bound) = listen_tcp(([127, 0, 0, 1], 0).into())?;
    let doors = Doors::new(bound.port(), &[], &[], token.to_owned());
    let routes = Router::new()
        .route("/noop", post(noop))
        .route("/fifo/lock", post(lock))
        .route("/fifo/unlock", post(unlock))
        .with_state(Arc::default());
    let server = Server::new(doors, with_refusals(routes), CancellationToken::new());
    tokio::spawn(server.accept_tcp(Arc::new(tcp)));
    Ok(bound.port())
}

async fn noop(request: Request) -> Outcome {
    let body: LockBody = input::read(request).await?;
    Ok(json(StatusCode::OK, &granted(body)))
}

/// One GPU, and who waits for it, the first to come at the front.
#[derive(Default)]
struct Fifo {
    held: bool,
    waiting: VecDeque<oneshot::Sender<()>>,
}

async fn lock(State(fifo): State<Arc<Mutex<Fifo>>>, request: Request) -> Outcome {
    let body: LockBody = input::read(request).await?;
    let turn = {
        let mut fifo = fifo.lock().unwrap_or_else(PoisonError::into_inner);
        let free = !std::mem::replace(&mut fifo.held, true);
        (!free).then(|| {
            let (tells, turn) = oneshot::channel();
            fifo.waiting.push_back(tells);
            turn
        })
    };
    if let Some(turn) = turn {
        // Only its turn takes a waiter out of the queue.
        turn.await.map_err(|_| Failure::shutting_down())?;
    }
    Ok(json(StatusCode::OK, &granted(body)))
}

async fn unlock(State(fifo): State<Arc<Mutex<Fifo>>>, request: Request) -> Outcome {
    let body: UnlockBody = input::read(request).await?;
    {
        let mut fifo = fifo.lock().unwrap_or_else(PoisonError::into_inner);
        // Who has gone meanwhile is passed over.
        fifo.held = loop {
            match fifo.waiting.pop_front().map(|next| next.send(())) {
                Some(Ok(())) => break true,
                Some(Err(())) => {}
                None => break false,
            }
        };
    }
    let ended = Ended {
        lease_id: body.lease_id,
        outcome: End::Released,
        held_ms: 0,
    };
    Ok(json(StatusCode::OK, &ended))
}

fn granted(body: LockBody) -> Granted {
    Granted {
        request_id: body.request_id.unwrap_or_else(|| "r-1000000".into()),
        lease_id: "l-1000000".into(),
        token: 1_000_000,
        gpu_ids: vec!["simulated-0".into()],
        ttl_ms: 60_000,
        granted_at: "2026-01-01T00:00:00.123Z".to_owned(),
        expires_at: "2026-01-01T00:01:00.123Z".to_owned(),
        waited_ms: 0,
    }
}
