//! What is wrong with a file: one sentence, and the place where there is one.

use std::fmt;
use std::path::{Path, PathBuf};

/// Why what a file holds is not taken. The last good value stays live, and watching goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The file, as it was asked for.
    pub path: PathBuf,
    /// What sort of fault.
    pub kind: FaultKind,
    /// From 1, where a line is to blame.
    pub line: Option<u32>,
    /// From 1, in characters.
    pub column: Option<u32>,
    /// What is wrong and what to do about it. Never holds a value of a `.env` file.
    pub message: String,
}

/// The sorts of faults. Their names are stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum FaultKind {
    /// There is nothing in it.
    Empty,
    /// A folder, a pipe, a device or a socket.
    NotAFile,
    /// Larger than such a file may be.
    TooLarge,
    /// Not text.
    NotUtf8,
    /// This process may not read it.
    Unreadable,
    /// Its symbolic links lead nowhere.
    SymlinkLoop,
    /// Others may write it, where that matters.
    Untrusted,
    /// Not of its language.
    Syntax,
    /// Of its language, and yet no value that is allowed.
    Invalid,
    /// The system says no for another reason.
    Io,
}

impl FaultKind {
    /// Its stable name, as logs and interfaces show it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::NotAFile => "not_a_file",
            Self::TooLarge => "too_large",
            Self::NotUtf8 => "not_utf8",
            Self::Unreadable => "unreadable",
            Self::SymlinkLoop => "symlink_loop",
            Self::Untrusted => "untrusted",
            Self::Syntax => "syntax",
            Self::Invalid => "invalid",
            Self::Io => "io",
        }
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// `PATH:LINE:COLUMN: message`, as editors and terminals make a link of it.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.path.display())?;
        if let Some(line) = self.line {
            write!(f, "{line}:")?;
            if let Some(column) = self.column {
                write!(f, "{column}:")?;
            }
        }
        write!(f, " {}", self.message)
    }
}

impl std::error::Error for Fault {}

/// A fault of a text that does not know which file it is from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What sort of fault.
    pub kind: FaultKind,
    /// From 1.
    pub line: Option<u32>,
    /// From 1, in characters.
    pub column: Option<u32>,
    /// What is wrong and what to do about it.
    pub message: String,
}

impl Problem {
    /// One without a place.
    pub fn new(kind: FaultKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            line: None,
            column: None,
            message: message.into(),
        }
    }

    /// The same, there: line and column from 1.
    #[must_use]
    pub fn at(mut self, line: u32, column: u32) -> Self {
        self.line = Some(line);
        self.column = Some(column);
        self
    }

    /// The same, in that file.
    #[must_use]
    pub fn of(self, path: &Path) -> Fault {
        Fault {
            path: path.to_owned(),
            kind: self.kind,
            line: self.line,
            column: self.column,
            message: self.message,
        }
    }
}

/// Line and column, from 1, of a byte of a text.
pub(crate) fn place(text: &str, byte: usize) -> (u32, u32) {
    let before = text.get(..byte).unwrap_or(text);
    let line = before.bytes().filter(|byte| *byte == b'\n').count();
    let column = before.rsplit('\n').next().unwrap_or("").chars().count();
    let from_one = |count: usize| u32::try_from(count + 1).unwrap_or(u32::MAX);
    (from_one(line), from_one(column))
}
