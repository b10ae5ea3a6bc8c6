//! The signals that a broker listens for. While one program makes way for another they wait until
//! the next one listens, since until then they would end it as if nobody had cared for them.

use std::fs::File;
use std::future::ready;
use std::io;
use std::sync::OnceLock;
use std::time::Duration;

use libc::{SIGHUP, SIGINT, SIGTERM};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::timeout;

/// Longer than a signal takes to come back that a process sends itself.
const MARK_PATIENCE: Duration = Duration::from_secs(1);

/// Set once somebody listens for them.
static HEARD: OnceLock<()> = OnceLock::new();

/// The signals that a broker listens for.
pub(crate) struct Ears {
    term: Signal,
    int: Signal,
    hangup: Signal,
    /// Sent by ourselves: what came before it has been heard when it is.
    mark: Signal,
    /// It was started in a terminal, and so that it ends with that.
    had_terminal: bool,
}

/// What a signal means.
pub(crate) enum Word {
    End,
    Reload,
}

impl Ears {
    pub(crate) fn open(ignores_hangups: bool) -> io::Result<Self> {
        Ok(Self {
            term: signal(SignalKind::terminate())?,
            int: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            mark: signal(SignalKind::from_raw(mark()))?,
            had_terminal: !ignores_hangups && has_terminal(),
        })
    }

    pub(crate) async fn word(&mut self) -> Word {
        tokio::select! {
            _ = self.term.recv() => Word::End,
            _ = self.int.recv() => Word::End,
            // Sent by somebody, or by a terminal that was closed.
            _ = self.hangup.recv() => match self.had_terminal && !has_terminal() {
                true => Word::End,
                false => Word::Reload,
            },
        }
    }

    /// Returns when it is told to end. Nothing is reloaded before anything serves.
    pub(crate) async fn end(&mut self) {
        while let Word::Reload = self.word().await {}
    }

    /// Whether that was so while nobody listened. Signals reach us by way of the runtime, which tells
    /// of all that have come in the order of their numbers, and the mark's is the highest.
    pub(crate) async fn were_told_to_end(&mut self) -> bool {
        // SAFETY: takes numbers; it is caught, since `mark` is there.
        unsafe { libc::kill(libc::getpid(), mark()) };
        let marked = timeout(MARK_PATIENCE, self.mark.recv());
        if marked.await.is_err() {
            tracing::warn!("signals are slow to come");
        }
        tokio::select! {
            biased;
            () = self.end() => true,
            () = ready(()) => false,
        }
    }
}

/// A signal that nobody else has a use for.
fn mark() -> libc::c_int {
    libc::SIGRTMAX()
}

/// Whether this process has a terminal that is still there.
fn has_terminal() -> bool {
    File::open("/dev/tty").is_ok()
}

/// Lets them wait. Nothing else is held back from here on.
pub(crate) fn hold_back() {
    mask(libc::SIG_SETMASK);
}

/// Takes in those that wait, and all to come.
pub(crate) fn let_through() {
    mask(libc::SIG_UNBLOCK);
}

/// Somebody listens: threads that [`wait_until_heard`] go on.
pub(crate) fn heard() {
    let_through();
    let _ = HEARD.set(());
}

/// What a thread does first: it inherits that signals are held back, and must not pass that on to
/// the programs that it starts.
pub(crate) fn wait_until_heard() {
    HEARD.wait();
    let_through();
}

/// Whether hang-ups are ignored, as `nohup` has it.
pub(crate) fn ignores_hangups() -> bool {
    // SAFETY: `sigaction` is plain data for which zeroes are a value.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: only asks; `action` is there to be written to.
    let asked = unsafe { libc::sigaction(SIGHUP, std::ptr::null(), &raw mut action) };
    asked == 0 && action.sa_sigaction == libc::SIG_IGN
}

/// Async-signal-safe.
fn mask(how: libc::c_int) {
    // SAFETY: a set of signals is plain data, filled before it is used; the calls take it and
    // numbers. They fail only for numbers that there are not.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        for signal in [SIGTERM, SIGINT, SIGHUP] {
            libc::sigaddset(&raw mut set, signal);
        }
        libc::pthread_sigmask(how, &raw const set, std::ptr::null_mut());
    }
}
