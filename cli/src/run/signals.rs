//! The signals that `warden run` passes on.
//!
//! Each is counted, in order: a handler writes its number into a pipe. A stream of "it came at
//! least once", as runtimes have it, would merge one that was sent to the whole group (and has
//! reached the command) with one that was sent to us alone right after it (and has not).

use std::collections::VecDeque;
use std::io::{self, PipeWriter};
use std::os::fd::{AsRawFd as _, RawFd};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI32, Ordering};

use rustix::process::Signal;
use tokio::net::unix::pipe;

/// What reaches the command, and what asks for an end while there is none yet.
const PASSED: [Signal; 9] = [
    Signal::TERM,
    Signal::INT,
    Signal::HUP,
    Signal::QUIT,
    Signal::USR1,
    Signal::USR2,
    Signal::WINCH,
    Signal::TSTP,
    Signal::CONT,
];

/// Where the handler writes; held open as long as the process lives, since a handler may run at
/// any time.
static WRITER: OnceLock<PipeWriter> = OnceLock::new();
static WRITER_FD: AtomicI32 = AtomicI32::new(-1);

/// Signals sent to this process, one after the other.
#[derive(Debug)]
pub struct Signals {
    pipe: pipe::Receiver,
    /// Read and not taken yet; no more than one read gives.
    ready: VecDeque<Signal>,
}

impl Signals {
    /// Listens to all of [`PASSED`] but those that whoever started us wants ignored (`nohup`): the
    /// command inherits that wish. Once a process; in a runtime.
    pub fn listen() -> io::Result<Self> {
        let (reader, writer) = io::pipe()?;
        // A full pipe holds thousands of signals that nobody has looked at: the handler must not
        // wait for room there.
        rustix::io::ioctl_fionbio(&writer, true)?;
        let writer = WRITER.get_or_init(|| writer);
        WRITER_FD.store(writer.as_raw_fd(), Ordering::Release);
        for signal in PASSED {
            if !is_ignored(signal)? {
                handle(signal)?;
            }
        }
        unblock()?;
        Ok(Self {
            pipe: pipe::Receiver::from_owned_fd(reader.into())?,
            ready: VecDeque::new(),
        })
    }

    /// The next signal. Dropping the future loses none.
    pub async fn next(&mut self) -> Signal {
        loop {
            if let Some(signal) = self.ready.pop_front() {
                return signal;
            }
            let readable = self.pipe.readable().await;
            if let Err(error) = readable.and_then(|()| self.read()) {
                // The pipe is ours at both ends, so this is the system's failure; the command runs
                // on, and KILL still ends both.
                tracing::error!(%error, "signals can no longer be heard");
                std::future::pending::<()>().await;
            }
        }
    }

    /// Whether a later signal has made this one void: a stop undoes the continuation before it, and
    /// the other way round, as the kernel has it for those that it has not delivered yet.
    pub fn is_undone(&mut self, signal: Signal) -> bool {
        // What cannot be read now will be complained of by `next`.
        let _ = self.read();
        let undoer = match signal {
            Signal::CONT => Signal::TSTP,
            Signal::TSTP => Signal::CONT,
            _ => return false,
        };
        self.ready.contains(&undoer)
    }

    fn read(&mut self) -> io::Result<()> {
        let mut numbers = [0; 64];
        let count = match self.pipe.try_read(&mut numbers) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            read => read?,
        };
        for number in &numbers[..count] {
            let sent = PASSED
                .iter()
                .find(|signal| signal.as_raw() == i32::from(*number));
            self.ready.extend(sent);
        }
        Ok(())
    }
}

/// Whether a signal asks a program to end.
pub fn is_end(signal: Signal) -> bool {
    [Signal::TERM, Signal::INT, Signal::HUP, Signal::QUIT].contains(&signal)
}

/// Runs in a signal handler: reads an atomic, makes one system call, leaves `errno` as it was.
extern "C" fn report(number: libc::c_int) {
    let fd: RawFd = WRITER_FD.load(Ordering::Acquire);
    let byte = number as u8;
    // SAFETY: `write` may be called in a handler, and reads one byte that lives through the call;
    // errno's location is this thread's own.
    unsafe {
        let errno = errno_location();
        let before = *errno;
        libc::write(fd, std::ptr::from_ref(&byte).cast(), 1);
        *errno = before;
    }
}

#[cfg(target_os = "linux")]
unsafe fn errno_location() -> *mut libc::c_int {
    // SAFETY: always allowed; points to this thread's errno.
    unsafe { libc::__errno_location() }
}

#[cfg(not(target_os = "linux"))]
unsafe fn errno_location() -> *mut libc::c_int {
    // SAFETY: always allowed; points to this thread's errno.
    unsafe { libc::__error() }
}

fn handle(signal: Signal) -> io::Result<()> {
    // SAFETY: a sigaction of zeros is a valid one without flags and with an empty mask.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    let handler: extern "C" fn(libc::c_int) = report;
    action.sa_sigaction = handler as libc::sighandler_t;
    action.sa_flags = libc::SA_RESTART;
    // SAFETY: the action is valid, and its handler does only what handlers may.
    let set = unsafe { libc::sigaction(signal.as_raw(), &raw const action, std::ptr::null_mut()) };
    match set {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Lets through what whoever started us may have had blocked, the ends of children included: for
/// this thread, which is where handlers run then.
fn unblock() -> io::Result<()> {
    let mut set = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: the set is initialised first, and all numbers are those of signals.
    let failed = unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        for signal in PASSED.iter().chain([&Signal::CHILD]) {
            libc::sigaddset(set.as_mut_ptr(), signal.as_raw());
        }
        libc::pthread_sigmask(libc::SIG_UNBLOCK, set.as_ptr(), std::ptr::null_mut())
    };
    match failed {
        0 => Ok(()),
        number => Err(io::Error::from_raw_os_error(number)),
    }
}

fn is_ignored(signal: Signal) -> io::Result<bool> {
    let mut action = std::mem::MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: with no new action this only writes the present one to memory that is large enough.
    let got = unsafe { libc::sigaction(signal.as_raw(), std::ptr::null(), action.as_mut_ptr()) };
    if got != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call succeeded, so it has written the action.
    Ok(unsafe { action.assume_init() }.sa_sigaction == libc::SIG_IGN)
}
