//! What the window remembers between frames, over reloads and over restarts. Scroll positions,
//! focus and text cursors are egui's and live in its own memory.

use serde::{Deserialize, Serialize};

use crate::Layout;

/// What the window remembers. Every field has a default, so that older and newer files are read.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct UiMemory {
    /// What is typed in the filter over queue and holders.
    pub filter: String,
    /// How the queue is sorted.
    pub sort: Sort,
    /// What is selected.
    pub selection: Selection,
    /// Where the panels stand.
    pub layout: Layout,
    /// The dialog that is open.
    pub dialog: Option<Dialog>,
    /// What is typed in the filter over the events.
    pub events_filter: String,
    /// What is unfolded in the reload panel.
    pub reload: ReloadFolds,
    /// What is typed in the command palette; `None` while it is closed.
    pub palette: Option<String>,
    /// What is typed into a setting and not saved yet.
    pub draft: Option<Draft>,
}

/// A setting's value as it is being typed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Draft {
    /// A [`crate::SettingsFile::name`].
    pub file: String,
    /// A [`crate::Setting::key`].
    pub key: String,
    /// What is typed.
    pub text: String,
    /// It was entered, and nothing was typed since.
    pub entered: bool,
}

/// What is unfolded in the reload panel.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ReloadFolds {
    /// Which module is.
    pub module: OpenModule,
    /// Which row of its history is, by [`crate::GenerationRow::attempt`].
    pub attempt: Option<u32>,
    /// Which of the compiler's messages is.
    pub diagnostic: OpenDiagnostic,
    /// Its whole history is shown, not only the newest rows.
    pub whole_history: bool,
}

/// Which module is unfolded in the reload panel.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum OpenModule {
    /// The one that needs the operator most.
    #[default]
    Needy,
    /// This one, by its [`crate::Module::name`].
    Named(String),
    /// None.
    None,
}

/// How the queue is sorted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Sort {
    /// By what.
    pub column: Column,
    /// The largest first.
    pub descending: bool,
}

/// A column of the queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Column {
    /// The turn.
    #[default]
    Place,
    /// The client's name.
    Client,
    /// Smaller is more urgent.
    Priority,
    /// How much it asks for.
    Asks,
    /// How long it has waited.
    Waited,
    /// How long it will go on.
    TimeLeft,
    /// How often it was passed.
    Passed,
    /// Why it waits.
    Why,
}

/// What is selected. It stays selected when its row moves, and is nothing when it ends.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Selection {
    /// Nothing.
    #[default]
    None,
    /// A waiter, by its request id.
    Waiter(String),
    /// A lease, by its id.
    Lease(String),
    /// A GPU, by its id.
    Gpu(String),
}

/// A dialog that is open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Dialog {
    /// The keys.
    Keys,
    /// End this lease?
    Release(String),
    /// End every lease?
    ForceAll {
        /// The box for the waiters is ticked.
        clear_queue: bool,
    },
    /// Cancel this request?
    Cancel(String),
    /// End what is stale?
    Reset,
}

/// Which of the compiler's messages is unfolded in the reload panel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum OpenDiagnostic {
    /// The first error.
    #[default]
    FirstError,
    /// This one, by its place in [`crate::Module::diagnostics`], from 0.
    At(u32),
    /// None.
    None,
}
