//! What `warden run` says while it waits: one line that is rewritten on a terminal, else a line
//! for each change.

use std::fmt;
use std::io::{self, IsTerminal as _, Write as _, stderr};

/// How wide a terminal is taken for that does not say.
const WIDTH: usize = 80;

/// Standard error, as the place for it.
#[derive(Debug)]
pub struct Progress {
    is_terminal: bool,
    /// The last message, without its clocks.
    last: String,
    is_line_open: bool,
}

impl Progress {
    /// On this process's standard error.
    pub fn new() -> Self {
        Self {
            is_terminal: stderr().is_terminal(),
            last: String::new(),
            is_line_open: false,
        }
    }

    /// Whether figures should run on even where nothing else changes.
    pub fn has_clock(&self) -> bool {
        self.is_terminal
    }

    /// Shows a state; `clock` is what only a terminal is shown, since it changes all the time.
    pub fn show(&mut self, message: &str, clock: &str) {
        if self.is_terminal {
            let width = rustix::termios::tcgetwinsize(stderr())
                .map_or(WIDTH, |size| usize::from(size.ws_col));
            let line = format!("warden: {message}{clock}");
            let line: String = line.chars().take(width.max(20) - 1).collect();
            self.is_line_open = true;
            put(format_args!("\r\x1b[K{line}"));
        } else if self.last != message {
            put(format_args!("warden: {message}\n"));
        }
        message.clone_into(&mut self.last);
    }

    /// Leaves the line as it was before anything was shown.
    pub fn clear(&mut self) {
        if std::mem::take(&mut self.is_line_open) {
            put(format_args!("\r\x1b[K"));
        }
    }

    /// Says something that stays.
    pub fn say(&mut self, message: impl fmt::Display) {
        self.clear();
        put(format_args!("warden: {message}\n"));
    }
}

/// A reader of standard error that has gone away is no reason to stop the command.
fn put(text: fmt::Arguments<'_>) {
    // In one piece: others may be writing there too.
    let _: io::Result<()> = stderr().write_all(text.to_string().as_bytes());
}
