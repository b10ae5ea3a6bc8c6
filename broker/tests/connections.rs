//! Connections that break, stall or say too much.

// Helpers of tests are tests too.
#![allow(clippy::expect_used, clippy::unwrap_used)]

mod stand;

use std::time::Duration;

use serde_json::{Value, json};
use stand::{Stand, answer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

async fn one_gpu() -> (Stand, Value) {
    let stand = Stand::with(|config| config.simulate_gpus = Some(1)).await;
    let granted = stand.lock(json!({"client": "holder"})).await.json();
    let lease = json!({"lease_id": granted["lease_id"], "token": granted["token"]});
    (stand, lease)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiter_without_an_id_leaves_with_its_connection() {
    let (stand, _) = one_gpu().await;
    let closed = stand.wait(json!({"client": "closes"})).await;
    drop(closed);
    stand.until(|status| status["queue_depth"] == 0).await;

    let mut half = stand
        .wait(json!({"client": "closes its sending side"}))
        .await;
    half.shutdown().await.unwrap();
    stand.until(|status| status["queue_depth"] == 0).await;

    // A request that stands behind the waiting one must not hide that its sender left.
    let mut piped = stand.connect().await;
    let body = json!({"client": "pipelines"});
    let mut bytes = stand.request("POST", "/v1/gpu/lock", Some(&body));
    bytes.extend(stand.request("GET", "/healthz", None));
    piped.write_all(&bytes).await.unwrap();
    stand.until(|status| status["queue_depth"] == 1).await;
    drop(piped);
    let status = stand.until(|status| status["queue_depth"] == 0).await;
    assert_eq!(status["counters"]["ended"]["client_gone"], 3);
    stand.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pipelined_requests_are_answered_in_order() {
    let (stand, lease) = one_gpu().await;
    let mut piped = stand.connect().await;
    let body = json!({"client": "pipelines"});
    let mut bytes = stand.request("POST", "/v1/gpu/lock", Some(&body));
    bytes.extend(stand.request("GET", "/healthz", None));
    piped.write_all(&bytes).await.unwrap();
    stand.until(|status| status["queue_depth"] == 1).await;
    stand.unlock(&lease).await;
    let granted = answer(&mut piped).await;
    assert!(granted.json()["token"].is_u64(), "{granted:?}");
    assert_eq!(answer(&mut piped).await.json()["status"], "ok");
    let status = stand.status().await;
    assert_eq!(
        status["leases"][0]["lease_id"],
        granted.json()["lease_id"],
        "delivered"
    );
    stand.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiter_with_an_id_keeps_its_place() {
    let (stand, lease) = one_gpu().await;
    let body = json!({"client": "comes back", "request_id": "back"});
    let first = stand.wait(body.clone()).await;
    let _second = stand.wait(json!({"client": "later"})).await;
    drop(first);
    stand
        .until(|status| status["queue"][0]["connected"] == false)
        .await;
    let mut again = stand.connect().await;
    let request = stand.request("POST", "/v1/gpu/lock", Some(&body));
    again.write_all(&request).await.unwrap();
    let status = stand
        .until(|status| status["queue"][0]["connected"] == true)
        .await;
    assert_eq!(status["queue"][0]["request_id"], "back");
    stand.unlock(&lease).await;
    assert_eq!(answer(&mut again).await.json()["request_id"], "back");
    stand.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_holds_what_could_not_be_delivered() {
    let (stand, mut lease) = one_gpu().await;
    // Release and hang-up race each other: whichever wins, the GPU goes on to somebody who is
    // there. An answer that was written just before the hang-up counts as delivered, and that
    // lease ends by its ttl alone.
    for round in 0..50 {
        let leaver = stand
            .wait(json!({"client": "leaves", "ttl_ms": 1_000}))
            .await;
        let mut stayer = stand.wait(json!({"client": "stays"})).await;
        if round % 2 == 0 {
            drop(leaver);
            stand.unlock(&lease).await;
        } else {
            let unlocked = stand.unlock(&lease);
            let (_, ()) = tokio::join!(unlocked, async { drop(leaver) });
        }
        let granted = answer(&mut stayer).await;
        assert_eq!(granted.status, 200, "{granted:?}");
        let granted = granted.json();
        lease = json!({"lease_id": granted["lease_id"], "token": granted["token"]});
    }
    stand.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_that_nobody_reads_goes_to_its_next_post() {
    let (stand, lease) = one_gpu().await;
    let body = json!({"client": "c", "request_id": "c"});
    let waiting = stand.wait(body.clone()).await;
    // The connection is reset rather than closed: unread bytes make the kernel say so.
    drop(waiting);
    stand.unlock(&lease).await;
    let granted = stand.lock(body).await;
    assert_eq!(granted.status, 200, "{granted:?}");
    let status = stand.status().await;
    assert_eq!(status["leases"].as_array().unwrap().len(), 1);
    assert_eq!(status["leases"][0]["lease_id"], granted.json()["lease_id"]);
    stand.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_never_reads_holds_nobody_up() {
    let (stand, lease) = one_gpu().await;
    let mut deaf = stand.connect().await;
    let many = stand.request("GET", "/v1/gpu/status", None).repeat(2_000);
    let said = tokio::time::timeout(Duration::from_millis(300), deaf.write_all(&many)).await;
    drop(said);
    assert_eq!(stand.unlock(&lease).await.status, 200);
    assert_eq!(stand.lock(json!({"client": "next"})).await.status, 200);
    stand.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_never_ends_is_given_up() {
    let stand = Stand::new().await;
    let mut slow_head = stand.connect().await;
    slow_head
        .write_all(b"GET /healthz HTTP/1.1\r\nHo")
        .await
        .unwrap();
    let mut slow_body = stand.connect().await;
    let head = stand.head("POST", "/v1/gpu/lock");
    let request = format!("{head}Content-Type: application/json\r\nContent-Length: 10\r\n\r\n{{");
    slow_body.write_all(request.as_bytes()).await.unwrap();
    let (head, body) = tokio::join!(answer(&mut slow_head), answer(&mut slow_body));
    assert_eq!(
        (head.status, head.code().as_str()),
        (408, "request_timeout")
    );
    assert_eq!(
        (body.status, body.code().as_str()),
        (408, "request_timeout")
    );
    assert_eq!(slow_head.read(&mut [0]).await.unwrap(), 0, "and closed");
    stand.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn waiters_are_told_that_the_broker_ends() {
    let (mut stand, _) = one_gpu().await;
    let mut waiting = stand.wait(json!({"client": "w"})).await;
    stand.broker.stop();
    let told = answer(&mut waiting).await;
    assert_eq!((told.status, told.code().as_str()), (503, "shutting_down"));
    assert!(told.header("retry-after").is_some());
    assert_eq!(
        stand.broker.ended().await.unwrap(),
        warden_broker::Outcome::Stopped
    );
    assert!(!stand.socket().exists());
    assert!(!stand.dir.path().join("data/endpoint").exists());
}
