//! Why a generation was refused or taken back.

use std::fmt;
use std::time::SystemTime;

use crate::manifest::Difference;

/// What a generation goes through, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// The compiler runs.
    Build,
    /// The file is read and mapped, and its symbols are found.
    Load,
    /// What it was built with is compared with the host's. Done on the file's bytes, before they
    /// are mapped.
    Check,
    /// The module's own state moves from the old generation to the new one.
    Migrate,
    /// The new code runs once where nobody sees it.
    Rehearse,
    /// It takes over, between two frames.
    Swap,
    /// It runs under watch.
    Probation,
    /// It runs. What fails here had been good.
    Trusted,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Build => "build",
            Self::Load => "load",
            Self::Check => "check",
            Self::Migrate => "migrate",
            Self::Rehearse => "rehearse",
            Self::Swap => "swap",
            Self::Probation => "probation",
            Self::Trusted => "trusted",
        })
    }
}

/// A place in a source file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// As the compiler wrote it: relative to the workspace, or whole.
    pub file: String,
    /// From 1.
    pub line: u32,
    /// From 1.
    pub column: u32,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// Why the running generation stays, or why it was taken back.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{module}: {stage} failed: {title}")]
pub struct Failure {
    /// Which module.
    pub module: String,
    /// Where it failed.
    pub stage: Stage,
    /// One line: what happened, and what to do where that is known.
    pub title: String,
    /// Everything that was said, the compiler's own message whole; may be the title again.
    pub message: String,
    /// Where in the source, where that is known.
    pub place: Option<Place>,
    /// When.
    pub at: SystemTime,
    /// No new build helps: what the host itself was built with has changed, so the program has to
    /// be rebuilt and started anew.
    pub needs_restart: bool,
    /// What host and library were not built the same with.
    pub differences: Vec<Difference>,
}

/// A failure before it is known which module and when.
#[derive(Debug)]
pub(crate) struct Fault {
    pub stage: Stage,
    pub title: String,
    pub message: String,
    pub place: Option<Place>,
    pub needs_restart: bool,
    pub differences: Vec<Difference>,
}

impl Fault {
    pub fn new(stage: Stage, title: impl Into<String>) -> Self {
        let title = title.into();
        Self {
            stage,
            message: title.clone(),
            title,
            place: None,
            needs_restart: false,
            differences: Vec::new(),
        }
    }

    pub fn with(mut self, message: String, place: Option<Place>) -> Self {
        self.message = message;
        self.place = place;
        self
    }

    pub fn of(self, module: &str) -> Failure {
        Failure {
            module: module.to_owned(),
            stage: self.stage,
            title: self.title,
            message: self.message,
            place: self.place,
            at: SystemTime::now(),
            needs_restart: self.needs_restart,
            differences: self.differences,
        }
    }
}
