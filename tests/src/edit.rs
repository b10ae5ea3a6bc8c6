//! An edit of a file of the checkout that is taken back.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

use crate::process::{checkout, programs};

/// A file that reads differently until this is dropped. What it held is kept beside the build
/// until then, so that a run that was killed is mended by the next one.
#[derive(Debug)]
pub struct Edit {
    path: PathBuf,
    kept: PathBuf,
}

impl Edit {
    /// Prepares to edit `file`, a path from the root of the checkout.
    ///
    /// # Errors
    /// When it cannot be read, or what it holds cannot be kept.
    pub fn of(file: &str) -> Result<Self> {
        let path = checkout().join(file);
        let kept = programs()?.join("edits").join(file.replace('/', "+"));
        if kept.exists() {
            restore(&kept, &path)?;
        }
        fs::create_dir_all(kept.parent().unwrap_or(Path::new(".")))?;
        fs::copy(&path, &kept).with_context(|| format!("keeping {}", path.display()))?;
        Ok(Self { path, kept })
    }

    /// Writes the file with `from` replaced by `to`, counted from what it held at first.
    ///
    /// # Errors
    /// When `from` does not occur in it, or it cannot be written.
    pub fn replace(&self, from: &str, to: &str) -> Result<()> {
        let text = fs::read_to_string(&self.kept)?;
        ensure!(
            text.contains(from),
            "{} has no {from:?} to edit",
            self.path.display()
        );
        fs::write(&self.path, text.replacen(from, to, 1))
            .with_context(|| format!("editing {}", self.path.display()))
    }

    /// Writes what it held at first.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn undo(&self) -> Result<()> {
        let text = fs::read(&self.kept)?;
        fs::write(&self.path, text).with_context(|| format!("restoring {}", self.path.display()))
    }
}

impl Drop for Edit {
    fn drop(&mut self) {
        if let Err(error) = restore(&self.kept, &self.path) {
            eprintln!("{error:#}; its text is in {}", self.kept.display());
        }
    }
}

/// Puts back what was kept, under a new time: cargo would take an older file for built already.
fn restore(kept: &Path, path: &Path) -> Result<()> {
    let text = fs::read(kept)?;
    fs::write(path, text).with_context(|| format!("restoring {}", path.display()))?;
    fs::remove_file(kept)?;
    Ok(())
}
