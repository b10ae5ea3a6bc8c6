//! The event stream: a picture, then everything after it, whatever breaks in between.

// Helpers of tests are tests too.
#![allow(clippy::expect_used, clippy::unwrap_used)]

mod stand;

use serde_json::{Value, json};
use stand::{Events, Stand};
use tokio::io::AsyncWriteExt;

async fn pairs(stand: &Stand, count: usize) {
    for _ in 0..count {
        let granted = stand.lock(json!({"client": "w"})).await.json();
        let lease = json!({"lease_id": granted["lease_id"], "token": granted["token"]});
        assert_eq!(stand.unlock(&lease).await.status, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_begins_with_a_picture_and_goes_on_without_a_gap() {
    let stand = Stand::new().await;
    let mut events = Events::open(&stand, None).await;
    let first = events.next().await.unwrap();
    assert_eq!(first.name, "snapshot");
    assert_eq!(first.data["revision"], first.id);
    pairs(&stand, 3).await;
    let revision = stand.status().await["revision"].as_u64().unwrap();
    let mut names = Vec::new();
    for id in first.id + 1..=revision {
        let event = events.next().await.unwrap();
        assert_eq!(event.id, id);
        names.push(event.name);
    }
    assert_eq!(names, ["queued", "granted", "ended"].repeat(3));
    stand.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn resuming_under_load_misses_nothing_and_repeats_nothing() {
    let stand = Stand::new().await;
    let mut events = Events::open(&stand, None).await;
    let mut last = events.next().await.unwrap().id;
    let load = async { tokio::join!(pairs(&stand, 150), pairs(&stand, 150)) };
    let read = async {
        for cut in 0..20 {
            for _ in 0..10 + cut {
                let event = events.next().await.unwrap();
                assert_eq!(event.id, last + 1, "{}", event.name);
                last = event.id;
            }
            events = Events::open(&stand, Some(last)).await;
        }
    };
    tokio::join!(load, read);
    let revision = stand.status().await["revision"].as_u64().unwrap();
    while last < revision {
        let event = events.next().await.unwrap();
        assert_eq!(event.id, last + 1);
        last = event.id;
    }
    stand.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_resumed_begins_with_a_picture() {
    let stand = Stand::new().await;
    pairs(&stand, 2).await;
    let revision = stand.status().await["revision"].as_u64().unwrap();
    for last in [revision + 1, u64::MAX] {
        let first = Events::open(&stand, Some(last)).await.next().await.unwrap();
        assert_eq!((first.name.as_str(), first.id), ("snapshot", revision));
    }
    let mut nonsense = stand.connect().await;
    let request = format!(
        "{}Last-Event-ID: abc\r\n\r\n",
        stand.head("GET", "/v1/events")
    );
    nonsense.write_all(request.as_bytes()).await.unwrap();
    let head = stand::read_head(&mut nonsense).await;
    assert!(head.contains("text/event-stream"), "{head}");

    let dir = stand.stop().await;
    // A restart is no gap: the journal remembers what was told.
    let config = stand::config(&dir);
    let stand = Stand::start(dir, config).await;
    let resumed = Events::open(&stand, Some(revision - 1))
        .await
        .next()
        .await
        .unwrap();
    assert_eq!((resumed.name.as_str(), resumed.id), ("ended", revision));
    stand.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_falls_behind_is_disconnected() {
    let stand = Stand::with(|config| config.simulate_gpus = Some(1)).await;
    let mut deaf = Events::open_narrow(&stand).await;
    // Each event carries the name: long ones fill the kernel's buffers, some megabytes, sooner.
    let name = "\u{1d11e}".repeat(128);
    let holder = stand.lock(json!({"client": name})).await.json();
    let lease = json!({"lease_id": holder["lease_id"], "token": holder["token"]});
    let renew = stand.request("POST", "/v1/gpu/renew", Some(&lease));
    let mut writer = stand.connect().await;
    let (mut answers, mut requests) = writer.split();
    let drain = async {
        let mut sink = vec![0; 1 << 16];
        while tokio::io::AsyncReadExt::read(&mut answers, &mut sink)
            .await
            .unwrap_or(0)
            > 0
        {}
    };
    let send = async {
        for _ in 0..100 {
            requests.write_all(&renew.repeat(100)).await.unwrap();
        }
        requests.shutdown().await.unwrap();
    };
    tokio::join!(drain, send);
    let mut read = 0_u64;
    while deaf.next().await.is_some() {
        read += 1;
    }
    let revision = stand.status().await["revision"].as_u64().unwrap();
    assert!(read < revision, "read {read} of {revision}");
    stand.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn folding_the_events_gives_the_status() {
    let stand = Stand::new().await;
    let mut events = Events::open(&stand, None).await;
    let parse = |name: &str, data: Value| {
        warden::StreamEvent::parse(name, data)
            .unwrap()
            .expect("a known event")
    };
    let first = events.next().await.unwrap();
    let status: warden::wire::Status = serde_json::from_value(first.data).unwrap();
    let mut picture = warden::Snapshot::new(status, 0);
    let lease = stand.hold_all().await;
    let _waiter = stand.wait(json!({"client": "w", "request_id": "w"})).await;
    let _share = stand.wait(json!({"client": "s", "vram_mib": 1_000})).await;
    stand.unlock(&lease).await;
    stand.call("DELETE", "/v1/gpu/requests/w", None).await;
    let status = stand.status().await;
    while picture.revision() < status["revision"].as_u64().unwrap() {
        let event = events.next().await.unwrap();
        picture
            .fold(event.id, &parse(&event.name, event.data), 0)
            .unwrap();
    }
    let folded = serde_json::to_value(picture.status(0, String::new())).unwrap();
    let ids = |status: &Value, list: &str, id: &str| -> Vec<Value> {
        let rows = status[list].as_array().unwrap();
        rows.iter().map(|row| row[id].clone()).collect()
    };
    for (list, id) in [
        ("leases", "lease_id"),
        ("queue", "request_id"),
        ("gpus", "lease_ids"),
    ] {
        assert_eq!(ids(&folded, list, id), ids(&status, list, id), "{list}");
    }
    assert_eq!(folded["counters"]["granted"], status["counters"]["granted"]);
    stand.stop().await;
}
