//! Locks side by side: ours, those of the servers that people would use instead, and the kernel's.
//! `servers` starts them, the program in `xtask/peers/locks` measures, `report` says what was seen.

mod report;
mod servers;

use std::io::Read as _;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use warden_tests::process::Process;

use self::report::Report;
use self::servers::Servers;
use super::table::Figure;
use crate::build;
use crate::interrupt::Interrupts;

/// How often it is looked whether the measurement is over; it takes minutes.
const LOOK: Duration = Duration::from_millis(200);

pub fn measure() -> Result<Vec<Figure>> {
    let warden = build::release("warden-cli", &[], "warden")?;
    let example = ["--example", "limit", "--features", "bench"];
    let limit = build::release("warden-broker", &example, "examples/limit")?;
    let locks = build::peer("locks")?;
    // Before the servers, which end and whose folders go whatever ends this.
    let interrupts = Interrupts::take()?;
    let servers = Servers::start(&limit, &warden)?;
    let mut command = Command::new(locks);
    command.args(["measure", &servers.addresses().to_string()]);
    let report = Report::parse(&printed(&mut command, &interrupts)?)?;
    report.print();
    report.figures()
}

/// What a command prints, unless somebody wants an end before it is over.
fn printed(command: &mut Command, interrupts: &Interrupts) -> Result<String> {
    let mut process = Process::start(command.stdout(Stdio::piped()))?;
    let mut stdout = process.child().stdout.take().context("it was piped")?;
    let reader = thread::spawn(move || {
        let mut text = String::new();
        stdout.read_to_string(&mut text).map(|_| text)
    });
    while process.is_running() {
        if let Some(signal) = interrupts.within(LOOK) {
            bail!("ended by {signal}");
        }
    }
    let status = process.child().wait()?;
    ensure!(status.success(), "the measurement failed: {status}");
    let text = reader
        .join()
        .map_err(|_| anyhow!("reading what was measured failed"))?;
    Ok(text?)
}
