//! Telling a signal that was sent to this process alone from one that was sent to its whole group.
//!
//! The command runs in our process group, as a shell's child would: so pipelines, the terminal and
//! job control work as without us. What a terminal (Ctrl+C, Ctrl+Z, a hang-up, a new size) or a
//! shell (`kill %1`, `fg`) sends to the group has then reached the command already and must not be
//! passed on; what `kill PID` sends to us alone must be. The sender's pid and the signal's code do
//! not tell: a shell's `kill -TERM -GROUP` looks like `kill -TERM PID`.
//!
//! So on Linux there is a witness: a child in the group that blocks every signal, takes each by
//! `sigwaitinfo`, reports its number through a pipe and does nothing else. A signal that both got
//! was the group's. It dies with us (`PR_SET_PDEATHSIG`).

use std::io;
use std::time::Duration;

use rustix::process::{Pid, Signal};
use tokio::net::unix::pipe;
use tokio::time::{Instant, timeout_at};

/// How long the kernel may take to reach the rest of the group, and how often it is looked whether
/// the witness is still about to report.
const STEP: Duration = Duration::from_millis(20);
/// How often that is looked: on a busy machine the witness may not be scheduled for a while.
const STEPS: u32 = 50;
/// How long a report may stand before the signal that it belongs to. Equal signals may merge in
/// one process and not in the other; what is left over must not be taken for a later one's.
const VALID: Duration = Duration::from_millis(100);

/// The witness, and what it has reported.
#[derive(Debug)]
pub struct Witness {
    pid: Pid,
    is_reaped: bool,
    pipe: pipe::Receiver,
    seen: Vec<(u8, Instant)>,
}

impl Witness {
    /// Starts one. Must be called on the thread that lives longest, in a runtime.
    pub fn start() -> io::Result<Self> {
        let (reader, writer) = io::pipe()?;
        let pipe = pipe::Receiver::from_owned_fd(reader.into())?;
        let pid = child::fork(&writer)?;
        Ok(Self {
            pid,
            is_reaped: false,
            pipe,
            seen: Vec::new(),
        })
    }

    /// Its number.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// It has ended and was reaped: its number may be another process's by now.
    pub fn forget(mut self) {
        self.is_reaped = true;
    }

    /// Whether a signal that reached this process just now reached its whole group.
    pub async fn saw(&mut self, signal: Signal) -> bool {
        let Ok(number) = u8::try_from(signal.as_raw()) else {
            return false;
        };
        self.seen.retain(|(_, at)| at.elapsed() < VALID);
        for _ in 0..STEPS {
            if self.take(number) {
                return true;
            }
            let deadline = Instant::now() + STEP;
            let is_there = loop {
                match timeout_at(deadline, self.read()).await {
                    Ok(true) if self.take(number) => return true,
                    Ok(true) => {}
                    Ok(false) => return false,
                    Err(_) => break child::is_at_work(self.pid, number),
                }
            };
            if !is_there {
                // It may have reported between the two looks.
                let _ = timeout_at(Instant::now(), self.read()).await;
                return self.take(number);
            }
        }
        false
    }

    fn take(&mut self, number: u8) -> bool {
        let at = self.seen.iter().position(|(seen, _)| *seen == number);
        at.map(|at| self.seen.swap_remove(at)).is_some()
    }

    /// Takes in what was reported; false once nothing will be.
    async fn read(&mut self) -> bool {
        let mut numbers = [0; 64];
        loop {
            if self.pipe.readable().await.is_err() {
                return false;
            }
            match self.pipe.try_read(&mut numbers) {
                Ok(0) => return false,
                Ok(count) => {
                    let now = Instant::now();
                    self.seen
                        .extend(numbers[..count].iter().map(|number| (*number, now)));
                    return true;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return false,
            }
        }
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        if self.is_reaped {
            return;
        }
        // It ends with us in any case; this only spares whoever looks a moment's wonder.
        let _ = rustix::process::kill_process(self.pid, Signal::KILL);
        let _ = rustix::process::waitpid(Some(self.pid), rustix::process::WaitOptions::empty());
    }
}

#[cfg(target_os = "linux")]
mod child {
    use std::io::{self, PipeWriter};
    use std::mem::MaybeUninit;
    use std::os::fd::AsRawFd as _;

    use rustix::process::Pid;

    pub(super) fn fork(writer: &PipeWriter) -> io::Result<Pid> {
        let parent = std::process::id();
        let fd = writer.as_raw_fd();
        let all = every_signal();
        let mut before = MaybeUninit::uninit();
        // SAFETY: both sets are valid for the call; blocking before the fork means that no handler
        // of ours ever runs in the witness.
        let blocked =
            unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &all, before.as_mut_ptr()) };
        if blocked != 0 {
            return Err(io::Error::from_raw_os_error(blocked));
        }
        // SAFETY: the child calls only `watch`, which makes system calls and allocates nothing, so
        // that it does not matter what other threads held at this moment.
        let forked = unsafe { libc::fork() };
        if forked == 0 {
            // SAFETY: this is the child of a fork with every signal blocked, as it asks for.
            unsafe { watch(fd, parent, &all) }
        }
        let failed = io::Error::last_os_error();
        // SAFETY: the first call has written the set.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), std::ptr::null_mut()) };
        Pid::from_raw(forked).filter(|_| forked > 0).ok_or(failed)
    }

    fn every_signal() -> libc::sigset_t {
        let mut set = MaybeUninit::uninit();
        // SAFETY: `sigfillset` writes the whole set and cannot fail on a valid pointer.
        unsafe {
            libc::sigfillset(set.as_mut_ptr());
            set.assume_init()
        }
    }

    /// # Safety
    /// Only in the child of a fork, with every signal of `all` blocked.
    unsafe fn watch(fd: libc::c_int, parent: u32, all: &libc::sigset_t) -> ! {
        // SAFETY: system calls on values that outlive them; the descriptors that are closed belong
        // to this process alone, and nothing in it uses them again.
        unsafe {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            libc::prctl(libc::PR_SET_NAME, c"warden-witness".as_ptr());
            if libc::getppid() as u32 != parent {
                libc::_exit(0);
            }
            // It must hold no pipe, terminal or socket open that others wait to see closed.
            if fd > 0 {
                libc::syscall(libc::SYS_close_range, 0, fd - 1, 0);
            }
            libc::syscall(libc::SYS_close_range, fd + 1, libc::c_int::MAX, 0);
            loop {
                let number = libc::sigwaitinfo(all, std::ptr::null_mut());
                let byte = number as u8;
                if number > 0 && libc::write(fd, std::ptr::from_ref(&byte).cast(), 1) < 0 {
                    libc::_exit(0);
                }
            }
        }
    }

    /// Whether the witness has a signal that it has not reported: not taken yet, or it is running,
    /// which it does for no other reason.
    pub(super) fn is_at_work(witness: Pid, number: u8) -> bool {
        let path = format!("/proc/{}/status", witness.as_raw_nonzero());
        let status = std::fs::read_to_string(path).unwrap_or_default();
        let field = |name| {
            status
                .lines()
                .find_map(|line| line.strip_prefix(name))
                .map(str::trim)
        };
        let pending = field("ShdPnd:").and_then(|hex| u64::from_str_radix(hex, 16).ok());
        let is_pending = pending.is_some_and(|bits| bits >> (number - 1) & 1 == 1);
        is_pending || field("State:").is_some_and(|state| state.starts_with('R'))
    }
}

#[cfg(not(target_os = "linux"))]
mod child {
    use std::io::{self, PipeWriter};

    use rustix::process::Pid;

    /// Elsewhere nothing would end the witness with us, so there is none.
    pub(super) fn fork(_writer: &PipeWriter) -> io::Result<Pid> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(super) fn is_at_work(_witness: Pid, _number: u8) -> bool {
        false
    }
}
