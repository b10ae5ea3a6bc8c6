//! Saves a file as a whole: who reads it meanwhile, and whoever starts after a crash, sees the old
//! content or the new one, never a part and never nothing.
//!
//! A temporary file beside it, the disk told, a rename, the folder's disk told. A watcher sees one
//! change, and can believe it at once.

use std::ffi::OsString;
use std::fs::{self, File, Metadata, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// More links than this in a row are taken for a loop, as Linux does.
const LINKS_MAX: usize = 40;
/// The end of a temporary file's name.
const FRESH: &str = ".new";
/// The mode of a file that was not there: settings may hold what is nobody else's to read.
#[cfg(unix)]
const FIRST_MODE: u32 = 0o600;

/// Why a file was not saved. The old one is as it was.
#[derive(Debug, thiserror::Error)]
#[error("{} cannot be saved: {problem}", path.display())]
pub struct SaveError {
    /// The file.
    pub path: PathBuf,
    /// What stood in the way, and what to do about it.
    pub problem: String,
}

impl SaveError {
    /// For what the system refused.
    fn io(path: &Path, what: &str, error: &io::Error) -> Self {
        let hint = match error.kind() {
            io::ErrorKind::PermissionDenied => "; check who may write the folder",
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "; make room",
            io::ErrorKind::ReadOnlyFilesystem => "; save it elsewhere",
            _ => "",
        };
        Self {
            path: path.to_owned(),
            problem: format!("{what}: {error}{hint}"),
        }
    }
}

/// How far a save is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Saved {
    /// The temporary file is there, empty.
    Made,
    /// It holds everything, and the disk has it.
    Written,
    /// It has the file's name.
    Renamed,
    /// The disk has the name too.
    Kept,
}

/// Replaces the file at `path`, or makes it. Mode and owner stay; a file that was not there gets
/// mode 0600. A symbolic link stays, and what it points to is replaced.
///
/// # Errors
/// Where there is something at `path` that is no file, or the system refuses; the old file is then
/// as it was. A failure to tell the disk of the new name is told too, though readers see the new
/// file by then.
pub fn replace(path: impl AsRef<Path>, content: &[u8]) -> Result<(), SaveError> {
    replace_observed(path.as_ref(), content, &mut |_| ())
}

/// As [`replace`], telling each step once it is done.
pub(crate) fn replace_observed(
    path: &Path,
    content: &[u8],
    step: &mut dyn FnMut(Saved),
) -> Result<(), SaveError> {
    let (target, old) = target(path)?;
    let (folder, name) = place(&target).ok_or_else(|| {
        SaveError::io(path, "it has no name", &io::ErrorKind::InvalidInput.into())
    })?;
    let (fresh, mut file) = fresh(folder, &name)
        .map_err(|error| SaveError::io(path, "no temporary file beside it", &error))?;
    step(Saved::Made);
    let written = dress(&file, old.as_ref())
        .and_then(|()| file.write_all(content))
        .and_then(|()| file.sync_all());
    drop(file);
    let renamed = written
        .inspect(|()| step(Saved::Written))
        .and_then(|()| fs::rename(&fresh, &target));
    if let Err(error) = renamed {
        // Litter is all that it would be; that it stays harms nobody.
        let _ = fs::remove_file(&fresh);
        return Err(SaveError::io(path, "writing failed", &error));
    }
    step(Saved::Renamed);
    keep_names(folder)
        .map_err(|error| SaveError::io(path, "the disk may not have its new name", &error))?;
    step(Saved::Kept);
    Ok(())
}

/// Removes what saves of `path` left behind that were killed. Only for who knows that nobody else
/// saves it now.
pub(crate) fn sweep(path: &Path) {
    let Ok((target, _)) = target(path) else {
        return;
    };
    if let Some((folder, name)) = place(&target) {
        remove_litter(folder, |found| found == name);
    }
}

/// The same for every file of a folder.
pub(crate) fn sweep_folder(folder: &Path) {
    remove_litter(folder, |_| true);
}

fn remove_litter(folder: &Path, is_meant: impl Fn(&str) -> bool) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        if name.to_str().and_then(saved_name).is_some_and(&is_meant) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Which file a temporary one was to become: see [`fresh`].
fn saved_name(fresh: &str) -> Option<&str> {
    let (name, number) = fresh
        .strip_prefix('.')?
        .strip_suffix(FRESH)?
        .rsplit_once('.')?;
    let (process, serial) = number.split_once('-')?;
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    (is_number(process) && is_number(serial)).then_some(name)
}

/// Tells the disk which names a folder has.
#[cfg(unix)]
pub(crate) fn keep_names(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Other systems have no such call, and their file systems journal names.
#[cfg(not(unix))]
pub(crate) fn keep_names(_folder: &Path) -> io::Result<()> {
    Ok(())
}

/// What a path stands for once its links are followed, and what is there.
fn target(path: &Path) -> Result<(PathBuf, Option<Metadata>), SaveError> {
    let refused = |problem: &str| SaveError {
        path: path.to_owned(),
        problem: problem.to_owned(),
    };
    let mut target = path.to_owned();
    for _ in 0..=LINKS_MAX {
        let found = match fs::symlink_metadata(&target) {
            Ok(found) => found,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((target, None)),
            Err(error) => return Err(SaveError::io(path, "it cannot be looked at", &error)),
        };
        if found.is_file() {
            return Ok((target, Some(found)));
        }
        if found.is_dir() {
            return Err(refused("it is a folder; name a file"));
        }
        if !found.is_symlink() {
            return Err(refused("it is no ordinary file; name one"));
        }
        let link = fs::read_link(&target)
            .map_err(|error| SaveError::io(path, "its link cannot be followed", &error))?;
        // An absolute link replaces the whole path.
        target = match target.parent() {
            Some(folder) => folder.join(link),
            None => link,
        };
    }
    Err(refused("its symbolic links lead in a circle; mend them"))
}

/// A file's folder and name.
fn place(path: &Path) -> Option<(&Path, OsString)> {
    let name = path.file_name()?.to_owned();
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    Some((folder, name))
}

/// A new empty file beside the one called `name`, nobody else's to read.
fn fresh(folder: &Path, name: &OsString) -> io::Result<(PathBuf, File)> {
    static SERIAL: AtomicU64 = AtomicU64::new(0);
    loop {
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        let mut fresh = OsString::from(".");
        fresh.push(name);
        fresh.push(format!(".{}-{serial}{FRESH}", std::process::id()));
        let path = folder.join(fresh);
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        match options.open(&path) {
            Ok(file) => return Ok((path, file)),
            // Left behind by a process of the same number, long ago.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
}

/// Gives a new file the mode and the owner of the old one.
#[cfg(unix)]
fn dress(file: &File, old: Option<&Metadata>) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

    let mode = match old {
        Some(old) => {
            let fresh = file.metadata()?;
            if (old.uid(), old.gid()) != (fresh.uid(), fresh.gid()) {
                // Only root may; for others the file becomes theirs, as with any editor that
                // renames.
                let _ = std::os::unix::fs::fchown(file, Some(old.uid()), Some(old.gid()));
            }
            old.mode() & 0o7777
        }
        None => FIRST_MODE,
    };
    // After the owner: a change of that clears bits.
    file.set_permissions(Permissions::from_mode(mode))
}

#[cfg(not(unix))]
fn dress(file: &File, old: Option<&Metadata>) -> io::Result<()> {
    old.map_or(Ok(()), |old| file.set_permissions(old.permissions()))
}
