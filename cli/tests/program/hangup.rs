//! A hang-up that is sent reloads; one that comes from the terminal ends what was started in it.

use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use rustix::process::Signal;

use crate::daemon::Daemon;
use crate::stand::{on, until};

fn open_terminal() -> (OwnedFd, OwnedFd) {
    let (mut main, mut other) = (-1, -1);
    let (none, plain) = (std::ptr::null_mut(), std::ptr::null());
    // SAFETY: the pointers are valid or null, as `openpty` wants them.
    let opened = unsafe { libc::openpty(&raw mut main, &raw mut other, none, plain, plain.cast()) };
    assert_eq!(opened, 0);
    // SAFETY: both were just opened, and belong to nobody else.
    let both = unsafe { (OwnedFd::from_raw_fd(main), OwnedFd::from_raw_fd(other)) };
    for fd in [&both.0, &both.1] {
        rustix::io::fcntl_setfd(fd, rustix::io::FdFlags::CLOEXEC).unwrap();
    }
    both
}

/// A broker that leads a session on a terminal, and the other end of that.
fn in_terminal(change: impl FnOnce(&mut Command)) -> (Daemon, OwnedFd) {
    let (main, other) = open_terminal();
    let fd = other.as_raw_fd();
    let lead = move || {
        // SAFETY: system calls on a descriptor that is open here.
        match unsafe { libc::setsid() >= 0 && libc::ioctl(fd, libc::TIOCSCTTY, 0) == 0 } {
            true => Ok(()),
            false => Err(std::io::Error::last_os_error()),
        }
    };
    let broker = Daemon::start_with(&["--simulate-gpus", "1"], |command| {
        // SAFETY: the closure makes system calls only.
        unsafe { command.pre_exec(lead) };
        change(command);
    });
    (broker, main)
}

#[test]
fn a_terminal_that_is_closed_ends_it_well() {
    let (mut broker, terminal) = in_terminal(|_| {});
    broker.client().enable_reload(true).unwrap();
    // Somebody's signal is not the terminal's, also for the program that comes.
    for generation in 2..4 {
        broker.install(&[generation]);
        broker.process.signal(Signal::HUP);
        broker.until_generation(generation.into());
    }
    drop(terminal);
    assert_eq!(broker.process.code(), 0);
    assert!(!broker.data("endpoint").exists());
}

#[test]
fn one_that_ignores_hang_ups_outlives_its_terminal() {
    let (broker, terminal) = in_terminal(|command| on(libc::SIGHUP, libc::SIG_IGN, command));
    broker.client().enable_reload(true).unwrap();
    broker.install(b"new");
    broker.reload_program().unwrap();
    broker.install(b"newer");
    drop(terminal);
    // It is still a hang-up.
    broker.until_generation(3);
    until("it serves", || broker.client().status().is_ok());
}
