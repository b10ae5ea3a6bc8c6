//! The mark of this process on all that it starts, by which the broker finds what a killed
//! `warden run` left.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

use warden::Owner;

/// Marks a command that is about to be started, and with it all that it will start, as this
/// owner's and nobody else's.
pub fn put_on(command: &mut Command, own: Owner) {
    match own.mark() {
        Some(mark) => command.env(Owner::VARIABLE, mark),
        None => command.env_remove(Owner::VARIABLE),
    };
    let limit = move || {
        limit_to(own);
        Ok(())
    };
    // SAFETY: the closure makes system calls only, and neither allocates nor locks.
    unsafe { command.pre_exec(limit) };
}

#[cfg(target_os = "linux")]
fn limit_to(own: Owner) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    let maximum = getrlimit(Resource::Locks).maximum;
    let set = |number| {
        let current = Some(number);
        setrlimit(Resource::Locks, Rlimit { current, maximum })
    };
    if set(own.mark_number().unwrap_or(0)).is_err() {
        // The administrator keeps it lower, so the mark in the environment stands alone. No other
        // number must: it would be another's mark.
        let _ = set(0);
    }
}

#[cfg(not(target_os = "linux"))]
fn limit_to(_own: Owner) {}
