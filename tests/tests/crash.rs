//! `kill -9` of the broker and of the window: who waits keeps its place, and the window takes nothing
//! down with it. What many clients may see through many crashes is in `histories`.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::Value;
use warden::wire::{Granted, LockBody, Outcome, RenewBody};
use warden::{Code, RequestId};
use warden_client::{Client, Error, Find};
use warden_tests::{Broker, Display, Window};

fn client(data_dir: &Path) -> Result<Client> {
    let find = Find {
        addr: None,
        data_dir: Some(data_dir.to_owned()),
        token_file: None,
    };
    Ok(Client::new(find.endpoint()?))
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

/// Renews once, since a lease must have outlived every crash, then unlocks.
async fn give_back(client: &Client, grant: &Granted) -> Result<()> {
    let renewal = RenewBody {
        lease_id: grant.lease_id.clone(),
        token: grant.token,
        operation: None,
    };
    insist(|| client.renew(&renewal))
        .await
        .context("a lease was lost")?;
    match insist(|| client.unlock(&grant.lease_id, grant.token)).await {
        Ok(_) => Ok(()),
        // The first answer was lost with the broker.
        Err(Error::Problem(refusal))
            if refusal.problem.code == Code::LeaseEnded
                && refusal.outcome() == Some(Outcome::Released) =>
        {
            Ok(())
        }
        Err(error) => Err(error).context("unlock"),
    }
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

/// Whoever runs a broker may stop it, and start it again, with a window open.
#[test]
fn a_window_starts_no_broker_in_place_of_one_that_has_ended() -> Result<()> {
    let mut broker = Broker::start(1)?;
    let display = Display::start(1280, 800)?;
    let window = Window::open(&display, Some(broker.data_dir()), &[])?;
    window.wait_for("live", Duration::from_secs(60), |_| true)?;
    broker.kill();
    window.wait_for("link", Duration::from_secs(60), |report| {
        report["state"] == "gone"
    })?;
    // By then it has looked for it more than once.
    display.picture_at_rest()?;
    broker.start_again()?;
    broker.wait_until_ready()?;
    window.wait_for("live", Duration::from_secs(60), |_| true)?;
    Ok(())
}
