//! `DIR/programs`: a copy of the program that runs and of the one before it, each under its hash,
//! where nobody else can write. What is executed is always one of them, so what was checked is what
//! runs.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::disk::directory::replace;

/// The folder in the data directory.
const FOLDER: &str = "programs";
/// The file in it that says which is which.
const RECORD: &str = "record";
/// What a copy is called while it is written.
const FRESH: &str = ".fresh";
/// What a program is looked at with, before it runs.
const SCRATCH: &str = ".check";
/// A larger file is no program of ours.
const SIZE_MAX: u64 = 2 << 30;

/// The folder.
#[derive(Clone, Debug)]
pub(crate) struct Copies {
    folder: PathBuf,
}

/// Which copies there are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// The one that went live last.
    pub(crate) live: Option<Kept>,
    /// The one before it.
    pub(crate) before: Option<Kept>,
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Kept {
    pub(crate) sha256: String,
    pub(crate) version: String,
}

impl Copies {
    pub(crate) fn of(data_dir: &Path) -> Self {
        Self {
            folder: data_dir.join(FOLDER),
        }
    }

    /// Where the copy of this hash is, or would be.
    pub(crate) fn path(&self, sha256: &str) -> PathBuf {
        self.folder.join(sha256)
    }

    /// Copies a program, and says under which hash: that of the bytes that were written. Nothing is
    /// written twice.
    pub(crate) fn keep(&self, program: &mut File) -> io::Result<String> {
        let sha256 = hash(program)?;
        if self.holds(&sha256) {
            return Ok(sha256);
        }
        self.make()?;
        program.rewind()?;
        let fresh = self.folder.join(FRESH);
        remove(&fresh)?;
        let mut copy = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o500)
            .open(&fresh)?;
        let sha256 = digest(program, |part| copy.write_all(part))?;
        drop(copy);
        fs::rename(&fresh, self.path(&sha256))?;
        Ok(sha256)
    }

    /// Whether there is a copy that is still what its name says.
    pub(crate) fn holds(&self, sha256: &str) -> bool {
        let copy = File::open(self.path(sha256));
        copy.and_then(|mut copy| hash(&mut copy))
            .is_ok_and(|found| found == sha256)
    }

    /// An empty folder to look at a program in.
    pub(crate) fn scratch(&self) -> io::Result<PathBuf> {
        self.make()?;
        let scratch = self.folder.join(SCRATCH);
        self.clear_scratch()?;
        DirBuilder::new().mode(0o700).create(&scratch)?;
        Ok(scratch)
    }

    pub(crate) fn clear_scratch(&self) -> io::Result<()> {
        match fs::remove_dir_all(self.folder.join(SCRATCH)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// What was last written down. A record that cannot be read knows of none.
    pub(crate) fn record(&self) -> Record {
        let text = fs::read(self.folder.join(RECORD)).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    }

    /// Writes down which copies count, and removes all others.
    pub(crate) fn settle(&self, record: &Record) -> io::Result<()> {
        self.make()?;
        replace(&self.folder, RECORD, &serde_json::to_vec(record)?)?;
        self.tidy("")
    }

    /// Removes all copies that are neither on record nor this one.
    pub(crate) fn tidy(&self, running: &str) -> io::Result<()> {
        let record = self.record();
        let counts = |name: &str| {
            let mut kept = record.live.iter().chain(&record.before);
            name == RECORD || name == running || kept.any(|kept| kept.sha256 == name)
        };
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let name = entry.file_name();
            if !name.to_str().is_some_and(counts) && entry.file_type()?.is_file() {
                remove(&entry.path())?;
            }
        }
        self.clear_scratch()
    }

    fn make(&self) -> io::Result<()> {
        let made = DirBuilder::new().mode(0o700).create(&self.folder);
        match made {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            _ => Ok(()),
        }
    }
}

/// Of all that is in the file, in hexadecimal.
pub(crate) fn hash(file: &mut File) -> io::Result<String> {
    file.rewind()?;
    digest(file, |_| Ok(()))
}

fn digest(file: &mut File, mut each: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<String> {
    let (mut hash, mut seen) = (Sha256::new(), 0);
    let mut part = vec![0; 256 * 1024];
    loop {
        let length = match file.read(&mut part) {
            Ok(0) => break,
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        seen += length as u64;
        if seen > SIZE_MAX {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        hash.update(&part[..length]);
        each(&part[..length])?;
    }
    let digits = hash.finalize();
    Ok(digits.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn two_copies_are_kept_and_a_spoiled_one_does_not_count() {
        let dir = tempfile::tempdir().unwrap();
        let copies = Copies::of(dir.path());
        let source = dir.path().join("source");
        let mut kept = Vec::new();
        for content in ["one", "two", "three"] {
            fs::write(&source, content).unwrap();
            let sha256 = copies.keep(&mut File::open(&source).unwrap()).unwrap();
            assert_eq!(fs::read(copies.path(&sha256)).unwrap(), content.as_bytes());
            kept.push(sha256);
        }
        let as_kept = |sha256: &String| Kept {
            sha256: sha256.clone(),
            version: "1".to_owned(),
        };
        let record = Record {
            live: Some(as_kept(&kept[2])),
            before: Some(as_kept(&kept[1])),
        };
        copies.settle(&record).unwrap();
        assert_eq!(copies.record(), record);
        let there: Vec<bool> = kept.iter().map(|sha256| copies.holds(sha256)).collect();
        assert_eq!(there, [false, true, true]);
        let copy = copies.path(&kept[1]);
        assert_eq!(
            fs::metadata(&copy).unwrap().permissions().mode() & 0o777,
            0o500
        );
        fs::remove_file(&copy).unwrap();
        fs::write(&copy, "spoiled").unwrap();
        assert!(!copies.holds(&kept[1]));
        fs::write(&source, "two").unwrap();
        copies.keep(&mut File::open(&source).unwrap()).unwrap();
        assert!(copies.holds(&kept[1]), "mended");
    }
}
