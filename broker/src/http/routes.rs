//! Which route leads where, and what is said where there is none.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::routing::{get, post, put};
use axum::{Extension, Router};
use http::{Response, StatusCode};
use serde::Serialize;
use warden::wire::notice::{Notice, NoticeCode};
use warden::{Caller, Code};

use crate::app::App;
use crate::http::answer::{Failure, json, json_bytes, to_json};
use crate::http::service::Guest;
use crate::http::{config, events, leases, lock, reload};

/// What a handler comes to.
pub(crate) type Outcome = Result<Response<Body>, Failure>;

/// Every route of version 1 that this broker has.
pub(crate) fn routes(app: Arc<App>) -> Router {
    let routes = Router::new()
        .route("/healthz", get(healthz))
        .route("/v1/gpu/status", get(status))
        .route("/v1/gpu/lock", post(lock::lock))
        .route(
            "/v1/gpu/requests/{request_id}",
            get(lock::look).delete(lock::cancel),
        )
        .route("/v1/gpu/renew", post(leases::renew))
        .route("/v1/gpu/unlock", post(leases::unlock))
        .route("/v1/gpu/reset", post(leases::reset))
        .route("/v1/gpu/force-release", post(leases::force_release))
        .route("/v1/gpu/force-release-all", post(leases::force_release_all))
        .route("/v1/events", get(events::events))
        .route("/v1/config", get(config::config))
        .route("/v1/config/events", get(config::events))
        .route("/v1/hot-reload", get(reload::look).post(reload::reload))
        .route("/v1/hot-reload/enabled", put(reload::enable))
        .with_state(app);
    with_refusals(routes)
}

/// Says in our words what axum would say in its own.
pub(crate) fn with_refusals(routes: Router) -> Router {
    routes
        .fallback(async |request: Request| {
            let path = request.uri().path();
            Failure::new(Code::NotFound, format!("there is nothing at {path}"))
        })
        .method_not_allowed_fallback(async |request: Request| {
            let (method, path) = (request.method(), request.uri().path());
            let detail = format!("{path} does not take {method}; see the Allow header");
            Failure::new(Code::MethodNotAllowed, detail)
        })
}

impl Guest {
    /// Who asks. Every route that calls this lies behind the doors that ask for a token.
    pub(crate) fn caller(&self) -> Result<Caller, Failure> {
        let caller = self.caller.clone();
        caller.ok_or_else(|| Failure::new(Code::NoToken, "a bearer token is needed"))
    }

    /// Who asks, where only an operator may.
    pub(crate) fn operator(&self) -> Result<Caller, Failure> {
        let caller = self.caller()?;
        if caller.operator {
            Ok(caller)
        } else {
            Err(Failure::new(
                Code::NotAllowed,
                "this takes an operator's token",
            ))
        }
    }
}

#[derive(Serialize)]
struct Health {
    /// `ok`, or `degraded` while a notice holds.
    status: &'static str,
    version: &'static str,
    notices: Vec<HealthNotice>,
}

/// Anybody on this host may ask, so no words: they name users and directories.
#[derive(Serialize)]
struct HealthNotice {
    code: NoticeCode,
    since: String,
}

async fn healthz(State(app): State<Arc<App>>) -> Outcome {
    let notices = app.ready()?.notices.list().into_iter();
    let notices: Vec<HealthNotice> = notices
        .map(|Notice { code, since, .. }| HealthNotice { code, since })
        .collect();
    let health = Health {
        status: if notices.is_empty() { "ok" } else { "degraded" },
        version: crate::VERSION,
        notices,
    };
    Ok(json(StatusCode::OK, &health))
}

async fn status(State(app): State<Arc<App>>, Extension(_): Extension<Guest>) -> Outcome {
    let ready = app.ready()?;
    let body = ready.status(|_, status| to_json(&status)).await?;
    Ok(json_bytes(StatusCode::OK, body))
}
