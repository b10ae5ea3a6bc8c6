//! The servers, each started on a free loopback port with a data directory of its own that goes
//! with it.
//!
//! All keep the promise that the design makes for a grant: it outlives the server, not the host. So
//! it is written before it is told, and nobody waits for the disk. Redis appends to its file and
//! syncs it once a second; PostgreSQL and etcd have their syncs off, which leaves their writes as they
//! are. etcd runs once more with its syncs on, as whoever installs it has it. PostgreSQL looks for
//! deadlocks once a minute and not, as it comes, when somebody has waited for a second: a thousand
//! waiters that look at each other take it half a minute.

use std::io::{BufRead as _, BufReader};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;
use warden_tests::Broker;
use warden_tests::process::{Process, output, until};

use crate::system;

const PATIENCE: Duration = Duration::from_secs(30);
/// A GPU for each of the clients that do not wait for each other.
const MANY_GPUS: u32 = 64;
/// A thousand waiters, one holder, and some that look.
const POSTGRES_CONNECTIONS: u32 = 1_050;
/// Whom Debian's package makes for it; `initdb` and `postgres` refuse to be run by root.
const POSTGRES_USER: &str = "postgres";

/// Everything that is measured, running.
#[derive(Debug)]
pub struct Servers {
    addresses: Value,
    _limit: Process,
    _brokers: [Broker; 2],
    _others: Vec<Server>,
}

/// A server of somebody else's.
#[derive(Debug)]
struct Server {
    address: String,
    process: Process,
    _folder: TempDir,
}

impl Drop for Server {
    /// PostgreSQL's children would outlive a killed parent for a moment, and write on into a folder
    /// that is being removed: it is asked to end first, and so are all.
    fn drop(&mut self) {
        if self.process.signal("INT").is_ok() {
            let _killed_if_late = self.process.wait(PATIENCE);
        }
    }
}

impl Servers {
    /// Starts them all: `limit` serves the routes without an engine, `warden` is the program.
    ///
    /// # Errors
    /// When one does not come up.
    pub fn start(limit: &Path, warden: &Path) -> Result<Self> {
        let (limit, limit_address) = start_limit(limit)?;
        let many = Broker::start_program(warden.to_owned(), MANY_GPUS)?;
        let one = Broker::start_program(warden.to_owned(), 1)?;
        let redis = redis()?;
        let postgres = postgres()?;
        let [synced, unsynced] = [etcd(true)?, etcd(false)?];
        let addresses = json!({
            "limit": limit_address,
            "warden_of_many": endpoint(&many)?,
            "warden_of_one": endpoint(&one)?,
            "redis": redis.address,
            "postgres": {"address": postgres.address, "user": POSTGRES_USER},
            "etcd": synced.address,
            "etcd_unsynced": unsynced.address,
        });
        Ok(Self {
            addresses,
            _limit: limit,
            _brokers: [many, one],
            _others: vec![redis, postgres, synced, unsynced],
        })
    }

    /// Where each of them listens.
    pub fn addresses(&self) -> &Value {
        &self.addresses
    }
}

fn start_limit(program: &Path) -> Result<(Process, Value)> {
    let mut command = Command::new(program);
    let mut process = Process::start(command.stdin(Stdio::piped()).stdout(Stdio::piped()))?;
    let stdout = process.child().stdout.take().context("it was piped")?;
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line)?;
    let address = serde_json::from_str(&line)
        .with_context(|| format!("{} said {line:?}", program.display()))?;
    Ok((process, address))
}

fn endpoint(broker: &Broker) -> Result<Value> {
    let endpoint = std::fs::read_to_string(broker.data_dir().join("endpoint"))?;
    let endpoint: Value = serde_json::from_str(&endpoint)?;
    let token = std::fs::read_to_string(broker.data_dir().join("token"))?;
    Ok(json!({"address": endpoint["address"], "token": token.trim()}))
}

fn redis() -> Result<Server> {
    let (folder, port) = (TempDir::new()?, free_port()?);
    let mut command = Command::new("redis-server");
    command
        .args(["--bind", "127.0.0.1", "--port", &port.to_string()])
        .args(["--appendonly", "yes", "--appendfsync", "everysec"])
        .args(["--save", "", "--loglevel", "warning", "--dir"])
        .arg(folder.path());
    started("Redis", &mut command, folder, port)
}

fn etcd(syncs: bool) -> Result<Server> {
    let (folder, port, peers) = (TempDir::new()?, free_port()?, free_port()?);
    let (clients, peers) = (
        format!("http://127.0.0.1:{port}"),
        format!("http://127.0.0.1:{peers}"),
    );
    let mut command = Command::new("etcd");
    command
        .args(["--name", "peer", "--log-level", "error", "--logger", "zap"])
        .args(["--listen-client-urls", &clients])
        .args(["--advertise-client-urls", &clients])
        .args(["--listen-peer-urls", &peers])
        .args(["--initial-advertise-peer-urls", &peers])
        .args(["--initial-cluster", &format!("peer={peers}")])
        .arg("--data-dir")
        .arg(folder.path().join("data"));
    if !syncs {
        command.arg("--unsafe-no-fsync");
    }
    started("etcd", &mut command, folder, port)
}

fn postgres() -> Result<Server> {
    let (folder, port) = (TempDir::new()?, free_port()?);
    let user = system::user_instead_of_root(POSTGRES_USER)?;
    let run = |program: &str| -> Result<Command> {
        let mut command = Command::new(postgres_program(program)?);
        if let Some((user, group)) = user {
            command.uid(user).gid(group);
        }
        command.current_dir(folder.path());
        Ok(command)
    };
    if let Some((user, group)) = user {
        chown(folder.path(), Some(user), Some(group))?;
    }
    let data = folder.path().join("data");
    let mut initialise = run("initdb")?;
    initialise
        .args(["--auth=trust", "--no-sync", "--username", POSTGRES_USER])
        .arg(&data);
    output(&mut initialise).context("making a database")?;
    let mut command = run("postgres")?;
    command
        .args(["-c", "fsync=off", "-c", "listen_addresses=127.0.0.1"])
        .args([
            "-c",
            "deadlock_timeout=60s",
            "-c",
            "unix_socket_directories=",
        ])
        .args(["-p", &port.to_string()])
        .args(["-N", &POSTGRES_CONNECTIONS.to_string(), "-D"])
        .arg(data)
        .stderr(Stdio::null());
    let server = started("PostgreSQL", &mut command, folder, port)?;
    until(PATIENCE, "PostgreSQL to take connections", || {
        let mut ask = Command::new(postgres_program("pg_isready")?);
        ask.args(["-q", "-h", "127.0.0.1", "-p", &port.to_string()]);
        Ok(ask.status()?.success().then_some(()))
    })?;
    Ok(server)
}

/// Starts a server and waits until its port takes connections.
fn started(name: &str, command: &mut Command, folder: TempDir, port: u16) -> Result<Server> {
    let address = format!("127.0.0.1:{port}");
    let mut process = Process::start(command.stdin(Stdio::null()).stdout(Stdio::null()))?;
    until(PATIENCE, &format!("{name} to listen"), || {
        ensure!(process.is_running(), "{name} ended instead of serving");
        Ok(TcpStream::connect(&address).ok().map(drop))
    })?;
    Ok(Server {
        address,
        process,
        _folder: folder,
    })
}

/// Debian keeps the programs of each version apart, and out of the search path.
fn postgres_program(name: &str) -> Result<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten();
    let versions = versions.filter_map(|version| {
        let path = version.ok()?.path();
        let number: u32 = path.file_name()?.to_str()?.parse().ok()?;
        Some((number, path.join("bin").join(name)))
    });
    match versions.filter(|(_, path)| path.is_file()).max() {
        Some((_, path)) => Ok(path),
        None if Path::new("/usr/lib/postgresql").exists() => {
            bail!("no version in /usr/lib/postgresql has {name}: install `postgresql`")
        }
        None => Ok(PathBuf::from(name)),
    }
}

/// A port that nobody listened on a moment ago: these servers cannot be given one of theirs.
fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
