//! Promotions on real files: what is live, what is acknowledged, what is refused, the way back.

#![allow(clippy::unwrap_used, reason = "this is a test")]
#![cfg(unix)]

mod folder;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use folder::{ENV, Folder};
use warden_reload::promotion::{
    Ack, Live, Outcome, PromotionError, Promotions, Source, Standing, history,
};

fn set(folder: &Folder, values: &[(&str, &str)], check: Option<&str>) -> Ack {
    let values = values
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect::<BTreeMap<_, _>>();
    let check = check.map(str::to_owned);
    folder.open().set(values, check, &folder.live()).unwrap()
}

fn refused(ack: &Ack) -> &str {
    assert_eq!(ack.outcome, Outcome::Refused);
    assert_eq!((ack.live_after_ms, ack.changed.len()), (None, 0));
    ack.error.as_deref().unwrap()
}

#[test]
fn a_winner_goes_live_is_acknowledged_and_recorded() {
    let folder = Folder::new();
    let json = r#"{"id": "w-1", "values": {"SIZE": 1000, "MODE": "good"}, "check": "size"}"#;
    let file = folder.winner("any-name", json);
    let ack = folder.open().promote(&file, &folder.live()).unwrap();
    assert_eq!(ack.outcome, Outcome::Live);
    assert_eq!(ack.changed, ["MODE", "SIZE"]);
    assert_eq!(ack.error, None);
    assert!(ack.live_after_ms.is_some());
    assert_eq!(folder.ack("w-1").unwrap(), ack);
    let text = "# Ours\nSIZE=1000 # a size\n\nKEY=s3cret\nMODE=good\n";
    assert_eq!(folder.text(), text);

    let entries = history(&folder.place()).unwrap();
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0].source, Source::Winner);
    assert!(matches!(entries[0].standing, Standing::Ended(_)));
    assert_eq!(entries[0].changes[1].old.as_deref(), Some("512"));
    let mode = |path| fs::metadata(path).unwrap().mode() & 0o777;
    assert_eq!(mode(folder.place().history()), 0o700);
    assert_eq!(mode(folder.place().history().join("1.ron")), 0o600);
    assert_eq!(folder.litter(), Vec::<PathBuf>::new());

    // An id is promoted once, whatever else it holds.
    let again = folder.open().promote(&file, &folder.live());
    assert!(matches!(again, Err(PromotionError::Repeated { .. })));
    assert_eq!(folder.ack("w-1").unwrap(), ack);
}

#[test]
fn what_the_schema_does_not_allow_changes_nothing_and_no_word_of_it_is_told() {
    let folder = Folder::new();
    for (values, said) in [
        (
            r#"{"SIZE": 63}"#,
            "SIZE must be a whole number, 64 to 4,096",
        ),
        (r#"{"SIZE": "x9y"}"#, "SIZE must be"),
        (r#"{"SIZE": null}"#, "SIZE must be text"),
        (r#"{"MODE": "x9y"}"#, "MODE must be one of fast, good"),
        (r#"{"OTHER": 1}"#, "OTHER is no key that schema.ron knows"),
        (r#"{}"#, "no values"),
    ] {
        let id = format!("w-{}", said.len());
        let json = format!(r#"{{"id": "{id}", "values": {values}}}"#);
        let ack = {
            let file = folder.winner("w", &json);
            folder.open().promote(&file, &folder.live()).unwrap()
        };
        assert!(refused(&ack).contains(said), "{ack:?}");
        assert!(!refused(&ack).contains("x9y"));
        assert_eq!(folder.ack(&id).unwrap(), ack);
    }
    assert!(refused(&set(&folder, &[("SIZE", "1")], None)).contains("SIZE must be"));
    assert!(refused(&set(&folder, &[("SIZE", "99")], Some("no"))).contains("no check no"));
    assert_eq!(folder.text(), ENV);
    assert!(history(&folder.place()).unwrap().is_empty());
}

#[test]
fn what_is_no_winner_says_which_field_is_wrong_and_is_acknowledged_by_its_id() {
    let folder = Folder::new();
    for (id, json, said) in [
        (
            "w-1",
            r#"{"id": "w-1", "value": {"SIZE": "x9y"}}"#,
            r#"w.json:1:15: a winner has no field "value"; its fields are "id", "values" and "check""#,
        ),
        (
            "w-2",
            "{\n  \"id\": \"w-2\",\n  \"values\": [\"x9y\"]}",
            r#"w.json:3:3: the winner's "values" must be an object, {KEY: value}"#,
        ),
        (
            "w-3",
            r#"{"id": "w-3"}"#,
            r#"the winner's "values" is missing; it must be an object"#,
        ),
        (
            "w-4",
            r#"{"id": "w-4", "values": {"SIZE": 100}, "check": 7}"#,
            r#"the winner's "check" must be text, or not there"#,
        ),
        (
            "w-5",
            r#"{"id": "w-5", "values": {"SIZE": 100}, "values": {"SIZE": 101}}"#,
            "each of its fields once",
        ),
        // By the name of its file, where there is no id to be read.
        (
            "w",
            r#"{"id": 7, "values": {"SIZE": 100}}"#,
            r#"the winner's "id" must be text"#,
        ),
    ] {
        let file = folder.winner("w", json);
        let ack = folder.open().promote(&file, &folder.live()).unwrap();
        assert_eq!(ack.id, id, "{ack:?}");
        assert!(refused(&ack).contains(said), "{ack:?}");
        assert!(!refused(&ack).contains("x9y"), "{ack:?}");
        assert_eq!(folder.ack(id).unwrap(), ack);
    }
    let acks = fs::read_dir(folder.place().acks()).unwrap().count();
    let missing = folder.place().winners().join("none.json");
    let error = folder.open().promote(&missing, &folder.live()).unwrap_err();
    assert!(error.to_string().starts_with("there is no file"), "{error}");
    assert_eq!(fs::read_dir(folder.place().acks()).unwrap().count(), acks);
    assert_eq!(folder.text(), ENV);
}

#[test]
fn everything_that_is_wrong_is_said_at_once() {
    let folder = Folder::new();
    let ack = set(
        &folder,
        &[("SIZE", "1"), ("MODE", "x"), ("NONE", "1")],
        Some("no"),
    );
    for said in [
        "SIZE must be",
        "MODE must be",
        "NONE is no key",
        "no check no",
    ] {
        assert!(refused(&ack).contains(said), "no {said:?} in {ack:?}");
    }
}

#[test]
fn a_rollback_knows_what_was_edited_by_hand() {
    let folder = Folder::new();
    set(&folder, &[("SIZE", "100"), ("MODE", "good")], None);
    assert_eq!(folder.open().edited_since(0).unwrap(), Vec::<String>::new());
    let text = folder.text().replace("SIZE=100", "SIZE=200");
    // Of what a rollback does not touch nothing is said.
    folder.write("shared.env", &text.replace("s3cret", "by-hand"));
    assert_eq!(folder.open().edited_since(0).unwrap(), ["SIZE"]);
    assert_eq!(folder.open().edited_since(1).unwrap(), Vec::<String>::new());
    assert!(folder.open().edited_since(7).is_err());
    folder.open().rollback(0, &folder.live()).unwrap();
    assert_eq!(folder.values().get("SIZE"), Some("512"));
    // And what was edited has a way back.
    folder.open().rollback(1, &folder.live()).unwrap();
    assert_eq!(folder.values().get("SIZE"), Some("200"));
}

#[test]
fn broken_files_refuse_with_their_place() {
    let folder = Folder::new();
    let one = [("SIZE", "99")];
    folder.write("schema.ron", "{\n    \"SIZE\": (type: wole),\n}");
    let ack = set(&folder, &one, None);
    assert!(refused(&ack).contains("schema.ron:2:"), "{ack:?}");
    fs::remove_file(folder.place().schema()).unwrap();
    let ack = set(&folder, &one, None);
    assert!(refused(&ack).contains("there is no"), "{ack:?}");

    let folder = Folder::new();
    folder.write("shared.env", "SIZE=1\n\nnonsense\n");
    let ack = set(&folder, &one, None);
    assert!(refused(&ack).contains("shared.env:3:"), "{ack:?}");
    folder.write("shared.env", ENV);
    let world = Permissions::from_mode(0o666);
    fs::set_permissions(folder.place().env(), world.clone()).unwrap();
    let ack = set(&folder, &one, None);
    assert!(refused(&ack).contains("may write"), "{ack:?}");

    // Commands that others could have written are never run.
    let folder = Folder::new();
    fs::set_permissions(folder.place().checks(), world).unwrap();
    let ack = set(&folder, &one, Some("good"));
    assert!(refused(&ack).contains("checks.ron"), "{ack:?}");
    assert_eq!(folder.text(), ENV);
}

#[test]
fn a_winner_that_is_none_is_acknowledged_by_its_name_once_it_is_whole() {
    let folder = Folder::new();
    let promote = |file: PathBuf| folder.open().promote(&file, &folder.live());
    let half = folder.winner("half", r#"{"id": "half", "val"#);
    let error = promote(half.clone()).unwrap_err();
    assert!(
        matches!(error, PromotionError::Unfinished { .. }),
        "{error}"
    );
    assert_eq!(folder.ack("half"), None);
    // Nobody writes it any more.
    let long_ago = std::time::SystemTime::now() - Duration::from_secs(60);
    let file = fs::File::options().write(true).open(&half).unwrap();
    file.set_modified(long_ago).unwrap();
    assert!(refused(&promote(half).unwrap()).contains("half.json:1:"));
    assert!(folder.ack("half").is_some());

    for (name, json) in [
        ("list", "[]"),
        (
            "more",
            r#"{"id": "more", "values": {"SIZE": 99}, "command": ["rm"]}"#,
        ),
        (
            "outside",
            r#"{"id": "../../outside", "values": {"SIZE": 99}}"#,
        ),
    ] {
        let ack = promote(folder.winner(name, json)).unwrap();
        assert_eq!(folder.ack(name).unwrap(), ack);
        assert!(refused(&ack).contains(&format!("{name}.json")), "{ack:?}");
    }
    let folder_of_that_name = folder.path().join("winners/dir.json");
    fs::create_dir(&folder_of_that_name).unwrap();
    assert!(refused(&promote(folder_of_that_name).unwrap()).contains("folder"));
    assert_eq!(folder.text(), ENV);
}

#[test]
fn a_check_that_fails_puts_all_back() {
    let folder = Folder::new();
    for (id, check) in [("w-bad", "bad"), ("w-slow", "slow"), ("w-size", "size")] {
        let json = format!(
            r#"{{"id": "{id}", "values": {{"SIZE": 99, "MODE": "good"}}, "check": "{check}"}}"#
        );
        let file = folder.winner(id, &json);
        let ack = folder.open().promote(&file, &folder.live()).unwrap();
        assert_eq!(ack.outcome, Outcome::PutBack);
        let error = ack.error.as_deref().unwrap();
        assert!(error.contains(&format!("the check {check} ")), "{error}");
        assert_eq!(folder.ack(id).unwrap(), ack);
        assert_eq!(folder.text(), ENV);
    }
    let entries = history(&folder.place()).unwrap();
    assert_eq!(entries.len(), 6);
    assert_eq!(entries[1].source, Source::PutBack(1));
    let ended = |entry: &warden_reload::promotion::Entry| entry.end().unwrap().outcome;
    assert!(entries.iter().all(|entry| ended(entry) == Outcome::PutBack));
}

/// What a reload says of new values, and of the old ones that come back.
struct Refuses {
    said: RefCell<Vec<&'static str>>,
}

impl Live for Refuses {
    fn make_live(&self, _: &str) -> Result<Option<u64>, String> {
        match self.said.borrow_mut().pop() {
            Some(problem) => Err(problem.to_owned()),
            None => Ok(Some(7)),
        }
    }
}

#[test]
fn what_does_not_go_live_is_put_back() {
    let folder = Folder::new();
    let live = Refuses {
        said: RefCell::new(vec!["the broker does not answer"]),
    };
    let values = BTreeMap::from([("SIZE".to_owned(), "99".to_owned())]);
    let ack = folder.open().set(values.clone(), None, &live).unwrap();
    assert_eq!(ack.outcome, Outcome::PutBack);
    assert_eq!((ack.generation, ack.live_after_ms), (Some(7), None));
    assert!(ack.error.unwrap().contains("the broker does not answer"));
    assert_eq!(folder.text(), ENV);
    let ack = folder.open().set(values, None, &live).unwrap();
    assert_eq!((ack.outcome, ack.generation), (Outcome::Live, Some(7)));
}

/// Somebody edits the file while the check runs.
struct Meddles<'a>(&'a Folder);

impl Live for Meddles<'_> {
    fn make_live(&self, _: &str) -> Result<Option<u64>, String> {
        let text = self.0.text();
        self.0.write("shared.env", &format!("{text}NEXT=1\n"));
        Ok(None)
    }
}

#[test]
fn what_others_changed_meanwhile_stays_when_values_are_put_back() {
    let folder = Folder::new();
    let values = BTreeMap::from([("SIZE".to_owned(), "99".to_owned())]);
    let check = Some("bad".to_owned());
    let ack = folder.open().set(values, check, &Meddles(&folder)).unwrap();
    assert_eq!(ack.outcome, Outcome::PutBack);
    let values = folder.values();
    assert_eq!(
        (values.get("SIZE"), values.get("NEXT")),
        (Some("512"), Some("1"))
    );
}

#[test]
fn a_rollback_undoes_what_came_later_and_nothing_else() {
    let folder = Folder::new();
    set(&folder, &[("SIZE", "100")], None);
    set(&folder, &[("SIZE", "200"), ("MODE", "fast")], None);
    set(&folder, &[("NEXT", "5")], Some("bad"));
    set(&folder, &[("SIZE", "300")], None);
    let text = folder.text();
    folder.write("shared.env", &text.replace("s3cret", "by-hand"));
    let ack = folder.open().rollback(1, &folder.live()).unwrap();
    assert_eq!(ack.outcome, Outcome::Live);
    assert_eq!(ack.changed, ["MODE", "SIZE"]);
    assert_eq!(folder.text(), "# Ours\nSIZE=100 # a size\n\nKEY=by-hand\n");
    // The way back has a way back.
    folder.open().rollback(5, &folder.live()).unwrap();
    let values = folder.values();
    assert_eq!(
        (values.get("SIZE"), values.get("MODE")),
        (Some("300"), Some("fast"))
    );
    folder.open().rollback(0, &folder.live()).unwrap();
    assert_eq!(folder.values().get("SIZE"), Some("512"));

    let error = folder.open().rollback(99, &folder.live()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "there is no promotion 99; the history has 1 to 8"
    );
}

#[test]
fn a_first_value_makes_the_file_and_its_rollback_leaves_none() {
    let folder = Folder::new();
    for absent in [true, false] {
        match absent {
            true => fs::remove_file(folder.place().env()).unwrap(),
            false => drop(folder.write("shared.env", "")),
        }
        assert_eq!(set(&folder, &[("SIZE", "99")], None).outcome, Outcome::Live);
        assert_eq!(folder.text(), "SIZE=99\n");
        folder.open().rollback(0, &folder.live()).unwrap();
        assert!(folder.values().is_empty());
    }
}

#[test]
fn two_at_once_come_one_after_the_other_or_are_told_whom_they_wait_for() {
    let folder = Folder::new();
    let held = folder.open();
    let error = Promotions::open(folder.place(), Duration::from_millis(50)).unwrap_err();
    let holder = format!("process {}", std::process::id());
    assert!(error.to_string().contains(&holder), "{error}");
    drop(held);
    thread::scope(|scope| {
        for size in 100..108 {
            let folder = &folder;
            scope.spawn(move || set(folder, &[("SIZE", &size.to_string())], None));
        }
    });
    let entries = history(&folder.place()).unwrap();
    let numbers: Vec<_> = entries.iter().map(|entry| entry.number).collect();
    assert_eq!(numbers, (1..=8).collect::<Vec<_>>());
    for pair in entries.windows(2) {
        assert_eq!(pair[0].changes[0].new, pair[1].changes[0].old);
    }
}
