//! Values that follow files, on real files: every way that a file changes, and every bad input.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "this is a test")]

mod bad;
mod callbacks;
mod env;
mod folders;
mod mixture;
mod mounts;
mod polling;
mod program;
mod storm;
mod trust;
mod ways;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use warden_reload::files::{FileState, Files, HotFile, Problem, Subscription};

/// What is to happen happens within this, on any machine.
const PATIENCE: Duration = Duration::from_secs(20);
/// What must not happen is waited for this long: nothing tells that it will not.
const NEVER: Duration = Duration::from_millis(700);

/// A file of text, and what happened to it.
struct Followed {
    file: HotFile<String>,
    states: Receiver<FileState>,
    _told: Subscription,
}

/// Text as it is, so that whatever was read shows.
fn text(text: &str) -> Result<String, Problem> {
    Ok(text.to_owned())
}

impl Followed {
    fn new(path: impl Into<PathBuf>) -> Self {
        Self::by(&Files::start(), path)
    }

    fn by(files: &Files, path: impl Into<PathBuf>) -> Self {
        Self::of(files.open(path, "initial".to_owned(), text))
    }

    fn of(file: HotFile<String>) -> Self {
        let (teller, states) = channel();
        let told = file.on_state(move |state| drop(teller.send(state.clone())));
        Self {
            file,
            states,
            _told: told,
        }
    }

    fn value(&self) -> String {
        String::clone(&self.file.get())
    }

    /// Waits for the file to stand like that.
    fn until(&self, what: &str, stands: impl Fn(&FileState) -> bool) -> FileState {
        let end = Instant::now() + PATIENCE;
        loop {
            let state = self.file.state();
            if stands(&state) {
                return FileState::clone(&state);
            }
            let left = end.saturating_duration_since(Instant::now());
            if self.states.recv_timeout(left).is_err() && !stands(&self.file.state()) {
                panic!("{what} did not come: {:?}", self.file);
            }
        }
    }

    /// Waits for this to be live.
    fn until_live(&self, value: &str) {
        self.until(value, |state| {
            *self.file.get() == value && state.fault.is_none()
        });
    }

    /// Nothing happens.
    fn stays(&self, value: &str) {
        while self.states.try_recv().is_ok() {}
        assert_eq!(self.value(), value);
        if let Ok(state) = self.states.recv_timeout(NEVER) {
            panic!(
                "nothing should have happened, but {:?}: {state:?}",
                self.value()
            );
        }
        assert_eq!(self.value(), value);
    }
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

/// Saves as careful programs do.
fn save(path: &Path, content: &str) {
    let new = path.with_extension("new");
    fs::write(&new, content).unwrap();
    fs::rename(&new, path).unwrap();
}
