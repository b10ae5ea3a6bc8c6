//! What only one broker can have: its directory, its address, its socket. Either taken anew, or kept
//! from the program that had them before in this process.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;

use tokio::net::{TcpListener, UnixListener};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use warden::GpuId;

use crate::app::App;
use crate::config::Config;
use crate::disk::directory::Directory;
use crate::disk::token;
use crate::error::ServeError;
use crate::gpus::Claims;
use crate::http::doors::Doors;
use crate::http::routes::routes;
use crate::http::server::{Server, keep_tcp, keep_unix, listen_tcp, listen_unix};
use crate::program::handover::Sockets;

/// All of it, and what serves on it.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) dir: Directory,
    pub(crate) app: Arc<App>,
    pub(crate) server: Arc<Server>,
    pub(crate) bound: SocketAddr,
    pub(crate) listeners: Listeners,
    /// It was another program's before.
    pub(crate) kept: bool,
    /// What stood for its claims on GPUs then.
    pub(crate) claims: Vec<(GpuId, OwnedFd)>,
}

/// Where the broker listens.
#[derive(Debug)]
pub(crate) struct Listeners {
    tcp: Arc<TcpListener>,
    unix: Option<Arc<UnixListener>>,
    /// Who accepts on them.
    tasks: Vec<JoinHandle<()>>,
}

impl Taken {
    /// On what is taken anew everybody is answered at once (that the broker is not ready). On what
    /// is kept nobody is before [`Listeners::accept`]: who comes meanwhile waits to be accepted, and
    /// notices nothing.
    pub(crate) fn take(config: &Config, sockets: Option<Sockets>) -> Result<Self, ServeError> {
        let addr = config.listen_addr()?;
        let kept = sockets.is_some();
        let (dir, sockets, claims) = match sockets {
            Some(sockets) => {
                let Sockets {
                    lock,
                    tcp,
                    unix,
                    claims,
                } = sockets;
                let dir = Directory::keep(&config.data_dir, lock)?;
                (dir, Some((tcp, unix)), claims)
            }
            None => (Directory::open(&config.data_dir)?, None, Vec::new()),
        };
        let token = token::read_or_make(&dir)?;
        let path = config.socket.as_deref();
        let ((tcp, bound), unix) = match sockets {
            Some((tcp, unix)) => {
                let tcp = keep_tcp(tcp, addr)?;
                let unix = match (path, unix) {
                    (Some(path), Some(unix)) => Some(keep_unix(unix, path)?),
                    (None, None) => None,
                    _ => {
                        let detail = "a Unix socket, where there was none, or none where there was";
                        return Err(ServeError::Handover {
                            detail: detail.to_owned(),
                        });
                    }
                };
                (tcp, unix)
            }
            None => (listen_tcp(addr)?, path.map(listen_unix).transpose()?),
        };
        let mut listeners = Listeners {
            tcp: Arc::new(tcp),
            unix: unix.map(Arc::new),
            tasks: Vec::new(),
        };
        let (hosts, origins) = (&config.allowed_hosts, &config.allowed_origins);
        let doors = Doors::new(bound.port(), hosts, origins, token);
        let closing = CancellationToken::new();
        let app = Arc::new(App::new(closing.clone()));
        let server = Server::new(doors, routes(Arc::clone(&app)), closing);
        if !kept {
            listeners.accept(&server);
        }
        Ok(Self {
            dir,
            app,
            server,
            bound,
            listeners,
            kept,
            claims,
        })
    }
}

impl Listeners {
    /// From here on connections are served.
    pub(crate) fn accept(&mut self, server: &Arc<Server>) {
        let tcp = Arc::clone(server).accept_tcp(Arc::clone(&self.tcp));
        self.tasks.push(tokio::spawn(tcp));
        if let Some(unix) = &self.unix {
            let unix = Arc::clone(server).accept_unix(Arc::clone(unix));
            self.tasks.push(tokio::spawn(unix));
        }
    }

    /// Returns once nothing more is accepted, and all that was counts as open. The server is closing
    /// already.
    pub(crate) async fn rest(&mut self) {
        for task in self.tasks.drain(..) {
            // A panic of it was told when it happened.
            let _ = task.await;
        }
    }

    /// The same sockets for another program.
    pub(crate) fn hand_on(&self, dir: &Directory, claims: &Claims) -> io::Result<Sockets> {
        let unix = self.unix.as_ref();
        Ok(Sockets {
            lock: dir.lock()?,
            tcp: self.tcp.as_fd().try_clone_to_owned()?,
            unix: unix
                .map(|unix| unix.as_fd().try_clone_to_owned())
                .transpose()?,
            claims: claims.hand_on()?,
        })
    }
}

/// Takes the socket out of its folder.
pub(crate) fn remove_socket(config: &Config) {
    if let Some(socket) = &config.socket {
        // Gone already, or the next start replaces it.
        let _ = fs::remove_file(socket);
    }
}
