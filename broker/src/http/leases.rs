//! What is done with leases: renewed and given back by their holders, ended by operators.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Request, State};
use http::StatusCode;
use warden::wire::{
    ForceReleaseAllBody, ForceReleaseBody, RenewBody, Renewed, ResetBody, UnlockBody,
};
use warden::{Command, Reply};

use crate::app::App;
use crate::clock::rfc3339;
use crate::http::answer::json;
use crate::http::input;
use crate::http::lock::unexpected;
use crate::http::routes::Outcome;
use crate::http::service::Guest;

/// `POST /v1/gpu/renew`
pub(super) async fn renew(
    State(app): State<Arc<App>>,
    Extension(guest): Extension<Guest>,
    request: Request,
) -> Outcome {
    let ready = app.ready()?;
    let caller = guest.caller()?;
    let RenewBody {
        lease_id,
        token,
        operation,
    } = input::read(request).await?;
    let command = Command::Renew {
        lease_id,
        token,
        operation,
        caller,
    };
    say(ready.desk.ask(command).await?.reply)
}

/// `POST /v1/gpu/unlock`
pub(super) async fn unlock(
    State(app): State<Arc<App>>,
    Extension(guest): Extension<Guest>,
    request: Request,
) -> Outcome {
    let ready = app.ready()?;
    let caller = guest.caller()?;
    let UnlockBody { lease_id, token } = input::read(request).await?;
    let command = Command::Release {
        lease_id,
        token,
        caller,
    };
    say(ready.desk.ask(command).await?.reply)
}

/// `POST /v1/gpu/reset`
pub(super) async fn reset(
    State(app): State<Arc<App>>,
    Extension(guest): Extension<Guest>,
    request: Request,
) -> Outcome {
    let ready = app.ready()?;
    guest.operator()?;
    let ResetBody {} = input::read_or_default(request).await?;
    say(ready.desk.reset().await?.reply)
}

/// `POST /v1/gpu/force-release`
pub(super) async fn force_release(
    State(app): State<Arc<App>>,
    Extension(guest): Extension<Guest>,
    request: Request,
) -> Outcome {
    let ready = app.ready()?;
    guest.operator()?;
    let ForceReleaseBody { lease_id } = input::read(request).await?;
    let command = Command::ForceRelease { lease_id };
    say(ready.desk.ask(command).await?.reply)
}

/// `POST /v1/gpu/force-release-all`
pub(super) async fn force_release_all(
    State(app): State<Arc<App>>,
    Extension(guest): Extension<Guest>,
    request: Request,
) -> Outcome {
    let ready = app.ready()?;
    guest.operator()?;
    let ForceReleaseAllBody { clear_queue } = input::read_or_default(request).await?;
    let command = Command::ForceReleaseAll { clear_queue };
    say(ready.desk.ask(command).await?.reply)
}

fn say(reply: Reply) -> Outcome {
    let ok = StatusCode::OK;
    match reply {
        Reply::Renewed {
            lease_id,
            ttl_ms,
            expires_wall_ms,
            yield_asked,
        } => {
            let renewed = Renewed {
                lease_id,
                ttl_ms,
                expires_at: rfc3339(expires_wall_ms),
                yield_asked,
            };
            Ok(json(ok, &renewed))
        }
        Reply::Ended(ended) => Ok(json(ok, &ended)),
        Reply::WasReset(reset) => Ok(json(ok, &reset)),
        Reply::ForcedAll(forced) => Ok(json(ok, &forced)),
        other => Err(unexpected(&other)),
    }
}
