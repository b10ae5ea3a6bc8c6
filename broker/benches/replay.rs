//! How soon a broker is back after `kill -9`, with 100,000 records in its journal.
//!
//! A broker in a process of its own is asked to lock and unlock until its journal holds that many
//! records, with one lease held and 1,000 waiting, and is killed. Another is then started on a copy
//! of what it left, five times: from the copy, since a broker that has replayed so much puts an
//! image of the state in its place. What is held and who waits is compared.

use std::fs;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use serde_json::{Value, json};
use warden_broker::Config;

/// Where the child serves.
const SERVE_IN: &str = "WARDEN_BENCH_SERVE_IN";
const RECORDS: u64 = 100_000;
const WAITERS: u64 = 1_000;
const STARTS: usize = 5;
/// What a broker goes on from.
const LEFT: [&str; 4] = ["journal.db", "journal.db-wal", "reserve", "token"];

fn main() -> io::Result<()> {
    if let Some(dir) = std::env::var_os(SERVE_IN) {
        return serve(Path::new(&dir));
    }
    let dir = tempfile::tempdir()?;
    let first = dir.path().join("first");
    let broker = Broker::start(&first)?;
    let held = broker.fill()?;
    let before = broker.call("GET", "/v1/gpu/status", None)?;
    drop(broker);
    let mut times = Vec::new();
    let (mut records, mut facts) = (0, 0);
    for number in 0..STARTS {
        let copy = dir.path().join(format!("copy-{number}"));
        copy_left(&first, &copy)?;
        (records, facts) = count(&copy)?;
        assert!(
            records >= RECORDS,
            "only {records} records are left to replay"
        );
        let begun = Instant::now();
        let broker = Broker::start(&copy)?;
        times.push(begun.elapsed());
        broker.check(&before, &held)?;
    }
    times.sort();
    let ms = |time: Duration| time.as_secs_f64() * 1_000.0;
    let line = json!({
        "bench": "replay",
        "records": records,
        "facts": facts,
        "ready_ms_median": ms(times[STARTS / 2]),
        "ready_ms_longest": ms(times[STARTS - 1]),
    });
    writeln!(io::stdout(), "{line}")
}

fn data_of(dir: &Path) -> PathBuf {
    dir.join("data")
}

fn serve(dir: &Path) -> io::Result<()> {
    let mut config = Config::new(data_of(dir), dir.join("config"));
    config.addr = "127.0.0.1:0".to_owned();
    config.simulate_gpus = Some(2);
    warden_broker::serve(config)
        .map(drop)
        .map_err(io::Error::other)
}

fn copy_left(from: &Path, to: &Path) -> io::Result<()> {
    let mut private = fs::DirBuilder::new();
    private.recursive(true).mode(0o700).create(data_of(to))?;
    for name in LEFT {
        fs::copy(data_of(from).join(name), data_of(to).join(name))?;
    }
    Ok(())
}

/// How many records a journal holds that no image stands for, and how many facts.
fn count(dir: &Path) -> io::Result<(u64, u64)> {
    let db = Connection::open(data_of(dir).join(LEFT[0])).map_err(io::Error::other)?;
    let sql = "SELECT count(*), sum(facts) FROM records
        WHERE seq > (SELECT coalesce(max(seq), 0) FROM image)";
    let counts = db.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?)));
    let (records, facts): (i64, i64) = counts.map_err(io::Error::other)?;
    Ok((records.unsigned_abs(), facts.unsigned_abs()))
}

/// A broker's process; killed with this value.
struct Broker {
    child: Child,
    _stdout: BufReader<ChildStdout>,
    address: String,
    token: String,
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _already_gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

impl Broker {
    /// Returns once it serves.
    fn start(dir: &Path) -> io::Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .env(SERVE_IN, dir)
            .stdout(Stdio::piped())
            .spawn()?;
        let stdout = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
        let mut stdout = BufReader::new(stdout);
        let mut line = String::new();
        stdout.read_line(&mut line)?;
        let endpoint: Value = serde_json::from_str(&line)?;
        let token = fs::read_to_string(data_of(dir).join("token"))?;
        Ok(Self {
            child,
            _stdout: stdout,
            address: endpoint["address"].as_str().unwrap_or_default().to_owned(),
            token: token.trim().to_owned(),
        })
    }

    fn connect(&self) -> io::Result<Http<'_>> {
        let stream = TcpStream::connect(&self.address)?;
        stream.set_nodelay(true)?;
        Ok(Http {
            broker: self,
            stream: BufReader::new(stream),
        })
    }

    fn call(&self, method: &str, path: &str, body: Option<&Value>) -> io::Result<Value> {
        self.connect()?.call(method, path, body)
    }

    /// Holds one GPU, has many wait for it, and fills the journal on the other. What is held.
    fn fill(&self) -> io::Result<Value> {
        let mut http = self.connect()?;
        let ttl_ms = 3_600_000;
        let body = json!({"client": "holder", "gpu_ids": ["simulated-0"], "ttl_ms": ttl_ms});
        let held = http.call("POST", "/v1/gpu/lock", Some(&body))?;
        // One connection: each call is a commit, and each commit a record.
        for number in 0..RECORDS / 2 {
            let body = json!({"client": "pair", "request_id": format!("pair-{number}")});
            let lease = http.call("POST", "/v1/gpu/lock", Some(&body))?;
            let unlock = json!({"lease_id": lease["lease_id"], "token": lease["token"]});
            http.call("POST", "/v1/gpu/unlock", Some(&unlock))?;
        }
        // The last, since polls that nobody looks at wait for a minute.
        for number in 0..WAITERS {
            let body = json!({
                "client": "waiter", "gpu_ids": ["simulated-0"], "wait": false,
                "request_id": format!("waiter-{number}"), "timeout_ms": ttl_ms,
            });
            http.call("POST", "/v1/gpu/lock", Some(&body))?;
        }
        Ok(json!({"lease_id": held["lease_id"], "token": held["token"]}))
    }

    /// Nothing is lost: what is held is honoured, and the same wait in the same order.
    fn check(&self, before: &Value, held: &Value) -> io::Result<()> {
        self.call("POST", "/v1/gpu/renew", Some(held))?;
        let after = self.call("GET", "/v1/gpu/status", None)?;
        let waiters = |status: &Value| -> Vec<Value> {
            let rows = status["queue"].as_array().cloned().unwrap_or_default();
            rows.iter().map(|row| row["request_id"].clone()).collect()
        };
        let same = waiters(&after) == waiters(before)
            && after["counters"]["granted"] == before["counters"]["granted"];
        if same && waiters(&after).len() as u64 == WAITERS {
            return Ok(());
        }
        Err(io::Error::other("the new broker knows another state"))
    }
}

/// One connection.
struct Http<'a> {
    broker: &'a Broker,
    stream: BufReader<TcpStream>,
}

impl Http<'_> {
    /// Sends a request and reads the answer, which must be a success.
    fn call(&mut self, method: &str, path: &str, body: Option<&Value>) -> io::Result<Value> {
        let body = body.map(Value::to_string).unwrap_or_default();
        let Broker { address, token, .. } = self.broker;
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.stream.get_mut().write_all(request.as_bytes())?;
        let mut head = Vec::new();
        loop {
            let mut line = String::new();
            self.stream.read_line(&mut line)?;
            if line.trim_end().is_empty() {
                break;
            }
            head.push(line.to_ascii_lowercase());
        }
        let length = head
            .iter()
            .find_map(|line| line.strip_prefix("content-length:"))
            .and_then(|length| length.trim().parse().ok())
            .ok_or(io::ErrorKind::InvalidData)?;
        let mut answer = vec![0; length];
        self.stream.read_exact(&mut answer)?;
        match head.first() {
            Some(status) if status.starts_with("http/1.1 20") => {
                Ok(serde_json::from_slice(&answer)?)
            }
            status => Err(io::Error::other(format!(
                "{status:?}: {}",
                String::from_utf8_lossy(&answer)
            ))),
        }
    }
}
