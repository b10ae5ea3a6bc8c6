//! Leases that live with a process.

// Helpers of tests are tests too.
#![allow(clippy::expect_used, clippy::unwrap_used)]

mod stand;

use std::process::{Child, Command};
use std::time::{Duration, Instant};

use serde_json::json;
use stand::{Stand, answer};

struct Sleeper(Child);

impl Sleeper {
    fn new() -> Self {
        Self(Command::new("sleep").arg("600").spawn().unwrap())
    }

    fn pid(&self) -> u32 {
        self.0.id()
    }

    fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        self.kill();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_ends_with_its_owner_and_the_next_one_has_it() {
    let stand = Stand::with(|config| config.simulate_gpus = Some(1)).await;
    let mut best = Duration::MAX;
    for _ in 0..5 {
        let mut owner = Sleeper::new();
        let held = stand.lock(json!({"client": "o", "pid": owner.pid()})).await;
        assert_eq!(held.status, 200, "{held:?}");
        let mut next = stand.wait(json!({"client": "next"})).await;
        let killed = Instant::now();
        owner.kill();
        let granted = answer(&mut next).await;
        best = best.min(killed.elapsed());
        assert_eq!(granted.status, 200, "{granted:?}");
        let granted = granted.json();
        let lease = json!({"lease_id": granted["lease_id"], "token": granted["token"]});
        assert_eq!(stand.unlock(&lease).await.status, 200);
        let gone = json!({"lease_id": held.json()["lease_id"], "token": held.json()["token"]});
        assert_eq!(stand.unlock(&gone).await.json()["outcome"], "owner_gone");
    }
    assert!(best <= Duration::from_millis(100), "{best:?}");
    stand.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_live_process_of_ours_can_own() {
    let stand = Stand::new().await;
    let mut dead = Sleeper::new();
    let pid = dead.pid();
    dead.kill();
    let owner = Sleeper::new();
    let cases = [
        (json!({"client": "o", "pid": pid}), "pid"),
        (json!({"client": "o", "pid": 0}), "pid"),
        (
            json!({"client": "o", "pid": owner.pid(), "pid_start": 1}),
            "pid_start",
        ),
    ];
    for (body, field) in cases {
        let refused = stand.lock(body.clone()).await;
        assert_eq!(
            (refused.status, refused.code().as_str()),
            (422, "invalid_request"),
            "{body}"
        );
        assert_eq!(refused.json()["field"], field, "{body}");
    }
    stand.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn owners_are_watched_again_after_a_restart() {
    let stand = Stand::new().await;
    let mut dies_meanwhile = Sleeper::new();
    let mut dies_later = Sleeper::new();
    for owner in [&dies_meanwhile, &dies_later] {
        let granted = stand.lock(json!({"client": "o", "pid": owner.pid()})).await;
        assert_eq!(granted.status, 200);
    }
    let dir = stand.stop().await;
    dies_meanwhile.kill();
    let config = stand::config(&dir);
    let stand = Stand::start(dir, config).await;
    let status = stand
        .until(|status| status["leases"].as_array().unwrap().len() == 1)
        .await;
    assert_eq!(status["leases"][0]["pid"], dies_later.pid());
    dies_later.kill();
    stand
        .until(|status| status["leases"].as_array().unwrap().is_empty())
        .await;
    stand.stop().await;
}
