//! Processes that end with the value that holds them.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

/// The folder that cargo put the programs in: the one this program is in, tests' `deps` aside.
///
/// # Errors
/// When the system does not tell where this program is.
pub fn programs() -> Result<PathBuf> {
    let mut folder = std::env::current_exe().context("where this program is")?;
    folder.pop();
    if folder.ends_with("deps") {
        folder.pop();
    }
    Ok(folder)
}

/// A command for one of the built programs.
///
/// # Errors
/// When it has not been built.
pub fn program(name: &str) -> Result<Command> {
    built(name).map(Command::new)
}

/// Where one of the built programs is.
///
/// # Errors
/// When it has not been built.
pub fn built(name: &str) -> Result<PathBuf> {
    let path = programs()?.join(name);
    if !path.exists() {
        bail!(
            "{} is not built; `cargo xtask test` builds it",
            path.display()
        );
    }
    Ok(path)
}

/// The root of the checkout.
#[must_use]
pub fn checkout() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap_or(Path::new("."))
}

/// Builds a hot module of the checkout, as somebody would in a terminal.
///
/// # Errors
/// When cargo fails.
pub fn build_hot(module: &str) -> Result<()> {
    cargo(&["rustc", "--package", module, "--lib", "--crate-type=cdylib"])
}

/// Runs cargo in the checkout.
///
/// # Errors
/// When it fails.
pub fn cargo(arguments: &[&str]) -> Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .args(arguments)
        .arg("--frozen")
        .current_dir(checkout());
    output(&mut command).map(drop)
}

/// A child that is killed and waited for when this is dropped.
#[derive(Debug)]
pub struct Process(Child);

impl Process {
    /// Starts `command`.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(command: &mut Command) -> Result<Self> {
        let child = command
            .spawn()
            .with_context(|| format!("starting {}", command.get_program().display()))?;
        Ok(Self(child))
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.0.id()
    }

    /// The child itself, for its pipes.
    pub fn child(&mut self) -> &mut Child {
        &mut self.0
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.0.try_wait(), Ok(None))
    }

    /// `kill -9`, and waits for the end.
    pub fn kill(&mut self) {
        let _already_gone = self.0.kill();
        let _reaped = self.0.wait();
    }

    /// Sends a signal by name (`TERM`, `STOP`, …).
    ///
    /// # Errors
    /// When `kill` cannot be run or refuses.
    pub fn signal(&self, name: &str) -> Result<()> {
        let status = Command::new("kill")
            .args([&format!("-{name}"), &self.pid().to_string()])
            .status()?;
        if !status.success() {
            bail!("kill -{name} {} failed: {status}", self.pid());
        }
        Ok(())
    }

    /// Stops it (SIGSTOP), and returns once none of its threads runs any more.
    ///
    /// # Errors
    /// When it cannot be stopped, or is gone.
    pub fn stop(&self) -> Result<()> {
        self.signal("STOP")?;
        let threads = format!("/proc/{}/task", self.pid());
        until(Duration::from_secs(10), "all threads to stop", || {
            for thread in std::fs::read_dir(&threads)? {
                // A thread may end before the signal reaches it.
                let Ok(stat) = std::fs::read_to_string(thread?.path().join("stat")) else {
                    return Ok(None);
                };
                // The state follows the name, which is in brackets and may hold anything.
                let state = stat
                    .rsplit_once(") ")
                    .map(|(_, rest)| rest.starts_with('T'));
                if state != Some(true) {
                    return Ok(None);
                }
            }
            Ok(Some(()))
        })
    }

    /// Waits for the end, at most so long.
    ///
    /// # Errors
    /// When it still runs after `patience`.
    pub fn wait(&mut self, patience: Duration) -> Result<ExitStatus> {
        until(patience, "the process to end", || Ok(self.0.try_wait()?))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Asks again until there is an answer: for conditions in other processes, which nothing here can
/// be woken by.
///
/// # Errors
/// What `ask` failed with, or that `patience` ran out.
pub fn until<T>(
    patience: Duration,
    what: &str,
    mut ask: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(answer) = ask()? {
            return Ok(answer);
        }
        if Instant::now() >= deadline {
            bail!("waited {patience:?} for {what}");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// What a command prints, or why it failed with what it said.
///
/// # Errors
/// When it cannot be started or ends with anything but 0.
pub fn output(command: &mut Command) -> Result<Vec<u8>> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => {
            anyhow::anyhow!("{name} is not installed; `cargo xtask test` installs it")
        }
        _ => anyhow::Error::new(error).context(format!("running {name}")),
    })?;
    if !output.status.success() {
        bail!(
            "{name}: {}: {}",
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(output.stdout)
}
