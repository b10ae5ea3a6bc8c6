//! The event stream through everything that can happen to it.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "this is a test")]

mod scripted;

use std::fmt::Write as _;
use std::sync::mpsc;
use std::time::Duration;

use scripted::{Answer, client_of, problem, serve, status};
use serde_json::{Value, json};
use warden::Code;
use warden_client::blocking;
use warden_client::{ConfigItem, Error, EventStream, FeedItem};

fn events(list: &[(u64, &str, Value)]) -> Answer {
    let mut text = String::from(": hello\n\n");
    for (id, name, data) in list {
        write!(text, "event: {name}\nid: {id}\ndata: {data}\n\n").unwrap();
    }
    Answer::Events(text)
}

fn snapshot(revision: u64) -> (u64, &'static str, Value) {
    (revision, "snapshot", status(revision))
}

fn changed(revision: u64) -> (u64, &'static str, Value) {
    (revision, "gpus_changed", json!({"gpus": []}))
}

/// What an item was, in a word.
fn word(item: &FeedItem) -> String {
    match item {
        FeedItem::Connected { .. } => "connected".to_owned(),
        FeedItem::Snapshot(status) => format!("snapshot {}", status.revision),
        FeedItem::Event { revision, event } => format!("{} {revision}", event.name()),
        FeedItem::Disconnected { error } => match error {
            Error::Unreachable { .. } => "gone".to_owned(),
            Error::Protocol { .. } => "nonsense".to_owned(),
            other => format!("{:?}", other.code()),
        },
    }
}

async fn words(stream: &mut EventStream, count: usize) -> Vec<String> {
    let mut words = Vec::new();
    while words.len() < count {
        let item = tokio::time::timeout(Duration::from_secs(20), stream.next()).await;
        words.push(word(
            &item.unwrap_or_else(|_| panic!("nothing after {words:?}")),
        ));
    }
    words
}

#[tokio::test]
async fn a_stream_that_breaks_goes_on_after_the_last_event_that_was_seen() {
    let mut answers = vec![
        events(&[changed(8), changed(9)]),
        Answer::Json(503, "", problem(503, "not_ready", json!({}))),
        events(&[snapshot(6), changed(7)]),
    ];
    let (address, asked) = serve(move |_| answers.pop().unwrap_or(Answer::Cut));
    let (client, _dir) = client_of(address);
    let mut stream = client.events();
    assert_eq!(
        words(&mut stream, 8).await,
        [
            "connected",
            "snapshot 6",
            "gpus_changed 7",
            "gone",
            "Some(NotReady)",
            "connected",
            "gpus_changed 8",
            "gpus_changed 9",
        ]
    );
    let resumed: Vec<_> = asked
        .try_iter()
        .map(|a| a.header("last-event-id").map(str::to_owned))
        .collect();
    assert_eq!(resumed, [None, Some("7".to_owned()), Some("7".to_owned())]);
    assert_eq!(client.healthz().await.unwrap_err().code(), None::<Code>);
}

#[tokio::test]
async fn a_broker_that_is_back_comes_with_how_long_nothing_was_heard() {
    let mut answers = vec![events(&[changed(7)]), events(&[snapshot(6)])];
    let (address, _asked) = serve(move |_| answers.pop().unwrap_or(Answer::Cut));
    let (client, _dir) = client_of(address);
    let mut stream = client.events();
    let mut gaps = Vec::new();
    while gaps.len() < 2 {
        if let FeedItem::Connected { unheard, .. } = stream.next().await {
            gaps.push(unheard);
        }
    }
    // It is not asked again before this.
    let pause = Duration::from_millis(50);
    assert_eq!(gaps[0], Duration::ZERO);
    assert!(
        (pause..Duration::from_secs(10)).contains(&gaps[1]),
        "{gaps:?}"
    );
}

#[tokio::test]
async fn what_does_not_follow_or_is_not_known_leads_to_a_new_snapshot() {
    for bad in [
        changed(8),
        changed(6),
        (7, "kind_of_the_future", json!({})),
        (7, "ended", json!({"unheard": "of"})),
    ] {
        let mut answers = vec![events(&[snapshot(20)]), events(&[snapshot(6), bad.clone()])];
        let (address, asked) = serve(move |_| answers.pop().unwrap_or(Answer::Cut));
        let (client, _dir) = client_of(address);
        let words = words(&mut client.events(), 5).await;
        assert_eq!(
            words,
            [
                "connected",
                "snapshot 6",
                "nonsense",
                "connected",
                "snapshot 20"
            ],
            "{bad:?}"
        );
        assert!(
            asked
                .try_iter()
                .all(|asked| asked.header("last-event-id").is_none())
        );
    }
}

#[tokio::test]
async fn a_reason_is_told_once_however_often_it_recurs() {
    let mut left = 4;
    let (address, _asked) = serve(move |_| {
        left -= 1;
        match left {
            0 => events(&[snapshot(1)]),
            _ => Answer::Json(401, "", problem(401, "bad_token", json!({}))),
        }
    });
    let (client, _dir) = client_of(address);
    let words = words(&mut client.events(), 3).await;
    assert_eq!(words, ["Some(BadToken)", "connected", "snapshot 1"]);
}

#[test]
fn a_feed_runs_by_itself_and_wakes_its_reader() {
    let mut answers = vec![events(&[snapshot(1), changed(2)])];
    let (address, _asked) = serve(move |_| answers.pop().unwrap_or(Answer::Silence));
    let (client, _dir) = client_of(address);
    let client = blocking::Client::new(client.endpoint().clone()).unwrap();
    let (wake, woken) = mpsc::channel();
    let mut feed = client.feed(move || {
        let _ = wake.send(());
    });
    let mut words = Vec::new();
    while words.len() < 4 {
        woken.recv_timeout(Duration::from_secs(20)).unwrap();
        while let Some(item) = feed.try_next() {
            words.push(word(&item));
        }
    }
    assert_eq!(words, ["connected", "snapshot 1", "gpus_changed 2", "gone"]);
}

fn config(generation: u64, size: &str) -> (u64, &'static str, Value) {
    let data = json!({"generation": generation, "at": "t", "values": {"SIZE": size}});
    (generation, "config", data)
}

fn resized(generation: u64, old: &str, new: &str) -> (u64, &'static str, Value) {
    let changed = json!({"SIZE": {"old": old, "new": new}});
    let data = json!({"generation": generation, "at": "t", "changed": changed});
    (generation, "changed", data)
}

#[tokio::test]
async fn the_configuration_is_followed_through_restarts_and_from_the_start_after_nonsense() {
    let mut answers = vec![
        events(&[config(7, "4")]),
        events(&[resized(9, "3", "9")]),
        Answer::Json(503, "", problem(503, "not_ready", json!({}))),
        events(&[config(5, "1"), resized(6, "1", "2")]),
    ];
    let (address, asked) = serve(move |_| answers.pop().unwrap_or(Answer::Silence));
    let (client, _dir) = client_of(address);
    let mut stream = client.config_events();
    let mut said = Vec::new();
    let mut live = None;
    while said.len() < 9 {
        let item = tokio::time::timeout(Duration::from_secs(20), stream.next()).await;
        said.push(
            match item.unwrap_or_else(|_| panic!("nothing after {said:?}")) {
                ConfigItem::Connected { .. } => "connected".to_owned(),
                ConfigItem::Config(config) => {
                    let size = config.values["SIZE"].clone();
                    live = Some(config);
                    format!("all {size}")
                }
                ConfigItem::Changed(change) => {
                    let live = live.as_mut().expect("everything comes first");
                    live.fold(&change);
                    format!("{} {}", live.generation, live.values["SIZE"])
                }
                ConfigItem::Disconnected { error } => match error {
                    Error::Unreachable { .. } => "gone".to_owned(),
                    Error::Protocol { .. } => "nonsense".to_owned(),
                    other => format!("{:?}", other.code()),
                },
            },
        );
    }
    assert_eq!(
        said,
        [
            "connected",
            "all 1",
            "6 2",
            "gone",
            "Some(NotReady)",
            "connected",
            "nonsense",
            "connected",
            "all 4",
        ]
    );
    let resumed: Vec<_> = asked
        .try_iter()
        .map(|asked| asked.header("last-event-id").map(str::to_owned))
        .collect();
    assert_eq!(
        resumed,
        [None, Some("6".to_owned()), Some("6".to_owned()), None]
    );
}
