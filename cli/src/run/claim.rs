//! One request id, one `warden run` at a time.
//!
//! Whoever comes with the id of a lease takes it over: a client that has lost its connection finds
//! its own so. Two runs under one id would both be on the GPU, and which of them was first the
//! broker's answers do not tell; the lock of a file in its data directory does.

use std::fmt;
use std::fs::{DirBuilder, File, Metadata, OpenOptions, TryLockError, remove_file};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use warden::RequestId;
use warden_client::{Address, Endpoint};

/// In the data directory: a file for each id that a run has, or had when it was killed.
const FOLDER: &str = "runs";
/// So often a file may be removed by whoever had it before, just when it is to be locked.
const TRIES: usize = 16;

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
    /// Takes an id of this broker's. Nothing where no claim can be had: then it is not known whether
    /// another has it.
    pub fn take(endpoint: &Endpoint, id: &RequestId) -> Result<Option<Self>, Taken> {
        if !is_ours(endpoint) {
            return Ok(None);
        }
        match Self::try_take(&endpoint.data_dir().join(FOLDER), id) {
            Ok(Ok(claim)) => Ok(Some(claim)),
            Ok(Err(by)) => Err(Taken::new(id, by)),
            Err(error) => {
                tracing::debug!(%error, %id, "not claimed");
                Ok(None)
            }
        }
    }

    fn try_take(folder: &Path, id: &RequestId) -> io::Result<Result<Self, Option<u32>>> {
        match DirBuilder::new().mode(0o700).create(folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let path = folder.join(format!("request-{id}"));
        for _ in 0..TRIES {
            let mut options = OpenOptions::new();
            options.read(true).write(true).create(true).mode(0o600);
            let mut file = options.custom_flags(libc::O_NOFOLLOW).open(&path)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    let mut pid = String::new();
                    let _ = file.read_to_string(&mut pid);
                    return Ok(Err(pid.trim().parse().ok()));
                }
                Err(TryLockError::Error(error)) => return Err(error),
            }
            if is_at(&file, &path) {
                // Only for those who are refused; a full disk need not have room for it.
                let _ = file
                    .set_len(0)
                    .and_then(|()| writeln!(file, "{}", std::process::id()));
                return Ok(Ok(Self { path, _file: file }));
            }
        }
        Err(io::ErrorKind::ResourceBusy.into())
    }
}

/// Whether the broker is that of a data directory of ours. Ids are one name space a broker, and in
/// a directory of another user's there is nothing for us to write.
fn is_ours(endpoint: &Endpoint) -> bool {
    let user = rustix::process::geteuid().as_raw();
    let is_users = std::fs::metadata(endpoint.data_dir()).is_ok_and(|dir| dir.uid() == user);
    let Some(explicit) = endpoint.explicit_address().filter(|_| is_users) else {
        return is_users;
    };
    let Ok(published) = endpoint.published() else {
        return false;
    };
    let socket = published.socket.map(Address::Unix);
    let tcp = published.address.parse().ok();
    let mut own = socket.into_iter().chain(tcp);
    own.any(|own: Address| own.is_same_as(explicit))
}

/// Whether a file is still where it was opened: whoever had it before may have removed it since.
fn is_at(file: &File, path: &Path) -> bool {
    let of = |metadata: io::Result<Metadata>| {
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
