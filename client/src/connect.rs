//! HTTP/1.1 to a broker, over TCP or its Unix socket, through one pool of connections.

use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, Uri, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::client::legacy::{Client as HttpClient, Error as HttpError};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
#[cfg(unix)]
use tokio::net::UnixStream;

use crate::endpoint::{Address, Endpoint, Route};
use crate::error::Error;

/// A broker on this host accepts at once or not at all; one far away gets this long.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Sends requests to where the endpoint leads at that moment.
#[derive(Clone, Debug)]
pub(crate) struct Transport {
    endpoint: Endpoint,
    http: HttpClient<Connector, Full<Bytes>>,
}

impl Transport {
    pub(crate) fn new(endpoint: Endpoint) -> Self {
        let http = HttpClient::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_secs(30))
            .pool_max_idle_per_host(8)
            .build(Connector);
        Self { endpoint, http }
    }

    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Sends `parts` and `body`; `with_token` is off for `/healthz`, which anybody may ask.
    pub(crate) async fn send(
        &self,
        parts: &Call<'_>,
        with_token: bool,
    ) -> Result<(Address, Response<Incoming>), Error> {
        let route = self.endpoint.route()?;
        match self
            .send_to(&route, &route.address, parts, with_token)
            .await
        {
            Err(Error::Unreachable {
                was_connected: false,
                ..
            }) if route.other.is_some() => {
                let other = route.other.clone().unwrap_or_else(|| route.address.clone());
                self.send_to(&route, &other, parts, with_token).await
            }
            answer => answer,
        }
    }

    async fn send_to(
        &self,
        route: &Route,
        address: &Address,
        parts: &Call<'_>,
        with_token: bool,
    ) -> Result<(Address, Response<Incoming>), Error> {
        let token = match with_token.then(|| self.endpoint.token_for(route, address)) {
            None => None,
            Some(Ok(token)) => token,
            Some(Err(stranger)) => return Err(name_stranger(address, stranger).await),
        };
        let request = parts.request(address, token.as_deref())?;
        match self.http.request(request).await {
            Ok(response) => Ok((address.clone(), response)),
            Err(error) => Err(unreachable(address, &error)),
        }
    }
}

/// A token that may not be sent to an address matters only where somebody listens there.
async fn name_stranger(address: &Address, stranger: Error) -> Error {
    match dial(address).await {
        Ok(_) => stranger,
        Err(source) => Error::Unreachable {
            address: address.to_string(),
            reason: source.to_string(),
            was_connected: false,
        },
    }
}

fn unreachable(address: &Address, error: &HttpError) -> Error {
    let mut reason = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(source) = cause {
        // The outer layers only say that the request or the connect failed.
        reason = source.to_string();
        cause = source.source();
    }
    Error::Unreachable {
        address: address.to_string(),
        reason,
        was_connected: !error.is_connect(),
    }
}

/// One request before it has an address.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    pub(crate) method: http::Method,
    /// With the query, if any.
    pub(crate) path: &'a str,
    /// JSON, where there is a body.
    pub(crate) body: Option<Bytes>,
    pub(crate) headers: Vec<(header::HeaderName, HeaderValue)>,
}

impl Call<'_> {
    fn request(
        &self,
        address: &Address,
        token: Option<&str>,
    ) -> Result<Request<Full<Bytes>>, Error> {
        let authority = match address {
            Address::Tcp { host, port } => format!("{host}:{port}"),
            Address::Unix(path) => socket_authority(path),
        };
        let mut builder = Request::builder()
            .method(self.method.clone())
            .uri(format!("http://{authority}{}", self.path));
        if matches!(address, Address::Unix(_)) {
            builder = builder.header(header::HOST, "localhost");
        }
        if let Some(token) = token {
            let mut value = HeaderValue::try_from(format!("Bearer {token}"))
                .map_err(|_| invalid(address, "the bearer token"))?;
            value.set_sensitive(true);
            builder = builder.header(header::AUTHORIZATION, value);
        }
        if self.body.is_some() {
            builder = builder.header(header::CONTENT_TYPE, "application/json");
        }
        for (name, value) in &self.headers {
            builder = builder.header(name, value);
        }
        builder
            .body(Full::new(self.body.clone().unwrap_or_default()))
            .map_err(|_| invalid(address, "the address"))
    }
}

fn invalid(address: &Address, what: &str) -> Error {
    Error::BadAddress {
        text: address.to_string(),
        reason: format!("{what} cannot travel in an HTTP request"),
    }
}

/// The pool keeps connections apart by their URL, so a socket's path becomes a host name.
const SOCKET_SUFFIX: &str = ".unix";

#[cfg(unix)]
fn socket_authority(path: &std::path::Path) -> String {
    use std::fmt::Write as _;
    use std::os::unix::ffi::OsStrExt as _;
    let mut name = String::new();
    for byte in path.as_os_str().as_bytes() {
        // Writing to a string cannot fail.
        let _ = write!(name, "{byte:02x}");
    }
    name + SOCKET_SUFFIX
}

#[cfg(not(unix))]
fn socket_authority(_path: &std::path::Path) -> String {
    SOCKET_SUFFIX.to_owned()
}

#[cfg(unix)]
fn socket_path(host: &str) -> Option<PathBuf> {
    use std::os::unix::ffi::OsStringExt as _;
    let hex = host.strip_suffix(SOCKET_SUFFIX)?;
    let pairs = (0..hex.len()).step_by(2);
    let bytes: Option<Vec<u8>> = pairs
        .map(|at| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok())
        .collect();
    Some(std::ffi::OsString::from_vec(bytes?).into())
}

#[cfg(not(unix))]
fn socket_path(host: &str) -> Option<PathBuf> {
    host.strip_suffix(SOCKET_SUFFIX).map(PathBuf::from)
}

/// Opens a connection to an address.
async fn dial(address: &Address) -> io::Result<Stream> {
    let connecting = async {
        match address {
            Address::Tcp { host, port } => {
                let host = host.trim_start_matches('[').trim_end_matches(']');
                let stream = TcpStream::connect((host, *port)).await?;
                stream.set_nodelay(true)?;
                Ok(Stream::Tcp(stream))
            }
            #[cfg(unix)]
            Address::Unix(path) => Ok(Stream::Unix(UnixStream::connect(path).await?)),
            #[cfg(not(unix))]
            Address::Unix(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    };
    tokio::time::timeout(CONNECT_TIMEOUT, connecting)
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

#[derive(Clone, Copy, Debug)]
struct Connector;

impl tower_service::Service<Uri> for Connector {
    type Response = TokioIo<Stream>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let address = match (uri.host(), uri.port_u16()) {
            (Some(host), Some(port)) => Some(Address::Tcp {
                host: host.to_owned(),
                port,
            }),
            (Some(host), None) => socket_path(host).map(Address::Unix),
            (None, _) => None,
        };
        Box::pin(async move {
            let address = address.ok_or(io::ErrorKind::InvalidInput)?;
            Ok(TokioIo::new(dial(&address).await?))
        })
    }
}

/// A connection to a broker.
#[derive(Debug)]
enum Stream {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(UnixStream),
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

/// Calls a method of whichever stream it is.
macro_rules! on_stream {
    ($self:ident, $stream:ident => $call:expr) => {
        match $self.get_mut() {
            Stream::Tcp($stream) => $call,
            #[cfg(unix)]
            Stream::Unix($stream) => $call,
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        on_stream!(self, stream => Pin::new(stream).poll_read(cx, buf))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        on_stream!(self, stream => Pin::new(stream).poll_write(cx, buf))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        on_stream!(self, stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        on_stream!(self, stream => Pin::new(stream).poll_shutdown(cx))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        on_stream!(self, stream => Pin::new(stream).poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Tcp(stream) => stream.is_write_vectored(),
            #[cfg(unix)]
            Self::Unix(stream) => stream.is_write_vectored(),
        }
    }
}
