//! Which folders a path is looked up in: whatever is renamed, replaced or made in one of them may
//! make the path name another file.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs;
use std::path::{Component, Path, PathBuf};

/// As many symbolic links as Linux follows.
const LINKS_MAX: usize = 40;

/// One name that is looked up on the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    /// A real folder, no link in its path.
    pub folder: PathBuf,
    /// What is looked up there.
    pub name: OsString,
    /// Whether it decides which file is read: the file itself, or a link.
    pub decides: bool,
}

/// Every name that is looked up, in order, as far as there is something.
pub(crate) fn steps(path: &Path) -> Vec<Step> {
    let Ok(path) = std::path::absolute(path) else {
        return Vec::new();
    };
    let mut steps = Vec::new();
    let mut left: VecDeque<OsString> = VecDeque::new();
    let mut at = PathBuf::new();
    begin(&path, &mut at, &mut left);
    let mut links = 0;
    while let Some(name) = left.pop_front() {
        if name == ".." {
            at.pop();
            continue;
        }
        let whole = at.join(&name);
        let mut step = Step {
            folder: at.clone(),
            name,
            decides: left.is_empty(),
        };
        let target = fs::symlink_metadata(&whole).and_then(|metadata| {
            if metadata.is_symlink() {
                fs::read_link(&whole).map(Some)
            } else {
                Ok(None)
            }
        });
        step.decides |= matches!(target, Ok(Some(_)));
        steps.push(step);
        match target {
            Ok(None) => at = whole,
            Ok(Some(_)) if links == LINKS_MAX => break,
            Ok(Some(target)) => {
                links += 1;
                begin(&target, &mut at, &mut left);
            }
            Err(_) => break,
        }
    }
    steps
}

/// Puts the parts of a path before what is left, and starts at its root if it has one.
fn begin(path: &Path, at: &mut PathBuf, left: &mut VecDeque<OsString>) {
    let mut names = Vec::new();
    let mut root = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Prefix(_) | Component::RootDir => root.push(component),
            Component::CurDir => {}
            Component::ParentDir => names.push(OsString::from("..")),
            Component::Normal(name) => names.push(name.to_owned()),
        }
    }
    if !root.as_os_str().is_empty() {
        *at = root;
    }
    for name in names.into_iter().rev() {
        left.push_front(name);
    }
}

/// The folders in which somebody could put another file in its place.
pub(crate) fn folders(path: &Path) -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = Vec::new();
    for step in steps(path) {
        if step.decides && !folders.contains(&step.folder) {
            folders.push(step.folder);
        }
    }
    folders
}
