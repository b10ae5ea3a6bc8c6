//! What stands between a connection and the routes: the doors, and the watch over the answer.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use axum::Router;
use axum::body::Body;
use axum::response::IntoResponse;
use bytes::Bytes;
use http::{HeaderValue, Request, Response};
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use tokio_util::sync::CancellationToken;
use tower::Service as _;
use warden::command::Caller;

use crate::engine::Delivery;
use crate::http::answer::Failure;
use crate::http::doors::{self, Doors, Verdict};
use crate::http::line::Line;

/// What a route may know of its request beside HTTP: who asks, on which connection.
#[derive(Clone, Debug)]
pub(crate) struct Guest {
    /// None on the routes that ask for nobody.
    pub(crate) caller: Option<Caller>,
    /// The connection.
    pub(crate) line: Arc<Line>,
    /// Cancelled when connections are to come to rest: what has not arrived by then is not awaited.
    pub(crate) closing: CancellationToken,
}

/// Travels with an answer whose delivery matters.
#[derive(Clone, Debug)]
pub(crate) struct Tracked(Arc<Mutex<Option<Delivery>>>);

impl Tracked {
    pub(crate) fn new(delivery: Delivery) -> Self {
        Self(Arc::new(Mutex::new(Some(delivery))))
    }

    fn take(&self) -> Option<Delivery> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// The service of one connection.
#[derive(Clone, Debug)]
pub(crate) struct Service {
    doors: Arc<Doors>,
    routes: Router,
    line: Arc<Line>,
    closing: CancellationToken,
}

impl Service {
    pub(crate) fn new(
        doors: Arc<Doors>,
        routes: Router,
        line: Arc<Line>,
        closing: CancellationToken,
    ) -> Self {
        Self {
            doors,
            routes,
            line,
            closing,
        }
    }

    pub(crate) fn line(&self) -> &Arc<Line> {
        &self.line
    }
}

impl hyper::service::Service<Request<Incoming>> for Service {
    type Response = Response<Watched>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        self.line.called();
        let line = Arc::clone(&self.line);
        let (mut head, body) = request.into_parts();
        let (caller, origin) = match self.doors.judge(line.peer, &head) {
            Verdict::Enter(caller, origin) => (caller, origin),
            Verdict::Preflight(origin) => {
                return ready(finish(line, doors::preflight(origin), None));
            }
            Verdict::Refuse(code, detail) => {
                let refusal = Failure::new(code, detail).into_response();
                return ready(finish(line, refusal, None));
            }
        };
        head.extensions.insert(Guest {
            caller,
            line: Arc::clone(&line),
            closing: self.closing.clone(),
        });
        let request = Request::from_parts(head, Body::new(body));
        let answer = self.routes.clone().call(request);
        Box::pin(async move {
            let Ok(response) = answer.await;
            Ok(finish(line, response, origin))
        })
    }
}

fn ready<T: Send + 'static>(
    response: T,
) -> Pin<Box<dyn Future<Output = Result<T, Infallible>> + Send>> {
    Box::pin(std::future::ready(Ok(response)))
}

fn finish(
    line: Arc<Line>,
    mut response: Response<Body>,
    origin: Option<HeaderValue>,
) -> Response<Watched> {
    if let Some(origin) = origin {
        doors::invite(response.headers_mut(), origin);
    }
    if let Some(tracked) = response.extensions_mut().remove::<Tracked>()
        && let Some(delivery) = tracked.take()
    {
        line.deliver(delivery);
    }
    response.map(|body| Watched { body, line })
}

/// A body that tells its connection when hyper has taken all of it.
#[derive(Debug)]
pub(crate) struct Watched {
    body: Body,
    line: Arc<Line>,
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        // hyper drops a body once it has the last of it, or when the connection is lost: then
        // nothing is flushed any more, and the connection's end says the rest.
        self.line.answer_taken();
    }
}
