//! The rules go live when they are saved, end nothing that was begun under others, and a broken
//! file changes nothing and says why.

// Helpers of tests are tests too.
#![allow(clippy::expect_used, clippy::unwrap_used)]

mod stand;

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use serde_json::{Value, json};
use stand::{Events, Stand, answer, config_dir, save};

const PILOT: &str = "(priorities: {\"default\": 15, \"pilot\": 2}, max_bypass: 3)";

fn pilot() -> Value {
    json!({"client": "a", "priority": "pilot"})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_saved_policy_holds_at_once_and_is_told() {
    let stand = Stand::new().await;
    let mut events = Events::open(&stand, None).await;
    events.next().await.unwrap();
    assert_eq!(stand.lock(pilot()).await.code(), "invalid_request");
    let module = stand.module("policy").await;
    assert_eq!(
        (&module["state"], &module["kind"]),
        (&json!("live"), &json!("policy"))
    );
    assert_eq!(module["sha256"], Value::Null, "there is no file: {module}");

    save(&stand.config_dir().join("policy.ron"), PILOT);
    let told = events.next().await.unwrap();
    assert_eq!(told.name, "policy_changed");
    assert_eq!(told.data["policy"]["max_bypass"], 3);
    assert_eq!(stand.status().await["policy"]["max_bypass"], 3);
    assert_eq!(stand.lock(pilot()).await.status, 200);
    let module = stand.module("policy").await;
    assert_eq!(
        module["sha256"].as_str().map(str::len),
        Some(64),
        "{module}"
    );

    // What held at the end holds from the start, and is told to nobody a second time.
    let dir = stand.stop().await;
    let config = stand::config(&dir);
    let stand = Stand::start(dir, config).await;
    assert_eq!(stand.status().await["policy"]["max_bypass"], 3);
    stand.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lowered_limit_ends_neither_a_lease_nor_a_waiter() {
    let stand = Stand::new().await;
    let policy = stand.config_dir().join("policy.ron");
    let lease = stand.hold_all().await;
    let share =
        json!({"client": "share", "vram_mib": 20_000, "ttl_ms": 3_600_000, "request_id": "share"});
    let mut share_waits = stand.wait(share.clone()).await;
    let _plain_waits = stand.wait(json!({"client": "plain"})).await;
    save(
        &policy,
        "(max_queue: 1, max_ttl_ms: 1000, default_ttl_ms: 1000, vram_reserve_mib: 20000, model_loads_at_once: 1)",
    );
    let status = stand
        .until(|status| status["policy"]["max_queue"] == 1)
        .await;
    assert_eq!(status["queue_depth"], 2);
    assert_eq!(status["leases"].as_array().map(Vec::len), Some(1));
    let why = &status["queue"][0]["why"];
    assert!(
        why["text"].as_str().unwrap().contains("vram_reserve_mib"),
        "{why}"
    );
    assert_eq!(
        stand.lock(json!({"client": "more"})).await.code(),
        "queue_full"
    );

    // The lease lives by the ttl that it was granted with; who can be served is.
    let renewed = stand.post("/v1/gpu/renew", lease.clone()).await.json();
    assert_eq!(renewed["ttl_ms"], 60_000);
    stand.unlock(&lease).await;
    stand.until(|status| status["queue_depth"] == 1).await;

    // Who comes back for a place that it has joins it, though it could not be posted anew.
    let again = stand.request("POST", "/v1/gpu/lock", Some(&share));
    let mut second = stand.connect().await;
    tokio::io::AsyncWriteExt::write_all(&mut second, &again)
        .await
        .unwrap();
    assert_eq!(answer(&mut share_waits).await.code(), "superseded");
    fs::remove_file(&policy).unwrap();
    save(&policy, "(max_queue: 10)");
    let granted = answer(&mut second).await;
    assert_eq!(
        (granted.status, granted.json()["ttl_ms"].as_u64()),
        (200, Some(3_600_000))
    );
    stand.stop().await;
}

/// Makes the file what its name says.
fn spoil(what: &str, path: &Path) {
    let write = |content: &[u8]| fs::write(path, content).unwrap();
    match what {
        "empty" => write(b""),
        "syntax" => write(b"(\n  max_bypass: 3,\n  max_bypas: 4,\n)"),
        "invalid" => write(b"(\n  max_bypass: 0,\n)"),
        "not_utf8" => write(b"(max_bypass: \xff)"),
        "not_a_file" => fs::create_dir(path).unwrap(),
        "pipe" => rustix::fs::mknodat(
            rustix::fs::CWD,
            path,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::from_raw_mode(0o600),
            0,
        )
        .unwrap(),
        "too_large" => File::create(path).unwrap().set_len(1 << 30).unwrap(),
        "symlink_loop" => symlink(path, path).unwrap(),
        "untrusted" => {
            write(b"(max_bypass: 1)");
            fs::set_permissions(path, Permissions::from_mode(0o666)).unwrap();
        }
        other => panic!("{other}"),
    }
}

fn remove(path: &Path) {
    if fs::symlink_metadata(path).is_ok_and(|meta| meta.is_dir()) {
        fs::remove_dir(path).unwrap();
    } else {
        fs::remove_file(path).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_file_changes_nothing_says_why_and_is_mended_by_saving_it() {
    let stand = Stand::new().await;
    let path = stand.config_dir().join("policy.ron");
    save(&path, PILOT);
    stand
        .until(|status| status["policy"]["max_bypass"] == 3)
        .await;
    let kinds = [
        "empty",
        "syntax",
        "invalid",
        "not_utf8",
        "not_a_file",
        "pipe",
        "too_large",
        "symlink_loop",
        "untrusted",
    ];
    for kind in kinds {
        remove(&path);
        spoil(kind, &path);
        let stage = if kind == "pipe" { "not_a_file" } else { kind };
        let module = stand
            .until_module("policy", |module| module["last_error"]["stage"] == stage)
            .await;
        let error = &module["last_error"];
        assert_eq!(module["state"], "refused", "{kind}: {module}");
        assert!(!error["message"].as_str().unwrap().is_empty(), "{error}");
        if kind == "syntax" {
            assert_eq!(error["line"], 3, "{error}");
        }
        if kind == "invalid" {
            assert_eq!(error["line"], 2, "{error}");
        }
        let refused = stand
            .post("/v1/hot-reload", json!({"module": "policy"}))
            .await;
        assert_eq!(refused.code(), "reload_refused", "{kind}");
        assert_eq!(refused.json()["stage"], stage);
        assert_eq!(stand.status().await["policy"]["max_bypass"], 3, "{kind}");
        assert_eq!(stand.lock(pilot()).await.status, 200, "{kind}");
        stand.post("/v1/gpu/force-release-all", json!({})).await;
        remove(&path);
        save(&path, &format!("{PILOT} // after {kind}"));
        stand
            .until_module("policy", |module| module["state"] == "live")
            .await;
    }
    stand.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_that_was_asked_for_holds_when_it_is_answered() {
    let stand = Stand::new().await;
    let path = stand.config_dir().join("policy.ron");
    for bypass in 1..40 {
        save(&path, &format!("(max_bypass: {bypass})"));
        let reloaded = stand
            .post("/v1/hot-reload", json!({"module": "policy"}))
            .await;
        assert_eq!(reloaded.status, 200, "{reloaded:?}");
        let results = &reloaded.json()["results"];
        assert_eq!(results[0]["name"], "policy");
        assert_eq!(stand.status().await["policy"]["max_bypass"], bypass);
    }
    let all = stand.call("POST", "/v1/hot-reload", None).await.json();
    assert_eq!(all["results"][0]["outcome"], "unchanged", "{all}");
    let unknown = stand
        .post("/v1/hot-reload", json!({"module": "program"}))
        .await;
    assert_eq!(unknown.code(), "invalid_request");
    assert_eq!(unknown.json()["field"], "module");
    stand.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_is_broken_at_the_start_is_mended_while_it_runs() {
    let dir = tempfile::tempdir().unwrap();
    let path = config_dir(&dir).join("policy.ron");
    fs::write(&path, "(max_bypass: ").unwrap();
    let config = stand::config(&dir);
    let stand = Stand::start(dir, config).await;
    assert_eq!(stand.module("policy").await["state"], "refused");
    assert_eq!(stand.status().await["policy"]["max_bypass"], 8);
    save(&path, "(max_bypass: 5)");
    stand
        .until(|status| status["policy"]["max_bypass"] == 5)
        .await;
    assert_eq!(stand.module("policy").await["state"], "live");
    stand.stop().await;
}
