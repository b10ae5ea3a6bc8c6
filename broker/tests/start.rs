//! What a broker says when it cannot start, and what it does when nobody needs it.

// Helpers of tests are tests too.
#![allow(clippy::expect_used, clippy::unwrap_used)]

mod stand;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use serde_json::json;
use stand::Stand;
use tempfile::TempDir;
use warden_broker::{Broker, Config, Outcome};

async fn refused(config: Config) -> (u8, String) {
    let error = Broker::start(config).await.expect_err("it must not start");
    (error.exit_code(), error.to_string())
}

fn config() -> (TempDir, Config) {
    let dir = tempfile::tempdir().unwrap();
    let config = stand::config(&dir);
    (dir, config)
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_usage_is_64() {
    let bad = [
        "0.0.0.0:8080",
        "192.168.1.1:0",
        "[::]:0",
        "127.0.0.1",
        "example.org:80",
        "",
    ];
    for addr in bad {
        let (_dir, mut config) = config();
        config.addr = addr.to_owned();
        let (code, text) = refused(config).await;
        assert_eq!(code, 64, "{addr}: {text}");
    }
    for gpus in [0, 65] {
        let (_dir, mut config) = config();
        config.simulate_gpus = Some(gpus);
        assert_eq!(refused(config).await.0, 64);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_taken_is_73() {
    let stand = Stand::new().await;
    let (code, text) = refused(stand::config(&stand.dir)).await;
    assert_eq!(code, 73, "{text}");
    let pid = std::process::id().to_string();
    assert!(text.contains(&pid), "{text} does not say who has it");

    let (_dir, mut elsewhere) = config();
    elsewhere.addr = stand.address().to_owned();
    let (code, text) = refused(elsewhere.clone()).await;
    assert_eq!(code, 73, "{text}");
    assert!(text.contains(stand.address()), "{text}");

    elsewhere.addr = "127.0.0.1:0".to_owned();
    elsewhere.socket = Some(stand.socket());
    let (code, text) = refused(elsewhere).await;
    assert_eq!(code, 73, "{text}");
    assert_eq!(
        stand.call("GET", "/healthz", None).await.status,
        200,
        "and it goes on"
    );
    stand.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unusable_directory_is_74() {
    let (dir, config) = config();
    let data = dir.path().join("data");
    fs::create_dir(&data).unwrap();
    fs::set_permissions(&data, fs::Permissions::from_mode(0o777)).unwrap();
    let (code, text) = refused(config.clone()).await;
    assert_eq!(code, 74, "{text}");
    assert!(text.contains("others may write"), "{text}");
    fs::remove_dir(&data).unwrap();
    fs::write(&data, "a file").unwrap();
    assert_eq!(refused(config.clone()).await.0, 74);
    fs::remove_file(&data).unwrap();

    let stand = Stand::start(dir, config).await;
    let dir = stand.stop().await;
    fs::set_permissions(data.join("token"), fs::Permissions::from_mode(0o644)).unwrap();
    let (code, text) = refused(stand::config(&dir)).await;
    assert_eq!(code, 74, "{text}");
    assert!(text.contains("token"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn its_files_are_its_users_alone() {
    let stand = Stand::new().await;
    let mode = |name: &str| {
        let path = stand.dir.path().join("data").join(name);
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    };
    assert_eq!(mode(""), 0o700);
    for name in ["token", "endpoint", "warden.sock", "lock", "reserve"] {
        assert_eq!(mode(name), 0o600, "{name}");
    }
    stand.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_that_nobody_listens_on_is_replaced() {
    let (dir, config) = config();
    fs::create_dir(dir.path().join("data")).unwrap();
    fs::set_permissions(dir.path().join("data"), fs::Permissions::from_mode(0o700)).unwrap();
    let socket = config.socket.clone().unwrap();
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    assert!(socket.exists());
    let stand = Stand::start(dir, config).await;
    stand.connect_unix().await;
    stand.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_policy_leaves_the_last_good_one() {
    let (dir, config) = config();
    let policy = dir.path().join("config/policy.ron");
    fs::create_dir(dir.path().join("config")).unwrap();
    fs::write(&policy, "(priorities: {\"default\": 15, \"pilot\": 2})").unwrap();
    let pilot = json!({"client": "a", "priority": "pilot"});
    let stand = Stand::start(dir, config).await;
    assert_eq!(stand.lock(pilot.clone()).await.status, 200);
    let dir = stand.stop().await;
    fs::write(&policy, "(priorities: {\"default\": 15, \"pilot\": }").unwrap();
    let config = stand::config(&dir);
    let stand = Stand::start(dir, config).await;
    assert_eq!(stand.lock(pilot).await.status, 200);
    stand.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_ends_by_itself_when_nobody_needs_it() {
    let idle = Duration::from_millis(200);
    let mut stand = Stand::with(|config| config.until_idle = Some(idle)).await;
    let lease = stand.hold_all().await;
    let ended = tokio::time::timeout(idle * 3, stand.broker.ended()).await;
    assert!(ended.is_err(), "a lease is held");
    stand.unlock(&lease).await;
    let ended = tokio::time::timeout(stand::PATIENCE, stand.broker.ended()).await;
    assert_eq!(ended.unwrap().unwrap(), Outcome::Idle);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_gpus_there_is_one_that_says_so() {
    let nothing = tempfile::tempdir().unwrap();
    let stand = Stand::with(|config| {
        config.simulate_gpus = None;
        config.host_root = nothing.path().to_owned();
    })
    .await;
    let gpus = stand.status().await["gpus"].clone();
    let gpus = gpus.as_array().unwrap();
    let [gpu] = &gpus[..] else {
        panic!("{gpus:?}");
    };
    assert_eq!(gpu["simulated"], false);
    assert_eq!(gpu["source"], "unknown");
    assert_eq!(gpu["vram_total_mib"], serde_json::Value::Null);
    assert!(gpu["name"].as_str().unwrap().contains("Unknown"), "{gpu}");
    stand.stop().await;
}
