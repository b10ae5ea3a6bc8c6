//! Streams of server-sent events: `GET /v1/events`, a picture, then everything that changes it.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::Body;
use axum::extract::{Request, State};
use bytes::Bytes;
use futures_util::stream;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Response};
use serde::Serialize;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use warden::StreamEvent;

use crate::app::{App, Ready};
use crate::http::answer::{Failure, to_json};
use crate::http::routes::Outcome;
use crate::http::service::Guest;
use crate::ring::{Entry, Reader};
use crate::stream::{self as told, Told};

/// How often a line is sent where nothing happens, so that nobody in between closes it.
const KEEP_OPEN: Duration = Duration::from_secs(15);
/// What a resumed stream begins with.
pub(super) const COMMENT: Bytes = Bytes::from_static(b": open\n\n");

/// An event as server-sent text.
pub(crate) fn write(id: u64, name: &str, data: &impl Serialize) -> Bytes {
    let mut text = format!("id: {id}\nevent: {name}\ndata: ").into_bytes();
    text.extend_from_slice(&to_json(data));
    text.extend_from_slice(b"\n\n");
    text.into()
}

pub(super) async fn events(
    State(app): State<Arc<App>>,
    Extension(guest): Extension<Guest>,
    request: Request,
) -> Outcome {
    let ready = app.ready()?;
    let hang_up = guest.line.hang_up.clone();
    let last = last_event_id(request.headers());
    let resumed = last.and_then(|last| ready.stream.resume(last, hang_up.clone()));
    let (first, reader) = match resumed {
        Some(reader) => (COMMENT, reader),
        None => begin(ready, hang_up).await?,
    };
    Ok(respond(first, reader, app.closing.clone()))
}

async fn begin(
    ready: &Ready,
    hang_up: CancellationToken,
) -> Result<(Bytes, Reader<Told>), Failure> {
    let (revision, first) = ready
        .status(|revision, status| {
            let snapshot = StreamEvent::Snapshot(Box::new(status));
            (revision, told::write(revision, &snapshot))
        })
        .await?;
    Ok((first, ready.stream.follow(revision, hang_up)))
}

/// An answer that goes on for as long as somebody reads it and the broker runs.
pub(super) fn respond<E: Entry>(
    first: Bytes,
    reader: Reader<E>,
    closing: CancellationToken,
) -> Response<Body> {
    let state = (Some(first), reader, closing);
    let chunks = stream::unfold(state, |(first, mut reader, closing)| async move {
        let chunk = match first {
            Some(first) => first,
            None => next(&mut reader, &closing).await?,
        };
        Some((Ok::<_, Infallible>(chunk), (None, reader, closing)))
    });
    let mut response = Response::new(Body::from_stream(chunks));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

async fn next<E: Entry>(reader: &mut Reader<E>, closing: &CancellationToken) -> Option<Bytes> {
    tokio::select! {
        () = closing.cancelled() => None,
        next = timeout(KEEP_OPEN, reader.next()) => match next {
            Ok(next) => next,
            Err(_) => Some(COMMENT),
        },
    }
}

/// What the reader has already. Nonsense counts as nothing.
pub(super) fn last_event_id(headers: &HeaderMap) -> Option<u64> {
    headers
        .get("last-event-id")?
        .to_str()
        .ok()?
        .trim()
        .parse()
        .ok()
}
