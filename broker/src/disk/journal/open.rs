//! Opening a journal, and judging whether all of it is there.

use std::path::{Path, PathBuf};

use warden::{Arbiter, Change, Event, Fact, Gpu, Now};

use super::replay::{self, Read};
use super::salvage::{self, Salvaged};
use super::{FILE, Journal, JournalError};
use crate::clock::wall_ms;
use crate::disk::head::{Head, Said};
use crate::disk::reserve::Ceiling;

/// No journal was ever so long.
const MAX_SEQ: i64 = 1 << 53;

/// What is known before a journal is opened.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Opening<'a> {
    /// The data directory.
    pub(crate) dir: &'a Path,
    /// Tells one damaged journal's name from another's.
    pub(crate) stamp: &'a str,
    /// The boot of the host that it is opened in.
    pub(crate) boot: &'a str,
    /// What was ever reserved; nothing where the file that says so is missing.
    pub(crate) ceiling: Option<Ceiling>,
    /// The GPUs that there are.
    pub(crate) gpus: &'a [Gpu],
}

/// A journal that was just opened.
#[derive(Debug)]
pub(crate) struct Opened {
    /// Where facts go from here on.
    pub(crate) journal: Journal,
    /// What its facts add up to.
    pub(crate) arbiter: Arbiter,
    /// The host has booted since it was last written.
    pub(crate) host_restarted: bool,
    /// Where the one before went, if it was damaged.
    pub(crate) set_aside: Option<PathBuf>,
}

impl Journal {
    /// Opens the journal, or makes one, and replays it; `seen` is shown every fact just after it was
    /// applied, with how many are left after it. A damaged one is set aside, and what can be read
    /// of it goes on; where a lease may have been lost that is still held, the state is in doubt.
    pub(crate) fn open(
        opening: Opening<'_>,
        mut seen: impl FnMut(&Arbiter, &Event, &Change, u64),
    ) -> Result<Opened, JournalError> {
        let path = opening.dir.join(FILE);
        let head = Head::read(opening.dir);
        let adopted = salvage::adopt(&opening)?;
        if let Some(aside) = &adopted {
            tracing::error!(
                journal = %path.display(),
                aside = %aside.display(),
                "a broker was killed while it set a damaged journal aside; what it could read of that \
                 goes on"
            );
        }
        let read = replay::read(&path, &mut seen).and_then(|read| {
            let is_whole = opening.check_end(&read, head.as_ref());
            is_whole.map_err(JournalError::Damaged)?;
            Ok(read)
        });
        match read {
            Ok(read) => Ok(Opened {
                host_restarted: read.boot.is_some_and(|boot| boot != opening.boot),
                journal: read.journal,
                arbiter: read.arbiter,
                set_aside: adopted,
            }),
            Err(error) if error.is_damage() => opening.save(&path, head.as_ref(), &error),
            Err(error) => Err(error),
        }
    }
}

impl Opening<'_> {
    /// What is well-formed can still be less than there was.
    fn check_end(&self, read: &Read, head: Option<&Said>) -> Result<(), String> {
        // What an earlier boot's last moments wrote may be lost, and so are all its holders.
        let head = head.filter(|head| head.boot == self.boot);
        let last = read.last;
        match (head, &read.boot) {
            (Some(head), _) if last < head.seq => Err(format!(
                "it ends at record {last}, and record {} was written: its end is missing, or its \
                 log ({FILE}-wal)",
                head.seq
            )),
            (Some(_), Some(boot)) if *boot != self.boot => {
                Err("it names another boot of this host than it was last written in".to_owned())
            }
            (None, None) if last == 0 && self.ceiling.is_some() => {
                Err("it is missing, and there was one before".to_owned())
            }
            _ => Ok(()),
        }
    }

    /// Goes on from what can be read of a damaged journal.
    fn save(
        &self,
        path: &Path,
        head: Option<&Said>,
        damage: &JournalError,
    ) -> Result<Opened, JournalError> {
        let Some(ceiling) = self.ceiling else {
            let detail = format!(
                "it is damaged ({damage}), and the file `reserve` beside it is missing, without which \
                 fencing tokens might repeat. Put `reserve` back from a copy, or write `token N` and \
                 `revision N` there on two lines, with numbers larger than any that was given"
            );
            return Err(JournalError::Unusable(detail));
        };
        let Salvaged {
            mut arbiter,
            last,
            boot,
            records,
            max_ttl_ms,
        } = salvage::read(path, self.gpus);
        let mut boots = boot.iter().chain(head.map(|head| &head.boot));
        let is_ours = |boot: &String| boot == self.boot;
        // An earlier boot's holders are gone with it, whoever they were.
        let earlier = boots.clone().next().filter(|_| !boots.any(is_ours));
        let boot = earlier.map_or(self.boot, String::as_str);

        let at = Now {
            clock_ms: arbiter.clock_ms(),
            wall_ms: wall_ms(),
        };
        let token_floor = arbiter.next_token().max(ceiling.next_token());
        let revision_floor = arbiter.revision().max(ceiling.revision);
        let started = Fact::Started {
            token_floor,
            revision_floor,
        };
        let doubted = earlier.is_none().then_some(Fact::Doubted { max_ttl_ms });
        for fact in [Some(started), doubted].into_iter().flatten() {
            arbiter.apply(&Event { at, fact });
        }
        // What a flipped bit makes of a number may leave no room behind it.
        let most = last.max(head.map_or(0, |head| head.seq));
        let seq = most.min(MAX_SEQ) + 1;
        let aside = salvage::replace(self, &arbiter, seq, boot)?;
        tracing::error!(
            journal = %path.display(),
            aside = %aside.display(),
            %damage,
            records,
            leases = arbiter.leases().count(),
            "the journal is damaged: it was set aside, and what could be read of it goes on{}",
            match earlier {
                Some(_) => "",
                None => ". A lease may have been lost, so nothing is granted until `warden reset`",
            }
        );
        let read = replay::read(path, &mut |_, _, _, _| {})?;
        Ok(Opened {
            host_restarted: earlier.is_some(),
            journal: read.journal,
            arbiter: read.arbiter,
            set_aside: Some(aside),
        })
    }
}
