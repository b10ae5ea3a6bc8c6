//! What a restart keeps, however the broker ended.

// Helpers of tests are tests too.
#![allow(clippy::expect_used, clippy::unwrap_used)]

mod stand;

use std::io::{BufRead, BufReader, Lines};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::{Value, json};
use stand::Stand;
use tempfile::TempDir;

const SERVE_IN: &str = "WARDEN_TEST_SERVE_IN";

fn fence(granted: &Value) -> Value {
    json!({"lease_id": granted["lease_id"], "token": granted["token"]})
}

async fn again(dir: TempDir) -> Stand {
    let config = stand::config(&dir);
    Stand::start(dir, config).await
}

#[tokio::test(flavor = "multi_thread")]
async fn leases_and_places_outlive_a_graceful_end() {
    let stand = Stand::new().await;
    let lease = stand.hold_all().await;
    let waiter = json!({"client": "w", "request_id": "w", "priority": "mic"});
    let waiting = stand.wait(waiter.clone()).await;
    let before = stand.status().await;
    let dir = stand.stop().await;
    drop(waiting);

    let stand = again(dir).await;
    let after = stand.status().await;
    assert_eq!(
        after["leases"][0]["lease_id"],
        before["leases"][0]["lease_id"]
    );
    assert_eq!(after["queue"][0]["request_id"], "w");
    assert!(after["revision"].as_u64() >= before["revision"].as_u64());
    assert_eq!(stand.post("/v1/gpu/renew", lease.clone()).await.status, 200);
    assert_eq!(stand.unlock(&lease).await.status, 200);
    let granted = stand.lock(waiter).await.json();
    assert!(granted["token"].as_u64() > lease["token"].as_u64());
    stand.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_journal_is_set_aside_and_tokens_go_on() {
    for damage in [&b"this is no database, and never was one"[..], &[0; 20_000]] {
        let stand = Stand::new().await;
        let mut last = 0;
        for _ in 0..5 {
            let granted = stand.lock(json!({"client": "a"})).await.json();
            last = granted["token"].as_u64().unwrap();
            stand.unlock(&fence(&granted)).await;
        }
        let revision = stand.status().await["revision"].as_u64().unwrap();
        let dir = stand.stop().await;
        let data = dir.path().join("data");
        std::fs::write(data.join("journal.db"), damage).unwrap();

        let stand = again(dir).await;
        let aside = set_aside(&data);
        assert_eq!(aside.len(), 1, "{aside:?}");
        assert_eq!(std::fs::read(data.join(&aside[0])).unwrap(), damage);
        let granted = stand.lock(json!({"client": "a"})).await.json();
        assert!(granted["token"].as_u64().unwrap() > last);
        assert!(stand.status().await["revision"].as_u64().unwrap() > revision);
        stand.stop().await;
    }
}

fn set_aside(data: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(data).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names
        .filter(|name| name.starts_with("journal.corrupt-"))
        .collect()
}

/// Not a test of its own: the broker that [`nothing_is_lost_to_a_kill`] kills.
#[test]
fn serve_as_child() {
    let Ok(dir) = std::env::var(SERVE_IN) else {
        return;
    };
    let mut config = warden_broker::Config::new(Path::new(&dir).join("data"), &dir);
    config.addr = "127.0.0.1:0".to_owned();
    config.simulate_gpus = Some(2);
    if let Err(error) = warden_broker::serve(config) {
        eprintln!("{error}");
        std::process::exit(error.exit_code().into());
    }
}

struct Killed {
    child: Child,
    /// Kept open: the test harness in the child says more at its end.
    _lines: Lines<BufReader<ChildStdout>>,
    address: String,
    token: String,
}

impl Killed {
    fn start(dir: &Path) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "serve_as_child", "--nocapture"])
            .env(SERVE_IN, dir)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let endpoint: Value = lines
            .by_ref()
            .map_while(Result::ok)
            .find_map(|line| serde_json::from_str(line.get(line.find('{')?..)?).ok())
            .expect("a line that says where it listens");
        let named = std::fs::read_to_string(dir.join("data/endpoint")).unwrap();
        assert_eq!(serde_json::from_str::<Value>(&named).unwrap(), endpoint);
        let token = std::fs::read_to_string(dir.join("data/token")).unwrap();
        Self {
            child,
            _lines: lines,
            address: endpoint["address"].as_str().unwrap().to_owned(),
            token: token.trim().to_owned(),
        }
    }

    async fn lock(&self, body: &Value) -> Option<Value> {
        let mut stream = tokio::net::TcpStream::connect(&self.address).await.ok()?;
        let body = body.to_string();
        let request = format!(
            "POST /v1/gpu/lock HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            self.address,
            self.token,
            body.len()
        );
        tokio::io::AsyncWriteExt::write_all(&mut stream, request.as_bytes())
            .await
            .ok()?;
        Some(stand::answer(&mut stream).await.json())
    }
}

impl Drop for Killed {
    fn drop(&mut self) {
        // It may have ended already, as one of the tests wants it to.
        let _ = self.child.kill();
        self.child.wait().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_ends_it_gracefully() {
    use rustix::process::{Pid, Signal, kill_process};
    for signal in [Signal::TERM, Signal::INT] {
        let dir = tempfile::tempdir().unwrap();
        let mut broker = Killed::start(dir.path());
        let held = broker
            .lock(&json!({"client": "a", "gpus": 2}))
            .await
            .unwrap();
        kill_process(Pid::from_child(&broker.child), signal).unwrap();
        let status = broker.child.wait().unwrap();
        assert!(status.success(), "{status}");
        assert!(!dir.path().join("data/endpoint").exists());
        let broker = Killed::start(dir.path());
        let taken = broker
            .lock(&json!({"client": "b", "timeout_ms": 0}))
            .await
            .unwrap();
        assert_eq!(
            taken["holders"],
            json!([held["lease_id"]]),
            "the lease stays"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_to_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let mut last_token = 0;
    for round in 0..5 {
        let broker = Killed::start(dir.path());
        let id = format!("round-{round}");
        let granted = broker
            .lock(&json!({"client": "a", "request_id": id, "gpus": 2}))
            .await;
        let granted = granted.unwrap();
        let token = granted["token"].as_u64().unwrap();
        assert!(token > last_token, "{granted}");
        last_token = token;
        drop(broker);

        let broker = Killed::start(dir.path());
        let same = broker
            .lock(&json!({"client": "a", "request_id": id, "gpus": 2}))
            .await
            .unwrap();
        assert_eq!(same["token"], token, "the same lease: {same}");
        let taken = broker
            .lock(&json!({"client": "b", "timeout_ms": 0}))
            .await
            .unwrap();
        assert_eq!(taken["code"], "queue_timeout", "no other beside it");
        let lease = fence(&same);
        let url = format!(
            "DELETE /v1/gpu/requests/{id} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\n\r\n",
            broker.address, broker.token
        );
        let mut stream = tokio::net::TcpStream::connect(&broker.address)
            .await
            .unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut stream, url.as_bytes())
            .await
            .unwrap();
        assert_eq!(
            stand::answer(&mut stream).await.json()["outcome"],
            "released",
            "{lease}"
        );
    }
}
