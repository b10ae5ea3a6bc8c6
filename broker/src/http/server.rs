//! Takes connections in, a bounded number of them, on TCP and on the Unix socket.

use std::fs::{self, Permissions};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::{TcpListener, TcpSocket, UnixListener};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use warden::Code;

use crate::error::ServeError;
use crate::http::answer;
use crate::http::doors::Doors;
use crate::http::drive::drive;
use crate::http::line::{Line, Peer, Socket};
use crate::http::service::Service;

/// More connections than this are turned away, whatever the system would allow.
const MAX_CONNECTIONS: u64 = 65_536;
/// Connections that may wait to be accepted: a crowd that comes back after a restart.
const BACKLOG: u32 = 4_096;
/// What the system has room for in a socket's address, with the zero byte at its end.
const SOCKET_PATH_MAX: usize = size_of::<libc::sockaddr_un>() - size_of::<libc::sa_family_t>();
/// Files that the broker needs beside its connections.
const SPARE_FILES: u64 = 512;
/// How long accepting rests when the system has nothing left to accept with.
const ACCEPT_REST: Duration = Duration::from_millis(50);
/// How long connections may take to end by themselves.
const END_PATIENCE: Duration = Duration::from_secs(3);

/// What connections are served with.
#[derive(Debug)]
pub(crate) struct Server {
    doors: Arc<Doors>,
    routes: Router,
    max: usize,
    /// How many there are.
    open: watch::Sender<usize>,
    /// Cancelled: nothing more is accepted, and what is being answered is the last.
    closing: CancellationToken,
    /// Cancelled: every connection is dropped.
    hang_up: CancellationToken,
}

impl Server {
    pub(crate) fn new(doors: Doors, routes: Router, closing: CancellationToken) -> Arc<Self> {
        Arc::new(Self {
            doors: Arc::new(doors),
            routes,
            max: raise_limit(),
            open: watch::Sender::new(0),
            closing,
            hang_up: CancellationToken::new(),
        })
    }

    /// How many connections there are.
    pub(crate) fn open(&self) -> watch::Receiver<usize> {
        self.open.subscribe()
    }

    pub(crate) async fn accept_tcp(self: Arc<Self>, listener: TcpListener) {
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = self.closing.cancelled() => return,
            };
            match accepted {
                Ok((stream, _)) => {
                    // Answers are written whole; waiting for more of them only delays.
                    let _ = stream.set_nodelay(true);
                    self.admit(Socket::Tcp(stream), Peer::Tcp);
                }
                Err(error) => rest(&error).await,
            }
        }
    }

    pub(crate) async fn accept_unix(self: Arc<Self>, listener: UnixListener) {
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = self.closing.cancelled() => return,
            };
            match accepted {
                Ok((stream, _)) => match stream.peer_cred() {
                    Ok(peer) => {
                        let uid = peer.uid();
                        self.admit(Socket::Unix(stream), Peer::Socket { uid });
                    }
                    Err(error) => tracing::warn!(%error, "a peer without a user was dropped"),
                },
                Err(error) => rest(&error).await,
            }
        }
    }

    fn admit(self: &Arc<Self>, socket: Socket, peer: Peer) {
        if *self.open.borrow() >= self.max {
            let detail = "the broker has as many connections as it can; try again in a moment";
            socket.try_say(&answer::raw(Code::TooManyRequests, detail));
            return;
        }
        self.open.send_modify(|open| *open += 1);
        let server = Arc::clone(self);
        tokio::spawn(async move {
            let _counted = Counted(&server.open);
            let line = Arc::new(Line::new(peer, server.hang_up.child_token()));
            let service = Service::new(Arc::clone(&server.doors), server.routes.clone(), line);
            drive(socket, service, server.closing.clone()).await;
        });
    }

    /// Ends every connection: first politely, then at once. `closing` is cancelled already.
    pub(crate) async fn end(&self) {
        let mut open = self.open();
        if timeout(END_PATIENCE, open.wait_for(|open| *open == 0))
            .await
            .is_err()
        {
            self.hang_up.cancel();
            let _ = timeout(END_PATIENCE, open.wait_for(|open| *open == 0)).await;
        }
    }
}

struct Counted<'a>(&'a watch::Sender<usize>);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|open| *open -= 1);
    }
}

async fn rest(error: &io::Error) {
    tracing::warn!(%error, "a connection could not be accepted");
    sleep(ACCEPT_REST).await;
}

/// Asks the system for all the open files that it gives, and says how many connections that is.
fn raise_limit() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    let files = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    };
    let connections = files.map_or(MAX_CONNECTIONS, |files| files.saturating_sub(SPARE_FILES));
    usize::try_from(connections.clamp(64, MAX_CONNECTIONS)).unwrap_or(64)
}

/// Listens on TCP.
pub(crate) fn listen_tcp(addr: SocketAddr) -> Result<(TcpListener, SocketAddr), ServeError> {
    let failed = |source: io::Error| cannot_listen(addr.to_string(), source);
    let socket = match addr {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    };
    let socket = socket.map_err(failed)?;
    socket.set_reuseaddr(true).map_err(failed)?;
    socket.bind(addr).map_err(failed)?;
    let listener = socket.listen(BACKLOG).map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

/// Listens on a Unix socket that only its owner may open. One that nobody listens on any more is
/// replaced.
pub(crate) fn listen_unix(path: &Path) -> Result<UnixListener, ServeError> {
    let failed = |source: io::Error| cannot_listen(path.display().to_string(), source);
    if path.as_os_str().len() >= SOCKET_PATH_MAX {
        let message = format!(
            "a socket's path is shorter than {SOCKET_PATH_MAX} bytes on this system; give a \
             --data-dir with a shorter path"
        );
        return Err(failed(io::Error::new(io::ErrorKind::InvalidInput, message)));
    }
    match fs::symlink_metadata(path) {
        Ok(meta) if meta.file_type().is_socket() => {
            match std::os::unix::net::UnixStream::connect(path) {
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                    fs::remove_file(path).map_err(failed)?;
                }
                Err(error) => return Err(failed(error)),
                Ok(_) => return Err(failed(io::ErrorKind::AddrInUse.into())),
            }
        }
        Ok(_) => return Err(failed(io::ErrorKind::AddrInUse.into())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    let listener = UnixListener::bind(path).map_err(failed)?;
    // Not by the umask, which is the whole process's and would reach files that other threads make
    // meanwhile. Who slips in before this line is still asked for its uid.
    fs::set_permissions(path, Permissions::from_mode(0o600)).map_err(failed)?;
    Ok(listener)
}

fn cannot_listen(address: String, source: io::Error) -> ServeError {
    if source.kind() == io::ErrorKind::AddrInUse {
        ServeError::AddressTaken { address, source }
    } else {
        ServeError::CannotListen { address, source }
    }
}
