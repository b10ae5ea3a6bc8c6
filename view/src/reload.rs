//! How what can be reloaded stands: what runs, what is under way, what came of the last attempt, and
//! what ran before.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::Text;

/// Everything that can be reloaded. The render code comes first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Reload {
    /// In the order to show them.
    pub modules: Arc<[Module]>,
    /// The warm restart that is under way, or why the last one did not happen.
    pub restart: Option<Restart>,
}

/// A warm restart: the whole window program is built, then executed in place.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Restart {
    /// Since when the program is being built.
    pub since_ms: i64,
    /// How far the build is; `None` once it has ended.
    pub progress: Option<Progress>,
    /// Why it did not happen. All is as it was.
    pub failure: Option<Failure>,
    /// What the compiler said about the program.
    pub diagnostics: Arc<[Diagnostic]>,
}

/// One thing that can be reloaded.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Module {
    /// Its registered name.
    pub name: Text,
    /// What it is.
    pub kind: ModuleKind,
    /// How it stands.
    pub state: ModuleState,
    /// The generation that runs, from 1; 0 while none does.
    pub generation: u32,
    /// How many generations are mapped. Old ones are never unloaded.
    pub loaded: u32,
    /// Since when this generation runs.
    pub since_ms: i64,
    /// The file it is read from.
    pub artifact: Text,
    /// Of that file; empty where it is not taken.
    pub sha256: Text,
    /// Under way: the stage that it is at, and since when.
    pub stage: Option<(Stage, i64)>,
    /// How far the build is, while one is under way.
    pub progress: Option<Progress>,
    /// How a change of the file is noticed, where that is not at once, and why; empty otherwise.
    pub noticed: Text,
    /// A newer file lies there and was not asked for yet.
    pub newer: bool,
    /// What happens when the file changes by itself; `None` where there is nothing to choose, as for
    /// files of settings, which go live when they are saved.
    pub watch: Option<Watch>,
    /// Whether new code may be taken at all; `None` where nobody decides that.
    pub allowed: Option<bool>,
    /// Why the last attempt left the running generation in place.
    pub failure: Option<Failure>,
    /// What the compiler said in the last attempt, errors first. Without an error: its warnings.
    pub diagnostics: Arc<[Diagnostic]>,
    /// What the stages of the last attempt took, in their order. A stage that it never reached is
    /// absent.
    pub timings: Arc<[Timing]>,
    /// What became of the module's own memory at the last swap; `None` before the first one and for
    /// what has no memory of its own.
    pub migration: Option<Migration>,
    /// The running generation must still prove itself.
    pub probation: Option<Probation>,
    /// The newest attempt was refused because what crosses between it and the window differs; a warm
    /// restart would take it.
    pub restart_offered: Option<Mismatch>,
    /// Every attempt that is remembered, the newest first.
    pub history: Arc<[GenerationRow]>,
}

/// How far a build is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Crates that are done, fresh ones included.
    pub done: u32,
    /// Crates in all; 0 while that is not known.
    pub total: u32,
    /// The crate that was begun last; may be empty.
    pub current: Text,
}

/// What happens when a module's file changes by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Watch {
    /// Nothing.
    #[default]
    Off,
    /// [`Module::newer`] lights.
    Light,
    /// It is loaded.
    Reload,
}

/// Something that the compiler said.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnostic {
    /// How bad it is.
    pub level: Level,
    /// One line, without level and place.
    pub title: Text,
    /// The compiler's code, such as `E0308`; may be empty.
    pub code: Text,
    /// File, line and column, from 1, where they are known.
    pub place: Option<(Text, u32, u32)>,
    /// The whole message as the compiler prints it, of several lines, without colours.
    pub rendered: Text,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Level {
    /// Nothing can be built.
    #[default]
    Error,
    /// It can be built.
    Warning,
    /// To be known.
    Note,
}

/// What became of a module's own memory when one generation took over from another.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Migration {
    /// The generation that it came from.
    pub from: u32,
    /// The generation that it went to.
    pub to: u32,
    /// Keys that are as they were.
    pub kept: Arc<[Text]>,
    /// Keys that are not, in their order.
    pub changes: Arc<[Change]>,
}

/// One key of a module's memory that did not stay as it was.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// What happened to it.
    pub fate: Fate,
    /// Its name.
    pub key: Text,
    /// Its value before, as RON on one line; empty where it is new.
    pub old: Text,
    /// Its value since, as RON on one line; empty where it is gone.
    pub new: Text,
    /// Why, where that is not plain: what its new type could not read; may be empty.
    pub why: Text,
}

/// What happened to a key of a module's memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fate {
    /// Its value was carried over into another form.
    #[default]
    Migrated,
    /// It is new, or its old value no longer reads: it has its default.
    Defaulted,
    /// The new generation does not know it.
    Dropped,
}

/// How far a new generation has proved itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probation {
    /// Frames that it has drawn.
    pub frames: u32,
    /// Frames that it must draw.
    pub of_frames: u32,
    /// It ends no sooner.
    pub ends_ms: i64,
    /// Slow frames running. Three take it back.
    pub slow: u32,
}

/// What crosses between the window and a new generation differs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mismatch {
    /// One line for people: what differs.
    pub title: Text,
    /// Each type or part that differs, in its order.
    pub differences: Arc<[Difference]>,
}

/// One difference between what the window was built with and what the new generation was.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// The type, or what else differs: `UiMemory`, `toolkit`, `compiler`.
    pub of: Text,
    /// The field or variant of that type; empty where there is none.
    pub field: Text,
    /// The line of the definition that runs; empty where it has none.
    pub running: Text,
    /// The line of the definition that was refused; empty where it has none.
    pub offered: Text,
}

/// One attempt at a module: a generation, or what never became one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct GenerationRow {
    /// Grows by one an attempt; no two attempts of a module share it.
    pub attempt: u32,
    /// The generation's number, from 1; 0 where it was refused before it got one.
    pub number: u32,
    /// What it is called, for people, such as the subject of its commit; may be empty.
    pub label: Text,
    /// The source's revision, with a `+` where the tree had changes; empty where it is not known.
    pub revision: Text,
    /// Of its file; empty where there was none.
    pub sha256: Text,
    /// When it was loaded or refused.
    pub at_ms: i64,
    /// When its file was written; `None` where there was none.
    pub built_ms: Option<i64>,
    /// How it stands.
    pub state: GenerationState,
    /// It is loaded, and the operator may go back to it.
    pub can_return: bool,
    /// Why it was refused or taken back.
    pub failure: Option<Failure>,
    /// What the compiler said about it: warnings, or why it could not be built.
    pub diagnostics: Arc<[Diagnostic]>,
    /// How far its rehearsal reached, for people: `3 frames in a child process`; empty where it had
    /// none.
    pub rehearsed: Text,
    /// Its file is what the record of its build says. Without a record nobody can tell whether it
    /// changed after it was built.
    pub recorded: bool,
    /// Address space that it holds, in bytes; 0 where it is not loaded.
    pub mapped_bytes: u64,
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum GenerationState {
    /// It runs.
    #[default]
    Running,
    /// It ran, until another took over or the operator went back.
    Former,
    /// It was taken back while it ran.
    RolledBack,
    /// It was taken back, and the same file is refused from now on.
    Quarantined,
    /// It never ran.
    Refused,
}

/// What can be reloaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ModuleKind {
    /// A dynamic library.
    #[default]
    Code,
    /// The broker's own program: a process of its own, which becomes another in place.
    Broker,
    /// A theme.
    Theme,
    /// Any other file of settings.
    Settings,
}

impl ModuleKind {
    /// Whether it is a file that goes live when it is saved.
    #[must_use]
    pub fn is_file(self) -> bool {
        matches!(self, Self::Theme | Self::Settings)
    }
}

/// How a module stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ModuleState {
    /// The newest that was asked for runs.
    #[default]
    Live,
    /// A new generation is on its way.
    Busy,
    /// The last attempt failed; the generation from before runs on.
    Failed,
    /// Nothing good runs.
    Down,
    /// Linked in; it cannot be reloaded.
    Fixed,
}

/// The stages that a generation goes through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stage {
    /// The compiler runs; for a file, it is read and parsed.
    #[default]
    Build,
    /// The watcher has yet to see the file.
    Wait,
    /// The library is mapped.
    Load,
    /// Its manifest is compared.
    Check,
    /// The module's own memory moves over.
    Migrate,
    /// It draws once where nobody sees it.
    Rehearse,
    /// It takes over between two frames.
    Swap,
    /// It must prove itself.
    Probation,
    /// Trusted, and then it failed while it ran.
    Run,
}

/// Why a generation was refused or taken back.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Failure {
    /// Where it failed.
    pub stage: Stage,
    /// When.
    pub at_ms: i64,
    /// One line.
    pub title: Text,
    /// Everything that was said, of several lines.
    pub message: Text,
    /// File, line and column, from 1, where they are known.
    pub place: Option<(Text, u32, u32)>,
}

/// What one stage took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Timing {
    /// Which stage.
    pub stage: Stage,
    /// Milliseconds.
    pub ms: f32,
}
