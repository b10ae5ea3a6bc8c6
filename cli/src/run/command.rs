//! The command: found, started, watched.

use std::cell::Cell;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::Access;
use rustix::process::{Pid, Signal, WaitStatus};
use warden::Owner;

use crate::exit::Exit;
use crate::run::mark;

/// Why a command cannot be started.
#[derive(Debug)]
pub struct CannotStart {
    program: OsString,
    source: io::Error,
    is_there: bool,
}

impl CannotStart {
    /// 127 where there is no such command, 126 for everything else, as shells have it.
    pub fn exit(&self) -> Exit {
        match self.source.kind() {
            io::ErrorKind::NotFound if !self.is_there => Exit::NotFound,
            _ => Exit::NotExecutable,
        }
    }
}

impl fmt::Display for CannotStart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot run {}: {}", self.program.display(), self.source)?;
        match self.is_there && self.source.kind() == io::ErrorKind::NotFound {
            true => f.write_str("; it is there, so what is missing is the interpreter it names"),
            false => Ok(()),
        }
    }
}

/// Looks whether the command could be started, so that nobody queues for an hour to be told that
/// its name is misspelt.
pub fn find(program: &OsStr) -> Result<(), CannotStart> {
    let cannot = |source: io::Error| CannotStart {
        program: program.to_owned(),
        source,
        is_there: false,
    };
    let candidates: Vec<PathBuf> = match Path::new(program).components().count() {
        1 if !program.as_encoded_bytes().contains(&b'/') => std::env::var_os("PATH")
            .iter()
            .flat_map(std::env::split_paths)
            .map(|dir| dir.join(program))
            .collect(),
        _ => vec![PathBuf::from(program)],
    };
    let missing = match candidates.as_slice() {
        [_] => "there is no such file",
        _ => "it is in no directory of PATH; is it spelt right?",
    };
    let mut answer = Err(cannot(io::Error::new(io::ErrorKind::NotFound, missing)));
    for path in candidates {
        if path.is_dir() {
            answer = Err(cannot(io::ErrorKind::IsADirectory.into()));
            continue;
        }
        match rustix::fs::access(&path, Access::EXEC_OK) {
            Ok(()) => return Ok(()),
            Err(error) if error == rustix::io::Errno::NOENT => {}
            Err(error) => answer = Err(cannot(error.into())),
        }
    }
    answer
}

/// Becomes the command; returns only where that fails.
pub fn become_it(command: &[OsString]) -> CannotStart {
    let (program, args) = split(command);
    not_started(program, Command::new(program).args(args).exec())
}

/// For what was found, and the system would not start.
fn not_started(program: &OsStr, source: io::Error) -> CannotStart {
    CannotStart {
        program: program.to_owned(),
        source,
        is_there: find(program).is_ok(),
    }
}

/// A started command. It is not reaped before [`Child::take_in`] hears that it is over, so its pid
/// stays its own until then, and is not used after.
#[derive(Debug)]
pub struct Child {
    pid: Pid,
    ended: Option<Exit>,
    is_stopped: bool,
    is_stop_new: Cell<bool>,
}

impl Child {
    /// Starts the command in this process's group, with this in its environment and our mark. Must
    /// be called on the main thread: on Linux the command is killed when the thread that started it
    /// ends.
    pub fn start(
        command: &[OsString],
        environment: &[(&'static str, String)],
        own: Owner,
    ) -> Result<Self, CannotStart> {
        let (program, args) = split(command);
        let mut starting = Command::new(program);
        starting.args(args);
        mark::put_on(&mut starting, own);
        starting.envs(environment.iter().map(|(name, value)| (name, value)));
        die_with_parent(&mut starting);
        let cannot = |source| not_started(program, source);
        let child = starting.spawn().map_err(cannot)?;
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| cannot(io::ErrorKind::InvalidData.into()))?;
        Ok(Self {
            pid,
            ended: None,
            is_stopped: false,
            is_stop_new: Cell::new(false),
        })
    }

    /// Its number.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Takes in what has become of it, as whoever reaps the children of this process hears.
    pub fn take_in(&mut self, status: WaitStatus) {
        self.ended = end_of(status);
        self.is_stopped = status.stopped();
        self.is_stop_new.set(status.stopped());
    }

    /// How it ended, once it has.
    pub fn ended(&self) -> Option<Exit> {
        self.ended
    }

    /// Whether it is stopped by a signal.
    pub fn is_stopped(&self) -> bool {
        self.is_stopped
    }

    /// Whether it was stopped since this was asked last, and is still.
    pub fn take_stop(&self) -> bool {
        self.is_stop_new.take()
    }

    /// Sends it a signal. One that is over has no use for it.
    pub fn signal(&self, signal: Signal) {
        if self.ended.is_none() {
            let _ = rustix::process::kill_process(self.pid, signal);
        }
    }

    /// Whether it is in our process group still, and gets what the group gets.
    pub fn is_in_our_group(&self) -> bool {
        rustix::process::getpgid(Some(self.pid)) == Ok(rustix::process::getpgrp())
    }
}

/// How a process ended; nothing where it was only stopped, or went on.
pub fn end_of(status: WaitStatus) -> Option<Exit> {
    let byte = |number: i32| u8::try_from(number).unwrap_or(u8::MAX);
    let code = status.exit_status().map(|code| Exit::Of(byte(code)));
    let signal = || {
        status
            .terminating_signal()
            .map(|signal| Exit::Signal(byte(signal)))
    };
    code.or_else(signal)
}

fn split(command: &[OsString]) -> (&OsStr, &[OsString]) {
    match command {
        [program, args @ ..] => (program, args),
        [] => (OsStr::new(""), &[]),
    }
}

#[cfg(target_os = "linux")]
fn die_with_parent(command: &mut Command) {
    let parent = std::process::id();
    let bind = move || {
        // SAFETY: plain system calls, as they are allowed between fork and exec.
        let (bound, now) = unsafe {
            let bound = libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            (bound, libc::getppid())
        };
        if bound != 0 {
            return Err(io::Error::last_os_error());
        }
        // A parent that died before the call will send nothing.
        match u32::try_from(now) {
            Ok(now) if now == parent => Ok(()),
            _ => Err(io::Error::from_raw_os_error(libc::ESRCH)),
        }
    };
    // SAFETY: the closure makes system calls only, and neither allocates nor locks.
    unsafe { command.pre_exec(bind) };
}

#[cfg(not(target_os = "linux"))]
fn die_with_parent(_command: &mut Command) {}
