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
            // Under another name, or it would be a good file until its mode is changed.
            let beside = path.with_extension("beside");
            fs::write(&beside, "(max_bypass: 1)").unwrap();
            fs::set_permissions(&beside, Permissions::from_mode(0o666)).unwrap();
            fs::rename(beside, path).unwrap();
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
        .post("/v1/hot-reload", json!({"module": "programme"}))
        .await;
    assert_eq!(unknown.code(), "invalid_request");
    assert_eq!(unknown.json()["field"], "module");
    // This broker is a part of the test, which is not its to replace.
    let enabled = json!({"enabled": true});
    let put = stand
        .call("PUT", "/v1/hot-reload/enabled", Some(enabled))
        .await;
    assert_eq!(put.json()["enabled"], true, "{put:?}");
    let program = stand
        .post("/v1/hot-reload", json!({"module": "program"}))
        .await;
    assert_eq!(program.code(), "reload_disabled");
    stand.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_key_is_said_with_the_key_and_what_it_may_be() {
    let stand = Stand::new().await;
    let path = stand.config_dir().join("policy.ron");
    for (text, line, column, said) in [
        (
            "(\n yield: (mode: \"take\"))",
            2,
            16,
            "yield.mode must be one of never, ask, take, without quotes",
        ),
        (
            "(yield: (gap: 1, mode: steal))",
            1,
            24,
            "yield.mode must be one of never, ask, take, without quotes, not steal",
        ),
        (
            "(max_bypass: -1)",
            1,
            14,
            "max_bypass must be a whole number, 1 or more",
        ),
        (
            "(max_bypass: \"3\")",
            1,
            14,
            "max_bypass must be a whole number, 1 or more",
        ),
        (
            "(priorities: {\"pilot\": 300})",
            1,
            24,
            "priorities.pilot must be a whole number, 0 to 255",
        ),
        (
            "(max_queue: 0)",
            1,
            2,
            "max_queue must be from 1 to 1000000",
        ),
        ("(max_bypas: 3)", 1, 2, "max_bypas"),
    ] {
        save(&path, text);
        let module = stand
            .until_module("policy", |module| {
                let message = module["last_error"]["message"].as_str();
                message.is_some_and(|message| {
                    message.starts_with(said) || message.contains("max_bypas`")
                })
            })
            .await;
        let error = &module["last_error"];
        assert!(error["message"].as_str().unwrap().contains(said), "{error}");
        assert_eq!(
            (&error["line"], &error["column"]),
            (&json!(line), &json!(column)),
            "{text}: {error}"
        );
        let status = stand.status().await;
        let file = &status["refused_files"][0];
        assert_eq!(file["message"], error["message"], "{status}");
        assert_eq!(file["holds"], "the last good rules hold");
    }
    fs::remove_file(&path).unwrap();
    stand
        .until(|status| status["refused_files"] == Value::Null)
        .await;
    stand.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_policy_is_as_one_that_never_was() {
    let stand = Stand::new().await;
    let path = stand.config_dir().join("policy.ron");
    for spoilt in [false, true] {
        save(&path, PILOT);
        stand
            .until(|status| status["policy"]["max_bypass"] == 3)
            .await;
        if spoilt {
            save(&path, "(max_bypass: )");
            stand
                .until_module("policy", |module| module["state"] == "refused")
                .await;
        }
        fs::remove_file(&path).unwrap();
        let status = stand
            .until(|status| status["policy"]["max_bypass"] == 8)
            .await;
        assert_eq!(status["policy"]["priorities"]["pilot"], Value::Null);
        assert_eq!(stand.lock(pilot()).await.code(), "invalid_request");
        let module = stand.module("policy").await;
        assert_eq!(
            (&module["state"], &module["sha256"], &module["last_error"]),
            (&json!("live"), &Value::Null, &Value::Null),
            "{module}"
        );
    }
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
