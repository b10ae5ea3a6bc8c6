//! What a restart keeps, however the broker ended.

// Helpers of tests are tests too.
#![allow(clippy::expect_used, clippy::unwrap_used)]

mod stand;

use serde_json::{Value, json};
use stand::Stand;
use stand::child::{Served, serve_if_child};
use tempfile::TempDir;

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

/// Not a test of its own: the broker that others kill.
#[test]
fn serve_as_child() {
    serve_if_child(|_, _| {});
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_ends_it_gracefully() {
    use rustix::process::{Pid, Signal, kill_process};
    for signal in [Signal::TERM, Signal::INT] {
        let dir = tempfile::tempdir().unwrap();
        let mut broker = Served::start(dir.path());
        let held = broker
            .lock(&json!({"client": "a", "gpus": 2}))
            .await
            .unwrap();
        kill_process(Pid::from_child(&broker.child), signal).unwrap();
        let status = broker.child.wait().unwrap();
        assert!(status.success(), "{status}");
        assert!(!dir.path().join("data/endpoint").exists());
        let broker = Served::start(dir.path());
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
        let broker = Served::start(dir.path());
        let id = format!("round-{round}");
        let granted = broker
            .lock(&json!({"client": "a", "request_id": id, "gpus": 2}))
            .await;
        let granted = granted.unwrap();
        let token = granted["token"].as_u64().unwrap();
        assert!(token > last_token, "{granted}");
        last_token = token;
        drop(broker);

        let broker = Served::start(dir.path());
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
