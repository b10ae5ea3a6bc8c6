//! Where the files of promotion lie, and whose turn it is.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use super::{PromotionError, Step, entry};
use crate::save::{self, Saved};

/// How often a lock that somebody has is tried again.
const RETRY: Duration = Duration::from_millis(20);

/// Where everything lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    config_dir: PathBuf,
    env: PathBuf,
}

impl Place {
    /// In this folder of configuration; with the values in `env`, else in its `shared.env`.
    #[must_use]
    pub fn new(config_dir: impl Into<PathBuf>, env: Option<PathBuf>) -> Self {
        // History tells files by their paths, from wherever a program is started.
        let whole = |path: PathBuf| std::path::absolute(&path).unwrap_or(path);
        let config_dir = whole(config_dir.into());
        let env = env.map_or_else(|| config_dir.join("shared.env"), whole);
        Self { config_dir, env }
    }

    /// The folder itself.
    #[must_use]
    pub fn config_dir(&self) -> &Path {
        &self.config_dir
    }

    /// The values.
    #[must_use]
    pub fn env(&self) -> &Path {
        &self.env
    }

    /// What keys there are.
    #[must_use]
    pub fn schema(&self) -> PathBuf {
        self.config_dir.join("schema.ron")
    }

    /// Health commands.
    #[must_use]
    pub fn checks(&self) -> PathBuf {
        self.config_dir.join("checks.ron")
    }

    /// What is to be promoted.
    #[must_use]
    pub fn winners(&self) -> PathBuf {
        self.config_dir.join("winners")
    }

    /// What came of what was.
    #[must_use]
    pub fn acks(&self) -> PathBuf {
        self.config_dir.join("promotions_ack")
    }

    /// What was promoted.
    #[must_use]
    pub fn history(&self) -> PathBuf {
        self.config_dir.join("history")
    }

    /// The acknowledgement of this id.
    #[must_use]
    pub fn ack(&self, id: &str) -> PathBuf {
        self.acks().join(format!("{id}.json"))
    }

    pub(super) fn entry(&self, number: u64) -> PathBuf {
        self.history().join(format!("{number}.ron"))
    }
}

/// The right to promote, for as long as this value lives.
pub struct Promotions {
    pub(super) place: Place,
    _lock: File,
    observer: Box<dyn FnMut(Step) + Send>,
}

impl std::fmt::Debug for Promotions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Promotions")
            .field("place", &self.place)
            .finish_non_exhaustive()
    }
}

impl Promotions {
    /// Waits so long for the lock, and makes the folders that are missing.
    ///
    /// # Errors
    /// Where somebody else has it all that time, or the folders cannot be made.
    pub fn open(place: Place, patience: Duration) -> Result<Self, PromotionError> {
        for folder in [place.history(), place.acks(), place.winners()] {
            fs::create_dir_all(&folder).map_err(PromotionError::folder(&folder))?;
        }
        make_private(&place.history()).map_err(PromotionError::folder(&place.history()))?;
        let lock = lock(&place.history().join("lock"), patience)?;
        Ok(Self {
            place,
            _lock: lock,
            observer: Box::new(|_| ()),
        })
    }

    /// Tells each step once it is done.
    #[must_use]
    pub fn observed(mut self, observer: impl FnMut(Step) + Send + 'static) -> Self {
        self.observer = Box::new(observer);
        self
    }

    /// Where everything lies.
    #[must_use]
    pub fn place(&self) -> &Place {
        &self.place
    }

    pub(super) fn step(&mut self, step: Step) {
        (self.observer)(step);
    }

    /// Saves a file as a whole, telling how far that is.
    pub(super) fn save(&mut self, path: &Path, content: &str) -> Result<(), save::SaveError> {
        save::replace_observed(path, content.as_bytes(), &mut |saved| {
            (self.observer)(match saved {
                Saved::Made => Step::FileMade,
                Saved::Written => Step::FileWritten,
                Saved::Renamed => Step::FileRenamed,
                Saved::Kept => Step::FileKept,
            });
        })
    }

    /// The number of the next promotion.
    pub(super) fn next_number(&self) -> Result<u64, PromotionError> {
        let numbers = entry::numbers(&self.place.history())?;
        Ok(numbers.last().map_or(1, |last| last.saturating_add(1)))
    }
}

/// Makes a folder its owner's alone.
fn make_private(path: &Path) -> io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = fs::metadata(path)?.permissions().mode();
        if mode & 0o077 != 0 {
            fs::set_permissions(path, fs::Permissions::from_mode(0o700))?;
        }
    }
    Ok(())
}

fn lock(path: &Path, patience: Duration) -> Result<File, PromotionError> {
    let failed = |error| PromotionError::folder(path)(error);
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path).map_err(failed)?;
    let since = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => break,
            // Systems have no lock with a deadline.
            Err(TryLockError::WouldBlock) if since.elapsed() < patience => thread::sleep(RETRY),
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                let read = file.read_to_string(&mut text);
                return Err(PromotionError::Busy {
                    holder: read.ok().and_then(|_| text.trim().parse().ok()),
                    waited: patience,
                });
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
    }
    // Who waits is told whom for.
    file.set_len(0)
        .and_then(|()| file.rewind())
        .and_then(|()| writeln!(file, "{}", std::process::id()))
        .map_err(failed)?;
    Ok(file)
}
