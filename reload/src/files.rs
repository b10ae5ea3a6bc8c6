//! Hot reload of files: a value that is always the last good content of a file.
//!
//! ```no_run
//! use warden_reload::files::{Files, Ron};
//!
//! #[derive(Default, serde::Deserialize)]
//! struct Settings {
//!     theme: String,
//! }
//!
//! let files = Files::start();
//! let settings = files.open("settings.ron", Settings::default(), Ron::new());
//! println!("{}", settings.get().theme);
//! let _told = settings.on_change(|change| println!("{} → {}", change.old.theme, change.new.theme));
//! ```
//!
//! Invariants:
//! - All of a file or nothing of it: a value is read and checked whole before anybody sees it, and
//!   stored as one pointer.
//! - A writer is not believed before it closed the file or renamed it into place; where that cannot
//!   be seen, not before the file read the same twice, 500 ms apart.
//! - Whatever is wrong with a file keeps the last good value, is told with line and column, and
//!   ends nothing: the file is watched on.
//! - Nothing is locked while a callback runs.
//!
//! Who writes should write a new file and rename it into place, as [`crate::save`] does: that is
//! live within milliseconds, and no reader of any kind ever sees a half. The one half that cannot be
//! told from a whole is that of a writer who neither cuts the file nor has written before, in the
//! microseconds before the system tells of its first write.
//!
//! Shown on Linux, on its own file systems, on an overlay and on tmpfs. On what else `notify` knows,
//! where no system tells of closed files, everything is read twice; that is untried.

mod echo;
mod env;
mod env_serde;
mod fault;
mod folder;
mod format;
mod hot;
mod inbox;
mod keeper;
mod lookup;
mod native;
mod network;
mod program;
mod read;
mod ron_keys;
mod service;
mod settle;
mod state;
mod subscription;
mod typed;

pub use env::{Entry, Env, EnvMap, EnvOf, entries, quoted};
pub(crate) use fault::place;
pub use fault::{Fault, FaultKind, Problem};
pub use folder::{Listing, Stamp};
pub use format::{Format, Ruled, Rules};
pub use hot::{Change, HotFile};
pub use lookup::folders;
pub use program::{ConfigReloader, NotStarted, get_config_reloader, start_hot_reload};
pub use read::{Loaded, load};
pub(crate) use ron_keys::key_at;
pub use service::Files;
pub use state::{FileState, Reloaded, Watching};
pub use subscription::Subscription;
pub use typed::{Invalid, Ron};
