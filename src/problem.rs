//! What the broker answers when it cannot do what was asked: `application/problem+json`
//! (RFC 9457) with a `code` that programs may rely on.

use std::fmt;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $status:literal, $title:literal;)*) => {
        /// The stable name of a failure. A client compares this, never the words beside it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Code {
            $($(#[$doc])* #[serde(rename = $text)] $name,)*
        }

        impl Code {
            /// Every code there is.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// As it stands in `code`.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// The HTTP status that it travels with.
            #[must_use]
            pub fn status(self) -> u16 {
                match self { $(Self::$name => $status,)* }
            }

            /// A few words for people, the same at every occurrence.
            #[must_use]
            pub fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)* }
            }
        }
    };
}

codes! {
    /// The body is not JSON.
    BadJson = "bad_json", 400, "The body is not JSON";
    /// The request is not proper HTTP.
    BadRequest = "bad_request", 400, "Malformed request";
    /// No bearer token was sent.
    NoToken = "no_token", 401, "A bearer token is needed";
    /// The bearer token opens nothing here.
    BadToken = "bad_token", 401, "The bearer token is not known";
    /// The Host header names another server.
    BadHost = "bad_host", 403, "The Host header is not this broker's";
    /// The Origin is not on the allow list.
    BadOrigin = "bad_origin", 403, "The Origin is not allowed";
    /// The caller's role does not reach that far.
    NotAllowed = "not_allowed", 403, "Not allowed";
    /// Reloading program code is off.
    ReloadDisabled = "reload_disabled", 403, "Reloading is off";
    /// No such route.
    NotFound = "not_found", 404, "No such route";
    /// A lease that never was.
    UnknownLease = "unknown_lease", 404, "No such lease";
    /// A request that never was, or that is another's.
    UnknownRequest = "unknown_request", 404, "No such request";
    /// The route exists, the method does not.
    MethodNotAllowed = "method_not_allowed", 405, "Method not allowed";
    /// The client took too long to send its request.
    RequestTimeout = "request_timeout", 408, "The request did not arrive in time";
    /// A live lease, another number.
    StaleToken = "stale_token", 409, "The fencing token is not this lease's";
    /// A newer connection took over this request.
    Superseded = "superseded", 409, "A newer connection waits for this request";
    /// The request id stands for other fields, or for somebody else.
    RequestConflict = "request_conflict", 409, "The request id is taken";
    /// The request id stood for a request that has ended.
    RequestEnded = "request_ended", 409, "The request has ended";
    /// New code or configuration was refused.
    ReloadRefused = "reload_refused", 409, "The reload was refused";
    /// The lease has ended.
    LeaseEnded = "lease_ended", 410, "The lease has ended";
    /// More than 64 KiB of body.
    BodyTooLarge = "body_too_large", 413, "The body is too large";
    /// A body that is not declared as JSON.
    UnsupportedMediaType = "unsupported_media_type", 415, "The body must be application/json";
    /// A field is missing, unknown or out of range.
    InvalidRequest = "invalid_request", 422, "The request is invalid";
    /// No GPU of this broker can ever satisfy it.
    ImpossibleRequest = "impossible_request", 422, "The request can never be granted here";
    /// The queue is at its bound.
    QueueFull = "queue_full", 429, "The queue is full";
    /// The caller asks too often or holds too much open.
    TooManyRequests = "too_many_requests", 429, "Too many requests";
    /// More than the server reads of headers.
    HeadersTooLarge = "headers_too_large", 431, "The headers are too large";
    /// The journal is still being replayed.
    NotReady = "not_ready", 503, "The broker is starting";
    /// The broker is going away.
    ShuttingDown = "shutting_down", 503, "The broker is shutting down";
    /// Nothing new can be made durable.
    JournalUnwritable = "journal_unwritable", 503, "The journal cannot be written";
    /// The request waited as long as it said it would.
    QueueTimeout = "queue_timeout", 504, "The request timed out in the queue";
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The body of every 4xx and 5xx. `Extra` are the fields that only some codes carry.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Problem<Extra = NoExtra> {
    /// `about:blank`, as RFC 9457 has it where the status says it all.
    #[serde(rename = "type")]
    pub kind: String,
    /// [`Code::title`].
    pub title: String,
    /// [`Code::status`].
    pub status: u16,
    /// What happened, to what, and what to do about it.
    pub detail: String,
    /// What programs compare.
    pub code: Code,
    /// More fields, by code.
    #[serde(flatten, bound(deserialize = "Extra: DeserializeOwned"))]
    pub extra: Extra,
}

/// No fields beyond the five of every problem.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NoExtra {}

impl<Extra> Problem<Extra> {
    /// A problem with its fixed parts filled in.
    pub fn new(code: Code, detail: impl Into<String>, extra: Extra) -> Self {
        Self {
            kind: "about:blank".to_owned(),
            title: code.title().to_owned(),
            status: code.status(),
            detail: detail.into(),
            code,
            extra,
        }
    }
}
