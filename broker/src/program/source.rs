//! The program on disk: where it lies, and whether what lies there may be taken.

use std::env;
use std::ffi::OsStr;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use warden_reload::files;

use crate::program::Fault;

/// The file that this process was started from, as it was called: a symbolic link in that path may
/// lead to another file one day, and that is then the program on disk.
pub(crate) fn of_this_process() -> io::Result<PathBuf> {
    let running = fs::metadata("/proc/self/exe")?;
    let exact = fs::read_link("/proc/self/exe")?;
    let name = env::args_os().next().unwrap_or_default();
    let called = if Path::new(&name).components().count() > 1 {
        std::path::absolute(&name).ok()
    } else {
        in_path(&name)
    };
    let is_it = |path: &PathBuf| fs::metadata(path).is_ok_and(|found| is_same(&found, &running));
    Ok(called.filter(is_it).unwrap_or(exact))
}

fn in_path(name: &OsStr) -> Option<PathBuf> {
    let folders = env::var_os("PATH")?;
    let mut paths = env::split_paths(&folders).map(|folder| folder.join(name));
    paths.find(|path| path.is_absolute() && path.is_file())
}

fn is_same(one: &Metadata, other: &Metadata) -> bool {
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

/// Opens what lies at `path`, if nobody else could have put it there: the file, and each folder in
/// which somebody could have put another one in its place, belongs to this user or root, and nobody
/// else may write it. What is opened is what was looked at, whatever becomes of the path.
pub(crate) fn open(path: &Path) -> Result<File, Fault> {
    let fault = |stage: &'static str, message: String| Fault {
        stage,
        path: path.to_owned(),
        message,
    };
    let unreadable = |error: io::Error| fault("unreadable", format!("it cannot be read: {error}"));
    let file = OpenOptions::new()
        .read(true)
        // Should it be a pipe.
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path)
        .map_err(unreadable)?;
    let opened = file.metadata().map_err(unreadable)?;
    if !opened.is_file() {
        return Err(fault("unreadable", "it is no file".to_owned()));
    }
    trust("the file", &opened).map_err(|message| fault("untrusted", message))?;
    for folder in files::folders(path) {
        let found = fs::metadata(&folder).map_err(unreadable)?;
        let name = format!("its folder {}", folder.display());
        trust(&name, &found).map_err(|message| fault("untrusted", message))?;
    }
    // Now that nobody else could change what the path names.
    let named = fs::metadata(path).map_err(unreadable)?;
    if !is_same(&named, &opened) {
        let message = "it is being replaced; try again when that is done";
        return Err(fault("unreadable", message.to_owned()));
    }
    Ok(file)
}

/// Stricter than for files of configuration: of what is executed not even a group of the owner's
/// own name is believed to be the owner's alone.
fn trust(what: &str, found: &Metadata) -> Result<(), String> {
    let us = rustix::process::geteuid().as_raw();
    if found.uid() != us && found.uid() != 0 {
        return Err(format!(
            "{what} belongs to user {} and not to the broker's user or root; `chown` it",
            found.uid()
        ));
    }
    if found.mode() & 0o022 != 0 {
        return Err(format!(
            "others may write {what} (mode {:04o}); take that right away with `chmod go-w` once you \
             know that what lies there is yours",
            found.mode() & 0o7777
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    fn mode(path: &Path, mode: u32) {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn what_others_may_write_is_refused_wherever_they_may() {
        let folder = tempfile::tempdir().unwrap();
        let (real, link) = (folder.path().join("real"), folder.path().join("link"));
        for made in [&real, &link] {
            fs::create_dir(made).unwrap();
            mode(made, 0o755);
        }
        let program = real.join("program");
        fs::write(&program, "x").unwrap();
        mode(&program, 0o755);
        symlink("../real/program", link.join("program")).unwrap();
        let called = link.join("program");
        open(&called).unwrap();
        for (path, good, bad) in [
            (&program, 0o755, 0o775),
            (&program, 0o755, 0o757),
            (&real, 0o755, 0o1777),
            (&link, 0o755, 0o775),
        ] {
            mode(path, bad);
            let fault = open(&called).unwrap_err();
            assert_eq!(fault.stage, "untrusted", "{fault:?}");
            mode(path, good);
        }
        open(&called).unwrap();
        fs::remove_file(&program).unwrap();
        assert_eq!(open(&called).unwrap_err().stage, "unreadable");
        assert_eq!(open(&real).unwrap_err().stage, "unreadable", "a folder");
    }
}
