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
/// Every number stays below 2^53, which is all that a reader of JSON may be able to tell apart.
const END: u64 = 1 << 53;
/// What a file may say at most, so that there is a block to go on with.
const MAX: u64 = END - 2 * BLOCK;

/// How far numbers may be handed out without asking the disk again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ceiling {
    /// No token above this one was ever handed out.
    pub(crate) token: u64,
    /// No revision above this one was ever told.
    pub(crate) revision: u64,
}

impl Ceiling {
    /// The first token that was certainly never handed out.
    pub(crate) fn next_token(self) -> u64 {
        self.token.saturating_add(1)
    }
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
            Ok(text) => {
                parse(&text).map_err(|why| io::Error::new(io::ErrorKind::InvalidData, why))?
            }
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

    /// What is reserved, where anything ever was.
    pub(crate) fn known(&self) -> Option<Ceiling> {
        (self.ceiling != Ceiling::default()).then_some(self.ceiling)
    }

    /// Makes sure that numbers up to these may be handed out; waits for the disk where they reach
    /// into a new block.
    pub(crate) fn cover(&mut self, token: u64, revision: u64) -> io::Result<()> {
        if token <= self.ceiling.token && revision <= self.ceiling.revision {
            return Ok(());
        }
        let raise = |have: u64, need: u64| match need.checked_add(BLOCK) {
            _ if need <= have => Ok(have),
            Some(raised) if raised < END => Ok(raised),
            _ => Err(io::Error::other(format!(
                "{need} is too near to 2^53, beyond which numbers could not be told apart"
            ))),
        };
        let ceiling = Ceiling {
            token: raise(self.ceiling.token, token)?,
            revision: raise(self.ceiling.revision, revision)?,
        };
        let text = format!("token {}\nrevision {}\n", ceiling.token, ceiling.revision);
        replace(&self.dir, FILE, text.as_bytes())?;
        self.ceiling = ceiling;
        Ok(())
    }
}

/// What is too large for a `u64` is too large, and not merely no number.
fn parse(text: &str) -> Result<Ceiling, String> {
    let mut lines = text.lines();
    let mut number = |name: &str| {
        let digits = lines.next().and_then(|line| line.strip_prefix(name));
        let digits = digits.map(str::trim).filter(|digits| {
            !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
        });
        let digits =
            digits.ok_or("it should say `token N` and `revision N` on two lines".to_owned())?;
        match digits.parse() {
            Ok(number) if number <= MAX => Ok(number),
            _ => Err(format!(
                "it says `{name}{digits}`, and no number can be larger than {MAX}"
            )),
        }
    };
    Ok(Ceiling {
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

    #[test]
    fn numbers_stay_below_two_to_the_53rd() {
        let dir = tempfile::tempdir().unwrap();
        let write = |token: &str| {
            fs::write(
                dir.path().join(FILE),
                format!("token {token}\nrevision 1\n"),
            )
            .unwrap();
        };
        let beyond = (MAX + 1).to_string();
        for token in [
            "18446744073709551615",
            "18446744073709551616",
            "9007199254740992",
            &beyond,
        ] {
            write(token);
            let error = Reserve::open(dir.path()).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
            let said = error.to_string();
            assert!(said.contains(token) && said.contains("larger"), "{said}");
        }
        write("-1");
        Reserve::open(dir.path()).unwrap_err();
        write(&MAX.to_string());
        let mut reserve = Reserve::open(dir.path()).unwrap();
        reserve.cover(MAX + 1, 2).unwrap();
        let ceiling = reserve.ceiling();
        assert!(ceiling.token < END);
        for token in [ceiling.token + 1, u64::MAX] {
            reserve.cover(token, 2).unwrap_err();
        }
        assert_eq!(
            reserve.ceiling(),
            ceiling,
            "nothing is taken that is not there"
        );
    }
}
