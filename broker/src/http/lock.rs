//! Requests for GPUs: posting, looking, cancelling.

use std::io;
use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use http::header::IF_NONE_MATCH;
use http::{HeaderMap, Response, StatusCode};
use warden::wire::{LockBody, Outcome as End};
use warden::{Code, Command, Origin, Owner, Refusal, Reply, RequestId};

use crate::app::{App, Ready};
use crate::clock::rfc3339;
use crate::engine::Delivery;
use crate::engine::inbox::{Answered, Joins};
use crate::http::answer::{Extra, Failure, json};
use crate::http::input;
use crate::http::line::Peer;
use crate::http::routes::Outcome;
use crate::http::service::{Guest, Tracked};
use crate::{files, process};

/// `POST /v1/gpu/lock`
pub(super) async fn lock(
    State(app): State<Arc<App>>,
    Extension(guest): Extension<Guest>,
    request: Request,
) -> Outcome {
    let ready = app.ready()?;
    let outcome = post(ready, &guest, request).await;
    if let Err(failure) = &outcome {
        ready.refusals.count(failure.code);
    }
    outcome
}

async fn post(ready: &Ready, guest: &Guest, request: Request) -> Outcome {
    let caller = guest.caller()?;
    let joins = joins(request.headers());
    let body: LockBody = input::read(request).await?;
    let origin = Origin {
        door: caller.door.clone(),
        host: Arc::clone(&ready.host),
    };
    let (mut request, refusal) = parse(ready, &body, &origin)?;
    if let Some(owner) = request.owner {
        request.owner = Some(check_owner(guest.line.peer, owner)?);
    }
    let answered = ready
        .desk
        .lock(Arc::new(request), caller, joins, refusal)
        .await?;
    let Answered { reply, delivery } = answered;
    match reply {
        Reply::Granted { grant, .. } => {
            let granted = json(StatusCode::OK, &grant.to_wire(&rfc3339));
            Ok(tracked(granted, delivery))
        }
        Reply::Request(view) => match (&view.grant, view.state.outcome) {
            (Some(grant), _) => {
                let granted = json(StatusCode::OK, &grant.to_wire(&rfc3339));
                Ok(tracked(granted, delivery))
            }
            (None, Some(outcome)) => Err(ended(outcome)),
            (None, None) => Ok(json(StatusCode::ACCEPTED, &view.to_wire(&rfc3339))),
        },
        other => Err(unexpected(&other)),
    }
}

/// Whose request of the same id it may become one with: `If-None-Match: *` asks for one that nobody
/// has.
fn joins(headers: &HeaderMap) -> Joins {
    match headers.get(IF_NONE_MATCH) {
        Some(none) if none == "*" => Joins::Own,
        _ => Joins::Any,
    }
}

/// A request, and why the rules refuse it where they do and it may be one that was posted before:
/// under other rules, or it would not be there.
fn parse(
    ready: &Ready,
    body: &LockBody,
    origin: &Origin,
) -> Result<(warden::Request, Option<Box<Refusal>>), Refusal> {
    let (policy, gpus) = (ready.policy.load(), ready.gpus.load());
    let refusal = match warden::Request::parse(body, origin, &policy, &gpus) {
        Ok(request) => return Ok((request, None)),
        Err(error) => Refusal::from(error),
    };
    if body.request_id.is_none() {
        return Err(refusal);
    }
    match warden::Request::parse_under_any(body, origin, &policy, &gpus) {
        Ok(request) => Ok((request, Some(Box::new(refusal)))),
        Err(_) => Err(refusal),
    }
}

/// `GET /v1/gpu/requests/{request_id}`
pub(super) async fn look(
    State(app): State<Arc<App>>,
    Extension(guest): Extension<Guest>,
    path: Result<Path<String>, PathRejection>,
) -> Outcome {
    let ready = app.ready()?;
    let command = Command::Look {
        request_id: request_id(path)?,
        caller: guest.caller()?,
        connection: ready.desk.connection(),
    };
    state(ready.desk.ask(command).await?)
}

/// `DELETE /v1/gpu/requests/{request_id}`
pub(super) async fn cancel(
    State(app): State<Arc<App>>,
    Extension(guest): Extension<Guest>,
    path: Result<Path<String>, PathRejection>,
) -> Outcome {
    let ready = app.ready()?;
    let command = Command::Cancel {
        request_id: request_id(path)?,
        caller: guest.caller()?,
    };
    state(ready.desk.ask(command).await?)
}

fn state(answered: Answered) -> Outcome {
    match answered.reply {
        Reply::Request(view) => {
            let state = json(StatusCode::OK, &view.to_wire(&rfc3339));
            Ok(tracked(state, answered.delivery))
        }
        other => Err(unexpected(&other)),
    }
}

/// An id that cannot be one is an id that nobody has.
fn request_id(path: Result<Path<String>, PathRejection>) -> Result<RequestId, Failure> {
    match path {
        Ok(Path(id)) => Ok(RequestId::from(id)),
        Err(_) => Err(Failure::new(
            Code::UnknownRequest,
            "the path holds no request id",
        )),
    }
}

fn tracked(mut response: Response<Body>, delivery: Option<Delivery>) -> Response<Body> {
    if let Some(delivery) = delivery {
        response.extensions_mut().insert(Tracked::new(delivery));
    }
    response
}

fn ended(outcome: End) -> Failure {
    Failure {
        code: Code::RequestEnded,
        detail: "the request has ended already; post it under another id".to_owned(),
        extra: Box::new(Extra {
            outcome: Some(outcome),
            ..Extra::default()
        }),
    }
}

/// The arbiter answers every command in one way; another one is a defect, and is told as such.
pub(super) fn unexpected(reply: &Reply) -> Failure {
    tracing::error!(
        ?reply,
        "the arbiter gave an answer that fits no such request"
    );
    Failure::shutting_down()
}

/// Only a process of this host lives where we can watch it, and only one of the caller's user is
/// the caller's to speak for.
fn check_owner(peer: Peer, owner: Owner) -> Result<Owner, Failure> {
    let invalid = |field: &str, detail: String| Failure {
        code: Code::InvalidRequest,
        detail: format!("{field}: {detail}"),
        extra: Box::new(Extra {
            field: Some(field.to_owned()),
            ..Extra::default()
        }),
    };
    let pid = owner.pid;
    let process = process::look(pid)
        .map_err(|error| match is_shortage(&error) {
            true => Failure::new(
                Code::TooManyRequests,
                format!(
                    "the broker cannot look at process {pid} just now ({error}); try again in a \
                     moment"
                ),
            ),
            false => invalid("pid", format!("process {pid} cannot be looked at: {error}")),
        })?
        .ok_or_else(|| {
            let detail = format!(
                "there is no process {pid} on this host; leave it out to let the \
                 lease live by its ttl"
            );
            invalid("pid", detail)
        })?;
    let user = match peer {
        Peer::Socket { uid } => uid,
        Peer::Tcp => rustix::process::getuid().as_raw(),
    };
    if process.uid != user {
        return Err(invalid(
            "pid",
            format!(
                "process {pid} belongs to uid {}, not to uid {user}",
                process.uid
            ),
        ));
    }
    match owner.start {
        Some(start) if start != process.start => Err(invalid(
            "pid_start",
            format!("process {pid} started at {}, not at {start}", process.start),
        )),
        _ => {
            let start = Some(process.start);
            may_watch(Owner { pid, start })
        }
    }
}

/// Nobody's fault but that of how much the system gives us.
fn is_shortage(error: &io::Error) -> bool {
    let short = [libc::EMFILE, libc::ENFILE, libc::ENOMEM];
    error
        .raw_os_error()
        .is_some_and(|number| short.contains(&number))
}

/// Each process that leases live with takes an open file.
fn may_watch(owner: Owner) -> Result<Owner, Failure> {
    if files::may_watch(&owner) {
        return Ok(owner);
    }
    let most = files::most_watched();
    Err(Failure::new(
        Code::TooManyRequests,
        format!(
            "requests live with {most} processes already, and the broker can watch no more; try again \
             in a moment, leave `pid` out to let the lease live by its ttl, or start the broker with a \
             higher limit of open files (`ulimit -n`)"
        ),
    ))
}
