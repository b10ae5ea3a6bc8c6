//! A demo that is ended by a signal leaves nothing behind: the part that takes the signal, in a process
//! of its own.

#[path = "../src/interrupt.rs"]
mod interrupt;

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

const CHILD: &str = "--child";
const PATIENCE: Duration = Duration::from_secs(20);

fn main() -> ExitCode {
    let is_child = std::env::args().any(|argument| argument == CHILD);
    let ended = if is_child { child() } else { test() };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Holds a folder until it is told to end.
fn child() -> Result<()> {
    let interrupts = interrupt::Interrupts::take()?;
    let folder = tempfile::Builder::new().prefix("warden-").tempdir()?;
    // What is started is ended by a signal as ever.
    let mut sleeper = Command::new("sleep").arg("600").spawn()?;
    let sent = Command::new("kill")
        .arg(sleeper.id().to_string())
        .status()?;
    ensure!(sent.success() && sleeper.wait()?.signal() == Some(15));
    println!("{}", folder.path().display());
    std::io::stdout().flush()?;
    let signal = interrupts.within(PATIENCE).context("no signal came")?;
    println!("{signal}");
    Ok(())
}

fn test() -> Result<()> {
    for name in ["TERM", "INT", "HUP"] {
        let mut child = Command::new(std::env::current_exe()?)
            .arg(CHILD)
            .stdout(Stdio::piped())
            .spawn()?;
        let stdout = child.stdout.take().context("it was piped")?;
        let mut lines = BufReader::new(stdout).lines();
        let folder = lines.next().context("it says its folder")??;
        ensure!(std::path::Path::new(&folder).is_dir(), "{folder} is made");
        let sent = Command::new("kill")
            .args([&format!("-{name}"), &child.id().to_string()])
            .status()?;
        ensure!(sent.success(), "kill: {sent}");
        let heard = lines.next().context("it says the signal")??;
        let status = child.wait()?;
        ensure!(heard == name && status.success(), "{heard}, {status}");
        ensure!(!std::path::Path::new(&folder).exists(), "{folder} is left");
        println!("{name}: ended, and nothing is left");
    }
    Ok(())
}
