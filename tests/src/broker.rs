//! A broker of one's own: its own data directory, a free port, simulated GPUs.

use std::ffi::OsString;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::process::{Process, built, output, program, until};

const PATIENCE: Duration = Duration::from_secs(30);

/// What a broker is started with, beside a data directory of its own.
#[derive(Clone, Debug)]
pub struct Setting {
    /// How many GPUs it simulates.
    pub gpus: u32,
    /// What `policy.ron` says; without it the rules are as they ship.
    pub policy: Option<String>,
    /// Whether it listens on a Unix socket beside its TCP port.
    pub socket: bool,
    /// The folder that its data directory is made in; without it, where temporary files go.
    pub place: Option<PathBuf>,
    /// What its environment has besides.
    pub environment: Vec<(String, OsString)>,
}

impl Default for Setting {
    fn default() -> Self {
        Self {
            gpus: 1,
            policy: None,
            socket: true,
            place: None,
            environment: Vec::new(),
        }
    }
}

/// A `warden serve` that ends with this value.
#[derive(Debug)]
pub struct Broker {
    folder: tempfile::TempDir,
    program: PathBuf,
    setting: Setting,
    process: Process,
    /// What it prints.
    lines: Mutex<Receiver<String>>,
}

impl Broker {
    /// Starts one with so many simulated GPUs and waits until it serves.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn start(gpus: u32) -> Result<Self> {
        Self::start_program(built("warden")?, gpus)
    }

    /// The same of another build of `warden`.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn start_program(program: PathBuf, gpus: u32) -> Result<Self> {
        let setting = Setting {
            gpus,
            ..Setting::default()
        };
        Self::with(program, setting)
    }

    /// Starts a build of `warden` as `setting` says and waits until it serves.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn with(program: PathBuf, setting: Setting) -> Result<Self> {
        let mut folder = tempfile::Builder::new();
        let folder = folder.prefix("warden-");
        let folder = match &setting.place {
            Some(place) => folder.tempdir_in(place)?,
            None => folder.tempdir()?,
        };
        if let Some(policy) = &setting.policy {
            fs::create_dir(config_dir(folder.path()))?;
            fs::write(config_dir(folder.path()).join("policy.ron"), policy)?;
        }
        let (process, lines) = serve(&program, folder.path(), &setting)?;
        let mut broker = Self {
            folder,
            program,
            setting,
            process,
            lines,
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

    /// Its process.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Starts it again over the same data directory and waits until it serves.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn restart(&mut self) -> Result<()> {
        self.kill();
        self.start_again()?;
        self.wait_until_ready()
    }

    /// After [`Self::kill`]: starts it over the same data directory, and waits for nothing.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start_again(&mut self) -> Result<()> {
        (self.process, self.lines) = serve(&self.program, self.folder.path(), &self.setting)?;
        Ok(())
    }

    /// Waits until it serves.
    ///
    /// # Errors
    /// When it ends instead, or does not within half a minute.
    pub fn wait_until_ready(&mut self) -> Result<()> {
        let lines = self.lines.get_mut().unwrap_or_else(PoisonError::into_inner);
        let line = lines.recv_timeout(PATIENCE);
        let line = line.context("warden serve ended instead of serving, or takes too long")?;
        let endpoint: Value = serde_json::from_str(&line)
            .with_context(|| format!("warden serve printed {line:?}"))?;
        let pid = endpoint["pid"].as_u64();
        anyhow::ensure!(pid == Some(u64::from(self.pid())), "another serves: {line}");
        Ok(())
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
        until(PATIENCE, what, || {
            Ok(Some(self.status()?).filter(|status| wanted(status)))
        })
    }
}

fn config_dir(data_dir: &Path) -> PathBuf {
    data_dir.join("config")
}

fn serve(
    program: &Path,
    data_dir: &Path,
    setting: &Setting,
) -> Result<(Process, Mutex<Receiver<String>>)> {
    let mut command = Command::new(program);
    command
        .args(["serve", "--addr", "127.0.0.1:0", "--simulate-gpus"])
        .arg(setting.gpus.to_string())
        .arg("--data-dir")
        .arg(data_dir)
        .arg("--config-dir")
        .arg(config_dir(data_dir))
        // What it says when all is well is nobody's to read here.
        .env("WARDEN_LOG", "warn")
        .envs(setting.environment.iter().cloned())
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    if !setting.socket {
        command.args(["--socket", "none"]);
    }
    let mut process = Process::start(&mut command)?;
    let stdout = process.child().stdout.take().context("it was piped")?;
    Ok((process, Mutex::new(lines(stdout))))
}

/// The lines of a pipe, as they come.
fn lines(pipe: ChildStdout) -> Receiver<String> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            // Nobody may want to hear more; the pipe is read all the same, or the writer would fail.
            let _ = sender.send(line);
        }
    });
    receiver
}
