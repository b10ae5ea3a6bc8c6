//! `GET /v1/events`: a picture, then everything that changes it.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::Body;
use axum::extract::{Request, State};
use bytes::Bytes;
use futures_util::stream;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Response};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use warden::StreamEvent;

use crate::app::{App, Ready};
use crate::http::answer::Failure;
use crate::http::routes::Outcome;
use crate::http::service::Guest;
use crate::stream::{self as told, Begin, Reader};

/// How often a line is sent where nothing happens, so that nobody in between closes it.
const KEEP_OPEN: Duration = Duration::from_secs(15);
const COMMENT: Bytes = Bytes::from_static(b": open\n\n");

pub(super) async fn events(
    State(app): State<Arc<App>>,
    Extension(guest): Extension<Guest>,
    request: Request,
) -> Outcome {
    let ready = app.ready()?;
    let hang_up = guest.line.hang_up.clone();
    let resumed = last_event_id(request.headers()).map_or(Begin::Afresh, |last| {
        ready.stream.resume(last, hang_up.clone())
    });
    let (first, reader) = match resumed {
        Begin::Resume(reader) => (COMMENT, reader),
        Begin::Afresh => begin(ready, hang_up).await?,
    };
    let state = (Some(first), reader, app.closing.clone());
    let chunks = stream::unfold(state, |(first, mut reader, closing)| async move {
        let chunk = match first {
            Some(first) => first,
            None => next(&mut reader, &closing).await?,
        };
        Some((
            Ok::<_, std::convert::Infallible>(chunk),
            (None, reader, closing),
        ))
    });
    let mut response = Response::new(Body::from_stream(chunks));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

async fn begin(ready: &Ready, hang_up: CancellationToken) -> Result<(Bytes, Reader), Failure> {
    let (revision, first) = ready
        .status(|revision, status| {
            let snapshot = StreamEvent::Snapshot(Box::new(status));
            (revision, told::write(revision, &snapshot))
        })
        .await?;
    Ok((first, ready.stream.follow(revision, hang_up)))
}

async fn next(reader: &mut Reader, closing: &CancellationToken) -> Option<Bytes> {
    tokio::select! {
        () = closing.cancelled() => None,
        next = timeout(KEEP_OPEN, reader.next()) => match next {
            Ok(next) => next,
            Err(_) => Some(COMMENT),
        },
    }
}

/// What the reader has already. Nonsense counts as nothing.
fn last_event_id(headers: &HeaderMap) -> Option<u64> {
    headers
        .get("last-event-id")?
        .to_str()
        .ok()?
        .trim()
        .parse()
        .ok()
}
