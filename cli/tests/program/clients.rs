//! Clients that go on while the program under them is replaced, again and again.

use std::collections::BTreeSet;
use std::fs::{File, TryLockError};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use warden::wire::{Granted, LockBody, RenewBody};
use warden_client::blocking::Client;

use crate::daemon::Daemon;
use crate::stand::until;

const RELOADS: u64 = 20;
const CLIENTS: usize = 6;
/// Who connects anew all the time.
const KNOCKS: usize = 3;
const GPUS: usize = 2;

/// What all clients together saw.
#[derive(Default)]
struct Seen {
    over: AtomicBool,
    /// Who holds each GPU, as far as holders know.
    held: [AtomicUsize; GPUS],
    tokens: Mutex<Vec<u64>>,
}

impl Seen {
    fn holds(&self, granted: &Granted, client: usize) {
        for gpu in &granted.gpu_ids {
            let place: usize = gpu.to_string().rsplit_once('-').unwrap().1.parse().unwrap();
            let other = self.held[place].swap(client, Ordering::SeqCst);
            assert_eq!(other, 0, "{gpu} is held twice: {granted:?}");
        }
        self.tokens.lock().unwrap().push(granted.token);
    }

    fn gives_back(&self, granted: &Granted) {
        for gpu in &granted.gpu_ids {
            let place: usize = gpu.to_string().rsplit_once('-').unwrap().1.parse().unwrap();
            self.held[place].store(0, Ordering::SeqCst);
        }
    }
}

/// Locks and unlocks until all is over. Every call succeeds: who is told to come back does so
/// within the client library.
fn contend(client: &Client, seen: &Seen, me: usize) {
    let mut last = 0;
    while !seen.over.load(Ordering::SeqCst) {
        let body = LockBody {
            client: format!("client {me}"),
            ..LockBody::default()
        };
        let granted = client.lock(body).unwrap();
        assert!(granted.token > last, "{granted:?} after {last}");
        last = granted.token;
        seen.holds(&granted, me);
        // The work that the lease is for.
        thread::sleep(Duration::from_millis(2));
        seen.gives_back(&granted);
        client.unlock(&granted.lease_id, granted.token).unwrap();
    }
}

/// Connects anew for every request, to the address and to the socket in turn; says how long the
/// slowest answer took. Nobody is refused, and nobody is hung up on.
fn knock(address: &str, socket: &Path, seen: &Seen) -> Duration {
    let mut slowest = Duration::ZERO;
    while !seen.over.load(Ordering::SeqCst) {
        let began = Instant::now();
        ask(TcpStream::connect(address).unwrap(), address);
        slowest = slowest.max(began.elapsed());
        let began = Instant::now();
        ask(UnixStream::connect(socket).unwrap(), "localhost");
        slowest = slowest.max(began.elapsed());
    }
    slowest
}

fn ask(mut stream: impl Read + Write, host: &str) {
    let request = format!("GET /healthz HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer:?}");
}

/// The directory is this broker's at every moment.
fn try_lock(lock: &Path, seen: &Seen) {
    let lock = File::open(lock).unwrap();
    while !seen.over.load(Ordering::SeqCst) {
        let got = lock.try_lock_shared();
        assert!(matches!(got, Err(TryLockError::WouldBlock)), "{got:?}");
        // It samples, and leaves the processor to those whom it watches.
        thread::sleep(Duration::from_micros(200));
    }
}

#[test]
fn twenty_reloads_under_contention_lose_nothing() {
    let broker = Daemon::start(&[]);
    let client = broker.client();
    client.enable_reload(true).unwrap();
    let kept = client
        .lock(LockBody {
            client: "keeper".to_owned(),
            pid: Some(std::process::id()),
            ..LockBody::default()
        })
        .unwrap();
    let seen = Arc::new(Seen::default());
    seen.holds(&kept, usize::MAX);
    let clients = (1..=CLIENTS).map(|me| {
        let (client, seen) = (broker.client(), Arc::clone(&seen));
        thread::spawn(move || contend(&client, &seen, me))
    });
    let clients: Vec<_> = clients.collect();
    let knocks = (0..KNOCKS).map(|_| {
        let (address, seen) = (broker.ready.address.clone(), Arc::clone(&seen));
        let socket = broker.data("warden.sock");
        thread::spawn(move || knock(&address, &socket, &seen))
    });
    let knocks: Vec<_> = knocks.collect();
    let locks = {
        let (lock, seen) = (broker.data("lock"), Arc::clone(&seen));
        thread::spawn(move || try_lock(&lock, &seen))
    };
    let fence = RenewBody {
        lease_id: kept.lease_id.clone(),
        token: kept.token,
        operation: None,
    };
    for round in 1..=RELOADS {
        broker.install(&round.to_le_bytes());
        let results = broker.reload_program().unwrap().results;
        assert_eq!(results[0].generation, round + 1);
        client.renew(&fence).unwrap();
        // Some are served by each program.
        let grants = || seen.tokens.lock().unwrap().len();
        let before = grants();
        until("somebody is served", || grants() > before + CLIENTS);
    }
    seen.over.store(true, Ordering::SeqCst);
    for client in clients {
        client.join().unwrap();
    }
    let slowest = knocks.into_iter().map(|knock| knock.join().unwrap());
    let slowest = slowest.max().unwrap();
    locks.join().unwrap();
    client.unlock(&kept.lease_id, kept.token).unwrap();
    let tokens = seen.tokens.lock().unwrap().clone();
    let distinct: BTreeSet<u64> = tokens.iter().copied().collect();
    assert_eq!(distinct.len(), tokens.len(), "a token was given twice");
    let status = client.status().unwrap();
    assert!(
        status.leases.is_empty() && status.queue.is_empty(),
        "{status:?}"
    );
    assert_eq!(status.counters.granted, tokens.len() as u64);
    eprintln!(
        "{} grants over {RELOADS} reloads; the slowest new connection took {} ms",
        tokens.len(),
        slowest.as_millis()
    );
    let log: Vec<String> = broker.process.stderr.try_iter().collect();
    let complaints = log
        .iter()
        .filter(|line| line.contains(" WARN ") || line.contains(" ERROR "));
    let away = log.iter().filter_map(|line| line.split("away_ms=").nth(1));
    eprintln!("ms away: {}", away.collect::<Vec<_>>().join(", "));
    assert_eq!(complaints.collect::<Vec<_>>(), Vec::<&String>::new());
}

#[test]
fn an_owner_that_dies_on_the_way_is_noticed() {
    let broker = Daemon::start(&[]);
    let client = broker.client();
    client.enable_reload(true).unwrap();
    let mut owners: Vec<_> = (0..GPUS)
        .map(|_| {
            let mut sleep = std::process::Command::new("sleep");
            sleep.arg("600").spawn().unwrap()
        })
        .collect();
    for owner in &owners {
        let body = LockBody {
            client: "owned".to_owned(),
            pid: Some(owner.id()),
            ttl_ms: Some(3_600_000),
            ..LockBody::default()
        };
        client.lock(body).unwrap();
    }
    broker.install(b"owners");
    let dies_on_the_way = &mut owners[0];
    thread::scope(|scope| {
        let asks = broker.client();
        let reload = scope.spawn(move || {
            let body = crate::daemon::only_program();
            asks.reload(&body).unwrap();
        });
        until("another program runs", || {
            broker.running().starts_with(broker.data("programs"))
        });
        dies_on_the_way.kill().unwrap();
        dies_on_the_way.wait().unwrap();
        reload.join().unwrap();
    });
    let gone = Instant::now();
    until("the lease has ended", || {
        client.status().unwrap().leases.len() == 1
    });
    assert!(gone.elapsed() < Duration::from_secs(5));
    let left = &client.status().unwrap().leases[0];
    assert_eq!(left.pid, Some(owners[1].id()));
    // The other one is watched by the program that came.
    owners[1].kill().unwrap();
    owners[1].wait().unwrap();
    until("the lease has ended", || {
        client.status().unwrap().leases.is_empty()
    });
}
