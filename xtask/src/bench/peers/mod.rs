//! Locks side by side: ours, those of the servers that people would use instead, and the kernel's.
//! `servers` starts them, the program in `xtask/peers/locks` measures, `report` says what was seen.

mod report;
mod servers;

use std::process::{Command, Stdio};

use anyhow::{Result, ensure};

use self::report::Report;
use self::servers::Servers;
use super::table::Figure;
use crate::build;

pub fn measure() -> Result<Vec<Figure>> {
    let warden = build::release("warden-cli", &[], "warden")?;
    let example = ["--example", "limit", "--features", "bench"];
    let limit = build::release("warden-broker", &example, "examples/limit")?;
    let locks = build::peer("locks")?;
    let servers = Servers::start(&limit, &warden)?;
    let mut command = Command::new(locks);
    command
        .args(["measure", &servers.addresses().to_string()])
        .stderr(Stdio::inherit());
    let measured = command.output()?;
    ensure!(
        measured.status.success(),
        "the measurement failed: {}",
        measured.status
    );
    let report = Report::parse(&String::from_utf8(measured.stdout)?)?;
    report.print();
    report.figures()
}
