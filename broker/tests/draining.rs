//! Leases that are taken from living processes, by real ones.

// Helpers of tests are tests too.
#![allow(clippy::expect_used, clippy::unwrap_used)]

mod stand;

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use stand::{Answer, Stand, answer, config_dir, save};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::time::sleep;

/// A process that ignores TERM, and one that it has started; killed with this value.
struct Stubborn {
    owner: Child,
    child: Pid,
}

impl Stubborn {
    fn new() -> Self {
        let mut owner = Command::new("sh")
            .args(["-c", "trap '' TERM; sleep 600 & echo $!; wait"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut stdout = BufReader::new(owner.stdout.take().unwrap());
        stdout.read_line(&mut line).unwrap();
        let child = Pid::from_raw(line.trim().parse().unwrap()).unwrap();
        Self { owner, child }
    }

    fn pid(&self) -> u32 {
        self.owner.id()
    }

    fn kill_owner(&mut self) {
        self.owner.kill().unwrap();
        self.owner.wait().unwrap();
    }

    fn kill_child(&self) {
        kill_process(self.child, Signal::KILL).unwrap();
    }
}

impl Drop for Stubborn {
    fn drop(&mut self) {
        let _ = kill_process(self.child, Signal::KILL);
        let _ = self.owner.kill();
        let _ = self.owner.wait();
    }
}

async fn stand_with(policy: &str) -> Stand {
    let dir = tempfile::tempdir().unwrap();
    save(&config_dir(&dir).join("policy.ron"), policy);
    start(dir).await
}

async fn start(dir: TempDir) -> Stand {
    let mut config = stand::config(&dir);
    config.simulate_gpus = Some(1);
    Stand::start(dir, config).await
}

/// Takes the GPU in the name of this process, has another wait for it, and takes it away.
async fn taken_from(stand: &Stand, owner: &Stubborn) -> TcpStream {
    let held = stand
        .lock(json!({"client": "stubborn", "pid": owner.pid()}))
        .await;
    assert_eq!(held.status, 200, "{held:?}");
    let next = stand.wait(json!({"client": "next"})).await;
    let body = json!({"lease_id": held.json()["lease_id"]});
    let forced = stand.post("/v1/gpu/force-release", body).await;
    assert_eq!(forced.json()["outcome"], "forced", "{forced:?}");
    next
}

fn is_draining(status: &Value) -> bool {
    status["gpus"][0]["state"] == "draining"
}

async fn granted(next: &mut TcpStream) -> Answer {
    let granted = answer(next).await;
    assert_eq!(granted.status, 200, "{granted:?}");
    granted
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gpu_drains_until_the_owner_and_what_it_started_are_gone() {
    let stand = stand_with("(drain_ms: 600000)").await;
    let mut owner = Stubborn::new();
    let mut next = taken_from(&stand, &owner).await;
    let status = stand.status().await;
    assert!(is_draining(&status), "{status}");
    assert_eq!(status["gpus"][0]["draining"][0]["pid"], owner.pid());
    assert_eq!(status["leases"], json!([]));
    assert_eq!(status["queue"][0]["why"]["code"], "draining", "{status}");

    // By now it has been seen what it started; a child of a dead parent is anybody's.
    sleep(Duration::from_millis(300)).await;
    kill_process(Pid::from_child(&owner.owner), Signal::TERM).unwrap();
    owner.kill_owner();
    // Nothing tells that it goes on draining; that it does not would be told within a few ms.
    sleep(Duration::from_millis(300)).await;
    assert!(is_draining(&stand.status().await), "what it started lives");

    let killed = Instant::now();
    owner.kill_child();
    granted(&mut next).await;
    eprintln!("the last process killed → granted: {:?}", killed.elapsed());
    stand.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_starts_while_it_drains_is_waited_for_too() {
    let stand = stand_with("(drain_ms: 600000)").await;
    let dir = tempfile::tempdir().unwrap();
    let (ask, told) = (dir.path().join("ask"), dir.path().join("told"));
    let script = format!(
        "until [ -e {ask} ]; do sleep 0.02; done; sleep 600 & echo $! > {told}.new; \
         mv {told}.new {told}; wait",
        ask = ask.display(),
        told = told.display()
    );
    let owner = Command::new("sh").args(["-c", &script]).spawn().unwrap();
    let held = stand.lock(json!({"client": "o", "pid": owner.id()})).await;
    let mut next = stand.wait(json!({"client": "next"})).await;
    let body = json!({"lease_id": held.json()["lease_id"]});
    stand.post("/v1/gpu/force-release", body).await;
    std::fs::write(&ask, "").unwrap();
    let mut all = loop {
        match std::fs::read_to_string(&told) {
            // Ended with this value, whatever fails before.
            Ok(text) => {
                let child = Pid::from_raw(text.trim().parse().unwrap()).unwrap();
                break Stubborn { owner, child };
            }
            Err(_) => sleep(Duration::from_millis(5)).await,
        }
    };
    // Who was started is seen within a quarter of a second, and more on a busy machine.
    sleep(Duration::from_secs(1)).await;
    all.kill_owner();
    sleep(Duration::from_millis(300)).await;
    assert!(is_draining(&stand.status().await));
    all.kill_child();
    granted(&mut next).await;
    stand.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gpu_drains_no_longer_than_the_policy_says() {
    let stand = stand_with("(drain_ms: 400)").await;
    let mut owner = Stubborn::new();
    let taken = Instant::now();
    let mut next = taken_from(&stand, &owner).await;
    let granted = granted(&mut next).await.json();
    assert!(taken.elapsed() >= Duration::from_millis(400));
    assert!(owner.owner.try_wait().unwrap().is_none(), "it lives");
    // Its end is nobody's concern any more.
    owner.kill_owner();
    owner.kill_child();
    let lease = json!({"lease_id": granted["lease_id"], "token": granted["token"]});
    assert_eq!(stand.unlock(&lease).await.status, 200);
    stand.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_drains_is_watched_again_after_a_restart() {
    let stand = stand_with("(drain_ms: 600000)").await;
    let owner = Stubborn::new();
    drop(taken_from(&stand, &owner).await);
    let dir = stand.stop().await;
    let stand = start(dir).await;
    let mut next = stand.wait(json!({"client": "another"})).await;
    assert!(is_draining(&stand.status().await));
    drop(owner);
    granted(&mut next).await;
    let dir = stand.stop().await;
    // And one that ended while no broker ran.
    let stand = start(dir).await;
    stand
        .post("/v1/gpu/force-release-all", json!({"clear_queue": true}))
        .await;
    let owner = Stubborn::new();
    drop(taken_from(&stand, &owner).await);
    let dir = stand.stop().await;
    drop(owner);
    let stand = start(dir).await;
    let granted = stand.lock(json!({"client": "another"})).await;
    assert_eq!(granted.status, 200, "{granted:?}");
    stand.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_holder_past_its_deadline_is_fenced() {
    let stand = stand_with("(drain_ms: 200)").await;
    let owner = Stubborn::new();
    let pid = Pid::from_child(&owner.owner);
    let body = json!({"client": "stopped", "pid": owner.pid(), "ttl_ms": 1000});
    let held = stand.lock(body).await.json();
    kill_process(pid, Signal::STOP).unwrap();
    let mut next = stand.wait(json!({"client": "next"})).await;
    let granted = granted(&mut next).await.json();
    assert!(granted["token"].as_u64() > held["token"].as_u64());
    kill_process(pid, Signal::CONT).unwrap();
    let late = json!({"lease_id": held["lease_id"], "token": held["token"]});
    for route in ["/v1/gpu/renew", "/v1/gpu/unlock"] {
        let late = stand.post(route, late.clone()).await;
        assert_eq!((late.status, late.code().as_str()), (410, "lease_ended"));
        assert_eq!(late.json()["outcome"], "expired", "{late:?}");
    }
    let lease = json!({"lease_id": granted["lease_id"], "token": granted["token"]});
    assert_eq!(
        stand.unlock(&lease).await.status,
        200,
        "nothing of it changed"
    );
    stand.stop().await;
}
