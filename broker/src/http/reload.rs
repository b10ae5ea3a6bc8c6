//! What can be taken anew while the broker runs: `/v1/hot-reload`.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Request, State};
use http::StatusCode;
use warden::Code;
use warden::wire::reload::{HotReload, ReloadBody, Reloaded};

use crate::app::App;
use crate::http::answer::{Extra, Failure, json};
use crate::http::input;
use crate::http::routes::Outcome;
use crate::http::service::Guest;
use crate::{rules, sharing};

/// `GET /v1/hot-reload`
pub(super) async fn look(
    State(app): State<Arc<App>>,
    Extension(guest): Extension<Guest>,
) -> Outcome {
    let ready = app.ready()?;
    guest.operator()?;
    // Who looks waits where somebody is about to write down what goes live.
    let sharing = Arc::clone(&ready.sharing);
    let config = tokio::task::spawn_blocking(move || sharing.module()).await;
    let config = config.map_err(|_| Failure::shutting_down())?;
    let answer = HotReload {
        // This broker takes on no new code: what it reloads are files, and those always.
        enabled: false,
        modules: vec![ready.rules.module(), config],
    };
    Ok(json(StatusCode::OK, &answer))
}

/// `POST /v1/hot-reload`
pub(super) async fn reload(
    State(app): State<Arc<App>>,
    Extension(guest): Extension<Guest>,
    request: Request,
) -> Outcome {
    let ready = app.ready()?;
    guest.operator()?;
    let ReloadBody { module } = input::read_or_default(request).await?;
    let all = [rules::MODULE, sharing::MODULE];
    let wanted = match module.as_deref() {
        None => &all[..],
        Some(name) => match all.iter().position(|known| *known == name) {
            Some(at) => &all[at..=at],
            None => return Err(unknown(name, &all)),
        },
    };
    let mut results = Vec::new();
    for name in wanted {
        results.push(match *name {
            sharing::MODULE => ready.sharing.reload().await?,
            _ => ready.rules.reload(&ready.desk).await?,
        });
    }
    Ok(json(StatusCode::OK, &Reloaded { results }))
}

fn unknown(name: &str, all: &[&str]) -> Failure {
    Failure {
        code: Code::InvalidRequest,
        detail: format!(
            "module: there is no {name:?} to reload; there is {}",
            all.join(", ")
        ),
        extra: Box::new(Extra {
            field: Some("module".to_owned()),
            ..Extra::default()
        }),
    }
}
