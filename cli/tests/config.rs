//! `warden config` as a person types it, over files of the test's own.

#![allow(clippy::unwrap_used, reason = "this is a test")]

mod stand;

use std::fs;
use std::path::PathBuf;
use std::process::Output;

use serde_json::Value;
use stand::{Broker, Running, until, warden};
use tempfile::TempDir;

const SCHEMA: &str = r#"{
    "SIZE": (type: whole, min: 64, max: 4096, shared: true),
    "MODE": (choices: ["fast", "good"], shared: true),
    "KEY": (),
}"#;
const ENV: &str = "# Ours\nSIZE=512\nKEY=s3cret\n";

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        folder.write("schema.ron", SCHEMA);
        folder.write("checks.ron", r#"{"bad": (command: ["false"])}"#);
        folder.write("shared.env", ENV);
        folder
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, text).unwrap();
        path
    }

    fn config(&self, args: &[&str]) -> Output {
        let mut command = warden();
        // A data directory without a broker.
        command.env("WARDEN_DATA_DIR", self.0.path().join("data"));
        command.args(["config", "--config-dir"]).arg(self.0.path());
        command.args(args).output().unwrap()
    }

    /// What it prints, where all goes well.
    fn says(&self, args: &[&str]) -> String {
        let output = self.config(args);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn json(&self, args: &[&str]) -> Value {
        let args = [&["--json"], args].concat();
        serde_json::from_str(&self.says(&args)).unwrap()
    }

    fn env(&self) -> String {
        fs::read_to_string(self.0.path().join("shared.env")).unwrap()
    }
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

#[test]
fn values_are_set_looked_at_and_taken_back() {
    let folder = Folder::new();
    assert_eq!(folder.says(&["get"]), "SIZE=512\n");
    let said = folder.says(&["set", "SIZE=1000", "MODE=good"]);
    assert!(said.contains(": live after "), "{said}");
    assert!(said.contains(" in the file alone: no broker"), "{said}");
    let way_back = ": MODE, SIZE\n  history 1; `warden config rollback 0` undoes it\n";
    assert!(said.ends_with(way_back), "{said}");
    assert_eq!(folder.env(), "# Ours\nSIZE=1000\nKEY=s3cret\nMODE=good\n");
    assert_eq!(folder.says(&["get", "SIZE"]), "SIZE=1000\n");
    let json = folder.json(&["get"]);
    assert_eq!(json["source"], "file");
    assert_eq!(json["values"]["MODE"], "good");

    let said = folder.says(&["set", "KEY=an0ther"]);
    assert!(
        said.ends_with("history 2; `warden config rollback 1` undoes it\n"),
        "{said}"
    );
    assert_eq!(folder.says(&["diff", "1"]), "+MODE\nSIZE\n");
    assert_eq!(
        folder.says(&["--show", "diff", "1"]),
        "+MODE: good\nSIZE: 512 → 1000\n"
    );
    assert_eq!(folder.says(&["diff", "0", "2"]), "KEY\n+MODE\nSIZE\n");
    assert_eq!(folder.says(&["diff", "2", "1"]), "KEY\n");

    folder.says(&["rollback", "1"]);
    assert_eq!(folder.env(), "# Ours\nSIZE=1000\nKEY=s3cret\nMODE=good\n");
    folder.says(&["rollback", "0"]);
    assert_eq!(folder.env(), ENV);
    let history = folder.json(&["history"]);
    assert_eq!(history.as_array().unwrap().len(), 4);
    assert_eq!(history[2]["by"], "rollback to 1");
    let lines = folder.says(&["history"]);
    assert_eq!(lines.lines().count(), 5, "{lines}");
}

#[test]
fn nothing_tells_a_value_that_is_not_shared_unless_it_is_asked_to() {
    let folder = Folder::new();
    let mut said = Vec::new();
    for args in [
        &["get"][..],
        &["set", "KEY=s3cret2"],
        &["set", "KEY=s3cret3", "--check", "bad"],
        &["set", "SIZE=s3cret4"],
        &["--json", "set", "KEY=s3cret5"],
        &["history"],
        &["--json", "history"],
        &["diff", "1"],
        &["--json", "diff", "0", "3"],
        &["get", "KEY"],
        &["rollback", "0"],
    ] {
        let output = folder.config(args);
        said.extend([output.stdout, output.stderr].concat());
    }
    for ack in fs::read_dir(folder.0.path().join("promotions_ack")).unwrap() {
        said.extend(fs::read(ack.unwrap().path()).unwrap());
    }
    let said = String::from_utf8(said).unwrap();
    assert!(!said.contains("s3cret"), "{said}");
    assert!(said.contains("KEY"), "{said}");
    assert!(folder.says(&["--show", "get"]).contains("KEY=s3cret\n"));
    assert!(folder.says(&["--show", "history"]).contains("s3cret2"));
}

#[test]
fn what_is_refused_or_put_back_is_no_success_and_says_why() {
    let folder = Folder::new();
    for (args, exit, said) in [
        (
            &["set", "SIZE=1"][..],
            1,
            "SIZE must be a whole number, 64 to 4,096",
        ),
        (
            &["set", "NONE=1"],
            1,
            "NONE is no key that schema.ron knows",
        ),
        (
            &["set", "SIZE=99", "--check", "bad"],
            1,
            "the check bad failed",
        ),
        (&["set", "SIZE"], 64, "KEY=VALUE"),
        (&["set", "SIZE=99", "SIZE=98"], 64, "twice"),
        (&["rollback", "9"], 1, "there is no promotion 9"),
        (&["diff", "9"], 1, "there is no promotion 9"),
        (&["get", "NONE"], 1, "NONE is not set, or not shared"),
        (
            &["set", "NONE=1", "SIZE=1", "MODE=x"],
            1,
            "MODE must be one of fast, good; NONE is no key that schema.ron knows; add it there, or \
             mend the name; SIZE must be",
        ),
        (
            &["promote", "/nowhere/w.json"],
            1,
            "there is no file /nowhere/w.json",
        ),
        (&["watch"], 69, "no broker"),
    ] {
        let output = folder.config(args);
        let text = [output.stdout.clone(), output.stderr.clone()].concat();
        let text = String::from_utf8(text).unwrap();
        assert_eq!(code(&output), exit, "{args:?}: {text}");
        assert!(text.contains(said), "{args:?}: {text}");
    }
    assert_eq!(folder.env(), ENV);
    assert!(!folder.0.path().join("promotions_ack/w.json").exists());
}

#[test]
fn a_rollback_says_which_hand_edits_it_undoes() {
    let folder = Folder::new();
    folder.says(&["set", "SIZE=1000"]);
    let quiet = folder.config(&["rollback", "0"]);
    assert!(quiet.stderr.is_empty(), "{quiet:?}");
    folder.says(&["set", "SIZE=1000"]);
    folder.write("shared.env", "SIZE=2000\nKEY=by-hand\n");
    let output = folder.config(&["rollback", "0"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("SIZE: edited by hand since"), "{said}");
    assert!(!said.contains("KEY"), "{said}");
    assert_eq!(folder.env(), "SIZE=512\nKEY=by-hand\n");
}

#[test]
fn a_winner_is_promoted_once() {
    let folder = Folder::new();
    let winner = folder.write("w.json", r#"{"id": "w-7", "values": {"SIZE": 1000}}"#);
    let winner = winner.to_str().unwrap();
    let ack = folder.json(&["promote", winner]);
    assert_eq!(ack["outcome"], "live");
    assert_eq!(ack["changed"], serde_json::json!(["SIZE"]));
    let written = folder.0.path().join("promotions_ack/w-7.json");
    let mut written: Value = serde_json::from_slice(&fs::read(written).unwrap()).unwrap();
    // What is printed has its number in the history beside that.
    written["history"] = 1.into();
    assert_eq!(written, ack);
    let again = folder.config(&["promote", winner]);
    assert_eq!(code(&again), 1);
    let said = String::from_utf8(again.stderr).unwrap();
    assert!(
        said.contains("w-7 was promoted before, and is now live"),
        "{said}"
    );
}

/// A broker with values of its own to share.
fn sharing() -> Broker {
    let broker = Broker::start(1);
    let dir = broker.dir.path().join("config");
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join("schema.ron"), SCHEMA).unwrap();
    fs::write(dir.join("shared.env"), ENV).unwrap();
    let client = broker.client();
    until("shared", || client.config().unwrap().values.len() == 1);
    broker
}

fn config(broker: &Broker, args: &[&str]) -> Output {
    let dir = broker.dir.path().join("config");
    let dir = dir.to_str().unwrap();
    broker.output(&[&["config", "--json", "--config-dir", dir], args].concat())
}

#[test]
fn what_is_set_is_live_in_the_broker_when_it_is_acknowledged() {
    let broker = sharing();
    let client = broker.client();
    for (size, generation) in [("1000", 1), ("99", 2)] {
        let before = client.config().unwrap().generation;
        let output = config(&broker, &["set", &format!("SIZE={size}")]);
        let live = client.config().unwrap();
        assert_eq!(live.values["SIZE"], size, "{output:?}");
        assert_eq!(live.generation, before + 1, "promotion {generation}");
        let ack: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(ack["generation"], live.generation, "{ack}");
    }
    let found: Value = serde_json::from_slice(&config(&broker, &["get"]).stdout).unwrap();
    assert_eq!(found["source"], "broker");
    assert_eq!(found["values"], serde_json::json!({"SIZE": "99"}));

    // A key that is not shared is the file's alone, and read by the broker nevertheless.
    let output = config(&broker, &["set", "KEY=an0ther"]);
    let ack: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(ack["outcome"], "live", "{ack}");
    assert_eq!(ack["generation"], client.config().unwrap().generation);

    // Another folder is none of this broker's.
    let other = Folder::new();
    let dir = other.0.path().to_str().unwrap();
    let output = broker.output(&["config", "--json", "--config-dir", dir, "set", "SIZE=77"]);
    let ack: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&ack["outcome"], &ack["generation"]),
        (&"live".into(), &Value::Null)
    );
    assert_eq!(client.config().unwrap().values["SIZE"], "99");
}

#[test]
fn changes_are_followed_a_line_each() {
    let broker = sharing();
    let watch = Running::start(&mut broker.warden(&["config", "watch"]));
    let line = || watch.line().split_once("  ").unwrap().1.to_owned();
    assert!(line().starts_with("connected to "));
    assert!(line().contains(" live since "));
    assert!(line().ends_with(" SIZE=512"));
    config(&broker, &["set", "SIZE=1000", "MODE=good", "KEY=an0ther"]);
    assert!(line().ends_with(" MODE=good (was nothing)"));
    assert!(line().ends_with(" SIZE=1000 (was 512)"));
    config(&broker, &["rollback", "0"]);
    assert!(line().ends_with(" MODE is gone (was good)"));
    assert!(line().ends_with(" SIZE=512 (was 1000)"));
    let schema = broker.dir.path().join("config/schema.ron");
    fs::write(schema, SCHEMA.replace("shared: true", "shared: false")).unwrap();
    assert!(line().ends_with(" SIZE is shared no more"));
}

#[test]
fn a_file_that_is_refused_shows_wherever_one_looks() {
    let broker = sharing();
    let dir = broker.dir.path().join("config");
    fs::write(dir.join("policy.ron"), "(\n  max_bypass: 0,\n)").unwrap();
    fs::write(dir.join("checks.ron"), "{\"a\": ()}").unwrap();
    fs::write(dir.join("shared.env"), "SIZE=1\n").unwrap();
    let status = broker.until("three files refused", |status| {
        status.refused_files.len() == 3
    });
    assert_eq!(status.policy.max_bypass, 8);
    let lines = [
        "policy.ron:2:3: max_bypass must be at least 1; the last good rules hold",
        "checks.ron:1:2: a has no command; name a program; nothing can be promoted with a check",
        "shared.env:1:6: SIZE must be a whole number, 64 to 4,096; the last good values hold",
    ];
    let page = String::from_utf8(broker.output(&["status"]).stdout).unwrap();
    let get = broker.output(&["config", "get"]);
    assert_eq!(get.stdout, b"SIZE=512\n");
    let get = String::from_utf8(get.stderr).unwrap();
    for line in lines {
        assert!(
            page.lines().any(|one| one.ends_with(line)),
            "no {line}: {page}"
        );
        assert!(
            get.lines().any(|one| one.ends_with(line)),
            "no {line}: {get}"
        );
    }
    let json: Value = serde_json::from_slice(&config(&broker, &["get"]).stdout).unwrap();
    assert_eq!(json["refused_files"].as_array().unwrap().len(), 3, "{json}");
    let list = broker.output(&["hot-reload", "--list"]);
    let list = String::from_utf8(list.stdout).unwrap();
    assert!(list.contains("policy.ron:2:3: max_bypass"), "{list}");
    fs::remove_file(dir.join("policy.ron")).unwrap();
    broker.until("two files refused", |status| {
        status.refused_files.len() == 2
    });
}
