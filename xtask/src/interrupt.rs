//! An end that somebody asks for by a signal, taken so that what was started is ended and what was
//! made is removed: by default a signal ends the process where it stands, and nothing is dropped.
//!
//! The signals are caught and not blocked: a child would inherit that they are blocked, but not that
//! they are caught.

use std::io::{self, PipeReader, Read as _};
use std::os::fd::{IntoRawFd as _, RawFd};
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};

/// INT, TERM and HUP, for as long as the process lives.
#[derive(Debug)]
pub struct Interrupts(Receiver<&'static str>);

impl Interrupts {
    /// From here on those signals end nothing by themselves. To be called once.
    ///
    /// # Errors
    /// Where the system refuses.
    pub fn take() -> Result<Self> {
        let mut signals = catch().context("catching signals")?;
        let (told, interrupts) = channel();
        thread::Builder::new()
            .name("signals".to_owned())
            .spawn(move || {
                while let Ok(name) = next(&mut signals) {
                    // Nobody may want to hear of it any more: it ends nothing all the same.
                    let _ = told.send(name);
                }
            })?;
        Ok(Self(interrupts))
    }

    /// The name of a signal that came within this time, if one did.
    pub fn within(&self, time: Duration) -> Option<&'static str> {
        self.0.recv_timeout(time).ok()
    }
}

const NAMES: [(u8, libc::c_int, &str); 3] = [
    (b'i', libc::SIGINT, "INT"),
    (b't', libc::SIGTERM, "TERM"),
    (b'h', libc::SIGHUP, "HUP"),
];

/// Where the handler tells of a signal; it stays open.
static TELLER: AtomicI32 = AtomicI32::new(-1);

extern "C" fn tell(number: libc::c_int) {
    let teller: RawFd = TELLER.load(Ordering::Relaxed);
    if let Some((letter, ..)) = NAMES.iter().find(|(_, signal, _)| *signal == number) {
        // SAFETY: `write` may be called in a handler, and reads one byte that is there.
        unsafe { libc::write(teller, std::ptr::from_ref(letter).cast(), 1) };
    }
}

fn catch() -> io::Result<PipeReader> {
    let (signals, teller) = io::pipe()?;
    TELLER.store(teller.into_raw_fd(), Ordering::Relaxed);
    for (_, number, _) in NAMES {
        // SAFETY: the handler only writes to a pipe.
        let before = unsafe { libc::signal(number, tell as *const () as libc::sighandler_t) };
        if before == libc::SIG_ERR {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(signals)
}

/// Waits for one of them.
fn next(signals: &mut PipeReader) -> io::Result<&'static str> {
    loop {
        let mut letter = [0];
        signals.read_exact(&mut letter)?;
        if let Some((.., name)) = NAMES.iter().find(|(known, ..)| *known == letter[0]) {
            return Ok(name);
        }
    }
}
