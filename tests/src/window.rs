//! The real window, and what it reports.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::Stdio;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::display::Display;
use crate::process::{Process, program};

/// A `warden-dashboard` that ends with this value.
#[derive(Debug)]
pub struct Window {
    process: Process,
    reports: Receiver<Value>,
}

impl Window {
    /// Opens the window on `display`, for the broker of `data_dir` or for this person's own, with
    /// more arguments.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn open(display: &Display, data_dir: Option<&Path>, arguments: &[&str]) -> Result<Self> {
        let mut command = program("warden-dashboard")?;
        if let Some(data_dir) = data_dir {
            command.arg("--data-dir").arg(data_dir);
            command.arg("--config-dir").arg(data_dir.join("config"));
            command
                .env_remove("WARDEN_ADDR")
                .env_remove("WARDEN_TOKEN_FILE");
        }
        if !arguments
            .iter()
            .any(|argument| argument.starts_with("--report"))
        {
            command.arg("--report");
        }
        command
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        let mut process = Process::start(display.show(&mut command))?;
        let stdout = process
            .child()
            .stdout
            .take()
            .context("the window's output")?;
        let (sender, reports) = channel();
        std::thread::spawn(move || {
            let lines = BufReader::new(stdout).lines().map_while(Result::ok);
            let reports = lines.filter_map(|line| serde_json::from_str(&line).ok());
            for report in reports {
                if sender.send(report).is_err() {
                    break;
                }
            }
        });
        Ok(Self { process, reports })
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Its process.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Forgets what it has reported until now.
    pub fn forget(&self) {
        while self.reports.try_recv().is_ok() {}
    }

    /// The next report of this name that is as wanted; those between are dropped.
    ///
    /// # Errors
    /// When the window ends, or reports no such thing within `patience`.
    pub fn wait_for(
        &self,
        name: &str,
        patience: Duration,
        wanted: impl Fn(&Value) -> bool,
    ) -> Result<Value> {
        self.wait(&format!("a report {name:?}"), patience, |report| {
            report["event"] == name && wanted(report)
        })
    }

    /// What came of the reload of what draws the window: a `generation`, `unchanged` or
    /// `reload_failed`. Other modules are reloaded after it.
    ///
    /// # Errors
    /// When the window ends, or reports none of them within `patience`.
    pub fn wait_for_reload(&self, patience: Duration) -> Result<Value> {
        let outcomes = ["generation", "unchanged", "reload_failed"];
        self.wait("what came of a reload", patience, |report| {
            let ended = outcomes.iter().any(|outcome| report["event"] == *outcome);
            ended && report["module"] == "ui_hot"
        })
    }

    fn wait(
        &self,
        what: &str,
        patience: Duration,
        wanted: impl Fn(&Value) -> bool,
    ) -> Result<Value> {
        let deadline = Instant::now() + patience;
        let mut others = Vec::new();
        loop {
            match self
                .reports
                .recv_timeout(deadline.saturating_duration_since(Instant::now()))
            {
                Ok(report) if wanted(&report) => return Ok(report),
                Ok(other) => others.push(other),
                Err(RecvTimeoutError::Timeout) => {
                    bail!("waited {patience:?} for {what}; there were {others:?}")
                }
                Err(RecvTimeoutError::Disconnected) => bail!("the window ended before {what}"),
            }
        }
    }
}
