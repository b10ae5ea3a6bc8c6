//! Who makes a file live, and says so.

use std::path::{Path, PathBuf};

use crate::files::{Env, Format as _, load};

/// Whoever serves the configuration to others.
pub trait Live {
    /// Returns once the file with this content (its SHA-256, in hexadecimal) is live, with the
    /// configuration's generation, if somebody counts them. To be back within seconds.
    ///
    /// # Errors
    /// Why it is not: the promotion is then put back. Must hold no value.
    fn make_live(&self, sha256: &str) -> Result<Option<u64>, String>;
}

/// Where nobody serves the file: who reads it next has it.
#[derive(Clone, Debug)]
pub struct FromFile(PathBuf);

impl FromFile {
    /// Over this file.
    #[must_use]
    pub fn new(env: impl AsRef<Path>) -> Self {
        Self(env.as_ref().to_owned())
    }
}

impl Live for FromFile {
    fn make_live(&self, sha256: &str) -> Result<Option<u64>, String> {
        match load(&self.0, &Env.trusted()) {
            Ok(Some(loaded)) if loaded.sha256 == sha256 => Ok(None),
            Ok(_) => Err("somebody else changed the file in the same moment".to_owned()),
            Err(fault) => Err(fault.to_string()),
        }
    }
}
