//! How one module stands, for people to look at.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use warden_hot::Migration;

use crate::generation::{Generation, HistoryRow, Timings};
use crate::{Diagnostic, Failure, Stage};

/// How a module stands. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Status {
    /// What runs; none while nothing good does.
    pub running: Option<Arc<Generation>>,
    /// How many builds are mapped. None is ever unmapped.
    pub loaded: u32,
    /// Under way: at which stage, and since when.
    pub stage: Option<(Stage, SystemTime)>,
    /// How far the build has come, while one runs and has said so.
    pub progress: Option<Progress>,
    /// What the compiler said in the last build, errors first.
    pub diagnostics: Arc<[Diagnostic]>,
    /// Why the last attempt did not stand.
    pub failure: Option<Failure>,
    /// What the stages of the last attempt took.
    pub timings: Timings,
    /// What became of the module's memory when the running generation took it over; none where there
    /// was none before.
    pub migration: Option<Arc<Moved>>,
    /// What the running generation has still to prove; none once it is trusted. While it is there
    /// the host asks for frames.
    pub probation: Option<OnProbation>,
    /// What ran and what was refused, the oldest first; of some length at most.
    pub history: Arc<[HistoryRow]>,
    /// A file lies there that was not looked at yet. Known while the module is watched.
    pub newer: bool,
    /// Whether its file is watched.
    pub watch: Watch,
}

/// What became of a module's memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moved {
    /// The generation whose memory it was; none for one from before this process.
    pub from: Option<u32>,
    /// The generation that took it over.
    pub to: u32,
    /// Key by key.
    pub migration: Migration,
}

/// How far a build has come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Crates that are done, those that were there before among them.
    pub done: u32,
    /// Crates in all.
    pub total: u32,
    /// Those that are being compiled.
    pub current: String,
}

/// What a generation has still to prove.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OnProbation {
    /// Frames that it has drawn.
    pub frames: u32,
    /// Frames that it has still to draw.
    pub frames_left: u32,
    /// Time that it has still to run.
    pub time_left: Duration,
    /// Until then, by the clock on the wall.
    pub until: SystemTime,
    /// Slow frames running, by now.
    pub slow: u32,
}

/// What happens when a module's file changes while nobody asked for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Watch {
    /// Nobody looks.
    #[default]
    Off,
    /// [`Status::newer`] is set.
    Light,
    /// It is loaded.
    Reload,
}
