//! What is written beside an artifact once it was built here, so that a later change of its bytes is
//! noticed.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// `ARTIFACT.record`, as RON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// Of the artifact, in hexadecimal.
    pub sha256: String,
    /// How the file looked then.
    pub stamp: FileStamp,
    /// See [`crate::Provenance`].
    pub revision: Option<String>,
    pub label: String,
}

/// By which a file is known to be the same one, whatever its bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FileStamp {
    /// Bytes.
    pub len: u64,
    /// When it was written last, in seconds since the Unix epoch, and nanoseconds.
    pub mtime_s: i64,
    pub mtime_ns: i64,
}

impl FileStamp {
    pub fn of(file: &File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        Ok(Self {
            len: metadata.len(),
            mtime_s: metadata.mtime(),
            mtime_ns: metadata.mtime_nsec(),
        })
    }

    /// When the file was written.
    pub fn time(self) -> Option<SystemTime> {
        let seconds = u64::try_from(self.mtime_s).ok()?;
        let nanos = u32::try_from(self.mtime_ns).ok()?;
        UNIX_EPOCH.checked_add(Duration::new(seconds, nanos))
    }
}

/// The record of an artifact; none where there is none that can be read.
pub(crate) fn read(artifact: &Path) -> Option<Record> {
    ron::from_str(&fs::read_to_string(place(artifact)).ok()?).ok()
}

/// Writes it, all or nothing.
pub(crate) fn write(artifact: &Path, record: &Record) -> io::Result<()> {
    let place = place(artifact);
    let new = place.with_extension("record-new");
    fs::write(&new, ron::to_string(record).map_err(io::Error::other)?)?;
    fs::rename(new, place)
}

fn place(artifact: &Path) -> PathBuf {
    let mut name = artifact.as_os_str().to_owned();
    name.push(".record");
    name.into()
}
