//! What a broker is told at its start.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use warden::Gpu;
use warden::gpu::MAX_GPUS;

use crate::error::ServeError;
use crate::gpus;

/// Where the broker listens when nobody says otherwise.
pub const DEFAULT_ADDR: &str = "127.0.0.1:8080";

/// How one broker runs. [`Config::new`] fills in the defaults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// `HOST:PORT`, loopback only; port 0 takes a free one. See [`DEFAULT_ADDR`].
    pub addr: String,
    /// Where the Unix socket is made; none for no socket.
    pub socket: Option<PathBuf>,
    /// Holds the journal, the token and the endpoint; made with mode 0700 where it is missing.
    pub data_dir: PathBuf,
    /// Holds `policy.ron`, `schema.ron` and what else configures; need not exist.
    pub config_dir: PathBuf,
    /// The values that programs share; `shared.env` in `config_dir` where it is not given.
    pub env: Option<PathBuf>,
    /// So many simulated GPUs in place of the real ones.
    pub simulate_gpus: Option<u32>,
    /// End after so long without a client's connection, a waiter or a lease.
    pub until_idle: Option<Duration>,
    /// Where the kernel shows this host's GPUs: `/proc` and `/sys` are sought in it. `/` but for
    /// tests, each of which plays a host of its own.
    pub host_root: PathBuf,
    /// Development mode.
    pub dev: bool,
    /// Who started this broker, in words, for `endpoint`.
    pub started_by: Option<String>,
    /// Names beside the loopback ones that a Host header may carry, without a port.
    pub allowed_hosts: Vec<String>,
    /// Origins beside the broker's own that may call, as `scheme://host:port`.
    pub allowed_origins: Vec<String>,
}

impl Config {
    /// The defaults of `warden serve` over these two directories.
    pub fn new(data_dir: impl Into<PathBuf>, config_dir: impl Into<PathBuf>) -> Self {
        let data_dir = data_dir.into();
        Self {
            addr: DEFAULT_ADDR.to_owned(),
            socket: Some(data_dir.join("warden.sock")),
            data_dir,
            config_dir: config_dir.into(),
            env: None,
            simulate_gpus: None,
            until_idle: None,
            host_root: PathBuf::from("/"),
            dev: false,
            started_by: None,
            allowed_hosts: Vec::new(),
            allowed_origins: Vec::new(),
        }
    }

    /// The simulated GPUs, where there are to be such.
    pub(crate) fn simulated_gpus(&self) -> Result<Option<Vec<Gpu>>, ServeError> {
        match self.simulate_gpus {
            None => Ok(None),
            Some(count) if (1..=MAX_GPUS).contains(&(count as usize)) => {
                Ok(Some(gpus::simulated(count)))
            }
            Some(count) => Err(ServeError::Usage {
                detail: format!("{count} GPUs cannot be simulated; 1 to {MAX_GPUS} can"),
            }),
        }
    }

    /// The address to listen on.
    ///
    /// # Errors
    /// [`ServeError::Usage`] where it is no `HOST:PORT`, or reaches beyond this host.
    pub fn listen_addr(&self) -> Result<SocketAddr, ServeError> {
        let usage = |detail: String| ServeError::Usage { detail };
        let text = self.addr.trim();
        let addr = match text.rsplit_once(':') {
            Some((host, port)) if host.eq_ignore_ascii_case("localhost") => port
                .parse()
                .map(|port| SocketAddr::new(IpAddr::from([127, 0, 0, 1]), port))
                .ok(),
            _ => text.parse::<SocketAddr>().ok(),
        };
        let addr = addr.ok_or_else(|| {
            usage(format!(
                "`{text}` is not an address to listen on; write HOST:PORT, as in {DEFAULT_ADDR}"
            ))
        })?;
        if !addr.ip().is_loopback() {
            return Err(usage(format!(
                "{addr} can be reached from other hosts, and the broker has no TLS yet; \
                 listen on 127.0.0.1 or [::1]"
            )));
        }
        Ok(addr)
    }
}
