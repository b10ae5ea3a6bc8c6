//! `kill -9` of the broker and of the window, judged from what the clients saw.

use std::collections::HashSet;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use tokio::task::JoinSet;
use warden::wire::{Granted, LockBody, Outcome, RenewBody};
use warden::{Code, GpuId, RequestId};
use warden_client::{Client, Error, Find};
use warden_tests::{Broker, Display, Window};

const GPUS: u32 = 2;
const CLIENTS: u64 = 10;
const CRASHES: u32 = 20;

/// One lease as its holder saw it: it may rely on the GPUs from `granted` to `gave_back`, the
/// moment at which it sent the unlock.
#[derive(Debug)]
struct Held {
    token: u64,
    gpu_ids: Vec<GpuId>,
    granted: Instant,
    gave_back: Instant,
}

fn client(data_dir: &Path) -> Result<Client> {
    let find = Find {
        addr: None,
        data_dir: Some(data_dir.to_owned()),
        token_file: None,
    };
    Ok(Client::new(find.endpoint()?))
}

/// Pseudo-random and the same in every run (SplitMix64, Steele et al. 2014).
fn scatter(seed: u64) -> u64 {
    let mut z = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// Sends a call again for as long as the broker is away.
async fn insist<T, F: Future<Output = Result<T, Error>>>(call: impl Fn() -> F) -> Result<T, Error> {
    loop {
        match call().await {
            Err(error) if error.is_away() => tokio::time::sleep(Duration::from_millis(5)).await,
            answer => return answer,
        }
    }
}

/// Locks, holds and unlocks until told to stop, and writes down what it saw.
async fn contend(
    client: Client,
    number: u64,
    stop: tokio::sync::watch::Receiver<bool>,
    log: Arc<Mutex<Vec<Held>>>,
) -> Result<()> {
    for round in 0.. {
        if *stop.borrow() {
            break;
        }
        let chance = scatter(number << 32 | round);
        let body = LockBody {
            client: format!("client-{number}"),
            gpus: Some(1 + u64::from(chance.is_multiple_of(5))),
            request_id: Some(RequestId::from(format!("c{number}-{round}"))),
            timeout_ms: Some(120_000),
            ..LockBody::default()
        };
        let grant = insist(|| client.lock(body.clone())).await.context("lock")?;
        let granted = Instant::now();
        tokio::time::sleep(Duration::from_millis(1 + chance % 12)).await;
        let gave_back = give_back(&client, &grant).await?;
        lock(&log).push(Held {
            token: grant.token,
            gpu_ids: grant.gpu_ids,
            granted,
            gave_back,
        });
    }
    Ok(())
}

/// Renews once, since a lease must have outlived every crash, then unlocks; when it did.
async fn give_back(client: &Client, grant: &Granted) -> Result<Instant> {
    let renewal = RenewBody {
        lease_id: grant.lease_id.clone(),
        token: grant.token,
        operation: None,
    };
    insist(|| client.renew(&renewal))
        .await
        .context("a lease was lost")?;
    let gave_back = Instant::now();
    match insist(|| client.unlock(&grant.lease_id, grant.token)).await {
        Ok(_) => Ok(gave_back),
        // The first answer was lost with the broker.
        Err(Error::Problem(refusal))
            if refusal.problem.code == Code::LeaseEnded
                && refusal.outcome() == Some(Outcome::Released) =>
        {
            Ok(gave_back)
        }
        Err(error) => Err(error).context("unlock"),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[test]
fn twenty_crashes_double_no_lease_lose_none_and_repeat_no_token() -> Result<()> {
    let mut broker = Broker::start(GPUS)?;
    let runtime = tokio::runtime::Runtime::new()?;
    let log = Arc::new(Mutex::new(Vec::new()));
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        let one = contend(
            client(broker.data_dir())?,
            number,
            stopped.clone(),
            Arc::clone(&log),
        );
        clients.spawn_on(one, runtime.handle());
    }
    let mut seen = 0;
    for crash in 0..CRASHES {
        // A random instant after the first grant that the last crash let through.
        let before = lock(&log).len();
        warden_tests::process::until(Duration::from_secs(20), "grants after a crash", || {
            Ok((lock(&log).len() > before).then_some(()))
        })?;
        std::thread::sleep(Duration::from_micros(scatter(u64::from(crash)) % 40_000));
        seen = lock(&log).len();
        broker.restart()?;
    }
    stop.send(true)?;
    runtime.block_on(async {
        while let Some(ended) = clients.join_next().await {
            ended??;
        }
        anyhow::Ok(())
    })?;
    let log = std::mem::take(&mut *lock(&log));
    ensure!(log.len() > seen, "nothing was granted after the last crash");
    judge(log)
}

/// No two live leases on one GPU at any time, no token twice.
fn judge(mut log: Vec<Held>) -> Result<()> {
    log.sort_by_key(|held| held.granted);
    let mut tokens = HashSet::new();
    for (at, held) in log.iter().enumerate() {
        ensure!(
            tokens.insert(held.token),
            "token {} was given twice",
            held.token
        );
        let later = log[at + 1..]
            .iter()
            .take_while(|later| later.granted < held.gave_back);
        for other in later {
            if other.gpu_ids.iter().any(|gpu| held.gpu_ids.contains(gpu)) {
                bail!("two live leases on one GPU: {held:?} and {other:?}");
            }
        }
    }
    Ok(())
}

#[test]
fn the_judge_sees_a_double_grant_and_a_repeated_token() {
    let start = Instant::now();
    let held = |token, gpu: &str, from, to| Held {
        token,
        gpu_ids: vec![GpuId::from(gpu)],
        granted: start + Duration::from_millis(from),
        gave_back: start + Duration::from_millis(to),
    };
    assert!(
        judge(vec![
            held(1, "a", 0, 5),
            held(2, "a", 5, 9),
            held(3, "b", 0, 9)
        ])
        .is_ok()
    );
    assert!(judge(vec![held(1, "a", 0, 5), held(2, "a", 4, 9)]).is_err());
    assert!(judge(vec![held(1, "a", 0, 5), held(1, "a", 5, 9)]).is_err());
}

/// The clients of the queue, by place.
fn queue(status: &Value) -> Vec<String> {
    let rows = status["queue"].as_array().cloned().unwrap_or_default();
    rows.iter()
        .filter_map(|row| row["client"].as_str().map(str::to_owned))
        .collect()
}

#[test]
fn waiters_that_come_back_with_their_request_id_keep_their_places() -> Result<()> {
    let mut broker = Broker::start(1)?;
    let runtime = tokio::runtime::Runtime::new()?;
    let client = client(broker.data_dir())?;
    let body = |name: &str, priority| LockBody {
        client: name.to_owned(),
        priority: Some(warden::wire::PriorityName::Number(priority)),
        request_id: Some(RequestId::from(name)),
        timeout_ms: Some(120_000),
        ..LockBody::default()
    };
    let holder = runtime.block_on(client.lock(body("holder", 15)))?;
    // Neither the order of arrival nor of names is the order of turns.
    let arrivals = [("d", 15), ("a", 20), ("e", 15), ("c", 10), ("b", 20)];
    let (granted, grants) = std::sync::mpsc::channel();
    for (arrived, (name, priority)) in arrivals.into_iter().enumerate() {
        let (client, body, granted) = (client.clone(), body(name, priority), granted.clone());
        runtime.spawn(async move {
            let grant = insist(|| client.lock(body.clone())).await;
            let _the_test_is_over = granted.send((body.client.clone(), grant.clone()));
            if let Ok(grant) = grant {
                let _judged_by_the_next_grant = give_back(&client, &grant).await;
            }
        });
        broker.wait_for("the next to arrive", |status| {
            queue(status).len() == arrived + 1
        })?;
    }
    let turns = ["c", "d", "e", "a", "b"];
    for _ in 0..3 {
        broker.restart()?;
        broker.wait_for("everyone to come back", |status| {
            let rows = status["queue"].as_array().map_or(&[][..], Vec::as_slice);
            rows.iter().all(|row| row["connected"] == true) && queue(status) == turns
        })?;
    }
    runtime.block_on(give_back(&client, &holder))?;
    for expected in turns {
        let (name, grant) = grants.recv_timeout(Duration::from_secs(20))?;
        grant.with_context(|| format!("the grant of {name}"))?;
        assert_eq!(name, expected);
    }
    Ok(())
}

#[test]
fn killing_the_window_ends_no_lease_and_no_waiter() -> Result<()> {
    let broker = Broker::start(1)?;
    let _holder = broker.run(&["--name", "holder"], &["sleep", "600"])?;
    broker.wait_for("the holder", |status| {
        status["leases"][0]["client"] == "holder"
    })?;
    let _waiter = broker.run(&["--name", "waiter"], &["sleep", "600"])?;
    let before = broker.wait_for("the waiter", |status| queue(status) == ["waiter"])?;

    let display = Display::start(1280, 800)?;
    let mut window = Window::open(&display, Some(broker.data_dir()), &["--no-broker"])?;
    window.wait_for("live", Duration::from_secs(60), |_| true)?;
    window.process().kill();

    let after = broker.status()?;
    assert_eq!(queue(&after), ["waiter"]);
    assert_eq!(
        after["leases"][0]["lease_id"],
        before["leases"][0]["lease_id"]
    );
    assert_eq!(after["counters"]["ended"], before["counters"]["ended"]);
    Ok(())
}

/// An address that nobody listens on. Somebody else may take it before the broker does, on a
/// machine where many programs open ports; the broker would say so.
fn free_address() -> Result<String> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?
        .local_addr()?
        .to_string())
}

/// The window starts a broker where there is none; that one too outlives it.
#[test]
fn killing_the_window_leaves_the_broker_that_it_started() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let display = Display::start(1280, 800)?;
    let address = free_address()?;
    let mut window = Window::open(&display, Some(folder.path()), &["--addr", &address])?;
    window.wait_for("live", Duration::from_secs(60), |_| true)?;
    let endpoint = std::fs::read(folder.path().join("endpoint"))?;
    let endpoint: Value = serde_json::from_slice(&endpoint)?;
    let pid = endpoint["pid"]
        .as_u64()
        .context("the endpoint names no pid")?
        .to_string();
    window.process().kill();

    let runtime = tokio::runtime::Runtime::new()?;
    let status = runtime.block_on(client(folder.path())?.status());
    warden_tests::process::output(std::process::Command::new("kill").args(["-TERM", &pid]))?;
    status.context("the broker went down with the window")?;
    Ok(())
}
