//! `warden dashboard`: becomes the window's program.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Context as _;

use crate::args::{BrokerArgs, DashboardArgs};
use crate::exit::Exit;

const PROGRAM: &str = "warden-dashboard";

/// Starts the window beside this program, else the one in `PATH`, for the same broker.
pub fn open(broker: &BrokerArgs, args: &DashboardArgs) -> anyhow::Result<Exit> {
    let program = beside().unwrap_or_else(|| PathBuf::from(PROGRAM));
    let mut command = Command::new(&program);
    if let Some(addr) = &broker.addr {
        command.args([OsString::from("--addr"), addr.into()]);
    }
    if let Some(dir) = &broker.data_dir {
        command.args([OsString::from("--data-dir"), dir.into()]);
    }
    command.args(&args.rest);
    become_it(command).with_context(|| {
        format!(
            "cannot start {} (it belongs beside warden, or in PATH)",
            program.display()
        )
    })
}

fn beside() -> Option<PathBuf> {
    let file = format!("{PROGRAM}{}", std::env::consts::EXE_SUFFIX);
    let path = std::env::current_exe().ok()?.with_file_name(file);
    path.is_file().then_some(path)
}

#[cfg(unix)]
fn become_it(mut command: Command) -> io::Result<Exit> {
    // Returns only where it failed.
    Err(std::os::unix::process::CommandExt::exec(&mut command))
}

#[cfg(not(unix))]
fn become_it(mut command: Command) -> io::Result<Exit> {
    let code = command.status()?.code().unwrap_or(1);
    Ok(Exit::Of(u8::try_from(code).unwrap_or(1)))
}
