//! Takes connections in, a bounded number of them, on TCP and on the Unix socket.

use std::fs::{self, Permissions};
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use bytes::Bytes;
use rustix::net::AddressFamily;
use rustix::net::sockopt::{socket_acceptconn, socket_domain};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use warden::Code;

use crate::error::ServeError;
use crate::files;
use crate::http::answer;
use crate::http::doors::Doors;
use crate::http::drive::{conclude, drive};
use crate::http::line::{Line, Peer, Socket};
use crate::http::lot::{Lot, Parked};
use crate::http::service::Service;

/// Connections that may wait to be accepted: a crowd that comes back after a restart.
const BACKLOG: u32 = 4_096;
/// What the system has room for in a socket's address, with the zero byte at its end.
const SOCKET_PATH_MAX: usize = size_of::<libc::sockaddr_un>() - size_of::<libc::sa_family_t>();
/// Connections of the Unix socket beyond what anybody may have, so that nobody on TCP can keep an
/// operator out.
const SOCKET_SPARE: usize = 16;
/// How long accepting rests when the system has nothing left to accept with.
const ACCEPT_REST: Duration = Duration::from_millis(50);
/// How long connections may take to end by themselves, or to come to rest: long enough for what is
/// being answered, and all who are at rest wait for it.
const END_PATIENCE: Duration = Duration::from_secs(3);

/// What connections are served with.
#[derive(Debug)]
pub(crate) struct Server {
    doors: Arc<Doors>,
    routes: Router,
    /// How many there are.
    open: watch::Sender<usize>,
    /// Cancelled: nothing more is accepted, and what is being answered is the last.
    closing: CancellationToken,
    /// Cancelled: every connection is dropped.
    hang_up: CancellationToken,
    /// Where connections go when this program makes way for another.
    lot: Lot,
}

impl Server {
    pub(crate) fn new(doors: Doors, routes: Router, closing: CancellationToken) -> Arc<Self> {
        Arc::new(Self {
            doors: Arc::new(doors),
            routes,
            open: watch::Sender::new(0),
            closing,
            hang_up: CancellationToken::new(),
            lot: Lot::default(),
        })
    }

    /// How many connections there are.
    pub(crate) fn open(&self) -> watch::Receiver<usize> {
        self.open.subscribe()
    }

    pub(crate) async fn accept_tcp(self: Arc<Self>, listener: Arc<TcpListener>) {
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = self.closing.cancelled() => return,
            };
            match accepted {
                Ok((stream, _)) => {
                    // Answers are written whole; waiting for more of them only delays.
                    let _ = stream.set_nodelay(true);
                    self.admit(Socket::Tcp(stream), Peer::Tcp, Bytes::new());
                }
                Err(error) => rest(&error).await,
            }
        }
    }

    pub(crate) async fn accept_unix(self: Arc<Self>, listener: Arc<UnixListener>) {
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = self.closing.cancelled() => return,
            };
            match accepted {
                Ok((stream, _)) => match stream.peer_cred() {
                    Ok(peer) => {
                        let uid = peer.uid();
                        self.admit(Socket::Unix(stream), Peer::Socket { uid }, Bytes::new());
                    }
                    Err(error) => tracing::warn!(%error, "a peer without a user was dropped"),
                },
                Err(error) => rest(&error).await,
            }
        }
    }

    fn admit(self: &Arc<Self>, socket: Socket, peer: Peer, unread: Bytes) {
        let spare = match peer {
            Peer::Tcp => 0,
            Peer::Socket { .. } => SOCKET_SPARE,
        };
        if *self.open.borrow() >= files::most_connections() + spare {
            let detail = "the broker has as many connections as it can; try again in a moment";
            socket.try_say(&answer::raw(Code::TooManyRequests, detail));
            return;
        }
        self.open.send_modify(|open| *open += 1);
        let server = Arc::clone(self);
        tokio::spawn(async move {
            let _counted = Counted(&server.open);
            let line = Arc::new(Line::new(peer, server.hang_up.child_token()));
            let closing = server.closing.clone();
            let doors = Arc::clone(&server.doors);
            let service = Service::new(doors, server.routes.clone(), line, closing.clone());
            drive(socket, unread, service, closing, &server.lot).await;
        });
    }

    /// Goes on with a connection that another program had; where that owed an answer, `answer` is it
    /// and the last.
    pub(crate) fn take_over(self: &Arc<Self>, parked: Parked, answer: Option<Vec<u8>>) {
        let (socket, peer) = match from_fd(parked.socket) {
            Ok(socket) => socket,
            Err(error) => {
                tracing::warn!(%error, "a connection cannot be taken over");
                return;
            }
        };
        match answer {
            Some(answer) => drop(tokio::spawn(async move {
                conclude(socket, &answer).await;
            })),
            None => self.admit(socket, peer, parked.unread),
        }
    }

    /// Ends every connection: first politely, then at once. `closing` is cancelled already.
    pub(crate) async fn end(&self) {
        self.close().await;
    }

    /// What is at rest from here on stays for the program that comes. To be called before `closing`
    /// is cancelled.
    pub(crate) fn make_way(&self) {
        self.lot.open();
    }

    /// Every connection, once all have come to rest; who does not in time is hung up on.
    pub(crate) async fn at_rest(&self) -> Vec<Parked> {
        self.close().await;
        self.lot.clear()
    }

    async fn close(&self) {
        let mut open = self.open();
        if timeout(END_PATIENCE, open.wait_for(|open| *open == 0))
            .await
            .is_err()
        {
            tracing::warn!(
                connections = *open.borrow(),
                "hung up on, since nobody waits longer"
            );
            self.hang_up.cancel();
            let _ = timeout(END_PATIENCE, open.wait_for(|open| *open == 0)).await;
        }
    }
}

/// A connection that is there already, and who is at its other end.
fn from_fd(fd: OwnedFd) -> io::Result<(Socket, Peer)> {
    if socket_domain(&fd)? == AddressFamily::UNIX {
        let stream = UnixStream::from_std(fd.into())?;
        let uid = stream.peer_cred()?.uid();
        return Ok((Socket::Unix(stream), Peer::Socket { uid }));
    }
    Ok((Socket::Tcp(TcpStream::from_std(fd.into())?), Peer::Tcp))
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

/// Goes on listening where another program listened, if that is where this one is to.
pub(crate) fn keep_tcp(
    fd: OwnedFd,
    addr: SocketAddr,
) -> Result<(TcpListener, SocketAddr), ServeError> {
    let stranger = |what: String| ServeError::Handover { detail: what };
    let failed = |error: io::Error| stranger(format!("the socket of {addr}: {error}"));
    if !socket_acceptconn(&fd).map_err(|error| failed(error.into()))? {
        return Err(stranger(format!("what stands for {addr} does not listen")));
    }
    let listener = std::net::TcpListener::from(fd);
    let bound = listener.local_addr().map_err(failed)?;
    if bound.ip() != addr.ip() || (addr.port() != 0 && bound.port() != addr.port()) {
        return Err(stranger(format!(
            "what stands for {addr} listens on {bound}"
        )));
    }
    listener.set_nonblocking(true).map_err(failed)?;
    let listener = TcpListener::from_std(listener).map_err(failed)?;
    Ok((listener, bound))
}

/// The same for the Unix socket.
pub(crate) fn keep_unix(fd: OwnedFd, path: &Path) -> Result<UnixListener, ServeError> {
    let stranger = |what: String| ServeError::Handover { detail: what };
    let failed = |error: io::Error| stranger(format!("the socket {}: {error}", path.display()));
    let listens = socket_domain(&fd)
        .and_then(|domain| Ok(domain == AddressFamily::UNIX && socket_acceptconn(&fd)?))
        .map_err(|error| failed(error.into()))?;
    if !listens {
        let path = path.display();
        return Err(stranger(format!("what stands for {path} does not listen")));
    }
    let listener = std::os::unix::net::UnixListener::from(fd);
    let bound = listener.local_addr().map_err(failed)?;
    if bound.as_pathname() != Some(path) {
        let path = path.display();
        return Err(stranger(format!(
            "what stands for {path} listens on {bound:?}"
        )));
    }
    listener.set_nonblocking(true).map_err(failed)?;
    UnixListener::from_std(listener).map_err(failed)
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
