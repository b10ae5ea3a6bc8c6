//! Starts a broker where none answers, as a process that outlives the window.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs as _};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;
use std::time::Duration;

use warden_client::{Address, DEFAULT_ADDR, Endpoint};

/// Such a broker ends by itself after so long without a client, waiter or lease.
const UNTIL_IDLE: &str = "60s";
/// What the broker says goes there, in its data directory.
pub const LOG: &str = "serve.log";
/// `warden serve` ends with this when its address or its directory is taken.
const TAKEN: i32 = 73;

/// A broker that this window started.
#[derive(Debug)]
pub struct Started {
    ended: Receiver<Ended>,
}

/// How a broker that this window started has ended.
#[derive(Clone, Debug)]
pub struct Ended {
    /// In words, with what it said last.
    pub said: String,
    /// Somebody else has the port.
    pub stranger: Option<String>,
}

/// The broker could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Its program or its log.
    #[error("no broker answers, and `{}` cannot be started: {error}", program.display())]
    Process {
        /// The program.
        program: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// Its data directory.
    #[error("no broker answers, and {} cannot be made: {error}", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
}

/// Whether the window may start a broker at this address: only one of this very machine.
#[must_use]
pub fn may_start(endpoint: &Endpoint) -> bool {
    match endpoint.explicit_address() {
        None | Some(Address::Unix(_)) => true,
        Some(Address::Tcp { host, .. }) => {
            let bare = host.trim_start_matches('[').trim_end_matches(']');
            bare.eq_ignore_ascii_case("localhost")
                || bare
                    .parse::<std::net::IpAddr>()
                    .is_ok_and(|ip| ip.is_loopback())
        }
    }
}

/// What a broker that this window starts says when asked who did. The same after a warm restart,
/// which is the same process, and no other window's, even where that gets its number.
#[must_use]
pub fn own_name() -> String {
    let start = warden_client::owner::own_start().unwrap_or_default();
    format!("warden-dashboard {} {start}", std::process::id())
}

/// Starts `warden serve` for this endpoint, in a session of its own, so that neither a crash of the
/// window nor its closing reaches it.
///
/// # Errors
/// When there is no such program or no place for its log.
pub fn start(endpoint: &Endpoint, config_dir: Option<&Path>) -> Result<Started, StartError> {
    let data_dir =
        std::path::absolute(endpoint.data_dir()).unwrap_or_else(|_| endpoint.data_dir().to_owned());
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&data_dir)
        .map_err(|error| StartError::Directory {
            path: data_dir.clone(),
            error,
        })?;
    let program = program();
    let failed = |error| StartError::Process {
        program: program.clone(),
        error,
    };
    let log = log(&data_dir.join(LOG)).map_err(failed)?;
    let mut command = Command::new(&program);
    command.arg("serve").arg("--data-dir").arg(&data_dir);
    match endpoint.explicit_address() {
        None => {}
        Some(Address::Unix(path)) => {
            command.arg("--socket").arg(path);
        }
        Some(address @ Address::Tcp { .. }) => {
            command.arg("--addr").arg(address.to_string());
        }
    }
    if let Some(config_dir) = config_dir {
        command.arg("--config-dir").arg(config_dir);
    }
    command.args(["--until-idle", UNTIL_IDLE, "--started-by", &own_name()]);
    // The window's own address is no default of the broker's.
    command.env_remove("WARDEN_ADDR").current_dir(&data_dir);
    command
        .stdin(Stdio::null())
        .stdout(log.try_clone().map_err(failed)?)
        .stderr(log);
    detach(&mut command);
    let mut child = command.spawn().map_err(failed)?;
    let (tell, ended) = sync_channel(1);
    let address = endpoint.explicit_address().cloned();
    let waiter = thread::Builder::new()
        .name("broker-end".to_owned())
        .spawn(move || {
            if let Ok(status) = child.wait() {
                let stranger = (status.code() == Some(TAKEN))
                    .then(|| stranger(address))
                    .flatten();
                let said = format!(
                    "`warden serve` ended ({status}): {}",
                    last_line(&data_dir.join(LOG))
                );
                // The window may be gone.
                let _ = tell.try_send(Ended { said, stranger });
            }
        });
    waiter.map_err(failed)?;
    Ok(Started { ended })
}

impl Started {
    /// How it ended, once it has.
    pub fn ended(&self) -> Option<Ended> {
        self.ended.try_recv().ok()
    }
}

/// Beside this program, else in `PATH`.
fn program() -> PathBuf {
    let file = format!("warden{}", std::env::consts::EXE_SUFFIX);
    let beside = std::env::current_exe()
        .ok()
        .map(|path| path.with_file_name(&file));
    beside
        .filter(|path| path.is_file())
        .unwrap_or_else(|| file.into())
}

fn log(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path)
}

fn detach(command: &mut Command) {
    // SAFETY: between fork and exec only `setsid` runs, which is async-signal-safe.
    unsafe {
        command.pre_exec(|| {
            rustix::process::setsid()?;
            Ok(())
        });
    }
}

/// Who listens where the broker should, if somebody does.
fn stranger(address: Option<Address>) -> Option<String> {
    let address = match address {
        None => DEFAULT_ADDR.to_owned(),
        Some(Address::Unix(_)) => return None,
        Some(address @ Address::Tcp { .. }) => address.to_string(),
    };
    let open = |socket: SocketAddr| TcpStream::connect_timeout(&socket, Duration::from_secs(1));
    address
        .to_socket_addrs()
        .ok()?
        .find_map(|socket| open(socket).ok())?;
    Some(address)
}

/// The last line of a log that says something.
fn last_line(path: &Path) -> String {
    let bytes = std::fs::read(path).unwrap_or_default();
    let tail = &bytes[bytes.len().saturating_sub(4096)..];
    let text = String::from_utf8_lossy(tail);
    text.lines()
        .rev()
        .find(|line| !line.trim().is_empty())
        .unwrap_or("it said nothing")
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_is_started_on_this_machine_only() {
        let endpoint = |addr: &str| {
            let addr = Some(addr.to_owned());
            warden_client::Find {
                addr,
                data_dir: Some("/nowhere".into()),
                token_file: None,
            }
            .endpoint()
            .unwrap()
        };
        for here in ["127.0.0.1:1", "localhost:1", "[::1]:1", "unix:/run/w.sock"] {
            assert!(may_start(&endpoint(here)), "{here}");
        }
        for elsewhere in ["10.0.0.1:1", "gpu.example:1"] {
            assert!(!may_start(&endpoint(elsewhere)), "{elsewhere}");
        }
    }
}
