//! Real GPUs, of which there is one of each on a host, however many brokers. Each test plays a host
//! of its own, with cards as the kernel shows them.

// Helpers of tests are tests too.
#![allow(clippy::expect_used, clippy::unwrap_used)]

mod stand;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use serde_json::{Value, json};
use stand::Stand;
use stand::child::{Served, serve_if_child};
use tempfile::TempDir;

struct Host(TempDir);

impl Host {
    fn new(cards: &[&str]) -> Self {
        let host = Self(tempfile::tempdir().unwrap());
        for (number, id) in cards.iter().enumerate() {
            host.add(number, id);
        }
        host
    }

    fn root(&self) -> PathBuf {
        self.0.path().join("root")
    }

    fn card(&self, number: usize) -> PathBuf {
        self.root().join(format!("sys/class/drm/card{number}"))
    }

    fn add(&self, number: usize, id: &str) {
        let device = self.root().join(format!("sys/devices/0000:0{number}:00.0"));
        fs::create_dir_all(&device).unwrap();
        let files = [
            ("vendor", "0x1002"),
            ("unique_id", id),
            ("product_name", "Instinct MI210"),
            ("mem_info_vram_total", "68702699520"),
        ];
        for (name, text) in files {
            fs::write(device.join(name), format!("{text}\n")).unwrap();
        }
        fs::create_dir_all(self.card(number)).unwrap();
        symlink(&device, self.card(number).join("device")).unwrap();
    }

    fn remove(&self, number: usize) {
        fs::remove_dir_all(self.card(number)).unwrap();
    }

    async fn broker(&self) -> Stand {
        self.broker_over(tempfile::tempdir().unwrap()).await
    }

    async fn broker_over(&self, dir: TempDir) -> Stand {
        let mut config = stand::config(&dir);
        config.simulate_gpus = None;
        config.host_root = self.root();
        Stand::start(dir, config).await
    }
}

fn gpus(status: &Value) -> Vec<&str> {
    let gpus = status["gpus"].as_array().unwrap().iter();
    gpus.map(|gpu| gpu["id"].as_str().unwrap()).collect()
}

fn codes(answer: &Value) -> Vec<&str> {
    let notices = answer["notices"].as_array().unwrap().iter();
    notices
        .map(|notice| notice["code"].as_str().unwrap())
        .collect()
}

fn fence(granted: &Value) -> Value {
    json!({"lease_id": granted["lease_id"], "token": granted["token"]})
}

/// Not a test of its own: the broker that others kill.
#[test]
fn serve_as_child() {
    serve_if_child(|config, dir| {
        config.simulate_gpus = None;
        config.host_root = dir.parent().unwrap().join("root");
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_second_starts_without_and_says_who_has_it() {
    let host = Host::new(&["aa", "bb"]);
    let first = host.broker().await;
    assert_eq!(gpus(&first.status().await), ["amd-aa", "amd-bb"]);
    let held = first.hold_all().await;

    let second = host.broker().await;
    let status = second.status().await;
    assert_eq!(gpus(&status), [""; 0]);
    assert_eq!(codes(&status), ["gpu_elsewhere", "gpu_elsewhere"]);
    let text = status["notices"][0]["text"].as_str().unwrap();
    let first_dir = first.dir.path().join("data").canonicalize().unwrap();
    for known in [
        "amd-aa",
        "Instinct MI210",
        &format!("pid {}", std::process::id()),
        first_dir.to_str().unwrap(),
    ] {
        assert!(text.contains(known), "{known} is not in {text}");
    }
    let health = second.call("GET", "/healthz", None).await.json();
    assert_eq!(health["status"], "degraded");
    assert!(!health.to_string().contains(first_dir.to_str().unwrap()));
    let refused = second.lock(json!({"client": "a"})).await;
    assert_eq!(
        (refused.status, &*refused.code()),
        (422, "impossible_request")
    );

    // It gets them when the first one ends, and is told so on the stream.
    let mut events = stand::Events::open(&second, None).await;
    events.next().await.unwrap();
    drop(held);
    first.stop().await;
    let status = second.until(|status| gpus(status).len() == 2).await;
    assert_eq!(
        status["gpus"][1]["index"], 1,
        "as they are numbered on the host"
    );
    let mut kinds = Vec::new();
    while kinds.iter().filter(|kind| *kind == "gpus_changed").count() < 2 {
        kinds.push(events.next().await.unwrap().name);
    }
    second.until(|status| codes(status).is_empty()).await;
    second.hold_all().await;
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_restarts_gets_its_own_back() {
    let host = Host::new(&["aa"]);
    let dir = host.0.path().join("served");
    let broker = Served::start(&dir);
    let held = json!({"client": "holder", "request_id": "holder"});
    let lease = broker.lock(&held).await.unwrap();
    assert_eq!(lease["gpu_ids"], json!(["amd-aa"]), "{lease}");
    let rival = host.broker().await;
    broker.kill();
    let broker = Served::start(&dir);
    let same = broker.lock(&held).await.unwrap();
    assert_eq!(same["token"], lease["token"], "{same}");
    let status = rival.status().await;
    let text = status["notices"][0]["text"].as_str().unwrap();
    assert!(text.contains("amd-aa"), "{text}");
    assert_eq!(gpus(&status), [""; 0]);

    // Killed for good it leaves nothing behind.
    broker.kill();
    let status = rival.until(|status| !gpus(status).is_empty()).await;
    assert_eq!(gpus(&status), ["amd-aa"]);
    let granted = rival.lock(json!({"client": "a", "timeout_ms": 0})).await;
    assert_eq!(granted.status, 200, "{granted:?}");

    // Back after that, it keeps its lease, on a GPU that is gone for it.
    let broker = Served::start(&dir);
    let status = broker
        .call("GET", "/v1/gpu/status", None)
        .await
        .unwrap()
        .json();
    assert_eq!(status["gpus"][0]["state"], "gone", "{status}");
    assert_eq!(status["leases"][0]["lease_id"], lease["lease_id"]);
    assert_eq!(codes(&status), ["gpu_elsewhere"]);
    rival.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn simulated_gpus_and_other_hosts_are_nobodys_rivals() {
    let host = Host::new(&["aa"]);
    let first = host.broker().await;
    let other = Host::new(&["aa"]);
    let elsewhere = other.broker().await;
    assert_eq!(gpus(&elsewhere.status().await), ["amd-aa"]);
    let (one, two) = (Stand::new().await, Stand::new().await);
    for stand in [&one, &two] {
        assert_eq!(gpus(&stand.status().await).len(), 2);
    }
    for stand in [first, elsewhere, one, two] {
        stand.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_unknown_gpu_is_one_for_the_whole_host_and_gives_way_when_free() {
    let host = Host::new(&[]);
    let first = host.broker().await;
    assert_eq!(gpus(&first.status().await), ["unknown-0"]);
    let second = host.broker().await;
    assert_eq!(codes(&second.status().await), ["gpu_elsewhere"]);
    second.stop().await;
    let held = json!({"client": "holder", "request_id": "holder"});
    let lease = first.lock(held.clone()).await.json();
    let dir = first.stop().await;

    // A driver was installed meanwhile.
    host.add(0, "aa");
    let stand = host.broker_over(dir).await;
    assert_eq!(stand.lock(held).await.json()["token"], lease["token"]);
    let status = stand.status().await;
    assert_eq!(gpus(&status), ["amd-aa", "unknown-0"]);
    assert_eq!(status["gpus"][1]["state"], "gone");
    let waiter = stand.wait(json!({"client": "waiter"})).await;
    let status = stand.status().await;
    let why = &status["queue"][0]["why"];
    assert_eq!(why["code"], "paused", "{why}");
    stand.unlock(&fence(&lease)).await;
    let mut waiter = waiter;
    let granted = stand::answer(&mut waiter).await.json();
    assert_eq!(granted["gpu_ids"], json!(["amd-aa"]));
    assert_eq!(gpus(&stand.status().await), ["amd-aa"]);
    stand.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gpu_that_vanishes_keeps_its_lease_and_ends_who_waits_for_it() {
    let host = Host::new(&["aa", "bb"]);
    let stand = host.broker().await;
    let on_bb = |id: &str| json!({"client": id, "request_id": id, "gpu_ids": ["amd-bb"], "timeout_ms": 60_000});
    let lease = stand.lock(on_bb("holder")).await.json();
    let _waiting = stand.wait(on_bb("waiter")).await;
    let dir = stand.stop().await;
    host.remove(1);
    let stand = host.broker_over(dir).await;
    let status = stand.status().await;
    assert_eq!(status["gpus"][1]["state"], "gone", "{status}");
    assert_eq!(status["leases"][0]["lease_id"], lease["lease_id"]);
    assert_eq!(stand.post("/v1/gpu/renew", fence(&lease)).await.status, 200);
    let waiter = stand
        .call("GET", "/v1/gpu/requests/waiter", None)
        .await
        .json();
    assert_eq!(waiter["outcome"], "impossible", "{waiter}");
    let again = stand.lock(on_bb("again")).await;
    assert_eq!(again.code(), "impossible_request");
    stand.unlock(&fence(&lease)).await;
    assert_eq!(gpus(&stand.status().await), ["amd-aa"]);
    stand.stop().await;
}
