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
    /// The last one: the file itself, or where there would be one.
    pub is_last: bool,
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
            is_last: left.is_empty(),
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

/// The folders in which somebody could put another file in the place of the one that a path names.
#[must_use]
pub fn folders(path: &Path) -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = Vec::new();
    for step in steps(path) {
        if step.decides && !folders.contains(&step.folder) {
            folders.push(step.folder);
        }
    }
    folders
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn every_folder_is_named_in_which_something_is_looked_up() {
        let folder = tempfile::tempdir().unwrap();
        let real = folder.path().canonicalize().unwrap();
        fs::create_dir_all(real.join("data/1")).unwrap();
        fs::create_dir(real.join("config")).unwrap();
        fs::write(real.join("data/1/file"), "").unwrap();
        symlink("1", real.join("data/now")).unwrap();
        symlink("../data/now/file", real.join("config/file")).unwrap();
        let path = real.join("config/file");
        let within: Vec<(String, bool)> = steps(&path)
            .iter()
            .filter_map(|step| {
                let inside = step.folder.join(&step.name);
                let inside = inside.strip_prefix(&real).ok()?;
                Some((inside.to_str()?.to_owned(), step.decides))
            })
            .filter(|(inside, _)| !inside.is_empty())
            .collect();
        let expected = [
            ("config", false),
            ("config/file", true),
            ("data", false),
            ("data/now", true),
            ("data/1", false),
            ("data/1/file", true),
        ];
        assert_eq!(
            within,
            expected.map(|(path, decides)| (path.to_owned(), decides))
        );
        let decide = [real.join("config"), real.join("data"), real.join("data/1")];
        assert_eq!(folders(&path), decide);
    }

    #[test]
    fn a_loop_and_what_is_not_there_come_to_an_end() {
        let folder = tempfile::tempdir().unwrap();
        symlink("b", folder.path().join("a")).unwrap();
        symlink("a", folder.path().join("b")).unwrap();
        assert!(steps(&folder.path().join("a")).len() > LINKS_MAX);
        let last = steps(&folder.path().join("none/file")).pop().unwrap();
        assert_eq!((last.name.to_str(), last.is_last), (Some("none"), false));
        assert!(!steps(Path::new("relative")).is_empty());
    }
}
