//! What can be reloaded.

use std::path::PathBuf;
use std::time::Duration;

use crate::child::Child;
use crate::compile::BuildCommand;
use crate::rehearse::Rehearse;

/// A library whose code can be replaced while the program runs.
///
/// ```
/// # use warden_reload::HotModule;
/// let module = HotModule {
///     name: "counter".to_owned(),
///     artifact: "target/debug/libcounter.so".into(),
///     delegation_targets: vec!["counter_click".to_owned()],
///     ..HotModule::default()
/// };
/// ```
#[derive(Clone, Debug, Default)]
pub struct HotModule {
    /// Its name, a Rust identifier: `NAME_manifest`, `NAME_schema` and, for a module with memory of
    /// its own, `NAME_memory` are looked for in its file.
    pub name: String,
    /// The library's file, as the build leaves it.
    pub artifact: PathBuf,
    /// How it is built; none where there is no source, and the artifact is taken as it is.
    pub build: Option<BuildCommand>,
    /// The schema of the types that cross, as the host was compiled with it.
    pub schema: &'static str,
    /// What of the host's state the module may change, so that the host puts it back when the
    /// module panics. For people and for the host; nothing here reads it.
    pub state_keys: Vec<String>,
    /// The functions that the host delegates to: symbols that every generation must export.
    pub delegation_targets: Vec<String>,
    /// Modules that are reloaded before this one by `reload_all`.
    pub after: Vec<String>,
    /// Runs new code once where nobody sees it; none where that cannot be done.
    pub rehearse: Option<Rehearse>,
    /// A process that rehearses it first, so that nothing the new code does can harm this one.
    pub paranoid: Option<Child>,
    /// How long a new generation must prove itself.
    pub probation: Probation,
}

/// How long a new generation must prove itself: for both the frames and the time. One that panics
/// meanwhile, or is slow too often in a row, is taken back and its file refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probation {
    /// Frames that it must draw; the host asks for them as long as [`crate::Status::probation`] is
    /// there.
    pub frames: u32,
    /// And so long.
    pub time: Duration,
    /// A frame that takes more of its thread's processor time than this is slow.
    pub slow: Duration,
    /// So many slow frames running are too many.
    pub slow_max: u32,
}

impl Default for Probation {
    fn default() -> Self {
        Self {
            frames: 60,
            time: Duration::from_secs(2),
            slow: Duration::from_millis(100),
            slow_max: 3,
        }
    }
}

/// Why a module was not registered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegisterError {
    /// Another one has that name.
    #[error("a hot module named `{0}` is registered already")]
    Taken(String),
    /// It could be no symbol.
    #[error("`{0}` cannot name a hot module: use letters, digits and underscores")]
    Name(String),
    /// It is to be reloaded after a module that is not registered yet.
    #[error("`{module}` goes after `{missing}`, which is not registered; register that one first")]
    After {
        /// The module to register.
        module: String,
        /// The one that is not there.
        missing: String,
    },
}

impl HotModule {
    pub(crate) fn checked(&self) -> Result<(), RegisterError> {
        let good = !self.name.is_empty()
            && self
                .name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if good {
            Ok(())
        } else {
            Err(RegisterError::Name(self.name.clone()))
        }
    }
}
