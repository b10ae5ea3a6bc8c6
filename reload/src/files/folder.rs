//! The files of one folder, or one of them without its content, as a value like any other.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::fault::{FaultKind, Problem};
use super::format::Format;
use super::read::Found;

/// More files than this are no folder that somebody fills by hand.
const FILES_MAX: usize = 10_000;

/// The files of a folder that were asked for, by their path. Folders, pipes and names that
/// are no text are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing(BTreeMap<PathBuf, Stamp>);

/// Which names in a folder are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Names {
    /// Those of this extension.
    Ending(String),
    /// This one.
    Only(OsString),
}

impl Names {
    pub fn hold(&self, name: &OsStr) -> bool {
        match self {
            Self::Ending(extension) => {
                let other = Path::new(name).extension().unwrap_or_default();
                other == OsStr::new(extension)
            }
            Self::Only(only) => only == name,
        }
    }
}

/// What tells one content of a file from another without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// Its size.
    pub bytes: u64,
    /// When it was last written, in nanoseconds since 1970.
    pub modified_ns: u64,
    /// Its number in the file system; 0 where there is none.
    pub inode: u64,
}

impl Deref for Listing {
    type Target = BTreeMap<PathBuf, Stamp>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

/// Reads a folder into the text that [`Listed`] takes, without the names that have a writer.
pub(crate) fn list(folder: &Path, asked: &Names, without: &BTreeSet<OsString>) -> Found {
    match attempt(folder, asked, without) {
        Ok(found) => found,
        Err(error) => super::read::refused(&error),
    }
}

fn attempt(folder: &Path, asked: &Names, without: &BTreeSet<OsString>) -> io::Result<Found> {
    if !fs::metadata(folder)?.is_dir() {
        let message = "this is a file and no folder; put a folder in its place";
        return Ok(Found::Refused(Problem::new(FaultKind::NotAFile, message)));
    }
    let mut names = BTreeMap::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        if without.contains(&name) || !asked.hold(&name) {
            continue;
        }
        let Ok(name) = name.into_string() else {
            continue;
        };
        // Gone again, or a link that leads nowhere: not there.
        let Ok(metadata) = fs::metadata(folder.join(&name)) else {
            continue;
        };
        if !metadata.is_file() {
            continue;
        }
        names.insert(name, Stamp::of(&metadata));
        if names.len() > FILES_MAX {
            let message = format!("the folder holds more than {FILES_MAX} files; move some away");
            return Ok(Found::Refused(Problem::new(FaultKind::TooLarge, message)));
        }
    }
    Ok(Found::Bytes(serde_json::to_vec(&names)?))
}

impl Stamp {
    /// Of a file that was looked at.
    #[must_use]
    pub fn of(metadata: &fs::Metadata) -> Self {
        let modified = metadata.modified().unwrap_or(UNIX_EPOCH);
        let since = modified.duration_since(SystemTime::UNIX_EPOCH);
        let modified_ns = since.map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(0));
        Self {
            bytes: metadata.len(),
            modified_ns,
            inode: inode(metadata),
        }
    }
}

#[cfg(unix)]
fn inode(metadata: &fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(metadata)
}

#[cfg(not(unix))]
fn inode(_: &fs::Metadata) -> u64 {
    0
}

/// The format of what [`list`] reads.
#[derive(Debug)]
pub(crate) struct Listed {
    pub folder: PathBuf,
}

impl Format for Listed {
    type Value = Listing;

    fn parse(&self, text: &str) -> Result<Listing, Problem> {
        let names: BTreeMap<String, Stamp> = serde_json::from_str(text)
            .map_err(|error| Problem::new(FaultKind::Syntax, error.to_string()))?;
        let paths = names
            .into_iter()
            .map(|(name, stamp)| (self.folder.join(name), stamp));
        Ok(Listing(paths.collect()))
    }
}
