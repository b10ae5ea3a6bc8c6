//! What can be taken anew while the broker runs: `/v1/hot-reload`.

use std::future::pending;
use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::{Request, State};
use http::header::ORIGIN;
use http::{Response, StatusCode};
use warden::Code;
use warden::wire::reload::{EnabledBody, HotReload, Reloaded};

use crate::app::{App, Ready};
use crate::http::answer::{Failure, json};
use crate::http::input;
use crate::http::lot::Owed;
use crate::http::routes::Outcome;
use crate::http::service::Guest;
use crate::reloads::{Wanted, reload as take_anew};

/// `GET /v1/hot-reload`
pub(super) async fn look(
    State(app): State<Arc<App>>,
    Extension(guest): Extension<Guest>,
) -> Outcome {
    let ready = app.ready()?;
    guest.operator()?;
    standing(ready).await
}

async fn standing(ready: &Ready) -> Outcome {
    let enabled = ready.switch.is_on();
    // Who looks waits where somebody is about to write down what goes live, and while a program is
    // read that was not seen before.
    let sharing = Arc::clone(&ready.sharing);
    let program = ready.program.clone();
    let read = tokio::task::spawn_blocking(move || {
        let program = program.map(|program| program.module(enabled));
        (program, sharing.module())
    });
    let (program, config) = read.await.map_err(|_| Failure::shutting_down())?;
    let files = [ready.rules.module(), config];
    let answer = HotReload {
        enabled,
        modules: program.into_iter().chain(files).collect(),
    };
    Ok(json(StatusCode::OK, &answer))
}

/// `PUT /v1/hot-reload/enabled`
pub(super) async fn enable(
    State(app): State<Arc<App>>,
    Extension(guest): Extension<Guest>,
    request: Request,
) -> Outcome {
    let ready = app.ready()?;
    guest.operator()?;
    let EnabledBody { enabled } = input::read(request).await?;
    let switch = Arc::clone(&ready.switch);
    let set = tokio::task::spawn_blocking(move || switch.set(enabled)).await;
    set.map_err(|_| Failure::shutting_down())?
        .map_err(|error| match enabled {
            true => Failure::unwritten(&error),
            false => still_off(&error),
        })?;
    standing(ready).await
}

fn still_off(error: &std::io::Error) -> Failure {
    let detail = format!(
        "new program code is off from here on, but that cannot be written into the data directory, \
         and a restart would not know of it: {error}. Say it again once it can be"
    );
    Failure::new(Code::JournalUnwritable, detail)
}

/// `POST /v1/hot-reload`
pub(super) async fn reload(
    State(app): State<Arc<App>>,
    Extension(guest): Extension<Guest>,
    request: Request,
) -> Outcome {
    app.ready()?;
    guest.operator()?;
    let origin = request.headers().get(ORIGIN);
    let origin = origin.and_then(|origin| origin.to_str().ok().map(str::to_owned));
    let wanted = Wanted::parse(&input::read_or_default(request).await?)?;
    // A reload that has begun is not broken off because nobody listens any more.
    let reload = tokio::spawn({
        let app = Arc::clone(&app);
        async move { carry_out(&app, &guest, wanted, origin).await }
    });
    if let Some(answer) = reload.await.map_err(|_| Failure::shutting_down())?? {
        return Ok(answer);
    }
    tokio::select! {
        biased;
        // The program that comes answers.
        () = app.leaving.cancelled() => pending().await,
        () = app.closing.cancelled() => Err(Failure::shutting_down()),
    }
}

/// The answer, unless that is for another program to give.
async fn carry_out(
    app: &App,
    guest: &Guest,
    wanted: Wanted,
    origin: Option<String>,
) -> Result<Option<Response<Body>>, Failure> {
    let ready = app.ready()?;
    let (results, plan) = tokio::select! {
        biased;
        done = take_anew(ready, wanted) => done?,
        // Somebody else's reload was first.
        () = app.leaving.cancelled() => {
            if !wanted.is_met_by_another() {
                return Err(Failure::making_way());
            }
            let results = Vec::new();
            guest.line.owe(Owed { results, origin });
            return Ok(None);
        }
    };
    if let (Some(plan), Some(program)) = (plan, &ready.program) {
        guest.line.owe(Owed { results, origin });
        program.go(plan);
        return Ok(None);
    }
    Ok(Some(json(StatusCode::OK, &Reloaded { results })))
}
