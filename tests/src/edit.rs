//! An edit of a file of the checkout that is taken back.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};

use crate::process::{checkout, programs};

/// A file that reads differently until this is dropped. What it held, and what was written over it,
/// is kept beside the build until then, so that a run that was killed is mended by the next one:
/// unless a person has edited the file since, whose work nothing here may touch.
#[derive(Debug)]
pub struct Edit {
    path: PathBuf,
    kept: PathBuf,
    written: PathBuf,
}

impl Edit {
    /// Prepares to edit `file`, a path from the root of the checkout.
    ///
    /// # Errors
    /// When it cannot be read, or what it holds cannot be kept.
    pub fn of(file: &str) -> Result<Self> {
        let path = checkout().join(file);
        let folder = programs()?.join("edits");
        fs::create_dir_all(&folder)?;
        let name = file.replace('/', "+");
        let kept = folder.join(format!("{name}.kept"));
        let written = folder.join(format!("{name}.written"));
        let edit = Self {
            path,
            kept,
            written,
        };
        edit.restore()?;
        fs::copy(&edit.path, &edit.kept)
            .with_context(|| format!("keeping {}", edit.path.display()))?;
        Ok(edit)
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
        let text = text.replacen(from, to, 1);
        fs::write(&self.written, &text)?;
        fs::write(&self.path, text).with_context(|| format!("editing {}", self.path.display()))
    }

    /// Writes what it held at first.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn undo(&self) -> Result<()> {
        let text = fs::read(&self.kept)?;
        fs::write(&self.path, text)
            .with_context(|| format!("restoring {}", self.path.display()))?;
        if self.written.exists() {
            fs::remove_file(&self.written)?;
        }
        Ok(())
    }

    /// Puts back what was kept if the file still reads as it was written here, under a new time:
    /// cargo would take an older file for built already.
    fn restore(&self) -> Result<()> {
        let ours = self.written.exists() && fs::read(&self.path)? == fs::read(&self.written)?;
        if ours {
            self.undo()?;
        }
        for file in [&self.written, &self.kept] {
            if file.exists() {
                fs::remove_file(file)?;
            }
        }
        Ok(())
    }
}

impl Drop for Edit {
    fn drop(&mut self) {
        if let Err(error) = self.restore() {
            eprintln!("{error:#}; its text is in {}", self.kept.display());
        }
    }
}
