//! One request id, one `warden run` at a time.
//!
//! Whoever comes with the id of a lease takes it over: a client that has lost its connection finds
//! its own so. Two runs under one id would both be on the GPU, and which of them was first the
//! broker's answers do not tell; the lock of a file in its data directory does.

use std::fmt;
use std::fs::{DirBuilder, File, OpenOptions, TryLockError, remove_file};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use warden::RequestId;

/// In the data directory: a file for each id that a run has now.
const FOLDER: &str = "runs";

/// An id that is this process's for as long as this value lives.
#[derive(Debug)]
pub struct Claim {
    path: PathBuf,
    // Its lock is the claim.
    _file: File,
}

/// Another process has the id, or one that has not said yet which it is.
#[derive(Debug)]
pub struct Taken {
    id: RequestId,
    by: Option<u32>,
}

impl Taken {
    /// By this process.
    pub fn new(id: &RequestId, by: Option<u32>) -> Self {
        let id = id.clone();
        Self { id, by }
    }
}

impl fmt::Display for Taken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.by {
            Some(pid) => write!(f, "process {pid}")?,
            None => f.write_str("another run")?,
        }
        write!(
            f,
            " has the request {}; take another id, or come back when that one has ended",
            self.id
        )
    }
}

impl Claim {
    /// Takes an id. Nothing where no file can be had there: then it is not known whether another
    /// has it.
    pub fn take(data_dir: &Path, id: &RequestId) -> Result<Option<Self>, Taken> {
        match Self::try_take(data_dir, id) {
            Ok(Ok(claim)) => Ok(Some(claim)),
            Ok(Err(by)) => Err(Taken::new(id, by)),
            Err(error) => {
                tracing::debug!(%error, %id, "not claimed");
                Ok(None)
            }
        }
    }

    fn try_take(data_dir: &Path, id: &RequestId) -> io::Result<Result<Self, Option<u32>>> {
        let folder = data_dir.join(FOLDER);
        match DirBuilder::new().mode(0o700).create(&folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let path = folder.join(format!("request-{id}"));
        loop {
            let mut options = OpenOptions::new();
            options.read(true).write(true).create(true).mode(0o600);
            let mut file = options.open(&path)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    let mut pid = String::new();
                    file.read_to_string(&mut pid)?;
                    return Ok(Err(pid.trim().parse().ok()));
                }
                Err(TryLockError::Error(error)) => return Err(error),
            }
            // Whoever had it may have removed it before it let go of it.
            if is_at(&file, &path) {
                file.set_len(0)?;
                writeln!(file, "{}", std::process::id())?;
                return Ok(Ok(Self { path, _file: file }));
            }
        }
    }
}

fn is_at(file: &File, path: &Path) -> bool {
    let of = |metadata: io::Result<std::fs::Metadata>| {
        let metadata = metadata.ok()?;
        Some((metadata.dev(), metadata.ino()))
    };
    let ours = of(file.metadata());
    ours.is_some() && ours == of(std::fs::metadata(path))
}

impl Drop for Claim {
    fn drop(&mut self) {
        // While it is locked, so that it is nobody else's.
        let _ = remove_file(&self.path);
    }
}
