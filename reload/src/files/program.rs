//! One `.env` file for a whole program, for those who want no more than that:
//!
//! ```no_run
//! # fn main() -> Result<(), warden_reload::files::NotStarted> {
//! use warden_reload::files::{get_config_reloader, start_hot_reload};
//!
//! start_hot_reload("/etc/program.env")?;
//! let reloader = get_config_reloader()?;
//! reloader.register_callback(|old, new| println!("{} keys, then {}", old.len(), new.len()));
//! reloader.on_key("RAG_CHUNK_SIZE", |_, new| println!("chunks of {new:?}"));
//! # Ok(())
//! # }
//! ```

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use super::env::{Env, EnvMap};
use super::fault::Fault;
use super::format::Format as _;
use super::hot::HotFile;
use super::service::Files;
use super::state::{FileState, Reloaded};

static PROGRAM: OnceLock<ConfigReloader> = OnceLock::new();

/// The configuration of this program. Clones are the same.
#[derive(Clone, Debug)]
pub struct ConfigReloader {
    file: HotFile<EnvMap>,
}

/// Why there is no [`ConfigReloader`] to be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotStarted {
    /// Nobody started it.
    #[error("the configuration is not watched yet: call `start_hot_reload` first")]
    NotYet,
    /// Somebody did, and for another file.
    #[error("the configuration of this program is {} already, so {} cannot be it too", already.display(), asked.display())]
    Other {
        /// The one that is watched.
        already: PathBuf,
        /// The one that was asked for.
        asked: PathBuf,
    },
}

/// Watches this `.env` file for the whole program, from now to its end. Again for the same file, it
/// is the same reloader. The file need not exist, nor be good; what others could have written is
/// refused.
///
/// # Errors
/// The program watches another file already.
pub fn start_hot_reload(path: impl AsRef<Path>) -> Result<ConfigReloader, NotStarted> {
    let path = path.as_ref();
    let reloader = PROGRAM.get_or_init(|| ConfigReloader {
        file: Files::start().open(path, EnvMap::default(), Env.trusted()),
    });
    match reloader.file.path() {
        same if same == path => Ok(reloader.clone()),
        already => Err(NotStarted::Other {
            already: already.to_owned(),
            asked: path.to_owned(),
        }),
    }
}

/// What [`start_hot_reload`] started.
///
/// # Errors
/// Nobody started it.
pub fn get_config_reloader() -> Result<ConfigReloader, NotStarted> {
    PROGRAM.get().cloned().ok_or(NotStarted::NotYet)
}

impl ConfigReloader {
    /// The live configuration. Never waits.
    #[must_use]
    pub fn get(&self) -> Arc<EnvMap> {
        self.file.get()
    }

    /// How the file stands.
    #[must_use]
    pub fn state(&self) -> Arc<FileState> {
        self.file.state()
    }

    /// Calls back with the old and the new configuration after each change, to the end of the
    /// program.
    pub fn register_callback(&self, call: impl Fn(&EnvMap, &EnvMap) + Send + Sync + 'static) {
        let call = self
            .file
            .on_change(move |change| call(&change.old, &change.new));
        call.detach();
    }

    /// Calls back with the old and the new value when this key changes, to the end of the program.
    pub fn on_key(
        &self,
        key: impl Into<String>,
        call: impl Fn(Option<&str>, Option<&str>) + Send + Sync + 'static,
    ) {
        self.file.on_key(key, call).detach();
    }

    /// Reads the file now.
    ///
    /// # Errors
    /// Why what it holds is not taken. The last good configuration stays.
    pub fn force_reload(&self) -> Result<Reloaded, Fault> {
        self.file.force_reload()
    }

    /// The file itself, for subscriptions that end and for what else it can do.
    #[must_use]
    pub fn file(&self) -> &HotFile<EnvMap> {
        &self.file
    }
}
