//! What the benchmark compares the lock route with: the same server, doors and parsing, an answer
//! of the same size, and no engine.

use axum::Router;
use axum::extract::Request;
use axum::routing::post;
use http::StatusCode;
use tokio_util::sync::CancellationToken;
use warden::wire::{Granted, LockBody};

use crate::error::ServeError;
use crate::http::answer::json;
use crate::http::doors::Doors;
use crate::http::input;
use crate::http::routes::{Outcome, with_refusals};
use crate::http::server::{Server, listen_tcp};

/// Serves `POST /noop` on a free loopback port, which is returned, until the runtime ends.
///
/// # Errors
/// [`ServeError`] where nothing can be listened on.
pub fn serve(token: &str) -> Result<u16, ServeError> {
    let (tcp, bound) = listen_tcp(([127, 0, 0, 1], 0).into())?;
    let doors = Doors::new(bound.port(), &[], &[], token.to_owned());
    let routes = with_refusals(Router::new().route("/noop", post(noop)));
    let server = Server::new(doors, routes, CancellationToken::new());
    tokio::spawn(server.accept_tcp(tcp));
    Ok(bound.port())
}

async fn noop(request: Request) -> Outcome {
    let body: LockBody = input::read(request).await?;
    let granted = Granted {
        request_id: body.request_id.unwrap_or_else(|| "r-1000000".into()),
        lease_id: "l-1000000".into(),
        token: 1_000_000,
        gpu_ids: vec!["simulated-0".into()],
        ttl_ms: 60_000,
        granted_at: "2026-01-01T00:00:00.123Z".to_owned(),
        expires_at: "2026-01-01T00:01:00.123Z".to_owned(),
        waited_ms: 0,
    };
    Ok(json(StatusCode::OK, &granted))
}
