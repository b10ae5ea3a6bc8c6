//! `kill -9` between any two steps of a promotion, and of the recovery from that: afterwards the
//! file is the old or the new one, whole, and the acknowledgement says which.
//!
//! The process that dies is this program again: see [`the_one_that_dies`].

#![allow(clippy::unwrap_used, reason = "this is a test")]
#![cfg(unix)]

mod folder;

use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Stdio};

use folder::{ENV, Folder};
use warden_reload::promotion::{FromFile, Outcome, Place, Promotions, Standing, history};

const DIE_AT: &str = "WARDEN_TEST_DIE_AT";
const CONFIG_DIR: &str = "WARDEN_TEST_CONFIG_DIR";
const WINNER: &str = "WARDEN_TEST_WINNER";

const NEW: &str = "# Ours\nSIZE=1000 # a size\n\nKEY=s3cret\n";

/// A process of its own: promotes, or recovers where no winner is named, and kills itself at the
/// step of the given number.
#[test]
#[ignore = "run by the other tests"]
fn the_one_that_dies() {
    let Some(config_dir) = std::env::var_os(CONFIG_DIR) else {
        return;
    };
    let die_at: usize = std::env::var(DIE_AT).unwrap().parse().unwrap();
    let place = Place::new(config_dir, None);
    let live = FromFile::new(place.env());
    let mut steps = 0;
    let promotions = Promotions::open(place, std::time::Duration::from_secs(20)).unwrap();
    let mut promotions = promotions.observed(move |_| {
        if steps == die_at {
            // SAFETY: takes two numbers. Nothing of this process runs after it.
            unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
        }
        steps += 1;
    });
    match std::env::var_os(WINNER) {
        Some(winner) => drop(promotions.promote(winner.as_ref(), &live).unwrap()),
        None => drop(promotions.recover(&live).unwrap()),
    }
}

/// Whether it was killed, rather than at its end before that step.
fn dies_at(folder: &Folder, winner: Option<&str>, step: usize) -> bool {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "the_one_that_dies", "--ignored"])
        .env(CONFIG_DIR, folder.path())
        .env(DIE_AT, step.to_string())
        .stdout(Stdio::null());
    if let Some(winner) = winner {
        command.env(WINNER, folder.path().join(format!("winners/{winner}.json")));
    }
    let status = command.status().unwrap();
    match status.signal() {
        Some(signal) => {
            assert_eq!(signal, libc::SIGKILL);
            true
        }
        None => {
            assert!(status.success(), "{status}");
            false
        }
    }
}

fn prepared(check: &str) -> Folder {
    let folder = Folder::new();
    let json = format!(r#"{{"id": "w", "values": {{"SIZE": 1000}}, "check": "{check}"}}"#);
    folder.winner("w", &json);
    folder
}

/// What has to hold once somebody has recovered.
fn holds(folder: &Folder, at: &str) {
    let text = folder.text();
    assert!(text == ENV || text == NEW, "{at}: {text}");
    let ack = folder.ack("w");
    match ack.as_ref().map(|ack| ack.outcome) {
        // It died before it was written down anywhere.
        None => assert_eq!(text, ENV, "{at}"),
        Some(Outcome::Live) => assert_eq!(text, NEW, "{at}"),
        Some(Outcome::Refused | Outcome::PutBack) => assert_eq!(text, ENV, "{at}: {ack:?}"),
    }
    let entries = history(&folder.place()).unwrap();
    let is_over = |standing: &Standing| matches!(standing, Standing::Ended(_));
    assert!(
        entries.iter().all(|entry| is_over(&entry.standing)),
        "{at}: {entries:?}"
    );
    assert!(folder.litter().is_empty(), "{at}: {:?}", folder.litter());
    assert!(entries.is_empty() || ack.is_some(), "{at}: {entries:?}");
}

/// Kills a promotion at each of its steps, one after the other, and has `then` look at it. How many
/// steps there were.
fn at_each_step(check: &str, then: impl Fn(&Folder, usize)) -> usize {
    for step in 0.. {
        let folder = prepared(check);
        if !dies_at(&folder, Some("w"), step) {
            return step;
        }
        let text = folder.text();
        assert!(text == ENV || text == NEW, "step {step}: {text}");
        then(&folder, step);
    }
    unreachable!("a promotion has an end");
}

#[test]
fn a_promotion_killed_between_any_two_steps_is_concluded_truly() {
    for (check, least) in [("good", 25), ("bad", 40)] {
        let steps = at_each_step(check, |folder, step| {
            folder.open().recover(&folder.live()).unwrap();
            let at = format!("{check} check, step {step}");
            holds(folder, &at);
            assert!(
                folder.open().recover(&folder.live()).unwrap().is_empty(),
                "{at}"
            );
            // The way is free for the next one.
            let next = r#"{"id": "next", "values": {"NEXT": 1}}"#;
            let next = folder.winner("next", next);
            let ack = folder.open().promote(&next, &folder.live()).unwrap();
            assert_eq!(ack.outcome, Outcome::Live, "{at}: {ack:?}");
        });
        assert!(steps >= least, "{steps} steps");
    }
}

#[test]
fn a_recovery_killed_between_any_two_steps_is_recovered_from() {
    at_each_step("bad", |folder, step| {
        // All of them would take a minute on a busy machine, and differ in little.
        if step % 3 != 0 {
            return;
        }
        // Each attempt gets one step further than the one before, over the same files.
        let mut attempts = 0;
        while dies_at(folder, None, attempts) {
            attempts += 1;
        }
        holds(folder, &format!("step {step}, {attempts} recoveries"));
    });
}
