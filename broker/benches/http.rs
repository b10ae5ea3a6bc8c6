//! Lock and unlock over loopback beside the same server's no-op route.
//!
//! Both servers run in this process, each with one GPU (or nothing) for every connection, so that
//! nobody ever waits. Rounds take turns, so that what else the machine does meets both alike; the
//! medians are printed as one line of JSON a figure.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use warden_broker::{Broker, Config, noop};

const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_millis(800);
const LATENCY_ROUND: usize = 1_500;
const CONNECTIONS: usize = 64;
/// As many threads as a small machine can feed; each drives its share of the connections.
const THREADS: usize = 2;

fn main() -> io::Result<()> {
    let dir = tempfile::tempdir()?;
    let mut config = Config::new(dir.path().join("data"), dir.path().join("config"));
    config.addr = "127.0.0.1:0".to_owned();
    config.simulate_gpus = Some(64);
    let runtime = tokio::runtime::Runtime::new()?;
    let mut broker = runtime
        .block_on(Broker::start(config))
        .map_err(io::Error::other)?;
    let token = std::fs::read_to_string(dir.path().join("data/token"))?;
    let token = token.trim();
    let port = {
        let _entered = runtime.enter();
        noop::serve(token).map_err(io::Error::other)?
    };
    let lock = Target::lock(&broker.endpoint().address, token);
    let noop = Target::noop(&format!("127.0.0.1:{port}"), token);

    for connections in [1, CONNECTIONS] {
        let (mut pairs, mut bare) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            pairs.push(rate(&lock, connections)?);
            bare.push(rate(&noop, connections)?);
        }
        let (pairs, bare) = (median(&mut pairs), median(&mut bare));
        print(&json!({
            "bench": "lock_unlock",
            "connections": connections,
            "pairs_per_s": pairs.round(),
            "noop_pairs_per_s": bare.round(),
            "share_of_noop": pairs / bare,
            "budget_share_of_noop": (connections == CONNECTIONS).then_some(0.5),
        }))?;
    }
    let (mut locks, mut bare) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        locks.push(latency(&lock)?);
        bare.push(latency(&noop)?);
    }
    let (locks, bare) = (median(&mut locks), median(&mut bare));
    print(&json!({
        "bench": "lock_latency",
        "connections": 1,
        "p50_us": locks,
        "noop_p50_us": bare,
        "times_noop": locks / bare,
        "budget_times_noop": 2.0,
    }))?;
    broker.stop();
    runtime.block_on(broker.ended()).map_err(io::Error::other)?;
    Ok(())
}

fn print(line: &Value) -> io::Result<()> {
    writeln!(io::stdout(), "{line}")
}

/// A server to measure, with the request of the first half of a pair.
struct Target {
    address: String,
    token: String,
    first: Vec<u8>,
    /// The second half gives back what the first one got; else it is the first one again.
    unlocks: bool,
}

impl Target {
    fn new(address: &str, token: &str, path: &str, unlocks: bool) -> Self {
        let body = r#"{"client":"bench","ttl_ms":60000}"#;
        Self {
            address: address.to_owned(),
            token: token.to_owned(),
            first: post(address, token, path, body),
            unlocks,
        }
    }

    fn lock(address: &str, token: &str) -> Self {
        Self::new(address, token, "/v1/gpu/lock", true)
    }

    fn noop(address: &str, token: &str) -> Self {
        Self::new(address, token, "/noop", false)
    }

    fn connect(&self) -> io::Result<Client<'_>> {
        let stream = TcpStream::connect(&self.address)?;
        stream.set_nodelay(true)?;
        Ok(Client {
            target: self,
            stream,
            answer: vec![0; 4096],
            length: 0,
        })
    }
}

fn post(address: &str, token: &str, path: &str, body: &str) -> Vec<u8> {
    format!(
        "POST {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// What stands there. Cheaper than parsing: what the client does is measured too.
fn between<'a>(text: &'a str, start: &str, end: char) -> io::Result<&'a str> {
    let found = text
        .split_once(start)
        .and_then(|(_, rest)| rest.split_once(end));
    found
        .map(|(value, _)| value)
        .ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// One connection.
struct Client<'a> {
    target: &'a Target,
    stream: TcpStream,
    answer: Vec<u8>,
    length: usize,
}

impl Client<'_> {
    fn send_first(&mut self) -> io::Result<()> {
        self.stream.write_all(&self.target.first)
    }

    fn send_second(&mut self) -> io::Result<()> {
        if !self.target.unlocks {
            return self.send_first();
        }
        let answer = String::from_utf8_lossy(&self.answer[..self.length]);
        let body = format!(
            r#"{{"lease_id":"{}","token":{}}}"#,
            between(&answer, r#""lease_id":""#, '"')?,
            between(&answer, r#""token":"#, ',')?,
        );
        let Target { address, token, .. } = self.target;
        let request = post(address, token, "/v1/gpu/unlock", &body);
        self.stream.write_all(&request)
    }

    /// Reads one answer, which must be a 200.
    fn receive(&mut self) -> io::Result<()> {
        self.length = 0;
        loop {
            let read = self.stream.read(&mut self.answer[self.length..])?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.length += read;
            if self.is_whole() {
                break;
            }
        }
        if self.answer.starts_with(b"HTTP/1.1 200 ") {
            return Ok(());
        }
        let text = String::from_utf8_lossy(&self.answer[..self.length]);
        Err(io::Error::other(text.into_owned()))
    }

    fn body_start(&self) -> io::Result<usize> {
        let answer = &self.answer[..self.length];
        let end = answer.windows(4).position(|four| four == b"\r\n\r\n");
        end.map(|end| end + 4)
            .ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    fn is_whole(&self) -> bool {
        let Ok(start) = self.body_start() else {
            return false;
        };
        let head = String::from_utf8_lossy(&self.answer[..start]);
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            let ours = name.eq_ignore_ascii_case("content-length");
            ours.then(|| value.trim().parse::<usize>().ok())?
        });
        length.is_some_and(|length| self.length >= start + length)
    }
}

/// Pairs a second over so many connections, each with one request on its way at any time.
fn rate(target: &Target, connections: usize) -> io::Result<f64> {
    let threads = THREADS.min(connections);
    let barrier = Barrier::new(threads);
    thread::scope(|scope| {
        let share = |thread: usize| (connections + threads - 1 - thread) / threads;
        let running: Vec<_> = (0..threads)
            .map(|thread| {
                let barrier = &barrier;
                scope.spawn(move || drive(target, share(thread), barrier))
            })
            .collect();
        let mut sum = 0.0;
        for thread in running {
            let rate = thread
                .join()
                .map_err(|_| io::Error::other("a client panicked"))?;
            sum += rate?;
        }
        Ok(sum)
    })
}

fn drive(target: &Target, connections: usize, barrier: &Barrier) -> io::Result<f64> {
    let clients: io::Result<Vec<_>> = (0..connections).map(|_| target.connect()).collect();
    barrier.wait();
    let mut clients = clients?;
    let (start, mut pairs) = (Instant::now(), 0_u64);
    for client in &mut clients {
        client.send_first()?;
    }
    while start.elapsed() < ROUND {
        for client in &mut clients {
            client.receive()?;
            client.send_second()?;
        }
        for client in &mut clients {
            client.receive()?;
            client.send_first()?;
        }
        pairs += connections as u64;
    }
    let rate = pairs as f64 / start.elapsed().as_secs_f64();
    // The last locks are given back, so that the next round finds every GPU free.
    for client in &mut clients {
        client.receive()?;
        client.send_second()?;
        client.receive()?;
    }
    Ok(rate)
}

/// Microseconds from the first byte of a request to the last of its answer, the median.
fn latency(target: &Target) -> io::Result<f64> {
    let mut client = target.connect()?;
    let mut times = Vec::with_capacity(LATENCY_ROUND);
    for _ in 0..LATENCY_ROUND {
        let start = Instant::now();
        client.send_first()?;
        client.receive()?;
        times.push(start.elapsed().as_secs_f64() * 1e6);
        client.send_second()?;
        client.receive()?;
    }
    Ok(median(&mut times))
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
