//! What the operator asks for, and what came of it. Draw code pushes [`Action`]s; the host carries
//! them out.

use serde::{Deserialize, Serialize};

use crate::{Text, Watch};

/// One wish of the operator. Destructive ones are pushed only after the operator confirmed them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// End one lease by force.
    Release {
        /// Which lease.
        lease: Text,
    },
    /// End every lease by force.
    ForceAll {
        /// Refuse the waiters too.
        clear_queue: bool,
    },
    /// Cancel a waiting request.
    Cancel {
        /// Which request.
        request: Text,
    },
    /// End what is stale and serve the queue.
    Reset,
    /// Build and load every module of code anew, in the order of their dependencies, and read every
    /// file again: the button's way. The key Ctrl+Alt+R belongs to the host, which must hear it also
    /// while there is no good render code.
    Reload,
    /// Build and load one module anew; for a file, read it again.
    ReloadModule {
        /// A [`crate::Module::name`].
        module: Text,
    },
    /// Stop the build of a module. What runs runs on.
    CancelBuild {
        /// A [`crate::Module::name`].
        module: Text,
    },
    /// Run a former generation that is still loaded.
    RollBack {
        /// A [`crate::Module::name`].
        module: Text,
        /// A [`crate::GenerationRow::number`].
        generation: u32,
    },
    /// What to do from now on when a module's file changes by itself.
    Watch {
        /// A [`crate::Module::name`].
        module: Text,
        /// From now on.
        mode: Watch,
    },
    /// Say whether a module may take new code from now on.
    Allow {
        /// A [`crate::Module::name`].
        module: Text,
        /// From now on.
        allowed: bool,
    },
    /// Save everything, build the whole window program and execute it in place. The broker is a
    /// process of its own and notices nothing.
    WarmRestart,
    /// Stop the build that a warm restart began with. The window runs on as it is.
    CancelRestart,
    /// Use another theme from now on, by the name of its file.
    SetTheme {
        /// A [`crate::ThemeName::id`].
        id: Text,
    },
    /// Say whether a setting could have this value: the answer is in
    /// [`crate::Settings::checked`].
    CheckSetting {
        /// A [`crate::SettingsFile::name`].
        file: Text,
        /// A [`crate::Setting::key`].
        key: Text,
        /// As [`crate::Setting::value`] has it.
        value: Text,
    },
    /// Give a setting this value and save its file.
    SetSetting {
        /// A [`crate::SettingsFile::name`].
        file: Text,
        /// A [`crate::Setting::key`].
        key: Text,
        /// As [`crate::Setting::value`] has it.
        value: Text,
    },
    /// Show a file of settings or a theme in the operator's editor. What is not there yet is made
    /// first, with what holds now.
    EditFile {
        /// A [`crate::Module::name`].
        module: Text,
    },
    /// Put text on the clipboard.
    CopyText {
        /// What to put there.
        text: String,
    },
    /// Show a place in the operator's editor.
    OpenEditor {
        /// As the compiler or the parser named it.
        file: Text,
        /// From 1.
        line: u32,
        /// From 1.
        column: u32,
    },
    /// Forget the result of an action that has ended.
    Dismiss {
        /// A [`crate::ActionRun::id`].
        run: u64,
    },
    /// Try the broker again now instead of after the next pause.
    Retry,
}

/// An action of the operator, from the click to what came of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
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
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
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
