//! Answers: JSON, and problems in the one shape that every 4xx and 5xx has.

use axum::body::Body;
use axum::response::IntoResponse;
use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::BodyExt as _;
use serde::Serialize;
use warden::command::Refusal;
use warden::wire::Outcome;
use warden::{Code, LeaseId, Problem};

/// Who is told to come back is told to do so in a second: restarts take less, full queues longer.
const RETRY_AFTER_S: &str = "1";

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const PROBLEM: HeaderValue = HeaderValue::from_static("application/problem+json");

/// What only some problems carry.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Extra {
    /// Which field of the body is meant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) field: Option<String>,
    /// How the request or the lease ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) outcome: Option<Outcome>,
    /// The place in the queue at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) place: Option<u64>,
    /// Who held what the request could use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) holders: Option<Vec<LeaseId>>,
    /// What sort of fault it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) stage: Option<String>,
    /// There is nothing to wait for before coming back.
    #[serde(skip)]
    pub(crate) at_once: bool,
}

/// A request that is answered with a problem.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Failure {
    /// For programs.
    pub(crate) code: Code,
    /// For people.
    pub(crate) detail: String,
    /// By code.
    pub(crate) extra: Box<Extra>,
}

impl Failure {
    pub(crate) fn new(code: Code, detail: impl Into<String>) -> Self {
        Self {
            code,
            detail: detail.into(),
            extra: Box::default(),
        }
    }

    /// The broker is still reading its journal.
    pub(crate) fn not_ready() -> Self {
        Self::new(
            Code::NotReady,
            "the broker is reading its journal; try again in a moment",
        )
    }

    /// Another program is about to go on with everything, and listens already.
    pub(crate) fn making_way() -> Self {
        Self {
            code: Code::ShuttingDown,
            detail: "the broker takes on new code; leases stay, and a request with an id of yours \
                     keeps its place: post it again"
                .to_owned(),
            extra: Box::new(Extra {
                at_once: true,
                ..Extra::default()
            }),
        }
    }

    /// What was asked for cannot be written down, and so does not hold.
    pub(crate) fn unwritten(error: &std::io::Error) -> Self {
        let detail = format!("this cannot be written into the data directory: {error}");
        Self::new(Code::JournalUnwritable, detail)
    }

    /// The engine is gone, or will be before it could answer.
    pub(crate) fn shutting_down() -> Self {
        Self::new(
            Code::ShuttingDown,
            "the broker is shutting down; leases stay, and a request with an id of yours keeps \
             its place: post it again",
        )
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self {
            code: refusal.code,
            detail: refusal.detail,
            extra: Box::new(Extra {
                field: refusal.field.map(str::to_owned),
                outcome: refusal.outcome,
                ..Extra::default()
            }),
        }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response<Body> {
        let code = self.code;
        let at_once = self.extra.at_once;
        let body = to_json(&Problem::new(code, self.detail, *self.extra));
        let mut response = Response::new(Body::from(body));
        *response.status_mut() =
            StatusCode::from_u16(code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, PROBLEM);
        match response.status() {
            StatusCode::UNAUTHORIZED => {
                let scheme = HeaderValue::from_static("Bearer");
                response.headers_mut().insert(WWW_AUTHENTICATE, scheme);
            }
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                let after = if at_once { "0" } else { RETRY_AFTER_S };
                let after = HeaderValue::from_static(after);
                response.headers_mut().insert(RETRY_AFTER, after);
            }
            _ => {}
        }
        response
    }
}

/// 200, or another status, with a JSON body.
pub(crate) fn json(status: StatusCode, body: &impl Serialize) -> Response<Body> {
    json_bytes(status, to_json(body))
}

/// The same with a body that is JSON already.
pub(crate) fn json_bytes(status: StatusCode, body: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(Body::from(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    response
}

/// An answer as bytes, head and all, for a connection that ends with it.
pub(crate) async fn whole(response: Response<Body>) -> Vec<u8> {
    let (mut head, body) = response.into_parts();
    // Our own bodies are whole already.
    let body = body
        .collect()
        .await
        .map(|body| body.to_bytes())
        .unwrap_or_default();
    head.headers
        .insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    head.headers
        .insert(CONNECTION, HeaderValue::from_static("close"));
    let reason = head.status.canonical_reason().unwrap_or_default();
    let mut answer = format!("HTTP/1.1 {} {reason}\r\n", head.status.as_u16()).into_bytes();
    for (name, value) in &head.headers {
        answer.extend_from_slice(name.as_str().as_bytes());
        answer.extend_from_slice(b": ");
        answer.extend_from_slice(value.as_bytes());
        answer.extend_from_slice(b"\r\n");
    }
    answer.extend_from_slice(b"\r\n");
    answer.extend_from_slice(&body);
    answer
}

/// A problem as bytes, head and all, for a connection on which there is no HTTP to answer in.
pub(crate) fn raw(code: Code, detail: &str) -> Vec<u8> {
    let body = to_json(&Problem::new(code, detail, Extra::default()));
    let status = StatusCode::from_u16(code.status()).unwrap_or(StatusCode::BAD_REQUEST);
    let retry = match status {
        StatusCode::TOO_MANY_REQUESTS => format!("retry-after: {RETRY_AFTER_S}\r\n"),
        _ => String::new(),
    };
    let mut answer = format!(
        "HTTP/1.1 {} {}\r\ncontent-type: application/problem+json\r\n{retry}content-length: {}\r\n\
         connection: close\r\n\r\n",
        status.as_u16(),
        status.canonical_reason().unwrap_or_default(),
        body.len(),
    )
    .into_bytes();
    answer.extend_from_slice(&body);
    answer
}

/// Our own types always serialise: they have string keys, and no code of theirs can fail.
pub(crate) fn to_json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_else(|error| {
        tracing::error!(%error, "an answer cannot be written as JSON");
        b"null".to_vec()
    })
}
