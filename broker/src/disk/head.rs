//! How far the journal was written, kept apart from it: so that a journal that has lost its end,
//! which is well-formed all the same, is told from a whole one.
//!
//! The file is overwritten in place after each commit, without waiting for the disk. That outlives
//! the broker, as the journal does; what a host that goes down leaves of it means nothing to the
//! next boot, and is known by the boot in it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// The file in the data directory.
pub(super) const FILE: &str = "journal.head";
const RECORD: &str = "record ";
const BOOT: &str = "boot ";

/// What a file said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Said {
    /// The last record that was written.
    pub(super) seq: i64,
    /// In this boot of the host.
    pub(super) boot: String,
}

/// The file, open for overwriting.
#[derive(Debug)]
pub(super) struct Head {
    /// Where it is made, and in which boot.
    place: Option<(PathBuf, String)>,
    file: Option<File>,
}

impl Head {
    /// A head that says nothing.
    pub(super) fn none() -> Self {
        Self {
            place: None,
            file: None,
        }
    }

    /// What the last broker left; nothing where it left none that can be read.
    pub(super) fn read(dir: &Path) -> Option<Said> {
        let text = fs::read_to_string(dir.join(FILE)).ok()?;
        let mut lines = text.lines();
        Some(Said {
            seq: lines.next()?.strip_prefix(RECORD)?.parse().ok()?,
            boot: lines.next()?.strip_prefix(BOOT)?.to_owned(),
        })
    }

    /// Makes the file anew. A broker can do without: then it only notices less.
    pub(super) fn begin(dir: &Path, seq: i64, boot: &str) -> Self {
        let mut head = Self {
            place: Some((dir.to_owned(), boot.to_owned())),
            file: None,
        };
        head.renew(seq);
        head
    }

    /// Makes the file anew where that could not be done, or not be written on.
    pub(super) fn renew(&mut self, seq: i64) {
        if let (Some((dir, boot)), None) = (&self.place, &self.file) {
            self.file = make(dir, seq, boot).inspect_err(complain).ok();
        }
    }

    /// The journal has this record.
    pub(super) fn note(&mut self, seq: i64) {
        let Some(file) = &self.file else {
            return;
        };
        if let Err(error) = file.write_all_at(&digits(seq), RECORD.len() as u64) {
            complain(&error);
            self.file = None;
        }
    }
}

fn make(dir: &Path, seq: i64, boot: &str) -> io::Result<File> {
    let fresh = dir.join(format!(".{FILE}.new"));
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&fresh)?;
    let mut text = RECORD.as_bytes().to_vec();
    text.extend(digits(seq));
    text.extend(format!("\n{BOOT}{boot}\n").bytes());
    file.write_all(&text)?;
    // Never the old file with a part of the new: a rename is whole, synced or not.
    fs::rename(&fresh, dir.join(FILE))?;
    Ok(file)
}

fn complain(error: &io::Error) {
    tracing::warn!(
        %error,
        "{FILE} cannot be written: should the journal lose its end, the next start would not notice"
    );
}

/// As many digits for every number, so that one can take another's place.
fn digits(seq: i64) -> [u8; 19] {
    let mut rest = seq.max(0);
    let mut digits = [b'0'; 19];
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    digits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_what_was_noted_last() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Head::read(dir.path()), None);
        let mut head = Head::begin(dir.path(), 41, "a boot");
        let said = |seq| {
            let boot = "a boot".to_owned();
            Some(Said { seq, boot })
        };
        assert_eq!(Head::read(dir.path()), said(41));
        for seq in [42, 1_000, i64::MAX] {
            head.note(seq);
            assert_eq!(Head::read(dir.path()), said(seq));
        }
        fs::write(dir.path().join(FILE), "record 4").unwrap();
        assert_eq!(Head::read(dir.path()), None);
    }
}
