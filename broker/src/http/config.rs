//! The configuration that programs share: `GET /v1/config` and the stream of its changes.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Request, State};
use http::StatusCode;

use crate::app::App;
use crate::http::answer::json;
use crate::http::events::{COMMENT, last_event_id, respond};
use crate::http::routes::Outcome;
use crate::http::service::Guest;

/// `GET /v1/config`
pub(super) async fn config(
    State(app): State<Arc<App>>,
    Extension(guest): Extension<Guest>,
) -> Outcome {
    let ready = app.ready()?;
    guest.caller()?;
    Ok(json(StatusCode::OK, &*ready.sharing.live()))
}

/// `GET /v1/config/events`
pub(super) async fn events(
    State(app): State<Arc<App>>,
    Extension(guest): Extension<Guest>,
    request: Request,
) -> Outcome {
    let ready = app.ready()?;
    guest.caller()?;
    let last = last_event_id(request.headers());
    let hang_up = guest.line.hang_up.clone();
    let (first, reader) = ready.sharing.read(last, hang_up);
    Ok(respond(
        first.unwrap_or(COMMENT),
        reader,
        app.closing.clone(),
    ))
}
