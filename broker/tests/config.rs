//! The configuration that programs share: what of it leaves the broker, in which order, and what
//! becomes of it when files are broken and brokers end.

// Helpers of tests are tests too.
#![allow(clippy::expect_used, clippy::unwrap_used)]

mod stand;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::{Value, json};
use stand::{Event, Events, Stand, config_dir, save};
use tempfile::TempDir;

const SCHEMA: &str = r#"{
    "SIZE": (type: whole, min: 1, max: 4096, shared: true, meaning: "How large a piece is"),
    "MODE": (type: text, choices: ["fast", "good"], shared: true),
    "API_KEY": (type: text, meaning: "For the other side"),
}"#;
const SECRET: &str = "do-not-tell";

fn env(size: u32) -> String {
    format!("# sizes\nSIZE={size}\nAPI_KEY={SECRET}\nUNKNOWN={SECRET}\n")
}

fn fill(dir: &Path, size: u32) {
    save(&dir.join("schema.ron"), SCHEMA);
    save(&dir.join("shared.env"), &env(size));
}

async fn filled(size: u32) -> Stand {
    let dir = tempfile::tempdir().unwrap();
    fill(&config_dir(&dir), size);
    start(dir).await
}

async fn start(dir: TempDir) -> Stand {
    let config = stand::config(&dir);
    Stand::start(dir, config).await
}

async fn live(stand: &Stand) -> Value {
    let answer = stand.call("GET", "/v1/config", None).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

async fn open(stand: &Stand, last: Option<u64>) -> Events {
    Events::open_at("/v1/config/events", stand, last).await
}

fn generation(live: &Value) -> u64 {
    live["generation"].as_u64().unwrap()
}

fn is_change(event: &Event, changed: Value) {
    assert_eq!(event.name, "changed", "{event:?}");
    assert_eq!(event.data["generation"], event.id);
    assert_eq!(event.data["changed"], changed);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_shared_keys_are_told_and_a_save_is_told_at_once() {
    let stand = filled(512).await;
    let first = live(&stand).await;
    assert_eq!(first["values"], json!({"SIZE": "512"}));
    let mut events = open(&stand, None).await;
    let event = events.next().await.unwrap();
    assert_eq!((event.name.as_str(), &event.data), ("config", &first));
    let config = stand.config_dir();
    save(
        &config.join("shared.env"),
        &format!("{}MODE=good\n", env(1024)),
    );
    let event = events.next().await.unwrap();
    assert_eq!(event.id, generation(&first) + 1);
    is_change(
        &event,
        json!({"SIZE": {"old": "512", "new": "1024"}, "MODE": {"old": null, "new": "good"}}),
    );
    assert_eq!(
        live(&stand).await["values"],
        json!({"SIZE": "1024", "MODE": "good"})
    );

    // What is nobody's business changes nothing that anybody sees.
    save(&config.join("shared.env"), "SIZE=1024\nAPI_KEY=another\n");
    let event = events.next().await.unwrap();
    is_change(&event, json!({"MODE": {"old": "good", "new": null}}));
    for last in [first["generation"].as_u64().unwrap(), event.id - 1] {
        let resumed = open(&stand, Some(last)).await.next().await.unwrap();
        assert_eq!((resumed.name.as_str(), resumed.id), ("changed", last + 1));
    }
    for last in [event.id + 1, u64::MAX] {
        let afresh = open(&stand, Some(last)).await.next().await.unwrap();
        assert_eq!((afresh.name.as_str(), afresh.id), ("config", event.id));
    }
    stand.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_generation_outlives_the_broker_and_a_change_meanwhile_is_told() {
    let mut last = 0;
    let mut dir = tempfile::tempdir().unwrap();
    for size in [1, 2, 2, 3] {
        fill(&config_dir(&dir), size);
        let stand = start(dir).await;
        let now = live(&stand).await;
        let fresh = u64::from(size != 2 || last < 2);
        assert_eq!(generation(&now), last + fresh, "{now}");
        if last > 0 && fresh == 1 {
            let event = open(&stand, Some(last)).await.next().await.unwrap();
            assert_eq!((event.name.as_str(), event.id), ("changed", last + 1));
        }
        last = generation(&now);
        dir = stand.stop().await;
    }
    // A broken record cannot make it go back either.
    fs::write(dir.path().join("data/config.json"), "{").unwrap();
    let stand = start(dir).await;
    assert!(generation(&live(&stand).await) > last);
    stand.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_shared_no_more_is_gone_with_its_past() {
    let stand = filled(77).await;
    let before = live(&stand).await;
    let mut events = open(&stand, None).await;
    events.next().await.unwrap();
    let config = stand.config_dir();
    save(&config.join("shared.env"), &env(78));
    events.next().await.unwrap();
    save(
        &config.join("schema.ron"),
        &SCHEMA.replacen("shared: true, ", "", 1),
    );
    let event = events.next().await.unwrap();
    is_change(&event, json!({"SIZE": {"old": null, "new": null}}));
    assert_eq!(live(&stand).await["values"], json!({}));
    let resumed = open(&stand, Some(generation(&before)))
        .await
        .next()
        .await
        .unwrap();
    assert_eq!(resumed.name, "config");
    assert_eq!(resumed.data["values"], json!({}));
    stand.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_shared_no_more_goes_at_once_and_is_told_of_once_that_can_be_written() {
    let stand = filled(77).await;
    let before = generation(&live(&stand).await);
    let mut events = open(&stand, None).await;
    events.next().await.unwrap();
    let record = stand.socket().with_file_name("config.json");
    let unshared = SCHEMA.replacen("shared: true, ", "", 1);
    let schema = stand.config_dir().join("schema.ron");
    let reload = || stand.post("/v1/hot-reload", json!({"module": "config"}));
    // It goes, and comes back in a moment in which nothing can be told; then it goes for good.
    let back = json!({"SIZE": {"old": null, "new": "77"}, "MODE": {"old": null, "new": "good"}});
    for (number, (last, left, change)) in [
        (SCHEMA, json!({}), back),
        (
            &*unshared,
            json!({"MODE": "good"}),
            json!({"SIZE": {"old": null, "new": null}}),
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let number = before + number as u64;
        // Nothing takes the place of a folder.
        fs::remove_file(&record).unwrap();
        fs::create_dir(&record).unwrap();
        for schema_now in [&*unshared, last] {
            save(&schema, schema_now);
            assert_eq!(reload().await.code(), "reload_refused");
            let now = live(&stand).await;
            assert_eq!((generation(&now), &now["values"]), (number, &left));
        }
        let env = format!("{}MODE=good\n", env(77));
        save(&stand.config_dir().join("shared.env"), &env);
        // Both files are read before there is room, so that neither is told of without the other.
        assert_eq!(reload().await.code(), "reload_refused");
        fs::remove_dir(&record).unwrap();
        assert_eq!(reload().await.status, 200);
        let event = events.next().await.unwrap();
        assert_eq!(event.id, number + 1);
        is_change(&event, change);
    }
    let after = fs::read_to_string(&record).unwrap();
    assert!(!after.contains("SIZE"), "{after}");
    stand.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_broken_changes_nothing_and_tells_no_value() {
    let stand = filled(5).await;
    let config = stand.config_dir();
    let good = live(&stand).await;
    let sha256 = stand.module("config").await["sha256"].clone();
    assert!(sha256.is_string());
    let broken = [
        (
            "shared.env",
            format!("SIZE=999999\nAPI_KEY={SECRET}\n"),
            "invalid",
        ),
        (
            "shared.env",
            format!("SIZE=6\nAPI_KEY=\"{SECRET}\n"),
            "syntax",
        ),
        (
            "schema.ron",
            "{\"SIZE\": (type: hole)}".to_owned(),
            "syntax",
        ),
        (
            "schema.ron",
            "{\"SIZE\": (type: whole, min: 9, max: 1)}".to_owned(),
            "invalid",
        ),
    ];
    for (name, text, stage) in broken {
        save(&config.join(name), &text);
        let module = stand
            .until_module("config", |module| module["state"] == "refused")
            .await;
        assert_eq!(module["last_error"]["stage"], stage, "{module}");
        assert_eq!(
            module["sha256"], sha256,
            "what is live is still the same file: {module}"
        );
        let refused = stand
            .post("/v1/hot-reload", json!({"module": "config"}))
            .await;
        assert_eq!(refused.code(), "reload_refused");
        let said = format!("{module} {}", refused.json());
        assert!(!said.contains(SECRET) && !said.contains("999999"), "{said}");
        assert_eq!(live(&stand).await, good, "{text}");
        fill(&config, 5);
        stand
            .until_module("config", |module| module["state"] == "live")
            .await;
    }
    // A value that its schema does not allow is told with its line, as what is no line is.
    save(&config.join("shared.env"), "# sizes\n\nSIZE=0\n");
    let module = stand
        .until_module("config", |module| module["state"] == "refused")
        .await;
    let error = &module["last_error"];
    assert_eq!((&error["line"], &error["column"]), (&json!(3), &json!(6)));
    // What was wrong before is not told beside what is wrong now.
    for (line, text) in [(2, "SIZE=7\nMODE=\"good\n"), (3, "# sizes\n\nSIZE=0\n")] {
        save(&config.join("shared.env"), text);
        let status = stand
            .until(|status| status["refused_files"][0]["line"] == line)
            .await;
        let refused = &status["refused_files"];
        assert_eq!(refused.as_array().unwrap().len(), 1, "{refused}");
    }
    // Each file that is refused is in the status, also the one that only promotions read.
    save(&config.join("schema.ron"), "{\"SIZE\": (shared: \"yes\")}");
    save(&config.join("checks.ron"), "{\"ok\": (command: true)}");
    let status = stand
        .until(|status| status["refused_files"].as_array().map(Vec::len) == Some(3))
        .await;
    let told = status["refused_files"].to_string();
    for said in [
        "SIZE must be a whole number, 1 to 4,096",
        "SIZE.shared must be true or false",
        "ok.command must be a list",
        "nothing can be promoted with a check",
    ] {
        assert!(told.contains(said), "no {said:?} in {told}");
    }
    fs::remove_file(config.join("checks.ron")).unwrap();
    fill(&config, 5);
    stand
        .until(|status| status["refused_files"] == Value::Null)
        .await;
    assert_eq!(live(&stand).await, good);
    // Broken at a start, too: what was live stays so until it is mended.
    save(&config.join("schema.ron"), "(");
    let dir = stand.stop().await;
    let stand = start(dir).await;
    assert_eq!(live(&stand).await, good);
    fill(&stand.config_dir(), 6);
    let answer = stand
        .post("/v1/hot-reload", json!({"module": "config"}))
        .await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(live(&stand).await["values"], json!({"SIZE": "6"}));
    stand.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_schema_nothing_is_shared_and_without_its_values_there_are_none() {
    let stand = filled(5).await;
    let config = stand.config_dir();
    let mut events = open(&stand, None).await;
    events.next().await.unwrap();
    fs::remove_file(config.join("schema.ron")).unwrap();
    is_change(
        &events.next().await.unwrap(),
        json!({"SIZE": {"old": null, "new": null}}),
    );
    assert_eq!(live(&stand).await["values"], json!({}));
    assert_eq!(stand.module("config").await["state"], "live");
    save(&config.join("schema.ron"), SCHEMA);
    is_change(
        &events.next().await.unwrap(),
        json!({"SIZE": {"old": null, "new": "5"}}),
    );
    fs::remove_file(config.join("shared.env")).unwrap();
    is_change(
        &events.next().await.unwrap(),
        json!({"SIZE": {"old": "5", "new": null}}),
    );
    let module = stand.module("config").await;
    assert_eq!(
        (&module["state"], &module["sha256"]),
        (&json!("live"), &Value::Null)
    );
    stand.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_winner_is_promoted_once_and_acknowledged() {
    let stand = filled(16).await;
    let config = stand.config_dir();
    let mut events = open(&stand, None).await;
    let first = events.next().await.unwrap();
    fs::create_dir(config.join("winners")).unwrap();
    let winner = json!({"id": "w-1", "values": {"SIZE": 32, "API_KEY": "other"}});
    save(&config.join("winners/w-1.json"), &winner.to_string());
    let event = events.next().await.unwrap();
    assert_eq!(event.id, first.id + 1);
    is_change(&event, json!({"SIZE": {"old": "16", "new": "32"}}));
    let ack = acknowledged(&config, "w-1").await;
    assert_eq!(ack["outcome"], "live", "{ack}");
    assert_eq!(ack["generation"], event.id);
    assert!(ack["live_after_ms"].is_u64(), "{ack}");
    assert_eq!(ack["changed"], json!(["API_KEY", "SIZE"]));
    let text = fs::read_to_string(config.join("shared.env")).unwrap();
    assert!(
        text.starts_with("# sizes\nSIZE=32\nAPI_KEY=other\n"),
        "{text}"
    );

    let bad = json!({"id": "w-2", "values": {"SIZE": 99_999}});
    save(&config.join("winners/w-2.json"), &bad.to_string());
    let ack = acknowledged(&config, "w-2").await;
    assert_eq!(ack["outcome"], "refused", "{ack}");
    assert!(!ack.to_string().contains("99999"), "{ack}");

    // What is none is acknowledged by the id that it has, and what is wrong is named.
    let bad = json!({"id": "w-4", "valeus": {"SIZE": 99_999}});
    save(
        &config.join("winners/by-another-name.json"),
        &bad.to_string(),
    );
    let ack = acknowledged(&config, "w-4").await;
    let error = ack["error"].as_str().unwrap();
    assert!(error.contains("no field \"valeus\""), "{error}");
    assert!(
        error.contains("\"id\", \"values\" and \"check\""),
        "{error}"
    );
    assert!(error.contains("by-another-name.json:1:"), "{error}");
    assert!(!error.contains("99999"), "{error}");

    // Neither is promoted again by the next broker, whatever has happened to the file since.
    save(&config.join("shared.env"), &env(17));
    events.next().await.unwrap();
    let dir = stand.stop().await;
    let stand = start(dir).await;
    save(
        &config.join("winners/w-3.json"),
        &json!({"id": "w-3", "values": {"MODE": "fast"}}).to_string(),
    );
    acknowledged(&config, "w-3").await;
    assert_eq!(
        live(&stand).await["values"],
        json!({"SIZE": "17", "MODE": "fast"})
    );
    stand.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_winner_whose_check_fails_is_put_back() {
    let stand = filled(16).await;
    let config = stand.config_dir();
    save(
        &config.join("checks.ron"),
        "{\"bad\": (command: [\"false\"])}",
    );
    let mut events = open(&stand, None).await;
    let first = events.next().await.unwrap();
    fs::create_dir(config.join("winners")).unwrap();
    let winner = json!({"id": "w", "values": {"SIZE": 32}, "check": "bad"});
    save(&config.join("winners/w.json"), &winner.to_string());
    let tried = events.next().await.unwrap();
    is_change(&tried, json!({"SIZE": {"old": "16", "new": "32"}}));
    let back = events.next().await.unwrap();
    is_change(&back, json!({"SIZE": {"old": "32", "new": "16"}}));
    assert_eq!(back.id, first.id + 2);
    let look = async {
        while acknowledged(&config, "w").await["outcome"] != "put_back" {
            // No event tells of a file of acknowledgements: it is asked for, with a deadline.
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    let put_back = tokio::time::timeout(stand::PATIENCE, look).await;
    put_back.expect("it is said to be put back");
    assert_eq!(
        fs::read_to_string(config.join("shared.env")).unwrap(),
        env(16)
    );
    stand.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_values_may_lie_elsewhere_and_not_where_others_write() {
    let dir = tempfile::tempdir().unwrap();
    let (config_dir, elsewhere) = (config_dir(&dir), dir.path().join("elsewhere.env"));
    fill(&config_dir, 1);
    save(&elsewhere, &env(2));
    let mut config = stand::config(&dir);
    config.env = Some(elsewhere.clone());
    let stand = Stand::start(dir, config).await;
    let good = live(&stand).await;
    assert_eq!(good["values"], json!({"SIZE": "2"}));

    let beside = elsewhere.with_extension("new");
    fs::write(&beside, env(3)).unwrap();
    fs::set_permissions(&beside, fs::Permissions::from_mode(0o666)).unwrap();
    fs::rename(&beside, &elsewhere).unwrap();
    let module = stand
        .until_module("config", |module| module["state"] == "refused")
        .await;
    assert_eq!(module["last_error"]["stage"], "untrusted", "{module}");
    assert_eq!(live(&stand).await, good);
    save(&elsewhere, &env(4));
    stand
        .until_module("config", |module| module["state"] == "live")
        .await;
    assert_eq!(live(&stand).await["values"], json!({"SIZE": "4"}));
    stand.stop().await;
}

async fn acknowledged(config: &Path, id: &str) -> Value {
    let path = config.join(format!("promotions_ack/{id}.json"));
    let look = async {
        loop {
            if let Ok(text) = fs::read(&path) {
                return serde_json::from_slice(&text).unwrap();
            }
            // No event tells of a file of acknowledgements: it is asked for, with a deadline.
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(stand::PATIENCE, look)
        .await
        .expect("it is acknowledged")
}
