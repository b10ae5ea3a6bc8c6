//! What can be reloaded.

use std::path::PathBuf;

use crate::compile::BuildCommand;

/// A library whose code can be replaced while the program runs.
#[derive(Clone, Debug)]
pub struct HotModule {
    /// Its name, a Rust identifier: `NAME_manifest` and `NAME_schema` are looked for in its file.
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
