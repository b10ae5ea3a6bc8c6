//! A broker of one's own: its own data directory, a free port, simulated GPUs.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::process::{Process, output, program, until};

/// A `warden serve` that ends with this value.
#[derive(Debug)]
pub struct Broker {
    folder: tempfile::TempDir,
    gpus: u32,
    process: Process,
}

impl Broker {
    /// Starts one with so many simulated GPUs and waits until it serves.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn start(gpus: u32) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("warden-").tempdir()?;
        let process = serve(folder.path(), gpus)?;
        let mut broker = Self {
            folder,
            gpus,
            process,
        };
        broker.wait_until_ready()?;
        Ok(broker)
    }

    /// Its data directory.
    #[must_use]
    pub fn data_dir(&self) -> &Path {
        self.folder.path()
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it again over the same data directory and waits until it serves.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn restart(&mut self) -> Result<()> {
        self.process.kill();
        self.process = serve(self.folder.path(), self.gpus)?;
        self.wait_until_ready()
    }

    /// A command of the program `warden` that speaks to this broker.
    ///
    /// # Errors
    /// When `warden` is not built.
    pub fn warden(&self, arguments: &[&str]) -> Result<Command> {
        let mut command = program("warden")?;
        command
            .arg("--data-dir")
            .arg(self.data_dir())
            .args(arguments)
            .env_remove("WARDEN_ADDR")
            .env_remove("WARDEN_TOKEN_FILE")
            .stdin(Stdio::null());
        Ok(command)
    }

    /// A `warden run` of `command`, which ends with the value returned.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn run(&self, options: &[&str], command: &[&str]) -> Result<Process> {
        let mut line = self.warden(&["run"])?;
        line.args(options).arg("--").args(command);
        line.stdout(Stdio::null()).stderr(Stdio::null());
        Process::start(&mut line)
    }

    /// The status, as `warden status --json` prints it.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub fn status(&self) -> Result<Value> {
        let text = output(&mut self.warden(&["status", "--json"])?)?;
        serde_json::from_slice(&text).context("reading the status")
    }

    /// Waits until the status is as wanted, and returns it.
    ///
    /// # Errors
    /// When it is not within half a minute.
    pub fn wait_for(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
        until(Duration::from_secs(30), what, || {
            Ok(Some(self.status()?).filter(|status| wanted(status)))
        })
    }

    fn wait_until_ready(&mut self) -> Result<()> {
        let endpoint = self.folder.path().join("endpoint");
        let pid = u64::from(self.process.pid());
        until(Duration::from_secs(30), "the broker to be ready", || {
            anyhow::ensure!(
                self.process.is_running(),
                "warden serve ended instead of serving"
            );
            let Ok(text) = std::fs::read(&endpoint) else {
                return Ok(None);
            };
            let named: Option<Value> = serde_json::from_slice(&text).ok();
            Ok(named
                .filter(|endpoint| endpoint["pid"].as_u64() == Some(pid))
                .map(drop))
        })
    }
}

fn serve(data_dir: &Path, gpus: u32) -> Result<Process> {
    let mut command = program("warden")?;
    command
        .args([
            "serve",
            "--addr",
            "127.0.0.1:0",
            "--simulate-gpus",
            &gpus.to_string(),
        ])
        .arg("--data-dir")
        .arg(data_dir)
        .arg("--config-dir")
        .arg(data_dir.join("config"))
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    Process::start(&mut command)
}
