//! `checks.ron`: commands that tell whether all is well with new values.

use std::collections::BTreeMap;
use std::io;
use std::ops::Deref;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::files::{Format, Invalid, Ron};
use crate::keys::keys_of_each;

/// The longest that a check may take.
pub const MAX_WINDOW_MS: u64 = 600_000;

/// What `checks.ron` says: a health command by name. Nothing else is ever run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Checks(BTreeMap<String, Check>);

/// A command that tells whether all is well: it ends with 0 then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Check {
    /// The program and its arguments. No shell is asked. It is run in the folder of configuration,
    /// with the promotion's id in `WARDEN_PROMOTION`; what it prints is dropped.
    pub command: Vec<String>,
    /// How long it may take. One that takes longer is ended, and has failed.
    #[schemars(range(min = 1, max = MAX_WINDOW_MS))]
    pub window_ms: u64,
}

impl Default for Check {
    fn default() -> Self {
        Self {
            command: Vec::new(),
            window_ms: 10_000,
        }
    }
}

impl Deref for Checks {
    type Target = BTreeMap<String, Check>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl Checks {
    /// How `checks.ron` is read: refused where others could have written it.
    #[must_use]
    pub fn format() -> impl Format<Value = Self> {
        Ron::new()
            .with_keys(keys_of_each::<Check>())
            .validated(Self::check)
            .trusted()
    }

    fn check(&self) -> Result<(), Vec<Invalid>> {
        let mut problems: Vec<Invalid> = Vec::new();
        for (name, check) in &self.0 {
            if check.command.first().is_none_or(String::is_empty) {
                problems.push((name.clone(), "has no command; name a program").into());
            }
            if !(1..=MAX_WINDOW_MS).contains(&check.window_ms) {
                let rule = format!("has a window_ms that is not from 1 to {MAX_WINDOW_MS}");
                problems.push((name.clone(), rule).into());
            }
        }
        match problems.is_empty() {
            true => Ok(()),
            false => Err(problems),
        }
    }
}

impl Check {
    /// Runs it to its end, or to the end of its window.
    ///
    /// # Errors
    /// What is wrong, in words, beginning with the check's name.
    pub(super) fn run(&self, name: &str, folder: &Path, id: &str) -> Result<(), String> {
        let Some((program, arguments)) = self.command.split_first() else {
            return Err(format!("the check {name} has no command"));
        };
        let mut command = Command::new(program);
        command
            .args(arguments)
            .current_dir(folder)
            .env("WARDEN_PROMOTION", id)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let window = Duration::from_millis(self.window_ms);
        match run_within(&mut command, window) {
            Ok(Some(status)) if status.success() => Ok(()),
            Ok(Some(status)) => Err(format!("the check {name} failed ({status})")),
            Ok(None) => Err(format!(
                "the check {name} had not ended after {} ms",
                self.window_ms
            )),
            Err(error) => Err(format!("the check {name} cannot be run: {error}")),
        }
    }
}

/// How a command ends; nothing where it had to be ended, with all that it started.
#[cfg(unix)]
fn run_within(command: &mut Command, window: Duration) -> io::Result<Option<ExitStatus>> {
    use std::os::unix::process::CommandExt as _;
    use std::sync::mpsc::channel;

    use rustix::io::Errno;
    use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

    let mut child = command.process_group(0).spawn()?;
    let pid = Pid::from_child(&child);
    let (put, get) = channel();
    let waiting = std::thread::Builder::new()
        .name("check".to_owned())
        .spawn(move || {
            // Not reaped here, so that the number stands for nobody else below.
            let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
            while matches!(waitid(WaitId::Pid(pid), options), Err(Errno::INTR)) {}
            let _ = put.send(());
        });
    let in_time = waiting.is_ok() && get.recv_timeout(window).is_ok();
    if !in_time {
        // It may be gone by now, which is as well.
        let _ = kill_process_group(pid, Signal::KILL);
    }
    let status = reap(&mut child)?;
    waiting?;
    Ok(in_time.then_some(status))
}

/// How a command ends; nothing where it had to be ended.
#[cfg(not(unix))]
fn run_within(command: &mut Command, window: Duration) -> io::Result<Option<ExitStatus>> {
    let mut child = command.spawn()?;
    let since = std::time::Instant::now();
    while since.elapsed() < window {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        // Not every system lets a process be awaited with a deadline.
        std::thread::sleep(Duration::from_millis(10));
    }
    let _ = child.kill();
    reap(&mut child).map(|_| None)
}

fn reap(child: &mut Child) -> io::Result<ExitStatus> {
    child.wait()
}

#[cfg(all(test, unix))]
mod tests {
    use std::time::Instant;

    use super::*;

    fn check(command: &[&str], window_ms: u64) -> Result<(), String> {
        let check = Check {
            command: command.iter().map(|&word| word.to_owned()).collect(),
            window_ms,
        };
        check.run("ok", Path::new("/"), "one")
    }

    #[test]
    fn a_check_passes_fails_or_runs_out_of_time() {
        let shell = |script: &'static str| ["sh", "-c", script];
        let id = shell("test $WARDEN_PROMOTION = one && test $PWD = /");
        assert_eq!(check(&id, 60_000), Ok(()));
        let error = check(&shell("exit 3"), 60_000).unwrap_err();
        assert!(error.contains("the check ok failed"), "{error}");
        let error = check(&["/nowhere/at-all"], 60_000).unwrap_err();
        assert!(error.contains("cannot be run"), "{error}");
        // What it started is ended with it.
        let since = Instant::now();
        let error = check(&shell("sleep 60 & wait"), 50).unwrap_err();
        assert!(error.contains("not ended after 50 ms"), "{error}");
        assert!(since.elapsed() < Duration::from_secs(30));
    }

    #[test]
    fn a_check_without_a_command_or_of_no_time_is_refused() {
        for text in [
            r#"{"a": ()}"#,
            r#"{"a": (command: [""])}"#,
            r#"{"a": (command: ["true"], window_ms: 0)}"#,
            r#"{"a": (command: "true")}"#,
        ] {
            Checks::format().parse(text).unwrap_err();
        }
        let text = r#"{"a": (command: ["true"])}"#;
        assert_eq!(Checks::format().parse(text).unwrap()["a"].window_ms, 10_000);
    }
}
