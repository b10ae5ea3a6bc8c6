//! What goes from one program to the next in the same process: the directory's lock, the sockets,
//! and what the kernel does not keep for us, in a file without a name: a line of JSON, and behind it
//! the bytes that connections have sent and nobody has read.
//!
//! [`VARIABLE`] names that file's descriptor, and the process that it is meant for: whoever inherits
//! the variable with an environment has another number, and pays no heed to it. What it names is
//! looked at all the same before it is used. A program on trial gets a second file with it, which
//! says how to begin the one before again, and with which note.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};
use std::path::{Path, PathBuf};

use bytes::{Buf as _, Bytes};
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::io::{FdFlags, fcntl_getfd, fcntl_setfd};
use serde::{Deserialize, Serialize};
use warden::GpuId;

use crate::error::ServeError;
use crate::http::lot::{Owed, Parked};
use crate::program::launch::Launch;

/// `PID:NOTE:SIGNAL` or `PID:NOTE:SIGNAL:WAY`: descriptors of what is handed over and, for who is on
/// trial, of the way back; and the signal that ended the program before, 0 for none.
pub(crate) const VARIABLE: &str = "WARDEN_HANDOVER";
/// Grows when another program could not read what this one hands over.
pub(crate) const FORMAT: u32 = 2;
/// More, in bytes, than what belongs to the most connections.
const NOTE_MAX: usize = 64 << 20;

/// One build of the program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Build {
    /// Of its file.
    pub(crate) sha256: String,
    /// As it calls itself.
    pub(crate) version: String,
    /// Its number in this process.
    pub(crate) generation: u64,
    /// When it went live, in Unix milliseconds.
    pub(crate) since_ms: u64,
}

/// Who failed after it was begun, and how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Failed {
    pub(crate) build: Build,
    pub(crate) said: String,
}

/// What only this process knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Carried {
    /// Who reads this.
    pub(crate) build: Build,
    /// It is on trial: where it cannot start, this one is begun again.
    pub(crate) before: Option<Build>,
    /// It is begun again, since this one could not start.
    pub(crate) failed: Option<Failed>,
    /// Where the program lies on disk.
    pub(crate) disk: OsString,
    /// The program was called with these, its own name first.
    pub(crate) arguments: Vec<OsString>,
    /// When the process started, RFC 3339.
    pub(crate) started_at: String,
    /// Whether it was started so that hang-ups do not end it.
    pub(crate) ignores_hangups: bool,
    /// When the program before stopped serving, on the monotonic clock.
    pub(crate) left_ms: u64,
    /// It is only checked: it looks at the copy of a journal in this folder, says what it found, and
    /// ends.
    #[serde(default)]
    pub(crate) check: Option<OsString>,
}

/// All of it.
#[derive(Debug)]
pub(crate) struct Handover {
    pub(crate) sockets: Sockets,
    pub(crate) lines: Vec<Parked>,
    pub(crate) carried: Carried,
}

/// What only one broker can have.
#[derive(Debug)]
pub(crate) struct Sockets {
    /// Of the data directory.
    pub(crate) lock: OwnedFd,
    pub(crate) tcp: OwnedFd,
    pub(crate) unix: Option<OwnedFd>,
    /// What stands for its claims on GPUs of the host.
    pub(crate) claims: Vec<(GpuId, OwnedFd)>,
}

/// The same as JSON.
#[derive(Debug, Serialize, Deserialize)]
struct Note {
    format: u32,
    lock: RawFd,
    tcp: RawFd,
    unix: Option<RawFd>,
    #[serde(default)]
    claims: Vec<(GpuId, RawFd)>,
    lines: Vec<Line>,
    carried: Carried,
}

/// What every note begins with; those of the first format did not.
#[derive(Debug, Deserialize)]
struct Head {
    #[serde(default)]
    format: u32,
}

#[derive(Debug, Serialize, Deserialize)]
struct Line {
    socket: RawFd,
    /// So many of the bytes behind the JSON are its own.
    unread: usize,
    owed: Option<Owed>,
}

impl Sockets {
    /// The same once more.
    pub(crate) fn again(&self) -> io::Result<Self> {
        Ok(Self {
            lock: self.lock.try_clone()?,
            tcp: self.tcp.try_clone()?,
            unix: self.unix.as_ref().map(OwnedFd::try_clone).transpose()?,
            claims: self
                .claims
                .iter()
                .map(|(id, socket)| Ok((id.clone(), socket.try_clone()?)))
                .collect::<io::Result<_>>()?,
        })
    }

    pub(crate) fn descriptors(&self) -> impl Iterator<Item = &OwnedFd> {
        let claims = self.claims.iter().map(|(_, socket)| socket);
        [&self.lock, &self.tcp]
            .into_iter()
            .chain(&self.unix)
            .chain(claims)
    }

    fn into_descriptors(self) -> Vec<OwnedFd> {
        let claims = self.claims.into_iter().map(|(_, socket)| socket);
        let listening = [self.lock, self.tcp].into_iter().chain(self.unix);
        listening.chain(claims).collect()
    }
}

impl Handover {
    /// What the program before left to this one, if there was one.
    ///
    /// # Errors
    /// Where it is not what it says.
    pub(crate) fn receive() -> Result<Option<Self>, ServeError> {
        let refused = |detail: String| ServeError::Handover { detail };
        let Some(call) = Call::of_this_process().map_err(refused)? else {
            return Ok(None);
        };
        let refused = |error: io::Error| refused(error.to_string());
        let (note, mut behind) = own(call.note)
            .and_then(|note| read(File::from(note)))
            .map_err(refused)?;
        let unread = note.lines.iter().map(|line| line.unread);
        let unread = unread.fold(0, usize::saturating_add).min(behind.len());
        let said = behind.split_off(unread);
        let mut handover = note.open(behind).map_err(refused)?;
        if let Some(failed) = &mut handover.carried.failed {
            if call.signal != 0 {
                let signal = call.signal;
                failed.said = format!("it was ended by signal {signal} before it served");
            } else if !said.is_empty() {
                failed.said = String::from_utf8_lossy(&said).into_owned();
            }
        }
        Ok(Some(handover))
    }

    /// Becomes another program, in this process; returns only where that failed. Whoever calls has
    /// nothing left that another thread may be at. Where it fails later, `back` goes on.
    pub(crate) fn pass_to(&self, program: &Path, back: &Path) -> io::Error {
        let pass = || {
            let passing = self.lay_out(program, back)?;
            // SAFETY: nobody else has it.
            unsafe { passing.launch.execute(0) };
            let error = io::Error::last_os_error();
            let lines = self.lines.iter().map(|line| &line.socket);
            // What goes on is this program, and it starts others.
            for fd in self.sockets.descriptors().chain(lines) {
                fcntl_setfd(fd, FdFlags::CLOEXEC)?;
            }
            Err::<(), _>(error)
        };
        match pass() {
            Err(error) => error,
            Ok(()) => io::ErrorKind::Other.into(),
        }
    }

    /// All that it takes for `program` to begin with this, on trial.
    pub(super) fn lay_out(&self, program: &Path, back: &Path) -> io::Result<Passing> {
        let Self {
            sockets,
            lines,
            carried,
        } = self;
        let way = Way::lay(sockets, lines, carried, back)?;
        let text = way.write()?;
        let note = write(sockets, lines, carried)?;
        let standing = sockets.descriptors().map(AsRawFd::as_raw_fd);
        let mut descriptors = way.descriptors();
        descriptors.extend(standing);
        descriptors.extend([&note, &text].map(AsRawFd::as_raw_fd));
        let arguments = &carried.arguments;
        let launch = Launch::lay_out(program, arguments, &note, Some(&text), descriptors)?;
        Ok(Passing {
            launch,
            _open: (way, text, note),
        })
    }
}

/// A handover that can be executed, for as long as this is here.
pub(super) struct Passing {
    pub(super) launch: Launch,
    _open: (Way, OwnedFd, OwnedFd),
}

/// What [`VARIABLE`] says to this very process.
pub(super) struct Call {
    note: RawFd,
    signal: i64,
    pub(super) way: Option<RawFd>,
}

impl Call {
    /// # Errors
    /// In words, where it says nothing that can be understood.
    pub(super) fn of_this_process() -> Result<Option<Self>, String> {
        let Some(value) = std::env::var_os(VARIABLE) else {
            return Ok(None);
        };
        let numbers: Option<Vec<i64>> = value
            .to_str()
            .and_then(|text| text.split(':').map(|part| part.parse().ok()).collect());
        let (pid, note, signal, way) = match numbers.as_deref() {
            Some(&[pid, note, signal]) => (pid, note, signal, None),
            Some(&[pid, note, signal, way]) => (pid, note, signal, Some(way)),
            _ => {
                let value = value.display();
                return Err(format!(
                    "{VARIABLE} is for the broker alone to set, and is {value}"
                ));
            }
        };
        let descriptor = |number: i64| RawFd::try_from(number).unwrap_or(-1);
        Ok((pid == i64::from(std::process::id())).then(|| Self {
            note: descriptor(note),
            signal,
            way: way.map(descriptor),
        }))
    }
}

/// The way back to the program before.
#[derive(Debug)]
pub(crate) struct Way {
    pub(super) program: PathBuf,
    pub(super) arguments: Vec<OsString>,
    /// What it is told; whatever is written behind it is what the program said that failed.
    pub(super) note: OwnedFd,
    /// The sockets of which the note tells, nobody else's.
    pub(super) sockets: Vec<OwnedFd>,
    /// Connections, which are also the program's that is on trial.
    lines: Vec<RawFd>,
}

/// The same as JSON. It has no format of its own: whoever could not read this has none of ours.
#[derive(Debug, Serialize, Deserialize)]
struct WayNote {
    program: OsString,
    arguments: Vec<OsString>,
    note: RawFd,
    sockets: Vec<RawFd>,
    lines: Vec<RawFd>,
}

impl Way {
    /// To `program`, which is `carried.before`; who will have failed is `carried.build`.
    pub(crate) fn lay(
        sockets: &Sockets,
        lines: &[Parked],
        carried: &Carried,
        program: &Path,
    ) -> io::Result<Self> {
        let mut carried = carried.clone();
        if let Some(before) = carried.before.take() {
            carried.failed = Some(Failed {
                build: std::mem::replace(&mut carried.build, before),
                said: "it ended before it served".to_owned(),
            });
        }
        let sockets = sockets.again()?;
        let note = write(&sockets, lines, &carried)?;
        Ok(Self {
            program: std::path::absolute(program)?,
            arguments: carried.arguments,
            note,
            sockets: sockets.into_descriptors(),
            lines: lines.iter().map(|line| line.socket.as_raw_fd()).collect(),
        })
    }

    /// What has to stay open for it.
    pub(super) fn descriptors(&self) -> Vec<RawFd> {
        let sockets = self.sockets.iter().map(AsRawFd::as_raw_fd);
        let lines = self.lines.iter().copied();
        sockets
            .chain(lines)
            .chain([self.note.as_raw_fd()])
            .collect()
    }

    fn write(&self) -> io::Result<OwnedFd> {
        let note = WayNote {
            program: self.program.clone().into(),
            arguments: self.arguments.clone(),
            note: self.note.as_raw_fd(),
            sockets: self.sockets.iter().map(AsRawFd::as_raw_fd).collect(),
            lines: self.lines.clone(),
        };
        memory("warden-way-back", &serde_json::to_vec(&note)?)
    }

    /// What the program before has laid. The connections are left for who reads the note.
    pub(super) fn take(descriptor: RawFd) -> io::Result<Self> {
        let mut file = File::from(own(descriptor)?);
        let mut text = Vec::new();
        file.rewind()?;
        file.read_to_end(&mut text)?;
        let way: WayNote = serde_json::from_slice(&text)?;
        Ok(Self {
            program: way.program.into(),
            arguments: way.arguments,
            note: own(way.note)?,
            sockets: way
                .sockets
                .into_iter()
                .map(own)
                .collect::<io::Result<_>>()?,
            lines: way.lines,
        })
    }
}

/// Writes it down. Nothing of it goes to another program before its descriptors are told to.
fn write(sockets: &Sockets, lines: &[Parked], carried: &Carried) -> io::Result<OwnedFd> {
    let line = |line: &Parked| Line {
        socket: line.socket.as_raw_fd(),
        unread: line.unread.len(),
        owed: line.owed.clone(),
    };
    let note = Note {
        format: FORMAT,
        lock: sockets.lock.as_raw_fd(),
        tcp: sockets.tcp.as_raw_fd(),
        unix: sockets.unix.as_ref().map(AsRawFd::as_raw_fd),
        claims: sockets
            .claims
            .iter()
            .map(|(id, socket)| (id.clone(), socket.as_raw_fd()))
            .collect(),
        lines: lines.iter().map(line).collect(),
        carried: carried.clone(),
    };
    let mut text = serde_json::to_vec(&note)?;
    text.push(b'\n');
    for line in lines {
        text.extend_from_slice(&line.unread);
    }
    if text.len() > NOTE_MAX {
        let length = text.len();
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("what is to be handed over is {length} bytes long, and may be {NOTE_MAX}"),
        ));
    }
    memory("warden-handover", &text)
}

/// A file without a name.
fn memory(what: &str, text: &[u8]) -> io::Result<OwnedFd> {
    let mut file = File::from(memfd_create(what, MemfdFlags::CLOEXEC)?);
    file.write_all(text)?;
    file.rewind()?;
    Ok(file.into())
}

/// The note, and what stands behind its JSON.
fn read(mut file: File) -> io::Result<(Note, Bytes)> {
    let mut text = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut text)?;
    let end = text.iter().position(|byte| *byte == b'\n');
    let end = end.unwrap_or(text.len());
    let Head { format } = serde_json::from_slice(&text[..end])?;
    if format != FORMAT {
        let message = format!("it is of format {format}, and this program reads format {FORMAT}");
        return Err(io::Error::new(io::ErrorKind::InvalidData, message));
    }
    let note = serde_json::from_slice(&text[..end])?;
    let mut behind = Bytes::from(text);
    behind.advance((end + 1).min(behind.len()));
    Ok((note, behind))
}

impl Note {
    fn open(self, mut unread: Bytes) -> io::Result<Handover> {
        let sockets = Sockets {
            lock: own(self.lock)?,
            tcp: own(self.tcp)?,
            unix: self.unix.map(own).transpose()?,
            claims: self
                .claims
                .into_iter()
                .map(|(id, socket)| Ok((id, own(socket)?)))
                .collect::<io::Result<_>>()?,
        };
        let line = |line: Line| {
            let length = line.unread.min(unread.len());
            let unread = unread.split_to(length);
            let socket = own(line.socket)
                .inspect_err(|error| tracing::warn!(%error, "a connection cannot be taken over"));
            Some(Parked {
                socket: socket.ok()?,
                unread,
                owed: line.owed,
            })
        };
        Ok(Handover {
            sockets,
            lines: self.lines.into_iter().filter_map(line).collect(),
            carried: self.carried,
        })
    }
}

/// Takes a descriptor that the program before left open; no further program gets it unasked.
fn own(fd: RawFd) -> io::Result<OwnedFd> {
    // Those three are everybody's.
    if fd <= libc::STDERR_FILENO {
        return Err(io::Error::from_raw_os_error(libc::EBADF));
    }
    // SAFETY: only looked at; a number that stands for nothing is answered with an error.
    let seen = unsafe { BorrowedFd::borrow_raw(fd) };
    let flags = fcntl_getfd(seen)?;
    // All that this program opened by itself is closed before another begins: so it is not ours.
    if flags.contains(FdFlags::CLOEXEC) {
        return Err(io::Error::from_raw_os_error(libc::EBADF));
    }
    fcntl_setfd(seen, FdFlags::CLOEXEC)?;
    // SAFETY: it is open, and nobody in this program has it: whatever is opened here closes on exec
    // from its first moment on, and each number is taken once, since that flag is set now.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_our_own_is_nobodys_to_hand_over() {
        let ours = File::open("/dev/null").unwrap();
        assert!(own(ours.as_raw_fd()).is_err());
        assert!(own(0).is_err() && own(-1).is_err() && own(i32::MAX).is_err());
        let left = rustix::io::fcntl_dupfd_cloexec(&ours, 0).unwrap();
        fcntl_setfd(&left, FdFlags::empty()).unwrap();
        let fd = std::os::fd::IntoRawFd::into_raw_fd(left);
        let taken = own(fd).unwrap();
        assert!(own(fd).is_err(), "twice");
        drop(taken);
    }
}
