//! A journal that cannot be written: nothing is granted, nothing that is held is lost, and all goes
//! on by itself.

// Helpers of tests are tests too.
#![allow(clippy::expect_used, clippy::unwrap_used)]

mod stand;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use stand::child::Sleeper;
use stand::space::{Filler, on_a_small_disk};
use stand::{Events, PATIENCE, Stand, answer};
use tokio::time::{sleep, timeout};

/// Enough for a journal, little enough to be filled at once.
const SMALL: &str = "4m";

fn fence(granted: &Value) -> Value {
    json!({"lease_id": granted["lease_id"], "token": granted["token"]})
}

fn codes(answer: &Value) -> Vec<&str> {
    let notices = answer["notices"].as_array().unwrap().iter();
    notices
        .map(|notice| notice["code"].as_str().unwrap())
        .collect()
}

async fn on_disk(dir: &Path, change: impl FnOnce(&mut warden_broker::Config)) -> Stand {
    let config_dir = tempfile::tempdir().unwrap();
    let mut config = stand::config(&config_dir);
    config.data_dir = dir.join("data");
    config.socket = None;
    change(&mut config);
    Stand::start(config_dir, config).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_takes_ends_and_gives_nothing() {
    let Some(dir) = on_a_small_disk("a_full_disk_takes_ends_and_gives_nothing", SMALL) else {
        return;
    };
    let stand = on_disk(&dir, |config| config.simulate_gpus = Some(3)).await;
    let mut events = Events::open(&stand, None).await;
    let mut last = events.next().await.unwrap().id;

    let brief = |client: &str| json!({"client": client, "ttl_ms": 1_000});
    let lapses = stand.lock(brief("lapses")).await.json();
    let renews = fence(&stand.lock(brief("renews")).await.json());
    let mut owner = Sleeper::new();
    let owned = json!({"client": "owned", "pid": owner.pid()});
    assert_eq!(stand.lock(owned).await.status, 200);
    let mut first = stand.wait(json!({"client": "first"})).await;
    let named = json!({"client": "named", "request_id": "named", "timeout_ms": 60_000});
    let second = stand.wait(named.clone()).await;
    let mut impatient = stand
        .wait(json!({"client": "impatient", "timeout_ms": 1_500}))
        .await;
    let before = stand.status().await;

    let filler = Filler::fill(&dir.join("data"));
    for body in [
        json!({"client": "new"}),
        json!({"client": "new", "request_id": "new"}),
        json!({"client": "new", "request_id": "new"}),
        json!({"client": "poll", "wait": false}),
    ] {
        let refused = stand.lock(body).await;
        assert_eq!(
            (refused.status, &*refused.code()),
            (503, "journal_unwritable")
        );
        assert_eq!(refused.header("retry-after"), Some("1"));
    }
    let status = stand.status().await;
    assert_eq!(codes(&status), ["journal_unwritable"]);
    let text = status["notices"][0]["text"].as_str().unwrap();
    assert!(
        text.contains("full") && text.contains("Make room"),
        "{text}"
    );
    assert_eq!(status["queue"][0]["why"]["code"], "paused");
    assert_eq!(
        status["revision"], before["revision"],
        "nothing more is told"
    );
    let health = stand.call("GET", "/healthz", None).await;
    assert_eq!(
        (health.status, &health.json()["status"]),
        (200, &json!("degraded"))
    );
    assert_eq!(codes(&health.json()), ["journal_unwritable"]);
    while last < before["revision"].as_u64().unwrap() {
        last = events.next().await.unwrap().id;
    }
    let told = events.next().await.unwrap();
    assert_eq!((&*told.name, told.id), ("snapshot", last));
    assert_eq!(codes(&told.data), ["journal_unwritable"]);

    // A waiter whose connection broke keeps its place, and joins it.
    drop(second);
    let mut second = stand.connect().await;
    let again = stand.request("POST", "/v1/gpu/lock", Some(&named));
    tokio::io::AsyncWriteExt::write_all(&mut second, &again)
        .await
        .unwrap();

    // Twice the ttl, in which one is renewed and one is not.
    let since = Instant::now();
    while since.elapsed() < Duration::from_millis(2_500) {
        assert_eq!(
            stand.post("/v1/gpu/renew", renews.clone()).await.status,
            200
        );
        sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(answer(&mut impatient).await.code(), "queue_timeout");
    let unlocked = stand.unlock(&renews).await;
    assert_eq!(
        (unlocked.status, &unlocked.json()["outcome"]),
        (200, &json!("released"))
    );
    owner.kill();
    let silent = timeout(Duration::from_millis(500), answer(&mut first)).await;
    assert!(silent.is_err(), "what is freed is not granted: {silent:?}");
    let alive = stand.post("/v1/gpu/renew", fence(&lapses)).await;
    assert_eq!(alive.status, 200, "no lease expires: {alive:?}");

    drop(filler);
    let first = answer(&mut first).await;
    assert_eq!(first.status, 200, "{first:?}");
    let second = answer(&mut second).await;
    assert_eq!(second.json()["request_id"], "named", "{second:?}");
    let late = stand.lock(json!({"client": "new", "request_id": "new", "timeout_ms": 60_000}));
    assert_eq!(
        late.await.status,
        200,
        "what was refused may be posted again"
    );
    let status = stand.until(|status| status["notices"] == json!([])).await;
    assert_eq!(
        stand.call("GET", "/healthz", None).await.json()["status"],
        "ok"
    );

    // The stream has no gap, and ends where the status is.
    let mut kinds = BTreeSet::new();
    while last < status["revision"].as_u64().unwrap() {
        let event = events.next().await.unwrap();
        if event.name == "snapshot" {
            assert_eq!(codes(&event.data), [""; 0]);
        } else {
            assert_eq!(event.id, last + 1, "{}", event.name);
        }
        last = event.id;
        kinds.insert(event.name);
    }
    for kind in ["renewed", "ended", "timed_out", "granted"] {
        assert!(kinds.contains(kind), "{kind} is not in {kinds:?}");
    }

    // All of it is in the journal.
    let held = |status: &Value| -> BTreeSet<String> {
        let leases = status["leases"].as_array().unwrap().iter();
        leases
            .map(|lease| lease["lease_id"].as_str().unwrap().to_owned())
            .collect()
    };
    let leases = held(&stand.status().await);
    stand.stop().await;
    let stand = on_disk(&dir, |config| config.simulate_gpus = Some(3)).await;
    assert_eq!(held(&stand.status().await), leases);
    stand.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_that_is_in_no_journal_is_told_to_nobody() {
    let Some(dir) = on_a_small_disk("a_grant_that_is_in_no_journal_is_told_to_nobody", SMALL)
    else {
        return;
    };
    let named = |id: &str, timeout_ms: u64| json!({"client": id, "request_id": id, "timeout_ms": timeout_ms});
    let stand = on_disk(&dir, |config| config.simulate_gpus = Some(3)).await;
    let mut holders = Vec::new();
    for _ in 0..3 {
        holders.push(fence(&stand.lock(json!({"client": "holder"})).await.json()));
    }
    let mut patient = stand.wait(named("patient", 60_000)).await;
    let mut brief = stand.wait(named("brief", 1_000)).await;
    let mut forced = stand.wait(named("forced", 60_000)).await;

    let filler = Filler::fill(&dir.join("data"));
    // All in one batch: what these free is granted before the journal is found full.
    let unlocks: Vec<u8> = holders
        .iter()
        .flat_map(|lease| stand.request("POST", "/v1/gpu/unlock", Some(lease)))
        .collect();
    let mut unlocker = stand.connect().await;
    tokio::io::AsyncWriteExt::write_all(&mut unlocker, &unlocks)
        .await
        .unwrap();
    for _ in &holders {
        assert_eq!(answer(&mut unlocker).await.json()["outcome"], "released");
    }
    let looked = stand.call("GET", "/v1/gpu/requests/patient", None).await;
    let waits = looked.json()["state"] == "waiting";
    assert!(waits || looked.code() == "journal_unwritable", "{looked:?}");
    assert_eq!(
        stand.status().await["queue_depth"],
        3,
        "as the journal has it"
    );
    let over = answer(&mut brief).await;
    assert!(
        over.code() == "journal_unwritable" || over.code() == "queue_timeout",
        "{over:?}"
    );
    let cancelled = stand.call("DELETE", "/v1/gpu/requests/forced", None).await;
    assert_eq!(cancelled.status, 200, "{cancelled:?}");
    assert_eq!(answer(&mut forced).await.code(), "request_ended");
    let silent = timeout(Duration::from_millis(300), answer(&mut patient)).await;
    assert!(silent.is_err(), "{silent:?}");

    drop(filler);
    let granted = answer(&mut patient).await;
    assert_eq!(granted.status, 200, "{granted:?}");
    let lease = granted.json();
    assert_eq!(stand.post("/v1/gpu/renew", fence(&lease)).await.status, 200);
    let same = stand.lock(named("patient", 60_000)).await.json();
    assert_eq!(same["token"], lease["token"]);
    stand.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_is_first_told_of_once_that_can_be_written() {
    let Some(dir) = on_a_small_disk("a_lease_is_first_told_of_once_that_can_be_written", SMALL)
    else {
        return;
    };
    let stand = on_disk(&dir, |config| config.simulate_gpus = Some(1)).await;
    let holder = fence(&stand.lock(json!({"client": "holder"})).await.json());
    let poll = json!({"client": "poll", "request_id": "poll", "wait": false});
    assert_eq!(stand.lock(poll).await.status, 202);
    assert_eq!(stand.unlock(&holder).await.status, 200);
    assert_eq!(stand.status().await["leases"][0]["client"], "poll");

    // The next broker would take the lease for undelivered, and its holder would know better: the
    // first of these is in the very commit that fails.
    let filler = Filler::fill(&dir.join("data"));
    let look = || stand.call("GET", "/v1/gpu/requests/poll", None);
    for _ in 0..3 {
        let looked = look().await;
        assert_eq!(
            (looked.status, &*looked.code()),
            (503, "journal_unwritable")
        );
    }
    drop(filler);
    stand.until(|status| status["notices"] == json!([])).await;
    let looked = look().await.json();
    assert_eq!(looked["state"], "granted");
    assert_eq!(stand.unlock(&fence(&looked["lease"])).await.status, 200);
    stand.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reserve_that_cannot_be_written_is_an_outage_too() {
    let named = |id: &str| json!({"client": "a", "request_id": id, "timeout_ms": 60_000});
    let stand = Stand::new().await;
    let first = stand.lock(named("first")).await.json();
    let dir = stand.stop().await;
    let data = dir.path().join("data");
    // The next token is the last of its block, and another block cannot be had.
    let last = first["token"].as_u64().unwrap() + 1;
    std::fs::write(
        data.join("reserve"),
        format!("token {last}\nrevision 999999\n"),
    )
    .unwrap();
    let config = stand::config(&dir);
    let stand = Stand::start(dir, config).await;
    let in_the_way = data.join(".reserve.new");
    std::fs::create_dir(&in_the_way).unwrap();
    let refused = stand.lock(named("second")).await;
    assert_eq!(
        (refused.status, &*refused.code()),
        (503, "journal_unwritable")
    );
    assert_eq!(codes(&stand.status().await), ["journal_unwritable"]);
    assert_eq!(stand.post("/v1/gpu/renew", fence(&first)).await.status, 200);

    std::fs::remove_dir(&in_the_way).unwrap();
    stand.until(|status| status["notices"] == json!([])).await;
    let second = stand.lock(named("second")).await;
    assert_eq!(second.status, 200, "{second:?}");
    let token = second.json()["token"].as_u64().unwrap();
    assert!(
        token > last,
        "the one that was told to nobody is not given again: {token}"
    );
    stand.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_outage_begins_the_stream_anew() {
    let named = |id: &str| json!({"client": "a", "request_id": id, "timeout_ms": 60_000});
    let stand = Stand::new().await;
    let first = stand.lock(named("first")).await.json();
    let dir = stand.stop().await;
    let data = dir.path().join("data");
    let last = first["token"].as_u64().unwrap() + 1;
    std::fs::write(
        data.join("reserve"),
        format!("token {last}\nrevision 999999\n"),
    )
    .unwrap();
    let config = stand::config(&dir);
    let stand = Stand::start(dir, config).await;
    let in_the_way = data.join(".reserve.new");
    std::fs::create_dir(&in_the_way).unwrap();
    let mut events = Events::open(&stand, None).await;
    let before = events.next().await.unwrap().id;
    assert_eq!(
        stand.lock(named("second")).await.code(),
        "journal_unwritable"
    );
    assert_eq!(
        codes(&events.next().await.unwrap().data),
        ["journal_unwritable"]
    );

    // More than the stream keeps.
    let renew = stand.request("POST", "/v1/gpu/renew", Some(&fence(&first)));
    let mut writer = stand.connect().await;
    let (mut answers, mut requests) = tokio::io::split(&mut writer);
    let send = async {
        let all = renew.repeat(11_000);
        let written = tokio::io::AsyncWriteExt::write_all(&mut requests, &all);
        written.await.unwrap();
    };
    let receive = async {
        let mut text = String::new();
        while text.matches("HTTP/1.1 200").count() < 11_000 {
            let mut bytes = vec![0; 1 << 20];
            let read = tokio::io::AsyncReadExt::read(&mut answers, &mut bytes)
                .await
                .unwrap();
            assert!(read > 0, "every renewal is answered");
            text += std::str::from_utf8(&bytes[..read]).unwrap();
        }
    };
    tokio::join!(send, receive);

    std::fs::remove_dir(&in_the_way).unwrap();
    let status = stand.until(|status| status["notices"] == json!([])).await;
    let revision = status["revision"].as_u64().unwrap();
    assert!(revision > before + 11_000, "{revision}");
    // Whoever followed hears the state that it all led to; nothing in between is told in part.
    if let Some(event) = events.next().await {
        assert_eq!((&*event.name, event.id), ("snapshot", revision));
    }
    let again = Events::open(&stand, Some(before))
        .await
        .next()
        .await
        .unwrap();
    assert_eq!((&*again.name, again.id), ("snapshot", revision));
    assert_eq!(again.data["leases"][0]["lease_id"], first["lease_id"]);
    let mut events = Events::open(&stand, Some(revision)).await;
    assert_eq!(stand.lock(named("second")).await.status, 200);
    assert_eq!(events.next().await.unwrap().id, revision + 1);
    stand.stop().await;
}

/// What clients saw, all of them together.
#[derive(Default)]
struct Seen {
    /// Each GPU with who holds it, from the grant's answer until before its unlock.
    held: Mutex<Vec<(String, u64)>>,
    tokens: Mutex<BTreeSet<u64>>,
    granted: AtomicUsize,
    refused: AtomicUsize,
    unlocked: AtomicUsize,
    full: AtomicBool,
}

impl Seen {
    fn holds(&self, granted: &Value) {
        let gpu = granted["gpu_ids"][0].as_str().unwrap().to_owned();
        let token = granted["token"].as_u64().unwrap();
        assert!(
            self.tokens.lock().unwrap().insert(token),
            "token {token} twice"
        );
        let mut held = self.held.lock().unwrap();
        let other = held.iter().find(|(taken, _)| *taken == gpu);
        assert_eq!(other, None, "{gpu} is held already, and now by {token}");
        held.push((gpu, token));
        self.granted.fetch_add(1, Ordering::Relaxed);
    }

    fn gives_back(&self, granted: &Value) {
        let token = granted["token"].as_u64().unwrap();
        self.held
            .lock()
            .unwrap()
            .retain(|(_, holder)| *holder != token);
    }
}

/// Locks, renews and unlocks until told to stop.
async fn client(stand: &Stand, seen: &Seen, number: usize, stop: &AtomicBool) {
    for round in 0.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let id = format!("client-{number}-{round}");
        let body = json!({"client": id, "request_id": id, "timeout_ms": 60_000});
        let granted = loop {
            let answer = stand.lock(body.clone()).await;
            if answer.status == 200 {
                break answer.json();
            }
            assert_eq!(answer.code(), "journal_unwritable");
            seen.refused.fetch_add(1, Ordering::Relaxed);
            if stop.load(Ordering::Relaxed) {
                return;
            }
            sleep(Duration::from_millis(20)).await;
        };
        seen.holds(&granted);
        sleep(Duration::from_millis(2)).await;
        let renewed = stand.post("/v1/gpu/renew", fence(&granted)).await;
        assert_eq!(renewed.status, 200, "{renewed:?}");
        let full = seen.full.load(Ordering::Relaxed);
        seen.gives_back(&granted);
        let unlocked = stand.unlock(&fence(&granted)).await;
        assert_eq!(unlocked.status, 200, "{unlocked:?}");
        if full {
            seen.unlocked.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_fills_under_load_doubles_nothing() {
    let Some(dir) = on_a_small_disk("a_disk_that_fills_under_load_doubles_nothing", "16m") else {
        return;
    };
    let stand = on_disk(&dir, |_| {}).await;
    let (seen, stop) = (Seen::default(), AtomicBool::new(false));
    let more = async |count: usize| {
        let wanted = seen.granted.load(Ordering::Relaxed) + count;
        while seen.granted.load(Ordering::Relaxed) < wanted {
            sleep(Duration::from_millis(5)).await;
        }
    };
    let director = async {
        for _ in 0..3 {
            more(20).await;
            let filler = Filler::fill(&dir.join("data"));
            seen.full.store(true, Ordering::Relaxed);
            let refused = seen.refused.load(Ordering::Relaxed) + 20;
            while seen.refused.load(Ordering::Relaxed) < refused {
                sleep(Duration::from_millis(5)).await;
            }
            seen.full.store(false, Ordering::Relaxed);
            drop(filler);
        }
        more(20).await;
        stop.store(true, Ordering::Relaxed);
    };
    let clients = (0..6).map(|number| client(&stand, &seen, number, &stop));
    let clients = futures_util::future::join_all(clients);
    let all = async { tokio::join!(director, clients) };
    timeout(3 * PATIENCE, all)
        .await
        .expect("it goes on each time");
    let status = stand.status().await;
    assert_eq!(
        (&status["leases"], &status["queue"]),
        (&json!([]), &json!([]))
    );
    let granted = seen.granted.load(Ordering::Relaxed);
    assert_eq!(
        status["counters"]["granted"], granted,
        "none beside those told"
    );
    stand.stop().await;
}
