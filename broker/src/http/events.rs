//! Streams of server-sent events: `GET /v1/events`, a picture, then everything that changes it.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::Body;
use axum::extract::{Request, State};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Response};
use serde::Serialize;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use warden::StreamEvent;

use crate::app::{App, Ready};
use crate::http::answer::{Failure, to_json};
use crate::http::routes::Outcome;
use crate::http::service::Guest;
use crate::notices;
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

/// `GET /v1/events`
pub(super) async fn events(
    State(app): State<Arc<App>>,
    Extension(guest): Extension<Guest>,
    request: Request,
) -> Outcome {
    let ready = app.ready()?;
    let hang_up = guest.line.hang_up.clone();
    let mut notices = ready.notices.subscribe();
    // No event tells of notices, so whoever is to know of some needs a whole picture.
    let has_notices = !notices.borrow_and_update().is_empty();
    let last = last_event_id(request.headers()).filter(|_| !has_notices);
    let resumed = last.and_then(|last| ready.stream.resume(last, hang_up.clone()));
    let (first, reader) = match resumed {
        Some(reader) => (COMMENT, reader),
        None => begin(ready, hang_up.clone()).await?,
    };
    let following = Following {
        app,
        reader,
        notices,
        picture: None,
        hang_up,
    };
    Ok(stream_of(first, following, async |mut following| {
        let chunk = following.next().await?;
        Some((chunk, following))
    }))
}

/// Follows the state: its events, and a whole picture whenever other notices hold.
struct Following {
    app: Arc<App>,
    reader: Reader<Told>,
    notices: watch::Receiver<Vec<notices::Entry>>,
    /// Told once everything was told that is in it, with its revision.
    picture: Option<(u64, Bytes)>,
    hang_up: CancellationToken,
}

impl Following {
    async fn next(&mut self) -> Option<Bytes> {
        let ready = self.app.ready().ok()?;
        if self.picture.is_none() {
            tokio::select! {
                next = next(&mut self.reader, &self.app.closing) => return next,
                changed = self.notices.changed() => {
                    changed.ok()?;
                    self.picture = Some(picture(ready).await.ok()?);
                }
            }
        }
        let (revision, _) = self.picture.as_ref()?;
        if let Some(before) = self.reader.next_up_to(*revision) {
            return Some(before);
        }
        let (revision, picture) = self.picture.take()?;
        self.reader = ready.stream.follow(revision, self.hang_up.clone());
        Some(picture)
    }
}

async fn begin(
    ready: &Ready,
    hang_up: CancellationToken,
) -> Result<(Bytes, Reader<Told>), Failure> {
    let (revision, first) = picture(ready).await?;
    Ok((first, ready.stream.follow(revision, hang_up)))
}

/// The whole state as an event, with its revision.
async fn picture(ready: &Ready) -> Result<(u64, Bytes), Failure> {
    let told = ready.status(|revision, status| {
        let snapshot = StreamEvent::Snapshot(Box::new(status));
        (revision, told::write(revision, &snapshot))
    });
    told.await
}

/// An answer that goes on for as long as somebody reads it and the broker runs.
pub(super) fn respond<E: Entry>(
    first: Bytes,
    reader: Reader<E>,
    closing: CancellationToken,
) -> Response<Body> {
    let state = (reader, closing);
    stream_of(first, state, async |(mut reader, closing)| {
        let chunk = next(&mut reader, &closing).await?;
        Some((chunk, (reader, closing)))
    })
}

/// An answer that begins with `first` and goes on with what `next` gives.
fn stream_of<S: Send + 'static, N>(
    first: Bytes,
    state: S,
    next: impl Fn(S) -> N + Send + 'static,
) -> Response<Body>
where
    N: Future<Output = Option<(Bytes, S)>> + Send + 'static,
{
    let first = stream::iter([Ok::<_, Infallible>(first)]);
    let rest = stream::unfold(state, next).map(Ok);
    let chunks = first.chain(rest);
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
