//! Which commit a build was made from.

use std::path::Path;
use std::process::{Command, Stdio};

/// A commit.
#[derive(Clone, Debug, Default)]
pub(crate) struct Revision {
    /// Its short hash, with a `+` where the tree had changes.
    pub hash: Option<String>,
    /// Its subject; empty where there is none.
    pub subject: String,
}

/// The commit that is checked out in `directory`; nothing where that is outside git, or git is not
/// there.
pub(crate) fn of(directory: &Path) -> Revision {
    let describe = ["describe", "--always", "--exclude=*", "--dirty=+"];
    let Some(hash) = git(directory, &describe) else {
        return Revision::default();
    };
    Revision {
        hash: Some(hash),
        subject: git(directory, &["log", "-1", "--format=%s"]).unwrap_or_default(),
    }
}

fn git(directory: &Path, arguments: &[&str]) -> Option<String> {
    let output = Command::new("git")
        // It must not write the index that somebody works with.
        .arg("--no-optional-locks")
        .args(arguments)
        .current_dir(directory)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let text = text.trim();
    (output.status.success() && !text.is_empty()).then(|| text.to_owned())
}
