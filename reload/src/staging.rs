//! The private directory that copies of libraries are loaded from.

use std::fs::{self, DirBuilder, File, TryLockError};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// Held for as long as the directory is in use: whose lock is free, its process is gone.
const LOCK: &str = "lock";

/// A directory of this process's own, removed with it, or by the next process where this one died.
#[derive(Debug)]
pub(crate) struct Staging {
    path: PathBuf,
    _lock: File,
}

impl Staging {
    /// Makes one below `base`, and removes what dead processes left there.
    pub fn new(base: &Path) -> io::Result<Self> {
        static MADE: AtomicU32 = AtomicU32::new(0);
        private(base)?;
        // One at a time: a lock that is made and not yet taken is a dead process's to who sweeps.
        let alone = File::create(base.join(LOCK))?;
        alone.lock()?;
        sweep(base);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let path = base.join(format!("{}-{number}", std::process::id()));
        private(&path)?;
        let lock = File::create(path.join(LOCK))?;
        lock.try_lock()?;
        Ok(Self { path, _lock: lock })
    }

    /// A directory in it.
    pub fn directory(&self, name: &str) -> io::Result<PathBuf> {
        let path = self.path.join(name);
        private(&path)?;
        Ok(path)
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // What is left is swept by the next process.
        let _ = fs::remove_dir_all(&self.path);
    }
}

fn private(path: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o700).recursive(true).create(path)
}

fn sweep(base: &Path) {
    let Ok(entries) = fs::read_dir(base) else {
        return;
    };
    for path in entries.filter_map(Result::ok).map(|entry| entry.path()) {
        let Ok(lock) = File::open(path.join(LOCK)) else {
            continue;
        };
        match lock.try_lock() {
            Ok(()) => {
                if let Err(error) = fs::remove_dir_all(&path) {
                    tracing::warn!(path = %path.display(), %error, "a dead process's copies stay");
                }
            }
            Err(TryLockError::WouldBlock | TryLockError::Error(_)) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_dead_left_is_removed_and_the_living_stay() {
        let base = tempfile::tempdir().unwrap();
        let living = Staging::new(base.path()).unwrap();
        let dead = base.path().join("4000000-0");
        fs::create_dir(&dead).unwrap();
        fs::write(dead.join(LOCK), "").unwrap();
        fs::write(dead.join("libx.so"), "old").unwrap();
        let other = Staging::new(base.path()).unwrap();
        assert!(!dead.exists());
        assert!(living.path.exists() && other.path.exists());
        let path = other.path.clone();
        drop(other);
        assert!(!path.exists());
    }

    #[test]
    fn who_comes_at_the_same_moment_takes_nobodys_directory() {
        let base = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..100 {
                        let staging = Staging::new(base.path()).unwrap();
                        assert!(staging.path.join(LOCK).exists());
                    }
                });
            }
        });
    }
}
