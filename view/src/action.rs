//! What the operator asks for. Draw code pushes these; the host carries them out.

use crate::Text;

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
    /// Build and load the render code anew: the button's way. The key Ctrl+Alt+R belongs to the
    /// host, which must hear it also while there is no good render code.
    Reload,
    /// Use another theme from now on, by the name of its file.
    SetTheme {
        /// A [`crate::ThemeName::id`].
        id: Text,
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
