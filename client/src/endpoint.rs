//! Finding a broker, and deciding what it may be told.
//!
//! A broker's address can change whenever it restarts (`--addr 127.0.0.1:0`), and whoever listens
//! on a port can change with it. So nothing is looked up once: [`Endpoint::route`] is asked anew
//! for every request, and says in one answer where it goes and which token it carries.

use std::fmt;
use std::fs::{self, File, TryLockError};
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use http::Uri;
use serde::Deserialize;

use crate::error::Error;

/// The file in a data directory that its broker holds an exclusive lock on while it runs.
pub const LOCK_FILE: &str = "lock";
/// The file in a data directory that says where its broker listens.
pub const ENDPOINT_FILE: &str = "endpoint";
/// The file in a data directory that holds the operator's bearer token.
pub const TOKEN_FILE: &str = "token";

/// Where a broker listens.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// A host as it stands in a URL (`127.0.0.1`, `[::1]`, `localhost`) and a port.
    Tcp {
        /// With brackets, where it is an IPv6 literal.
        host: String,
        /// Never 0.
        port: u16,
    },
    /// A Unix socket.
    Unix(PathBuf),
}

impl Address {
    /// Whether both name one listening socket, as far as their text tells: `localhost` is any
    /// loopback address.
    #[must_use]
    pub fn is_same_as(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Unix(a), Self::Unix(b)) => a == b,
            (Self::Tcp { host: a, port: p }, Self::Tcp { host: b, port: q }) => {
                p == q && same_host(a, b)
            }
            _ => false,
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl FromStr for Address {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let bad = |reason: &str| Error::BadAddress {
            text: text.to_owned(),
            reason: reason.to_owned(),
        };
        if let Some(path) = text.strip_prefix("unix:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            if path.is_empty() {
                return Err(bad("unix: wants the path of a socket"));
            }
            return Ok(Self::Unix(PathBuf::from(path)));
        }
        let uri: Uri = text
            .parse()
            .map_err(|_| bad("write HOST:PORT, http://HOST:PORT or unix:PATH"))?;
        match uri.scheme_str() {
            None | Some("http") => {}
            Some("https") => return Err(bad("this version speaks no TLS; use http:// or unix:")),
            Some(_) => return Err(bad("only http:// and unix: are known")),
        }
        let plain_path = matches!(uri.path(), "" | "/") && uri.query().is_none();
        let authority = uri.authority().filter(|_| plain_path);
        let authority = authority.ok_or_else(|| bad("write HOST:PORT and no path"))?;
        if authority.as_str().contains('@') {
            return Err(bad("no user or password belongs in it"));
        }
        let port = match (authority.port_u16(), uri.scheme()) {
            (Some(port), _) => port,
            (None, Some(_)) if authority.port().is_none() => 80,
            _ => return Err(bad("the port is missing")),
        };
        if port == 0 || authority.host().is_empty() {
            return Err(bad("a host and a port above 0 are needed"));
        }
        Ok(Self::Tcp {
            host: authority.host().to_owned(),
            port,
        })
    }
}

/// What a caller says about the broker that it means. Empty: this user's own.
#[derive(Clone, Debug, Default)]
pub struct Find {
    /// `host:port`, a URL or `unix:PATH`. Default: what the data directory's `endpoint` names.
    pub addr: Option<String>,
    /// Default: [`crate::places::default_data_dir`].
    pub data_dir: Option<PathBuf>,
    /// Holds the bearer token, one line. Default: `token` in the data directory.
    pub token_file: Option<PathBuf>,
}

impl Find {
    /// From `WARDEN_ADDR`, `WARDEN_DATA_DIR` and `WARDEN_TOKEN_FILE`; an empty one counts as unset.
    #[must_use]
    pub fn from_env() -> Self {
        let get = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        Self {
            addr: get("WARDEN_ADDR").map(|value| value.to_string_lossy().into_owned()),
            data_dir: get("WARDEN_DATA_DIR").map(PathBuf::from),
            token_file: get("WARDEN_TOKEN_FILE").map(PathBuf::from),
        }
    }

    /// Checks what was said; touches neither disk nor network.
    ///
    /// # Errors
    /// [`Error::BadAddress`], also where a data directory is needed and the user has no home.
    pub fn endpoint(self) -> Result<Endpoint, Error> {
        let explicit = self.addr.as_deref().map(str::parse).transpose()?;
        let data_dir = match self.data_dir {
            Some(dir) => dir,
            None => crate::places::default_data_dir().map_err(|_| Error::BadAddress {
                text: String::new(),
                reason: "there is no home directory to find a broker in; name a --data-dir"
                    .to_owned(),
            })?,
        };
        Ok(Endpoint {
            explicit,
            data_dir,
            token_file: self.token_file,
        })
    }
}

/// What `DIR/endpoint` holds: where the broker of this directory listens.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Published {
    /// The broker's process.
    pub pid: u32,
    /// The broker's version.
    pub version: String,
    /// Its Unix socket, if it has one.
    pub socket: Option<PathBuf>,
    /// Its `HOST:PORT`.
    pub address: String,
    /// The data directory, absolute.
    pub data_dir: PathBuf,
    /// RFC 3339.
    pub started_at: String,
    /// Who started it, where they said so.
    #[serde(default)]
    pub started_by: Option<String>,
}

/// A broker as it was described: where to look for it, anew for every request.
#[derive(Clone, Debug)]
pub struct Endpoint {
    explicit: Option<Address>,
    data_dir: PathBuf,
    token_file: Option<PathBuf>,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.explicit {
            Some(address) => address.fmt(f),
            None => write!(f, "the broker of {}", self.data_dir.display()),
        }
    }
}

/// Where one request goes, and what it carries.
#[derive(Clone)]
pub struct Route {
    /// The one to try first.
    pub address: Address,
    /// Where else the same broker listens.
    pub other: Option<Address>,
    token: Token,
}

impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Route")
            .field("address", &self.address)
            .field("other", &self.other)
            .finish_non_exhaustive()
    }
}

#[derive(Clone)]
enum Token {
    /// There is none to send.
    None,
    /// May be sent to anybody: the caller named the file.
    Named(String),
    /// Belongs to the data directory; whether it may be sent is decided address by address.
    Directory(String),
}

impl Endpoint {
    /// The directory whose broker is meant, or whose token is used.
    #[must_use]
    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// The address, where the caller gave one.
    #[must_use]
    pub fn explicit_address(&self) -> Option<&Address> {
        self.explicit.as_ref()
    }

    /// What the data directory's broker last published. It may have ended since: see
    /// [`Endpoint::is_running`].
    ///
    /// # Errors
    /// Where the file is missing or is not what a broker writes.
    pub fn published(&self) -> io::Result<Published> {
        let text = fs::read_to_string(self.data_dir.join(ENDPOINT_FILE))?;
        serde_json::from_str(&text).map_err(io::Error::other)
    }

    /// Whether a broker holds the data directory's lock now.
    #[must_use]
    pub fn is_running(&self) -> bool {
        is_locked(&self.data_dir.join(LOCK_FILE))
    }

    /// Where the next request goes, and with which token.
    ///
    /// # Errors
    /// [`Error::Unreachable`] where no address was given and the data directory names none,
    /// [`Error::Token`] where the token cannot be read, [`Error::BadAddress`] where the data
    /// directory names nonsense.
    pub fn route(&self) -> Result<Route, Error> {
        let (address, other) = match &self.explicit {
            Some(address) => (self.literal(address), None),
            None => self.published_addresses()?,
        };
        let token = self.token()?;
        Ok(Route {
            address,
            other,
            token,
        })
    }

    /// A name may lead to several sockets, of which only one is the broker's: where one is named that
    /// is the published address by another name, it is that address.
    fn literal(&self, named: &Address) -> Address {
        let published = self.published().ok();
        let own = published.and_then(|published| published.address.parse::<Address>().ok());
        match own {
            Some(own) if own.is_same_as(named) => own,
            _ => named.clone(),
        }
    }

    /// The token that `route` carries to `address`; none over a socket, where the peer's uid opens
    /// the door, unless the caller named a token file.
    ///
    /// # Errors
    /// [`Error::Stranger`] where the token may not be sent there.
    pub(crate) fn token_for(
        &self,
        route: &Route,
        address: &Address,
    ) -> Result<Option<String>, Error> {
        match (&route.token, address) {
            (Token::None, _) | (Token::Directory(_), Address::Unix(_)) => Ok(None),
            (Token::Named(token), _) => Ok(Some(token.clone())),
            (Token::Directory(token), Address::Tcp { .. }) if self.is_own(address) => {
                Ok(Some(token.clone()))
            }
            (Token::Directory(_), Address::Tcp { .. }) => Err(Error::Stranger {
                address: address.to_string(),
                data_dir: self.data_dir.clone(),
            }),
        }
    }

    /// Whether the running broker of the data directory is who listens at `address`. What a broker
    /// that was killed left in `endpoint` does not count: somebody else may have its port by now,
    /// even while its successor already holds the lock.
    fn is_own(&self, address: &Address) -> bool {
        let Ok(published) = self.published() else {
            return false;
        };
        let own = published.address.parse::<Address>();
        let same = own.is_ok_and(|own| own == *address);
        same && self.is_running() && is_alive(published.pid)
    }

    fn published_addresses(&self) -> Result<(Address, Option<Address>), Error> {
        let file = self.data_dir.join(ENDPOINT_FILE);
        let published = self.published().map_err(|source| Error::Unreachable {
            address: file.display().to_string(),
            reason: format!("{source}; start one with `warden serve`"),
            was_connected: false,
        })?;
        let tcp = published.address.parse()?;
        Ok(match published.socket {
            Some(socket) => (Address::Unix(socket), Some(tcp)),
            None => (tcp, None),
        })
    }

    fn token(&self) -> Result<Token, Error> {
        if let Some(path) = &self.token_file {
            return match read_token(path) {
                Ok(token) => Ok(Token::Named(token)),
                Err(source) => Err(token_error(path, &source)),
            };
        }
        let path = self.data_dir.join(TOKEN_FILE);
        match read_token(&path) {
            Ok(token) => Ok(Token::Directory(token)),
            // Another user's broker may still let this one in by its socket; it will say.
            Err(source)
                if matches!(
                    source.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied
                ) =>
            {
                Ok(Token::None)
            }
            Err(source) => Err(token_error(&path, &source)),
        }
    }
}

fn same_host(a: &str, b: &str) -> bool {
    let ip = |host: &str| {
        host.trim_start_matches('[')
            .trim_end_matches(']')
            .parse::<IpAddr>()
            .ok()
    };
    let local = |host: &str| host.eq_ignore_ascii_case("localhost");
    match (ip(a), ip(b)) {
        (Some(a), Some(b)) => a == b,
        (Some(ip), None) => local(b) && ip.is_loopback(),
        (None, Some(ip)) => local(a) && ip.is_loopback(),
        (None, None) => a.eq_ignore_ascii_case(b),
    }
}

/// The longest token file that is read, in bytes.
const MAX_TOKEN: usize = 4096;

fn read_token(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    io::Read::read_to_string(
        &mut io::Read::take(File::open(path)?, MAX_TOKEN as u64 + 1),
        &mut text,
    )?;
    let token = text.trim_end_matches(['\n', '\r']);
    let is_token = !token.is_empty()
        && token.len() <= MAX_TOKEN
        && token.bytes().all(|byte| byte.is_ascii_graphic());
    if is_token {
        Ok(token.to_owned())
    } else {
        Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "it should hold one line of printable characters without blanks",
        ))
    }
}

fn token_error(path: &Path, source: &io::Error) -> Error {
    Error::Token {
        path: path.to_owned(),
        reason: source.to_string(),
    }
}

/// Whether somebody holds the exclusive lock on `path`. The probe takes a shared lock for an
/// instant where nobody does; a broker that starts in that instant tries again.
fn is_locked(path: &Path) -> bool {
    let Ok(file) = File::open(path) else {
        return false;
    };
    // Dropping the file lets go of a lock that was got.
    matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock))
}

#[cfg(unix)]
fn is_alive(pid: u32) -> bool {
    let pid = i32::try_from(pid)
        .ok()
        .and_then(rustix::process::Pid::from_raw);
    // Somebody else's process is alive too, so only "no such process" counts.
    pid.is_some_and(|pid| rustix::process::test_kill_process(pid) != Err(rustix::io::Errno::SRCH))
}

#[cfg(not(unix))]
fn is_alive(_pid: u32) -> bool {
    true
}
