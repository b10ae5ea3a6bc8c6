//! A damaged journal: what can be read of it goes on, and nothing is granted on a doubt.

// Helpers of tests are tests too.
#![allow(clippy::expect_used, clippy::unwrap_used)]

mod stand;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use stand::child::{Served, Sleeper, serve_if_child};
use stand::{Stand, save};
use tempfile::TempDir;

/// Not a test of its own: the broker that others kill.
#[test]
fn serve_as_child() {
    serve_if_child(|_, _| {});
}

/// A data directory as a killed broker leaves it: most of its journal in the file proper, the rest
/// in the log, and in that the grant of the only lease, which a live process holds.
struct Killed {
    dir: TempDir,
    owner: Sleeper,
    lease: Value,
    /// No token was ever given above this one.
    last_token: u64,
    revision: u64,
}

const PILOT: &str = "(max_ttl_ms: 3000, default_ttl_ms: 3000)";

impl Killed {
    async fn new(policy: Option<&str>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        if let Some(policy) = policy {
            save(&dir.path().join("policy.ron"), policy);
        }
        let mut broker = Served::start(dir.path());
        let used = async |broker: &Served| {
            let lease = broker.lock(&json!({"client": "before"})).await.unwrap();
            let fence = json!({"lease_id": lease["lease_id"], "token": lease["token"]});
            let answer = broker.call("POST", "/v1/gpu/unlock", Some(&fence)).await;
            assert_eq!(answer.unwrap().status, 200);
        };
        for _ in 0..40 {
            used(&broker).await;
        }
        kill_process(Pid::from_child(&broker.child), Signal::TERM).unwrap();
        assert!(broker.child.wait().unwrap().success());

        let broker = Served::start(dir.path());
        let owner = Sleeper::new();
        let held = json!({"client": "holder", "request_id": "holder", "pid": owner.pid()});
        let lease = broker.lock(&held).await.unwrap();
        assert!(lease["token"].is_u64(), "{lease}");
        for _ in 0..5 {
            used(&broker).await;
        }
        let last = broker.lock(&json!({"client": "last"})).await.unwrap();
        let last_token = last["token"].as_u64().unwrap();
        let gone = "/v1/gpu/force-release";
        let body = json!({"lease_id": last["lease_id"]});
        assert_eq!(
            broker.call("POST", gone, Some(&body)).await.unwrap().status,
            200
        );
        let status = broker
            .call("GET", "/v1/gpu/status", None)
            .await
            .unwrap()
            .json();
        broker.kill();
        Self {
            dir,
            owner,
            lease,
            last_token,
            revision: status["revision"].as_u64().unwrap(),
        }
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// Another broker over a copy, after `damage`.
    async fn after(&self, damage: impl FnOnce(&Path)) -> Stand {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        fs::create_dir(&data).unwrap();
        fs::set_permissions(&data, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        for entry in fs::read_dir(self.data()).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_file() {
                fs::copy(entry.path(), data.join(entry.file_name())).unwrap();
            }
        }
        let policy = self.dir.path().join("policy.ron");
        if policy.exists() {
            fs::copy(policy, stand::config_dir(&dir).join("policy.ron")).unwrap();
        }
        damage(&data);
        let config = stand::config(&dir);
        Stand::start(dir, config).await
    }

    fn is_held(&self, status: &Value) -> bool {
        let leases = status["leases"].as_array().unwrap();
        leases
            .iter()
            .any(|lease| lease["lease_id"] == self.lease["lease_id"])
    }

    async fn grants_on(&self, stand: &Stand) {
        // Leases whose end was lost live by their ttl; nobody renews them.
        for lease in stand.status().await["leases"].as_array().unwrap() {
            if lease["lease_id"] != self.lease["lease_id"] {
                let body = json!({"lease_id": lease["lease_id"]});
                assert_eq!(stand.post("/v1/gpu/force-release", body).await.status, 200);
            }
        }
        let granted = stand.lock(json!({"client": "next", "timeout_ms": 0})).await;
        assert_eq!(granted.status, 200, "{granted:?}");
        let token = granted.json()["token"].as_u64().unwrap();
        assert!(token > self.last_token, "{token} after {}", self.last_token);
        let revision = stand.status().await["revision"].as_u64().unwrap();
        assert!(revision > self.revision);
    }

    /// In doubt nothing is granted until a reset, and then all goes on.
    async fn check_doubt(&self, stand: &Stand) {
        let status = stand.status().await;
        assert_eq!(codes(&status), ["journal_damaged"]);
        let refused = stand.lock(json!({"client": "next", "timeout_ms": 0})).await;
        assert_eq!(refused.code(), "queue_timeout", "{refused:?}");
        let poll = json!({"client": "poll", "wait": false, "request_id": "poll"});
        let poll = stand.lock(poll).await;
        assert_eq!(
            (poll.status, &poll.json()["why"]["code"]),
            (202, &json!("paused"))
        );
        let text = poll.json()["why"]["text"].as_str().unwrap().to_owned();
        assert!(text.contains("warden reset"), "{text}");
        let cancelled = stand.call("DELETE", "/v1/gpu/requests/poll", None).await;
        assert_eq!(cancelled.status, 200);
        let health = stand.call("GET", "/healthz", None).await.json();
        assert_eq!(codes(&health), ["journal_damaged"]);

        let reset = stand.call("POST", "/v1/gpu/reset", None).await;
        assert_eq!(reset.status, 200, "{reset:?}");
        assert_eq!(codes(&stand.status().await), [""; 0]);
        self.grants_on(stand).await;
    }
}

fn codes(answer: &Value) -> Vec<&str> {
    let notices = answer["notices"].as_array().unwrap().iter();
    notices
        .map(|notice| notice["code"].as_str().unwrap())
        .collect()
}

fn aside(data: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(data)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let is_aside = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap();
        name.starts_with("journal.corrupt-") && !name.ends_with("-wal") && !name.ends_with("-shm")
    };
    entries.filter(is_aside).collect()
}

fn edit(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    change(&mut bytes);
    fs::write(path, bytes).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_whole_is_not_doubted() {
    let killed = Killed::new(None).await;
    let stand = killed.after(|_| {}).await;
    let status = stand.status().await;
    assert!(
        killed.is_held(&status) && codes(&status).is_empty(),
        "{status}"
    );
    assert!(aside(&stand.dir.path().join("data")).is_empty());
    killed.grants_on(&stand).await;
    stand.stop().await;
    // A directory of a broker that noted nothing beside its journal.
    let stand = killed
        .after(|data| fs::remove_file(data.join("journal.head")).unwrap())
        .await;
    let status = stand.status().await;
    assert!(
        killed.is_held(&status) && codes(&status).is_empty(),
        "{status}"
    );
    stand.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_damage_is_noticed() {
    let killed = Killed::new(None).await;
    type Damage = fn(&Path);
    let kinds: [(&str, bool, Damage); 9] = [
        ("no database", false, |data| {
            fs::write(
                data.join("journal.db"),
                "this is no database, and never was one",
            )
            .unwrap();
        }),
        ("nothing but zeros", false, |data| {
            fs::write(data.join("journal.db"), [0; 20_000]).unwrap();
        }),
        ("the header is zeroed", false, |data| {
            let db = Connection::open(data.join("journal.db")).unwrap();
            db.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
            drop(db);
            edit(&data.join("journal.db"), |bytes| bytes[..100].fill(0));
        }),
        ("cut in half", false, |data| {
            edit(&data.join("journal.db"), |bytes| {
                bytes.truncate(bytes.len() / 2)
            });
        }),
        ("the log is missing", false, |data| {
            fs::remove_file(data.join("journal.db-wal")).unwrap();
        }),
        ("the log has lost its last commit", true, |data| {
            edit(&data.join("journal.db-wal"), |bytes| {
                bytes.truncate(bytes.len() - 1)
            });
        }),
        ("a bit of the log's last commit is flipped", true, |data| {
            edit(&data.join("journal.db-wal"), |bytes| {
                let last = bytes.len() - 10;
                bytes[last] ^= 4;
            });
        }),
        ("the journal is missing", false, |data| {
            fs::remove_file(data.join("journal.db")).unwrap();
            fs::remove_file(data.join("journal.db-wal")).unwrap();
        }),
        (
            "another boot is named than it was written in",
            true,
            |data| {
                let db = Connection::open(data.join("journal.db")).unwrap();
                let sql = "UPDATE meta SET value = 'another' WHERE key = 'boot_id'";
                assert_eq!(db.execute(sql, []).unwrap(), 1);
            },
        ),
    ];
    for (what, is_kept, damage) in kinds {
        let mut left = Vec::new();
        let stand = killed
            .after(|data| {
                damage(data);
                left = fs::read(data.join("journal.db")).unwrap_or_default();
            })
            .await;
        let status = stand.status().await;
        let aside = aside(&stand.dir.path().join("data"));
        assert_eq!(aside.len(), 1, "{what}: {aside:?}");
        if !left.is_empty() {
            let kept = fs::read(&aside[0]).unwrap();
            assert!(kept == left, "{what}: it is set aside as it was");
        }
        if is_kept {
            assert!(killed.is_held(&status), "{what}: {status}");
        }
        killed.check_doubt(&stand).await;
        let dir = stand.stop().await;
        // The doubt is over for the next broker too.
        let config = stand::config(&dir);
        let stand = Stand::start(dir, config).await;
        assert_eq!(codes(&stand.status().await), [""; 0], "{what}");
        stand.stop().await;
    }
}

/// SplitMix64.
fn random(state: &mut u64) -> usize {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*state ^ *state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    usize::try_from((mixed ^ mixed >> 31) >> 1).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn flipped_bits_lose_no_lease_without_a_word() {
    let killed = Killed::new(None).await;
    let mut seed = 7;
    let (mut doubted, mut saved, mut harmless) = (0, 0, 0);
    for round in 0..40 {
        let name = ["journal.db", "journal.db-wal"][round % 2];
        let flips: Vec<usize> = (0..1 + round % 3).map(|_| random(&mut seed)).collect();
        let stand = killed
            .after(|data| {
                edit(&data.join(name), |bytes| {
                    for flip in &flips {
                        let at = flip / 8 % bytes.len();
                        // A newer program's version of the file is refused as such.
                        if name.ends_with("-wal") || !(60..64).contains(&at) {
                            bytes[at] ^= 1 << (flip % 8);
                        }
                    }
                });
            })
            .await;
        let status = stand.status().await;
        let (is_held, in_doubt) = (killed.is_held(&status), !codes(&status).is_empty());
        assert!(
            is_held || in_doubt,
            "round {round}, {name}: lost without a word"
        );
        doubted += u32::from(in_doubt);
        saved += u32::from(in_doubt && is_held);
        harmless += u32::from(!in_doubt);
        if in_doubt {
            killed.check_doubt(&stand).await;
        } else {
            killed.grants_on(&stand).await;
        }
        stand.stop().await;
    }
    println!("{doubted} in doubt, {saved} of them with the lease; {harmless} harmless");
    assert!(
        doubted >= 10 && saved >= 5,
        "{doubted} in doubt, {saved} saved"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_doubt_outlives_its_broker_and_ends_by_time() {
    let mut killed = Killed::new(Some(PILOT)).await;
    let lose_the_log = |data: &Path| fs::remove_file(data.join("journal.db-wal")).unwrap();
    let since = Instant::now();
    let stand = killed.after(lose_the_log).await;
    let status = stand.status().await;
    assert_eq!(codes(&status), ["journal_damaged"]);
    assert!(!killed.is_held(&status), "it was granted in the log");
    let lost = json!({"lease_id": killed.lease["lease_id"], "token": killed.lease["token"]});
    let renewed = stand.post("/v1/gpu/renew", lost).await;
    assert_eq!(renewed.code(), "unknown_lease", "{renewed:?}");
    let dir = stand.stop().await;

    let config = stand::config(&dir);
    let stand = Stand::start(dir, config).await;
    assert_eq!(
        codes(&stand.status().await),
        ["journal_damaged"],
        "it is in the journal"
    );
    let patient = json!({"client": "patient", "timeout_ms": 60_000});
    let granted = stand.lock(patient).await;
    assert_eq!(granted.status, 200, "{granted:?}");
    let waited = since.elapsed();
    assert!(waited >= Duration::from_millis(2_900), "{waited:?}");
    stand.until(|status| codes(status).is_empty()).await;
    stand.stop().await;

    // What an operator knows better need not be waited for; a dead owner's lease ends in doubt too.
    let stand = killed
        .after(|data| {
            edit(&data.join("journal.db-wal"), |bytes| {
                bytes.truncate(bytes.len() - 1)
            })
        })
        .await;
    assert!(killed.is_held(&stand.status().await));
    killed.owner.kill();
    stand.until(|status| !killed.is_held(status)).await;
    killed.check_doubt(&stand).await;
    stand.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_earlier_boots_journal_leaves_no_doubt() {
    let killed = Killed::new(None).await;
    let stand = killed
        .after(|data| {
            let db = Connection::open(data.join("journal.db")).unwrap();
            let sql = "UPDATE meta SET value = 'an earlier one' WHERE key = 'boot_id'";
            assert_eq!(db.execute(sql, []).unwrap(), 1);
            db.execute(
                "DELETE FROM records WHERE seq = (SELECT max(seq) / 2 FROM records)",
                [],
            )
            .unwrap();
            drop(db);
            let head = data.join("journal.head");
            let text = fs::read_to_string(&head).unwrap();
            let record = text.lines().next().unwrap();
            fs::write(&head, format!("{record}\nboot an earlier one\n")).unwrap();
        })
        .await;
    assert_eq!(aside(&stand.dir.path().join("data")).len(), 1);
    let status = stand.status().await;
    assert_eq!(codes(&status), [""; 0], "its holders are gone with it");
    assert!(!killed.is_held(&status), "{status}");
    killed.grants_on(&stand).await;
    stand.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_without_sums_goes_on() {
    let killed = Killed::new(None).await;
    let without_sums = |data: &Path| {
        let db = Connection::open(data.join("journal.db")).unwrap();
        for table in ["records", "image"] {
            let sql = format!("ALTER TABLE {table} DROP COLUMN sum");
            db.execute_batch(&sql).unwrap();
        }
    };
    let stand = killed.after(without_sums).await;
    let status = stand.status().await;
    assert!(
        killed.is_held(&status) && codes(&status).is_empty(),
        "{status}"
    );
    killed.grants_on(&stand).await;
    let dir = stand.stop().await;
    let config = stand::config(&dir);
    let stand = Stand::start(dir, config).await;
    assert!(killed.is_held(&stand.status().await));
    stand.stop().await;

    let stand = killed
        .after(|data| {
            without_sums(data);
            let db = Connection::open(data.join("journal.db")).unwrap();
            let sql =
                "UPDATE records SET body = x'7b' WHERE seq = (SELECT min(seq) + 1 FROM records)";
            assert_eq!(db.execute(sql, []).unwrap(), 1);
        })
        .await;
    assert!(killed.is_held(&stand.status().await), "all but one record");
    killed.check_doubt(&stand).await;
    stand.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_reserve_a_damaged_journal_is_not_gone_on_from() {
    let killed = Killed::new(None).await;
    let config_dir = tempfile::tempdir().unwrap();
    let mut config = stand::config(&config_dir);
    config.data_dir = killed.data();
    config.socket = None;
    let reserve = killed.data().join("reserve");
    let kept = fs::read(&reserve).unwrap();
    fs::remove_file(&reserve).unwrap();
    fs::write(killed.data().join("journal.db"), "damaged").unwrap();
    let error = warden_broker::Broker::start(config.clone())
        .await
        .expect_err("it must not start");
    assert_eq!(error.exit_code(), 74);
    assert!(error.to_string().contains("Put `reserve` back"), "{error}");
    assert_eq!(
        fs::read(killed.data().join("journal.db")).unwrap(),
        b"damaged"
    );
    fs::write(&reserve, kept).unwrap();
    let stand = Stand::start(config_dir, config).await;
    killed.check_doubt(&stand).await;
    stand.stop().await;
}
