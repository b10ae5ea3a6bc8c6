//! What a broker says on standard error: each event once, for people, without colours in a file.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "this is a test")]

mod stand;

use std::fs;
use std::path::Path;
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

use stand::{PATIENCE, Running, warden};

/// What must not be said is waited for this long: nothing tells that it will not.
const NEVER: Duration = Duration::from_millis(700);

/// All lines up to the one that says this.
fn until_said(broker: &Running, text: &str) -> Vec<String> {
    let deadline = Instant::now() + PATIENCE;
    let mut said = Vec::new();
    while said.last().is_none_or(|line: &String| !line.contains(text)) {
        let left = deadline.saturating_duration_since(Instant::now());
        match broker.stderr.recv_timeout(left) {
            Ok(line) => said.push(line),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                panic!("never said {text:?}: {said:?}")
            }
        }
    }
    said
}

/// The lines from here on that tell of this file, with the first that says so much.
fn told(broker: &Running, file: &Path, text: &str) -> Vec<String> {
    let mut said = until_said(broker, text);
    while let Ok(line) = broker.stderr.recv_timeout(NEVER) {
        said.push(line);
    }
    let name = file.file_stem().unwrap().to_str().unwrap();
    said.retain(|line| line.contains(name));
    said
}

#[test]
fn a_file_that_is_broken_deleted_and_saved_is_told_of_once_each() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("config");
    fs::create_dir(&config).unwrap();
    let mut serve = warden();
    serve
        .args(["serve", "--addr", "127.0.0.1:0", "--simulate-gpus", "1"])
        .arg("--data-dir")
        .arg(dir.path().join("data"))
        .arg("--config-dir")
        .arg(&config);
    let broker = Running::start(&mut serve);
    assert!(broker.line().starts_with('{'));
    let policy = config.join("policy.ron");
    let save = |text: &str| {
        let beside = config.join("beside");
        fs::write(&beside, text).unwrap();
        fs::rename(beside, &policy).unwrap();
    };
    save("(max_bypass: 3)");
    let mut all = told(&broker, &policy, "live");
    assert_eq!(all.len(), 1, "{all:?}");
    save("(max_bypass: \"3\")");
    let said = told(&broker, &policy, "policy.ron:1:14: max_bypass must be");
    assert_eq!(said.len(), 1, "{said:?}");
    all.extend(said);
    fs::remove_file(&policy).unwrap();
    let said = told(&broker, &policy, "its file is gone: the defaults hold");
    assert_eq!(said.len(), 1, "{said:?}");
    all.extend(said);
    assert!(all.iter().all(|line| !line.contains('\x1b')), "{all:?}");
}
