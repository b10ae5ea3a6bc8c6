//! Executing a program with all that it is to have, laid out beforehand: it is done where nothing may
//! be allocated, in a child that was just forked, and in a signal handler.

use std::ffi::{CString, OsString, c_char, c_int};
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd, RawFd};
use std::os::unix::ffi::OsStringExt as _;
use std::path::Path;
use std::ptr;

use crate::program::handover::VARIABLE;

/// Digits of a process's number in the variable.
const PID_DIGITS: usize = 10;

/// A program to execute, the environment that this process has but for [`VARIABLE`], and what goes
/// with it.
pub(super) struct Launch {
    program: CString,
    arguments: Vec<*const c_char>,
    environment: Vec<*const c_char>,
    /// The text in it that says what is handed over.
    variable: *mut c_char,
    /// In that: [`PID_DIGITS`] for the process, and two for the signal.
    pid: *mut u8,
    signal: *mut u8,
    descriptors: Vec<RawFd>,
    _texts: Vec<CString>,
}

// SAFETY: its pointers lead to what it owns itself; only `execute` writes there, and that asks its
// callers to be one at a time.
unsafe impl Send for Launch {}
// SAFETY: as above.
unsafe impl Sync for Launch {}

impl Drop for Launch {
    fn drop(&mut self) {
        // SAFETY: from `into_raw`, of the same length still, and not used after this.
        drop(unsafe { CString::from_raw(self.variable) });
    }
}

impl Launch {
    /// Of `program`, which reads `note` and, where it is on trial, `way`.
    pub(super) fn lay_out(
        program: &Path,
        arguments: &[OsString],
        note: &OwnedFd,
        way: Option<&OwnedFd>,
        descriptors: Vec<RawFd>,
    ) -> io::Result<Self> {
        let text = |text: OsString| CString::new(text.into_vec()).map_err(io::Error::other);
        let program = text(program.as_os_str().to_owned())?;
        let arguments = arguments.iter().cloned().map(text);
        let arguments: Vec<CString> = arguments.collect::<io::Result<_>>()?;
        let inherited = std::env::vars_os().filter(|(name, _)| name != VARIABLE);
        let inherited = inherited.map(|(mut line, value)| {
            line.push("=");
            line.push(value);
            text(line)
        });
        let inherited: Vec<CString> = inherited.collect::<io::Result<_>>()?;
        let head = format!("{VARIABLE}={:0PID_DIGITS$}:{}:", 0, note.as_raw_fd());
        let tail = way.map_or_else(String::new, |way| format!(":{}", way.as_raw_fd()));
        let variable = text(format!("{head}00{tail}").into())?.into_raw();
        let start = variable.cast::<u8>();
        // SAFETY: both are within the text, which is longer than its head.
        let (pid, signal) = unsafe { (start.add(VARIABLE.len() + 1), start.add(head.len())) };
        let pointers = |texts: &[CString], last: &[*const c_char]| -> Vec<*const c_char> {
            let texts = texts.iter().map(|text| text.as_ptr());
            texts.chain(last.iter().copied()).collect()
        };
        Ok(Self {
            program,
            environment: pointers(&inherited, &[variable.cast_const(), ptr::null()]),
            arguments: pointers(&arguments, &[ptr::null()]),
            variable,
            pid,
            signal,
            descriptors,
            _texts: arguments.into_iter().chain(inherited).collect(),
        })
    }

    /// Becomes the program, which is told that `signal` ended the one before; 0 for none. Returns
    /// only where that failed, with the system's error number set, and the descriptors open for
    /// whatever else is executed.
    ///
    /// # Safety
    /// Nobody else is in here with the same value. It may be called after a fork and in a signal
    /// handler: it allocates nothing, takes no lock and calls only what is async-signal-safe.
    pub(super) unsafe fn execute(&self, signal: c_int) {
        // SAFETY: takes nothing.
        let mut pid = unsafe { libc::getpid() }.unsigned_abs();
        for place in (0..PID_DIGITS).rev() {
            // SAFETY: so many digits are there, and nobody reads them meanwhile.
            unsafe { self.pid.add(place).write(digit(pid)) };
            pid /= 10;
        }
        let signal = signal.unsigned_abs();
        // SAFETY: the same for these two.
        unsafe {
            self.signal.write(digit(signal / 10));
            self.signal.add(1).write(digit(signal));
        }
        for &fd in &self.descriptors {
            // SAFETY: takes numbers; one that stands for nothing is answered with an error.
            unsafe { libc::fcntl(fd, libc::F_SETFD, 0) };
        }
        // SAFETY: texts that end in a zero byte, and lists of them that end in a null pointer.
        unsafe {
            libc::execve(
                self.program.as_ptr(),
                self.arguments.as_ptr(),
                self.environment.as_ptr(),
            );
        }
    }
}

/// The last one of a number.
fn digit(number: u32) -> u8 {
    b"0123456789"[number as usize % 10]
}
