//! How what can be reloaded stands, and what came of the operator's actions.

use crate::Text;
use std::sync::Arc;

/// Everything that can be reloaded. The render code comes first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reload {
    /// In the order to show them.
    pub modules: Arc<[Module]>,
}

/// One thing that can be reloaded.
#[derive(Clone, Debug, Default, PartialEq)]
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
    /// A newer file lies there and was not asked for yet.
    pub newer: bool,
    /// Why the last attempt left the running generation in place.
    pub failure: Option<Failure>,
    /// What the stages of the last attempt took, in their order.
    pub timings: Arc<[Timing]>,
}

/// What can be reloaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ModuleKind {
    /// A dynamic library.
    #[default]
    Code,
    /// A theme.
    Theme,
    /// Any other file of settings.
    Settings,
}

/// How a module stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stage {
    /// The compiler runs; for a file, it is read and parsed.
    #[default]
    Build,
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
#[derive(Clone, Debug, Default, PartialEq)]
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
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Timing {
    /// Which stage.
    pub stage: Stage,
    /// Milliseconds.
    pub ms: f32,
}

/// An action of the operator, from the click to what came of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ActionRun {
    /// Grows by one an action.
    pub id: u64,
    /// What it does, for people: `Release root-console on GPU-00`.
    pub title: Text,
    /// What it is done to.
    pub target: Target,
    /// When the operator asked for it.
    pub at_ms: i64,
    /// What came of it.
    pub phase: Phase,
}

/// What an action is done to, so that the row in question can show it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Target {
    /// Nothing in particular.
    #[default]
    None,
    /// Every lease.
    Everything,
    /// One lease.
    Lease(Text),
    /// One request.
    Request(Text),
}

/// What came of an action.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Phase {
    /// Sent, not answered.
    #[default]
    Pending,
    /// Done.
    Done {
        /// When.
        at_ms: i64,
        /// What the broker answered, for people; may be empty.
        said: Text,
    },
    /// Refused, or it could not be sent.
    Refused {
        /// When.
        at_ms: i64,
        /// The stable code; `unreachable` where the broker did not answer.
        code: Text,
        /// What happened and what to do.
        said: Text,
    },
}
