//! Who may come in: checked before routing, on every method and path.
//!
//! A local port is reachable from every page that the operator's browser shows. So the Host must
//! be one of ours (no rebinding of DNS), the Origin must be invited, and the bearer token must be
//! right, in this order. On the Unix socket the kernel vouches for the peer's user instead, and
//! no browser has business there.

use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, AUTHORIZATION, HOST, ORIGIN, VARY,
};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use subtle::ConstantTimeEq;
use warden::Code;
use warden::command::Caller;
use warden::request::Door;

use crate::http::line::Peer;

/// How long a browser may remember what a preflight allowed.
const PREFLIGHT_MAX_AGE_S: &str = "600";
const PREFLIGHT_METHODS: &str = "GET, HEAD, POST, PUT, DELETE";
const PREFLIGHT_HEADERS: &str = "authorization, content-type, last-event-id";

/// The rules at the doors of one broker.
#[derive(Debug)]
pub(crate) struct Doors {
    /// `host:port`, in lower case.
    hosts: Vec<String>,
    /// As a browser writes them.
    origins: Vec<String>,
    token: String,
    /// The broker's own user.
    uid: u32,
}

/// What the doors say to a request.
pub(crate) enum Verdict {
    /// Come in, as this caller (none on the routes that ask for nobody); the answer may be read
    /// by pages of this origin.
    Enter(Option<Caller>, Option<HeaderValue>),
    /// A preflight from this origin.
    Preflight(HeaderValue),
    /// Stay out.
    Refuse(Code, &'static str),
}

impl Doors {
    /// Doors for a broker bound to `port`.
    pub(crate) fn new(port: u16, more_hosts: &[String], origins: &[String], token: String) -> Self {
        let loopback = ["127.0.0.1", "[::1]", "localhost"];
        let hosts = loopback
            .into_iter()
            .chain(more_hosts.iter().map(String::as_str))
            .map(|host| format!("{}:{port}", host.to_ascii_lowercase()))
            .collect();
        let own = loopback.map(|host| format!("http://{host}:{port}"));
        Self {
            hosts,
            origins: own.into_iter().chain(origins.iter().cloned()).collect(),
            token,
            uid: rustix::process::geteuid().as_raw(),
        }
    }

    /// Judges a request by its head.
    pub(crate) fn judge(&self, peer: Peer, head: &Parts) -> Verdict {
        let origin = match peer {
            Peer::Socket { uid } => match self.judge_on_socket(uid, head) {
                Ok(caller) => return Verdict::Enter(Some(caller), None),
                Err((code, detail)) => return Verdict::Refuse(code, detail),
            },
            Peer::Tcp => self
                .check_host(head)
                .and_then(|()| self.origin(&head.headers)),
        };
        let origin = match origin {
            Ok(origin) => origin.cloned(),
            Err((code, detail)) => return Verdict::Refuse(code, detail),
        };
        if let Some(origin) = &origin
            && head.method == Method::OPTIONS
            && head.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
        {
            return Verdict::Preflight(origin.clone());
        }
        if asks_for_nobody(head.uri.path()) {
            return Verdict::Enter(None, origin);
        }
        match self.check_token(&head.headers) {
            Ok(()) => {
                let caller = Caller {
                    door: Door::new("token:operator"),
                    operator: true,
                };
                Verdict::Enter(Some(caller), origin)
            }
            Err((code, detail)) => Verdict::Refuse(code, detail),
        }
    }

    fn judge_on_socket(&self, uid: u32, head: &Parts) -> Result<Caller, (Code, &'static str)> {
        if head.headers.contains_key(ORIGIN) {
            return Err((
                Code::BadOrigin,
                "pages have no business on the socket; send no Origin",
            ));
        }
        if uid != self.uid && uid != 0 {
            return Err((
                Code::NotAllowed,
                "the socket is for the broker's own user and for root",
            ));
        }
        Ok(Caller {
            door: Door::new(&format!("uid:{uid}")),
            operator: true,
        })
    }

    fn check_host(&self, head: &Parts) -> Result<(), (Code, &'static str)> {
        let mut hosts = head.headers.get_all(HOST).iter();
        let host = match (hosts.next(), hosts.next()) {
            (Some(host), None) => host.as_bytes(),
            (Some(_), Some(_)) => {
                return Err((Code::BadRequest, "there are two Host headers; send one"));
            }
            (None, _) if head.version == http::Version::HTTP_11 => {
                return Err((Code::BadRequest, "HTTP/1.1 asks for a Host header"));
            }
            (None, _) => return Err((Code::BadHost, "a Host header is needed")),
        };
        if !self
            .hosts
            .iter()
            .any(|ours| ours.as_bytes().eq_ignore_ascii_case(host))
        {
            return Err((
                Code::BadHost,
                "the Host header names no address of this broker; use the one that its endpoint \
                 file names",
            ));
        }
        let target = &head.uri;
        let agrees = target
            .authority()
            .is_none_or(|authority| authority.as_str().as_bytes().eq_ignore_ascii_case(host));
        if !agrees || target.scheme_str().is_some_and(|scheme| scheme != "http") {
            return Err((
                Code::BadHost,
                "the request's target and its Host header name different servers",
            ));
        }
        Ok(())
    }

    fn origin<'a>(
        &self,
        headers: &'a HeaderMap,
    ) -> Result<Option<&'a HeaderValue>, (Code, &'static str)> {
        let mut origins = headers.get_all(ORIGIN).iter();
        let Some(origin) = origins.next() else {
            return Ok(None);
        };
        let known = self.origins.iter().any(|ours| origin == ours.as_str());
        if known && origins.next().is_none() {
            return Ok(Some(origin));
        }
        Err((
            Code::BadOrigin,
            "pages of this origin may not call the broker; an operator can allow it by name",
        ))
    }

    fn check_token(&self, headers: &HeaderMap) -> Result<(), (Code, &'static str)> {
        let mut sent = headers.get_all(AUTHORIZATION).iter();
        let Some(value) = sent.next() else {
            return Err((
                Code::NoToken,
                "send `Authorization: Bearer …` with the line in the data directory's `token` \
                 file, or use its socket",
            ));
        };
        let wrong = (
            Code::BadToken,
            "the bearer token is not this broker's; read it anew from its data directory",
        );
        let bytes = value.as_bytes();
        let token = match bytes.split_at_checked(7) {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case(b"Bearer ") => token,
            _ => return Err(wrong),
        };
        let right: bool = token.ct_eq(self.token.as_bytes()).into();
        if right && sent.next().is_none() {
            Ok(())
        } else {
            Err(wrong)
        }
    }
}

/// Routes that are open to whoever passed Host and Origin.
fn asks_for_nobody(path: &str) -> bool {
    let code = path.strip_prefix("/pair/");
    path == "/healthz" || code.is_some_and(|code| !code.is_empty() && !code.contains('/'))
}

/// The answer to a preflight.
pub(crate) fn preflight<B: Default>(origin: HeaderValue) -> Response<B> {
    let mut response = Response::new(B::default());
    *response.status_mut() = StatusCode::NO_CONTENT;
    invite(response.headers_mut(), origin);
    let more = [
        (ACCESS_CONTROL_ALLOW_METHODS, PREFLIGHT_METHODS),
        (ACCESS_CONTROL_ALLOW_HEADERS, PREFLIGHT_HEADERS),
        (ACCESS_CONTROL_MAX_AGE, PREFLIGHT_MAX_AGE_S),
    ];
    for (name, value) in more {
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Lets pages of this one origin read the answer.
pub(crate) fn invite(headers: &mut HeaderMap, origin: HeaderValue) {
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.append(VARY, HeaderValue::from_static("Origin"));
}
