//! A full disk from one broker to the next: what was said is kept, whoever ends and whoever starts.

// Helpers of tests are tests too.
#![allow(clippy::expect_used, clippy::unwrap_used)]

mod stand;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use stand::Stand;
use stand::child::{Served, serve_if_child};
use stand::space::{Filler, on_a_small_disk};

/// Enough for a journal, little enough to be filled at once.
const SMALL: &str = "4m";

fn fence(granted: &Value) -> Value {
    json!({"lease_id": granted["lease_id"], "token": granted["token"]})
}

fn named(id: &str) -> Value {
    json!({"client": id, "request_id": id, "timeout_ms": 60_000})
}

fn codes(answer: &Value) -> Vec<&str> {
    let notices = answer["notices"].as_array().unwrap().iter();
    notices
        .map(|notice| notice["code"].as_str().unwrap())
        .collect()
}

/// Who holds something.
fn holders(status: &Value) -> Vec<&str> {
    let leases = status["leases"].as_array().unwrap().iter();
    leases
        .map(|lease| lease["client"].as_str().unwrap())
        .collect()
}

/// Not a test of its own: the broker that others kill.
#[test]
fn serve_as_child() {
    serve_if_child(|_, _| {});
}

async fn until(broker: &Served, wanted: impl Fn(&Value) -> bool) -> Value {
    let look = async {
        loop {
            let status = status(broker).await;
            if wanted(&status) {
                return status;
            }
            // The route has no events: it is asked as a client would ask it, with a deadline.
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(stand::PATIENCE, look)
        .await
        .expect("the status becomes as wanted")
}

async fn status(broker: &Served) -> Value {
    let answer = broker.call("GET", "/v1/gpu/status", None).await;
    answer.unwrap().json()
}

/// Fills the disk, and has the broker notice.
async fn fill(broker: &Served, dir: &Path) -> Filler {
    let filler = Filler::fill(&dir.join("data"));
    let refused = broker.lock(&named("refused")).await.unwrap();
    assert_eq!(refused["code"], "journal_unwritable");
    filler
}

async fn post(broker: &Served, path: &str, lease: &Value) {
    let answer = broker.call("POST", path, Some(&fence(lease))).await;
    let answer = answer.unwrap();
    assert_eq!(answer.status, 200, "{answer:?}");
}

/// Ends it as an operator would.
fn end(mut broker: Served) {
    kill_process(Pid::from_child(&broker.child), Signal::TERM).unwrap();
    let ended = broker.child.wait().unwrap();
    assert!(ended.success(), "{ended}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_answered_is_kept_by_who_ends_on_a_full_disk() {
    let Some(dir) = on_a_small_disk(
        "what_was_answered_is_kept_by_who_ends_on_a_full_disk",
        SMALL,
    ) else {
        return;
    };
    let broker = Served::start(&dir);
    let kept = broker.lock(&named("kept")).await.unwrap();
    let given = broker.lock(&named("given")).await.unwrap();
    let filler = fill(&broker, &dir).await;
    // More than fits into a page or two.
    for _ in 0..2_000 {
        post(&broker, "/v1/gpu/renew", &kept).await;
    }
    post(&broker, "/v1/gpu/unlock", &given).await;
    end(broker);
    drop(filler);

    let broker = Served::start(&dir);
    assert_eq!(holders(&status(&broker).await), ["kept"]);
    let ended = broker.lock(&named("given")).await.unwrap();
    assert_eq!(ended["outcome"], "released", "{ended}");
    let same = broker.lock(&named("kept")).await.unwrap();
    assert_eq!(same["token"], kept["token"]);
    let ballast = fs::metadata(dir.join("data/ballast")).unwrap();
    assert_eq!(ballast.len(), 1 << 20, "made again");
    assert_eq!(ballast.permissions().mode() & 0o777, 0o600);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_starts_on_a_full_disk_and_goes_on_once_there_is_room() {
    let test = "a_broker_starts_on_a_full_disk_and_goes_on_once_there_is_room";
    let Some(dir) = on_a_small_disk(test, SMALL) else {
        return;
    };
    let broker = Served::start(&dir);
    let kept = broker.lock(&named("kept")).await.unwrap();
    let given = broker.lock(&named("given")).await.unwrap();
    let filler = fill(&broker, &dir).await;
    let before = status(&broker).await;
    broker.kill();

    let broker = Served::start(&dir);
    let health = broker.call("GET", "/healthz", None).await.unwrap();
    assert_eq!(health.json()["status"], "degraded");
    let shown = status(&broker).await;
    assert_eq!(codes(&shown), ["journal_unwritable"]);
    assert_eq!(holders(&shown), ["kept", "given"]);
    assert_eq!(shown["revision"], before["revision"]);
    let refused = broker.lock(&named("new")).await.unwrap();
    assert_eq!(refused["code"], "journal_unwritable");
    post(&broker, "/v1/gpu/renew", &kept).await;
    post(&broker, "/v1/gpu/unlock", &given).await;
    drop(filler);

    let shown = until(&broker, |status| status["notices"] == json!([])).await;
    assert_eq!(holders(&shown), ["kept"]);
    let new = broker.lock(&named("new")).await.unwrap();
    assert!(new["token"].as_u64() > given["token"].as_u64(), "{new}");
    broker.kill();
    let broker = Served::start(&dir);
    let shown = status(&broker).await;
    assert_eq!(holders(&shown), ["kept", "new"]);
    assert_eq!(codes(&shown), [""; 0], "nothing is in doubt");
}

/// A broker without a socket over `DIR/data`, in this process.
async fn stand(dir: &Path) -> Stand {
    let config_dir = tempfile::tempdir().unwrap();
    let mut config = stand::config(&config_dir);
    config.data_dir = dir.join("data");
    config.socket = None;
    Stand::start(config_dir, config).await
}

#[tokio::test(flavor = "multi_thread")]
async fn who_starts_without_a_byte_to_spare_is_found_later() {
    let test = "who_starts_without_a_byte_to_spare_is_found_later";
    let Some(dir) = on_a_small_disk(test, SMALL) else {
        return;
    };
    let first = stand(&dir).await;
    assert_eq!(first.lock(named("kept")).await.status, 200);
    first.stop().await;
    let data = dir.join("data");
    fs::remove_file(data.join("ballast")).unwrap();
    let filler = Filler::fill(&data);
    let again = stand(&dir).await;
    assert!(!data.join("endpoint").exists());
    assert_eq!(again.lock(named("new")).await.code(), "journal_unwritable");
    assert_eq!(holders(&again.status().await), ["kept"]);
    drop(filler);
    again.until(|status| status["notices"] == json!([])).await;
    let look = async {
        while !data.join("endpoint").exists() {
            // A file has no events here.
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(stand::PATIENCE, look).await.unwrap();
    let published: Value =
        serde_json::from_slice(&fs::read(data.join("endpoint")).unwrap()).unwrap();
    assert_eq!(published["address"], again.address());
    assert_eq!(again.lock(named("new")).await.status, 200);
    again.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn new_code_is_switched_off_on_a_full_disk() {
    let Some(dir) = on_a_small_disk("new_code_is_switched_off_on_a_full_disk", SMALL) else {
        return;
    };
    let data = dir.join("data");
    let switch = async |stand: &Stand, enabled: bool| {
        let body = json!({"enabled": enabled});
        let path = "/v1/hot-reload/enabled";
        stand.call("PUT", path, Some(body)).await
    };
    let is_on = async |stand: &Stand| {
        let answer = stand.call("GET", "/v1/hot-reload", None).await;
        answer.json()["enabled"].clone()
    };
    let first = stand(&dir).await;
    assert_eq!(switch(&first, true).await.status, 200);
    let filler = Filler::fill(&data);
    // There is room for this in the ballast.
    let off = switch(&first, false).await;
    assert_eq!((off.status, &off.json()["enabled"]), (200, &json!(false)));
    drop(filler);
    first.stop().await;
    let second = stand(&dir).await;
    assert_eq!(is_on(&second).await, false, "it stays");

    assert_eq!(switch(&second, true).await.status, 200);
    fs::remove_file(data.join("ballast")).unwrap();
    let filler = Filler::fill(&data);
    let off = switch(&second, false).await;
    assert_eq!((off.status, &*off.code()), (503, "journal_unwritable"));
    let said = off.json()["detail"].to_string();
    assert!(said.contains("off from here on"), "{said}");
    assert_eq!(is_on(&second).await, false);
    let on = switch(&second, true).await;
    assert_eq!((on.status, &*on.code()), (503, "journal_unwritable"));
    assert_eq!(is_on(&second).await, false, "on only where that is written");
    drop(filler);
    // Whoever says it again has it written.
    assert_eq!(switch(&second, false).await.status, 200);
    second.stop().await;
    let third = stand(&dir).await;
    assert_eq!(is_on(&third).await, false);
    third.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_on_a_full_disk_loses_no_lease_and_repeats_no_token() {
    let test = "a_kill_on_a_full_disk_loses_no_lease_and_repeats_no_token";
    let Some(dir) = on_a_small_disk(test, SMALL) else {
        return;
    };
    let mut last_token = 0;
    for round in 0..5 {
        let broker = Served::start(&dir);
        let kept = json!({"client": "kept", "request_id": format!("kept-{round}")});
        let given = json!({"client": "given", "request_id": format!("given-{round}")});
        let kept_lease = broker.lock(&kept).await.unwrap();
        let given_lease = broker.lock(&given).await.unwrap();
        let token = kept_lease["token"].as_u64().unwrap();
        assert!(token > last_token, "{kept_lease} after {last_token}");
        last_token = given_lease["token"].as_u64().unwrap();

        let filler = Filler::fill(&dir.join("data"));
        let refused = broker
            .lock(&json!({"client": "new", "request_id": "new"}))
            .await;
        assert_eq!(refused.unwrap()["code"], "journal_unwritable");
        for (path, lease) in [("renew", &kept_lease), ("unlock", &given_lease)] {
            let path = format!("/v1/gpu/{path}");
            let answer = broker.call("POST", &path, Some(&fence(lease))).await;
            assert_eq!(answer.unwrap().status, 200);
        }
        broker.kill();
        drop(filler);

        let broker = Served::start(&dir);
        let same = broker.lock(&kept).await.unwrap();
        assert_eq!(same["token"], kept_lease["token"], "{same}");
        // What was given back is either so or held until then; in no case is it granted twice.
        let other = json!({"client": "other", "timeout_ms": 0});
        let status = broker
            .call("GET", "/v1/gpu/status", None)
            .await
            .unwrap()
            .json();
        assert_eq!(status["notices"], json!([]), "nothing is in doubt");
        let held = status["leases"].as_array().unwrap().len();
        let answer = broker
            .call("POST", "/v1/gpu/lock", Some(&other))
            .await
            .unwrap();
        if held == 2 {
            assert_eq!(answer.code(), "queue_timeout");
        } else {
            let granted = answer.json();
            assert_ne!(granted["gpu_ids"], kept_lease["gpu_ids"]);
            let token = granted["token"].as_u64().unwrap();
            assert!(token > last_token, "{granted}");
            last_token = token;
        }
        let all = broker
            .call("POST", "/v1/gpu/force-release-all", None)
            .await
            .unwrap();
        assert_eq!(all.status, 200, "{all:?}");
        broker.kill();
    }
}
