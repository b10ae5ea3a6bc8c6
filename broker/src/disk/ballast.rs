//! Room that is taken while there is some, and given up where something must be written on a full
//! disk: the last facts of a broker that ends, and a few small files.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::disk::directory;

/// The file in the data directory.
const FILE: &str = "ballast";
/// The image of a state with some thousand leases and waiters fits into this.
const SIZE: u64 = 1 << 20;
/// For one small file, in whatever blocks the file system deals.
const PIECE: u64 = 64 << 10;
/// Until it is tried again.
const RETRY: Duration = Duration::from_secs(60);

/// The ballast of one data directory.
#[derive(Debug)]
pub(crate) struct Ballast {
    path: PathBuf,
    /// When to try again, where there was no room for it.
    retry_at: Option<Instant>,
}

impl Ballast {
    pub(crate) fn of(dir: &Path) -> Self {
        Self {
            path: dir.join(FILE),
            retry_at: None,
        }
    }

    /// Takes what it lacks, if there is room for all of it; else it stays as it is.
    pub(crate) fn take(&mut self) {
        let filled = self.fill();
        if let (Err(error), None) = (&filled, self.retry_at) {
            tracing::warn!(
                ballast = %self.path.display(), %error,
                "no room can be kept for the journal's last facts, should the disk be full then"
            );
        }
        self.retry_at = filled.err().map(|_| Instant::now() + RETRY);
    }

    /// The same, where there was no room a while ago.
    pub(crate) fn take_if_due(&mut self) {
        if self.retry_at.is_some_and(|at| at <= Instant::now()) {
            self.take();
        }
    }

    fn fill(&self) -> io::Result<()> {
        let mut file = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(&self.path)?;
        let has = file.metadata()?.len();
        let lacks = usize::try_from(SIZE.saturating_sub(has)).unwrap_or_default();
        if lacks == 0 {
            return Ok(());
        }
        file.write_all(&vec![0; lacks]).inspect_err(|_| {
            // What it had is its own; the last of the room is everybody's.
            if let Err(error) = file.set_len(has) {
                tracing::warn!(%error, "the ballast keeps more than it should");
            }
        })
    }

    /// Gives all of it up.
    pub(crate) fn give_up(&self) {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(ballast = %self.path.display(), %error, "it cannot be given up");
            }
            _ => {}
        }
    }

    fn give_a_piece(&self) -> io::Result<()> {
        let file = OpenOptions::new().write(true).open(&self.path)?;
        let has = file.metadata()?.len();
        file.set_len(has.saturating_sub(PIECE))
    }
}

/// Whether there is no room left.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

/// Replaces a small file as [`directory::replace`] does, out of the ballast where the disk is full.
pub(crate) fn replace(dir: &Path, name: &str, content: &[u8]) -> io::Result<()> {
    match directory::replace(dir, name, content) {
        Err(error) if is_full(&error) => {
            Ballast::of(dir).give_a_piece().map_err(|_| error)?;
            directory::replace(dir, name, content)
        }
        replaced => replaced,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_made_up_to_its_size_and_given_by_the_piece() {
        let dir = tempfile::tempdir().unwrap();
        let mut ballast = Ballast::of(dir.path());
        let length = || fs::metadata(dir.path().join(FILE)).map_or(0, |meta| meta.len());
        ballast.take();
        assert_eq!(length(), SIZE);
        ballast.give_a_piece().unwrap();
        assert_eq!(length(), SIZE - PIECE);
        ballast.take();
        assert_eq!(length(), SIZE);
        ballast.give_up();
        assert_eq!(length(), 0);
        ballast.give_up();
        assert!(ballast.give_a_piece().is_err(), "there is none");
    }
}
