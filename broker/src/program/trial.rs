//! A program on trial: until it serves, whatever ends it begins the one before again, in the same
//! process and with the same sockets.
//!
//! The program before has laid the way back (`handover::Way`), and the one that comes is on it from
//! the first line of its `main`: before it reads its arguments, or what it was handed. An error and a
//! panic are caught as such, an exit wherever it is called. A fault, an abort and a start that never
//! ends come as signals, and of those the handler executes the program before right there. Whoever is
//! begun again is not on trial, so nobody goes back and forth. What nobody can catch is `kill -9`,
//! and a program that ends before its `main`: then the broker has ended as it would have at any other
//! time.

use std::ffi::c_int;
use std::fs::File;
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::os::fd::OwnedFd;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use crate::program::handover::{Call, Way};
use crate::program::launch::Launch;
use crate::program::signals;

/// A start that takes longer has failed.
const DEADLINE_S: u32 = 60;
/// What ends a program that nobody told to end.
const FATAL: [c_int; 6] = [
    libc::SIGSEGV,
    libc::SIGBUS,
    libc::SIGILL,
    libc::SIGFPE,
    libc::SIGABRT,
    libc::SIGALRM,
];

/// What the handlers go by. Set for as long as a trial lasts.
static BACK: AtomicPtr<Launch> = AtomicPtr::new(ptr::null_mut());
/// A thread is on its way already.
static GOING: AtomicBool = AtomicBool::new(false);
/// Of this process, until somebody takes it.
static TRIAL: OnceLock<Mutex<Option<Trial>>> = OnceLock::new();

/// A trial, until it is dropped.
#[derive(Debug)]
pub(crate) struct Trial {
    /// What the program before is told.
    note: File,
    former: Vec<Former>,
    /// The sockets once more, whatever becomes of those that this program has.
    _held: Vec<OwnedFd>,
}

/// What was done at a signal before.
struct Former(c_int, libc::sigaction);

/// Begins the trial of this process, if it is on one. To be called first of all; a second call does
/// nothing.
pub(crate) fn begin() {
    let of_this_process = || {
        let way = Call::of_this_process().ok().flatten()?.way?;
        let begun = Way::take(way).and_then(Trial::begin);
        begun
            .inspect_err(|error| {
                // There is no log yet.
                let _ = writeln!(
                    io::stderr(),
                    "warden: the new program starts without a way back: {error}"
                );
            })
            .ok()
    };
    TRIAL.get_or_init(|| Mutex::new(of_this_process()));
}

/// The trial of this process, for the one who asks first.
pub(crate) fn take() -> Option<Trial> {
    begin();
    let mut trial = TRIAL.get()?.lock().unwrap_or_else(PoisonError::into_inner);
    trial.take()
}

impl Trial {
    /// Begins one, that leads back by this way.
    pub(crate) fn begin(way: Way) -> io::Result<Self> {
        let back = Launch::lay_out(
            &way.program,
            &way.arguments,
            &way.note,
            None,
            way.descriptors(),
        )?;
        BACK.store(Box::into_raw(Box::new(back)), Ordering::SeqCst);
        let trial = Self {
            note: way.note.into(),
            former: FATAL.iter().filter_map(|&signal| catch(signal)).collect(),
            _held: way.sockets,
        };
        // SAFETY: takes a function, which is there as long as the program is.
        unsafe { libc::atexit(at_exit) };
        // SAFETY: takes a number.
        unsafe { libc::alarm(DEADLINE_S) };
        Ok(trial)
    }

    /// It cannot serve, and said this. Returns only where the one before cannot be begun again
    /// either.
    pub(crate) fn go_back(mut self, said: &str) -> io::Error {
        // The program before makes do without, where this cannot be written.
        let _ = self.note.seek(SeekFrom::End(0));
        let _ = self.note.write_all(said.as_bytes());
        signals::hold_back();
        if GOING.swap(true, Ordering::SeqCst) {
            wait_for_exec();
        }
        let back = BACK.load(Ordering::SeqCst);
        // SAFETY: what `BACK` points to is never freed, and only one thread comes here.
        unsafe { back.as_ref().map(|back| go(back, 0)) };
        let error = io::Error::last_os_error();
        self.rest();
        signals::let_through();
        error
    }

    fn rest(&mut self) {
        // SAFETY: takes a number.
        unsafe { libc::alarm(0) };
        for Former(signal, former) in self.former.drain(..) {
            // SAFETY: what `sigaction` itself gave.
            unsafe { libc::sigaction(signal, &raw const former, ptr::null_mut()) };
        }
        // It is never freed: another thread may be in a handler with it, whatever is installed by
        // now. A process has one trial, so there is one at most.
        BACK.store(ptr::null_mut(), Ordering::SeqCst);
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        self.rest();
    }
}

/// Has the way back taken at this signal; says what was done at it before.
fn catch(signal: c_int) -> Option<Former> {
    // SAFETY: `sigaction` is plain data for which zeroes are a value.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: as above.
    let mut former: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = at_signal as extern "C" fn(c_int) as libc::sighandler_t;
    // A stack that overflowed is no place to run on. Once only: a fault in here is the end.
    action.sa_flags = libc::SA_ONSTACK | libc::SA_RESETHAND;
    // SAFETY: both point to values of their type; the handler calls nothing but what may be called
    // in one.
    let caught = unsafe { libc::sigaction(signal, &raw const action, &raw mut former) };
    (caught == 0).then_some(Former(signal, former))
}

extern "C" fn at_signal(signal: c_int) {
    take_way_back(signal);
    // SAFETY: ends this process, as nobody else will.
    unsafe { libc::_exit(128 + signal) };
}

/// Goes on with the exit where there is no way back, or none any more.
extern "C" fn at_exit() {
    if !BACK.load(Ordering::SeqCst).is_null() {
        take_way_back(0);
    }
}

/// Returns where there is none. Async-signal-safe.
fn take_way_back(signal: c_int) {
    const WORDS: &[u8] = b"warden: the new program has failed; the one before goes on\n";
    if GOING.swap(true, Ordering::SeqCst) {
        wait_for_exec();
    }
    let back = BACK.load(Ordering::SeqCst);
    // SAFETY: what `BACK` points to is never freed, and nobody else writes to it: only one thread
    // comes here. All calls are async-signal-safe.
    unsafe {
        if let Some(back) = back.as_ref() {
            libc::write(libc::STDERR_FILENO, WORDS.as_ptr().cast(), WORDS.len());
            signals::hold_back();
            go(back, signal);
        }
    }
}

/// # Safety
/// As of [`Launch::execute`].
unsafe fn go(back: &Launch, signal: c_int) {
    // SAFETY: takes a number; then what our callers see to.
    unsafe {
        libc::alarm(0);
        back.execute(signal);
    }
}

/// Another thread's exec ends this one.
fn wait_for_exec() -> ! {
    loop {
        // SAFETY: waits, and touches nothing.
        unsafe { libc::pause() };
    }
}

impl std::fmt::Debug for Former {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Former").field(&self.0).finish()
    }
}
