//! Numbers that never go back: tokens and revisions are handed out of blocks that the disk has
//! confirmed, in a file of its own, so that they go on even where the journal is lost.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::disk::directory::replace;

/// The file in the data directory.
pub(crate) const FILE: &str = "reserve";
/// One wait for the disk every so many grants; far too few to ever reach 2^53.
const BLOCK: u64 = 1 << 20;

/// How far numbers may be handed out without asking the disk again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ceiling {
    /// No token above this one was ever handed out.
    pub(crate) token: u64,
    /// No revision above this one was ever told.
    pub(crate) revision: u64,
}

/// The reserve of one data directory.
#[derive(Debug)]
pub(crate) struct Reserve {
    dir: PathBuf,
    ceiling: Ceiling,
}

impl Reserve {
    /// Reads the reserve; a directory without one has handed out nothing.
    ///
    /// # Errors
    /// Where the file cannot be read, or is not a reserve ([`io::ErrorKind::InvalidData`]).
    pub(crate) fn open(dir: &Path) -> io::Result<Self> {
        let ceiling = match fs::read_to_string(dir.join(FILE)) {
            Ok(text) => parse(&text).ok_or_else(|| {
                let message = "it should say `token N` and `revision N` on two lines";
                io::Error::new(io::ErrorKind::InvalidData, message)
            })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ceiling::default(),
            Err(error) => return Err(error),
        };
        Ok(Self {
            dir: dir.to_owned(),
            ceiling,
        })
    }

    /// What is reserved now.
    pub(crate) fn ceiling(&self) -> Ceiling {
        self.ceiling
    }

    /// Makes sure that numbers up to these may be handed out; waits for the disk where they reach
    /// into a new block.
    pub(crate) fn cover(&mut self, token: u64, revision: u64) -> io::Result<()> {
        if token <= self.ceiling.token && revision <= self.ceiling.revision {
            return Ok(());
        }
        let raise = |have: u64, need: u64| if need > have { need + BLOCK } else { have };
        let ceiling = Ceiling {
            token: raise(self.ceiling.token, token),
            revision: raise(self.ceiling.revision, revision),
        };
        let text = format!("token {}\nrevision {}\n", ceiling.token, ceiling.revision);
        replace(&self.dir, FILE, text.as_bytes())?;
        self.ceiling = ceiling;
        Ok(())
    }
}

fn parse(text: &str) -> Option<Ceiling> {
    let mut lines = text.lines();
    let mut number = |name: &str| lines.next()?.strip_prefix(name)?.trim().parse().ok();
    Some(Ceiling {
        token: number("token ")?,
        revision: number("revision ")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_go_on_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let mut reserve = Reserve::open(dir.path()).unwrap();
        assert_eq!(reserve.ceiling(), Ceiling::default());
        reserve.cover(7, 9).unwrap();
        let ceiling = reserve.ceiling();
        assert!(ceiling.token >= 7 && ceiling.revision >= 9);
        reserve.cover(8, 10).unwrap();
        assert_eq!(reserve.ceiling(), ceiling, "within the block");
        assert_eq!(Reserve::open(dir.path()).unwrap().ceiling(), ceiling);
    }

    #[test]
    fn a_damaged_reserve_is_told_from_a_missing_one() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(FILE), "token 7\nrev").unwrap();
        let error = Reserve::open(dir.path()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }
}
