//! A program is looked at before it takes over: it runs as a child, on a copy of the journal, and
//! says what it would do. It is executed as it will be when it takes over, with the same arguments and
//! a handover of the same form, and is on trial; but it gets no socket, no lock and no file that
//! anybody else reads, and only in what it is handed is it told so.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};
use serde::{Deserialize, Serialize};
use warden::arbiter::Image;

use crate::config::Config;
use crate::disk::journal::{self, Copier, FILE as JOURNAL};
use crate::disk::reserve::{FILE as RESERVE, Reserve};
use crate::error::ServeError;
use crate::http::lot::Parked;
use crate::program::handover::{Carried, FORMAT, Handover, Sockets};

/// A program that has not answered by then has failed.
const DEADLINE: Duration = Duration::from_secs(10);
/// Longer than it takes from a fork to its exec, and how often that is looked at.
const FORK_PATIENCE: Duration = Duration::from_secs(1);
const FORK_RETRY: Duration = Duration::from_millis(5);
/// More than this, in bytes, is not kept of what it says.
const SAID_MAX: usize = 64 * 1024;
/// And more than this of its complaints nobody is told.
const TOLD_MAX: usize = 2 * 1024;
/// The state that it found, in the folder that it was given.
const IMAGE: &str = "image";

/// What a program says of itself: one line of JSON on its standard output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) version: String,
    /// What it can be handed, and hands over: [`FORMAT`].
    pub(crate) handover: u32,
    /// The format of the journal that it writes.
    pub(crate) journal: i64,
}

/// The program's side: reads the journal in `folder` and says what came of it.
pub(crate) fn answer(config: &Config, folder: &Path) -> Result<(), ServeError> {
    config.listen_addr()?;
    config.simulated_gpus()?;
    let unusable = |name: &str, detail: String| ServeError::Journal {
        path: folder.join(name),
        detail,
    };
    Reserve::open(folder).map_err(|error| unusable(RESERVE, error.to_string()))?;
    let arbiter = journal::look(folder).map_err(|error| unusable(JOURNAL, error.to_string()))?;
    let said = || {
        let image = serde_json::to_vec(&arbiter.image())?;
        let mut file = create(&folder.join(IMAGE))?;
        file.write_all(&image)?;
        let report = Report {
            version: crate::VERSION.to_owned(),
            handover: FORMAT,
            journal: journal::SCHEMA,
        };
        let mut out = io::stdout().lock();
        writeln!(out, "{}", serde_json::to_string(&report)?)?;
        out.flush()
    };
    said().map_err(|source| ServeError::System {
        what: "say what was found",
        source,
    })
}

/// The broker's side: has `program` look at a copy of the journal in `folder`, which is empty, and
/// says why it must not take over. One that writes a journal that this program could not read is
/// not compared with it: `one_way` has settled that.
pub(crate) fn question(
    program: &Path,
    carried: Carried,
    folder: &Path,
    journal: &Copier,
    one_way: bool,
) -> Result<Report, Refusal> {
    let failed = |what: &'static str| move |error: io::Error| Refusal::check(what, &error);
    journal
        .copy_to(folder)
        .map_err(failed("the journal cannot be copied"))?;
    let ours = journal::look(folder)
        .map_err(|error| Refusal::Check(format!("the copy of the journal: {error}")))?;
    if !is_program(program).map_err(failed("it cannot be read"))? {
        let message = "it is neither an ELF file nor a script that begins with #!";
        return Err(Refusal::Check(message.to_owned()));
    }
    let (status, said, complaint) =
        run(program, carried, folder).map_err(failed("it cannot be run"))?;
    let Some(status) = status else {
        let s = DEADLINE.as_secs();
        let message = format!("its start check did not end within {s} s");
        return Err(Refusal::Check(with(message, &complaint)));
    };
    if !status.success() {
        let message = format!("its start check failed ({})", ending(status));
        return Err(Refusal::Check(with(message, &complaint)));
    }
    let report: Report = serde_json::from_str(said.trim()).map_err(|_| {
        let message = "it is no `warden` that can take over: it does not know the start check";
        Refusal::Check(with(message.to_owned(), &complaint))
    })?;
    if report.handover != FORMAT {
        return Err(Refusal::Check(format!(
            "it takes over by format {}, and the running program hands over by format {FORMAT}; \
             restart the broker in place of reloading it",
            report.handover
        )));
    }
    if report.journal > journal::SCHEMA {
        return match one_way {
            true => Ok(report),
            false => Err(Refusal::OneWay(report.journal)),
        };
    }
    let text = fs::read(folder.join(IMAGE)).map_err(failed("what it found cannot be read"))?;
    let theirs: Image = serde_json::from_slice(&text)
        .map_err(|error| Refusal::Check(format!("what it found makes no sense here: {error}")))?;
    if theirs != ours.image() {
        let message = "it reads another state out of the journal than the running program";
        return Err(Refusal::Check(message.to_owned()));
    }
    Ok(report)
}

/// Why a program must not take over.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// It failed its start check; this was said.
    Check(String),
    /// It writes a journal of this format, which the running program cannot read.
    OneWay(i64),
}

impl Refusal {
    fn check(what: &str, error: &io::Error) -> Self {
        Self::Check(format!("{what}: {error}"))
    }
}

/// What it is handed in place of a broker's own. Nobody is at the other end of any of it.
fn handover(mut carried: Carried, folder: &Path) -> io::Result<Handover> {
    let socket = || UnixStream::pair().map(|(socket, _)| OwnedFd::from(socket));
    carried.check = Some(folder.into());
    Ok(Handover {
        sockets: Sockets {
            lock: File::open(folder)?.into(),
            tcp: socket()?,
            unix: Some(socket()?),
            claims: Vec::new(),
        },
        lines: vec![Parked {
            socket: socket()?,
            unread: Bytes::from_static(b"GET / HTTP/1.1"),
            owed: None,
        }],
        carried,
    })
}

/// How it ended, unless it had to be ended, and what it said on both of its outputs.
fn run(
    program: &Path,
    carried: Carried,
    folder: &Path,
) -> io::Result<(Option<ExitStatus>, String, String)> {
    // A folder is nothing to go back to: who fails says why, and ends.
    let handover = handover(carried, folder)?;
    let passing = Arc::new(handover.lay_out(program, folder)?);
    let mut command = Command::new(program);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    let launched = Arc::clone(&passing);
    let become_it = move || {
        // SAFETY: may be called between fork and exec, and takes two numbers.
        if unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) } == 0 {
            // SAFETY: the child has a copy for itself.
            unsafe { launched.launch.execute(0) };
        }
        Err(io::Error::last_os_error())
    };
    // SAFETY: the closure allocates nothing and takes no lock.
    unsafe { command.pre_exec(become_it) };
    let mut child = spawn(&mut command)?;
    let (out, err) = (child.stdout.take(), child.stderr.take());
    thread::scope(|scope| {
        let out = scope.spawn(|| read(out));
        let err = scope.spawn(|| read(err));
        let in_time = wait(&child);
        // Whatever it started goes with it, and lets go of the pipes.
        let _ = kill_process_group(Pid::from_child(&child), Signal::KILL);
        let status = child.wait()?;
        let said = out.join().unwrap_or_default();
        let complaint = err.join().unwrap_or_default();
        Ok((in_time?.then_some(status), said, complaint))
    })
}

/// Whether it looks like one; what does not is nothing to run, nor to tell anybody of.
fn is_program(path: &Path) -> io::Result<bool> {
    let mut start = Vec::new();
    File::open(path)?.take(4).read_to_end(&mut start)?;
    Ok(start == b"\x7fELF" || start.starts_with(b"#!"))
}

/// Starts a program that was written just now: as long as another thread of this process is between
/// its own fork and exec, it holds what was open for writing, and the file counts as busy.
fn spawn(command: &mut Command) -> io::Result<Child> {
    let since = Instant::now();
    loop {
        match command.spawn() {
            Err(error)
                if error.kind() == io::ErrorKind::ExecutableFileBusy
                    && since.elapsed() < FORK_PATIENCE =>
            {
                // No event tells that the last process that writes the file has let go of it.
                thread::sleep(FORK_RETRY);
            }
            spawned => return spawned,
        }
    }
}

/// Whether it ended in time. It is not reaped here.
fn wait(child: &Child) -> io::Result<bool> {
    let pidfd = pidfd_open(Pid::from_child(child), PidfdFlags::empty())?;
    let end = Instant::now() + DEADLINE;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let left = Timespec::try_from(left).unwrap_or_default();
        let mut fds = [PollFd::new(&pidfd, PollFlags::IN)];
        match poll(&mut fds, Some(&left)) {
            Ok(0) => return Ok(false),
            Ok(_) => return Ok(true),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// The end of what comes out of a pipe; the rest is read and dropped, so that nobody waits.
fn read(pipe: Option<impl Read>) -> String {
    let Some(mut pipe) = pipe else {
        return String::new();
    };
    let (mut kept, mut part) = (Vec::new(), [0; 8 * 1024]);
    loop {
        match pipe.read(&mut part) {
            // What was read until a failure is better than nothing.
            Ok(0) => break,
            Ok(length) => kept.extend_from_slice(&part[..length]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => break,
        }
        let excess = kept.len().saturating_sub(SAID_MAX);
        kept.drain(..excess);
    }
    String::from_utf8_lossy(&kept).into_owned()
}

fn with(message: String, complaint: &str) -> String {
    match last_lines(complaint.trim()) {
        "" => message,
        complaint => format!("{message}: {complaint}"),
    }
}

/// As many as there are room for; the end of the last one where that is too long.
fn last_lines(text: &str) -> &str {
    let Some(excess) = text.len().checked_sub(TOLD_MAX) else {
        return text;
    };
    let end = &text[text.ceil_char_boundary(excess)..];
    end.split_once('\n').map_or(end, |(_, lines)| lines)
}

fn ending(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => status.to_string(),
    }
}

fn create(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    options.open(path)
}
