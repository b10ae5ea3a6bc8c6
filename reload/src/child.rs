//! A rehearsal in a process of its own: nobody can catch a segmentation fault or an endless loop.

use std::io::{self, Write as _};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use std::{iter, thread};

use serde::{Deserialize, Serialize};

use crate::failure::{Fault, Stage};
use crate::process::{Running, kill_group, tail};

/// A command that rehearses a build before this process maps it.
///
/// It is given the path of a copy as its last argument and what to rehearse with on its standard
/// input; [`crate::rehearse_child`] does the rest in most programs. Ending with code 0 is success.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Child {
    /// Most often the host's own: `std::env::current_exe()`.
    pub program: PathBuf,
    /// Its arguments, before the path.
    pub arguments: Vec<String>,
    /// It is killed when it has not ended by then.
    pub deadline: Duration,
    /// It may have so many bytes of memory that it writes to (`RLIMIT_DATA`).
    pub memory_max: u64,
}

/// What a child is given on its standard input, as RON.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Given {
    pub module: String,
    /// The running generation's memory.
    pub memory: Option<String>,
    /// The host's state.
    pub state: Option<String>,
}

/// What came of a rehearsal in a child.
pub(crate) enum Rehearsal {
    Passed,
    /// Somebody wanted it ended.
    Cancelled,
}

/// Has `child` rehearse the library at `file`, and blocks until that has ended.
pub(crate) fn run(
    child: &Child,
    file: &Path,
    given: &Given,
    running: &Running,
    unwanted: impl FnOnce() -> bool,
) -> Result<Rehearsal, Fault> {
    let input = ron::to_string(given)
        .map_err(|error| fault(format!("the state cannot be written: {error}")))?;
    let mut process = spawn(child, file).map_err(|error| {
        let program = child.program.display();
        fault(format!("{program} cannot be run to rehearse: {error}"))
    })?;
    running.started(&process, unwanted);
    let (stdin, stderr) = (process.stdin.take(), process.stderr.take());
    let (in_time, said) = thread::scope(|scope| {
        scope.spawn(move || {
            // One that does not listen may do so.
            let _ = stdin.map(|mut stdin| stdin.write_all(input.as_bytes()));
        });
        let listener = scope.spawn(move || stderr.map(|pipe| tail(pipe, |_| {})));
        let in_time = wait(process.id(), child.deadline);
        // Whatever it started goes with it, and lets go of the pipes.
        kill_group(&process);
        let said = listener.join().ok().flatten().unwrap_or_default();
        (in_time, said)
    });
    let cancelled = running.ended();
    let status = process.wait();
    match (status, in_time) {
        _ if cancelled => Ok(Rehearsal::Cancelled),
        (_, Err(error)) | (Err(error), _) => Err(fault(format!("its process was lost: {error}"))),
        (_, Ok(false)) => Err(fault(format!(
            "the new code did not come to an end within {} s",
            child.deadline.as_secs_f32()
        ))
        .with(said.trim().to_owned(), None)),
        (Ok(status), _) if status.success() => Ok(Rehearsal::Passed),
        (Ok(status), _) => Err(ended(status, child, &said)),
    }
}

fn spawn(child: &Child, file: &Path) -> io::Result<std::process::Child> {
    let memory = libc::rlimit {
        rlim_cur: child.memory_max,
        rlim_max: child.memory_max,
    };
    let none = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    let mut command = Command::new(&child.program);
    command
        .args(&child.arguments)
        .arg(file)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .process_group(0);
    let limit = move || {
        // SAFETY: the pointers are to values of this closure; what is called here may be called
        // between fork and exec.
        let done = unsafe {
            libc::setrlimit(libc::RLIMIT_DATA, &raw const memory) == 0
                && libc::setrlimit(libc::RLIMIT_CORE, &raw const none) == 0
                && libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) == 0
        };
        if done {
            Ok(())
        } else {
            Err(io::Error::last_os_error())
        }
    };
    // SAFETY: the closure allocates nothing and takes no lock.
    unsafe { command.pre_exec(limit) };
    command.spawn()
}

/// Whether the process ended in time. It is not reaped here.
fn wait(pid: u32, deadline: Duration) -> io::Result<bool> {
    // SAFETY: two numbers in, a file descriptor or -1 out.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    let fd = i32::try_from(fd).ok().filter(|fd| *fd >= 0);
    let fd = fd.ok_or_else(io::Error::last_os_error)?;
    // SAFETY: the descriptor was just made, and is nobody else's.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    let end = Instant::now() + deadline;
    loop {
        let left_ms = end.saturating_duration_since(Instant::now()).as_millis() + 1;
        let mut poll = libc::pollfd {
            fd: fd.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        // SAFETY: one valid `pollfd`.
        let ready = unsafe {
            libc::poll(
                &raw mut poll,
                1,
                left_ms.try_into().unwrap_or(libc::c_int::MAX),
            )
        };
        match ready {
            1.. => return Ok(true),
            0 if Instant::now() >= end => return Ok(false),
            0 => {}
            _ => {
                let error = io::Error::last_os_error();
                if error.kind() != io::ErrorKind::Interrupted {
                    return Err(error);
                }
            }
        }
    }
}

fn ended(status: ExitStatus, child: &Child, said: &str) -> Fault {
    // What std says before it aborts, when the allocator has nothing left to give.
    let starved = said.contains("memory allocation of");
    let title = match (status.signal(), status.code()) {
        (Some(libc::SIGABRT), _) if starved => format!(
            "the new code wants more than the {} MiB of memory that a rehearsal may have",
            child.memory_max >> 20
        ),
        (Some(signal), _) => format!("the new code ended its process with {}", name(signal)),
        (None, code) => {
            let words = said.trim().lines().next().unwrap_or("it said no more");
            let code = iter::once(code).flatten().find(|code| *code != 1);
            match code {
                Some(code) => format!("it ended with code {code}: {words}"),
                None => words.to_owned(),
            }
        }
    };
    let message = format!("{title}\n\n{}", said.trim());
    fault(title).with(message.trim_end().to_owned(), None)
}

fn name(signal: i32) -> String {
    let known = match signal {
        libc::SIGSEGV => "SIGSEGV (a segmentation fault)",
        libc::SIGBUS => "SIGBUS (its file is damaged)",
        libc::SIGILL => "SIGILL (an illegal instruction)",
        libc::SIGABRT => "SIGABRT (it aborted)",
        libc::SIGFPE => "SIGFPE (an arithmetic fault)",
        libc::SIGKILL => "SIGKILL (it was killed)",
        _ => return format!("signal {signal}"),
    };
    known.to_owned()
}

fn fault(title: impl Into<String>) -> Fault {
    Fault::new(Stage::Rehearse, title)
}
