//! The data directory: one broker's, and nobody else's to read or write.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read, Seek, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};

use crate::disk::ballast;
use crate::error::ServeError;

/// The file that is locked.
const LOCK: &str = "lock";
/// Clients look whether a broker holds the lock by taking it shared for a moment, so a refusal
/// only counts once it has lasted.
const LOCK_PATIENCE: Duration = Duration::from_millis(300);
const LOCK_RETRY: Duration = Duration::from_millis(10);

/// A data directory under this process's lock, for as long as this value lives.
#[derive(Debug)]
pub(crate) struct Directory {
    path: PathBuf,
    lock: File,
}

impl Directory {
    /// Makes the directory where it is missing, checks who may touch it, and locks it.
    pub(crate) fn open(path: &Path) -> Result<Self, ServeError> {
        let unusable = |detail: String| ServeError::Directory {
            dir: path.to_owned(),
            detail,
        };
        let failed = |what: &str| {
            let what = what.to_owned();
            move |error: io::Error| unusable(format!("{what}: {error}"))
        };
        if !path.exists() {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(path)
                .map_err(failed("it cannot be made"))?;
        }
        let path = fs::canonicalize(path).map_err(failed("it cannot be found"))?;
        check(&path).map_err(unusable)?;
        let lock = lock(&path, &unusable)?;
        Ok(Self { path, lock })
    }

    /// Goes on under a lock that the program before this one held, in the same process.
    pub(crate) fn keep(path: &Path, lock: OwnedFd) -> Result<Self, ServeError> {
        let unusable = |detail: String| ServeError::Directory {
            dir: path.to_owned(),
            detail,
        };
        let failed = |error: io::Error| unusable(format!("its lock cannot be kept: {error}"));
        let path = fs::canonicalize(path).map_err(failed)?;
        check(&path).map_err(unusable)?;
        let lock = File::from(lock);
        let named = fs::metadata(path.join(LOCK)).map_err(failed)?;
        let held = lock.metadata().map_err(failed)?;
        if (held.dev(), held.ino()) != (named.dev(), named.ino()) {
            return Err(unusable("what was handed over is not its lock".to_owned()));
        }
        // Of one that is held already there is nothing to wait for.
        flock(&lock, FlockOperation::NonBlockingLockExclusive)
            .map_err(|error| failed(error.into()))?;
        Ok(Self { path, lock })
    }

    /// The lock once more; it is held until the last of them is closed.
    pub(crate) fn lock(&self) -> io::Result<OwnedFd> {
        self.lock.as_fd().try_clone_to_owned()
    }

    /// Absolute, without symbolic links.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The path of a file in it.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The error that says that this directory cannot be used.
    pub(crate) fn unusable(&self, detail: String) -> ServeError {
        ServeError::Directory {
            dir: self.path.clone(),
            detail,
        }
    }

    /// Replaces a file as a whole, with mode 0600, and waits until the disk has it.
    pub(crate) fn replace(&self, name: &str, content: &[u8]) -> io::Result<()> {
        replace(&self.path, name, content)
    }
}

/// Writes `dir/name` so that a reader, or a crash, sees the old content or the new, never a part.
pub(crate) fn replace(dir: &Path, name: &str, content: &[u8]) -> io::Result<()> {
    let fresh = dir.join(format!(".{name}.new"));
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&fresh)?;
    file.set_permissions(Permissions::from_mode(0o600))?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&fresh, dir.join(name))?;
    File::open(dir)?.sync_all()
}

fn check(path: &Path) -> Result<(), String> {
    let meta = fs::metadata(path).map_err(|error| format!("it cannot be looked at: {error}"))?;
    if !meta.is_dir() {
        return Err("it is not a directory".to_owned());
    }
    let us = rustix::process::geteuid().as_raw();
    if meta.uid() != us {
        return Err(format!(
            "it belongs to uid {}, and the broker runs as uid {us}; give it one of its own",
            meta.uid()
        ));
    }
    if meta.mode() & 0o022 != 0 {
        return Err(format!(
            "others may write to it (mode {:04o}); `chmod 700` it once you know that what lies in \
             it is yours",
            meta.mode() & 0o7777
        ));
    }
    if meta.mode() & 0o077 != 0 {
        fs::set_permissions(path, Permissions::from_mode(0o700))
            .map_err(|error| format!("it cannot be closed to others: {error}"))?;
    }
    // Listing tells early, and in words, what would else fail file by file.
    fs::read_dir(path)
        .map(drop)
        .map_err(|error| format!("it cannot be read: {error}"))
}

fn lock(dir: &Path, unusable: &impl Fn(String) -> ServeError) -> Result<File, ServeError> {
    let path = dir.join(LOCK);
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(|error| unusable(format!("its lock cannot be opened: {error}")))?;
    let since = Instant::now();
    loop {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => break,
            Err(rustix::io::Errno::WOULDBLOCK) if since.elapsed() < LOCK_PATIENCE => {
                thread::sleep(LOCK_RETRY);
            }
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let mut text = String::new();
                let read = file.read_to_string(&mut text);
                return Err(ServeError::DirectoryTaken {
                    dir: dir.to_owned(),
                    pid: read.ok().and_then(|_| text.trim().parse().ok()),
                });
            }
            Err(error) => return Err(unusable(format!("it cannot be locked: {error}"))),
        }
    }
    // Over what the last one wrote: a full disk has room for that.
    let name = format!("{}\n", std::process::id());
    let named = file
        .rewind()
        .and_then(|()| file.write_all(name.as_bytes()))
        .and_then(|()| file.set_len(name.len() as u64));
    match named {
        Err(error) if ballast::is_full(&error) => {
            tracing::warn!(%error, "the lock cannot say who holds it");
        }
        named => named.map_err(|error| unusable(format!("its lock cannot be written: {error}")))?,
    }
    Ok(file)
}
