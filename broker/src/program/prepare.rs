//! Everything that comes before the program is replaced, and that it may be refused by.

use std::io;
use std::path::PathBuf;

use crate::clock::wall_ms;
use crate::disk::journal::SCHEMA;
use crate::program::check::{self, Refusal};
use crate::program::copies::{Kept, Record, hash};
use crate::program::handover::{Build, Carried};
use crate::program::{Fault, How, Program, lock, source};

impl Program {
    /// The copy to execute, and what it is; nothing where it runs already.
    pub(super) fn prepare(&self, how: How) -> Result<Option<(PathBuf, Build)>, Fault> {
        let running = self.sha256().map_err(|error| self.fault("copy", &error))?;
        let (origin, sha256) = match how.back {
            true => self.copy_of_before(&running)?,
            false => (self.disk().to_owned(), self.copy_of_disk(&running)?),
        };
        if sha256 == running {
            return Ok(None);
        }
        self.keep_running()
            .map_err(|error| self.fault("copy", &error))?;
        let copy = self.copies.path(&sha256);
        let scratch = self.copies.scratch();
        let scratch = scratch.map_err(|error| self.fault("copy", &error))?;
        let mut next = Build {
            sha256,
            version: String::new(),
            generation: self.live.generation + 1,
            since_ms: wall_ms(),
        };
        let carried = self.carried(next.clone());
        let report = check::question(&copy, carried, &scratch, &self.journal, how.one_way);
        let report = report.map_err(|refusal| {
            let tidied = self.copies.tidy(&running);
            warn_untidy(tidied);
            Fault {
                stage: refusal.stage(),
                path: origin,
                message: refusal.to_string(),
            }
        })?;
        warn_untidy(self.copies.clear_scratch());
        next.version = report.version;
        next.since_ms = wall_ms();
        Ok(Some((copy, next)))
    }

    /// Removes what was copied for nothing.
    pub(super) fn let_go(&self) {
        let tidied = self.sha256().and_then(|running| self.copies.tidy(&running));
        warn_untidy(tidied);
    }

    fn copy_of_disk(&self, running: &str) -> Result<String, Fault> {
        let mut file = source::open(self.disk())?;
        let unreadable = |error: io::Error| self.fault("unreadable", &error);
        if hash(&mut file).map_err(unreadable)? == running {
            return Ok(running.to_owned());
        }
        let copied = self.copies.keep(&mut file);
        copied.map_err(|error| self.fault("copy", &error))
    }

    fn copy_of_before(&self, running: &str) -> Result<(PathBuf, String), Fault> {
        let before = self.before(running);
        let missing = |message: &str| Fault {
            stage: "missing",
            path: self.disk().to_owned(),
            message: message.to_owned(),
        };
        let before = before.ok_or_else(|| missing("there is no program before this one"))?;
        match self.copies.holds(&before.sha256) {
            true => Ok((self.copies.path(&before.sha256), before.sha256)),
            false => Err(missing(
                "the copy of the program before is spoiled, or gone",
            )),
        }
    }

    /// The program before the running one, as far as anybody wrote that down: one that was started
    /// anew, rather than reloaded, came after the one that went live last.
    pub(super) fn before(&self, running: &str) -> Option<Kept> {
        let Record { live, before } = self.copies.record();
        match live {
            Some(live) if live.sha256 != running => Some(live),
            _ => before,
        }
    }

    /// Sees to it that there is a copy to come back to.
    fn keep_running(&self) -> io::Result<()> {
        match &self.image {
            Some(image) => self.copies.keep(&mut lock(image)).map(drop),
            None if self.copies.holds(&self.sha256()?) => Ok(()),
            None => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "the copy of the running program is spoiled, or gone, so there would be no way back",
            )),
        }
    }

    /// What the next program is told.
    pub(super) fn carried(&self, next: Build) -> Carried {
        let mut live = self.live.clone();
        live.sha256 = self.live_sha256.get().cloned().unwrap_or_default();
        Carried {
            build: next,
            before: Some(live),
            failed: None,
            disk: self.itself.disk.clone().into(),
            arguments: self.itself.arguments.clone(),
            started_at: self.itself.started_at.clone(),
            ignores_hangups: self.itself.ignores_hangups,
            left_ms: 0,
            check: None,
        }
    }

    fn fault(&self, stage: &'static str, error: &io::Error) -> Fault {
        Fault {
            stage,
            path: self.disk().to_owned(),
            message: match stage {
                "unreadable" => format!("it cannot be read: {error}"),
                _ => format!("it cannot be copied into the data directory: {error}"),
            },
        }
    }
}

impl Refusal {
    fn stage(&self) -> &'static str {
        match self {
            Self::Check(_) => "check",
            Self::OneWay(_) => "one_way",
        }
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Check(said) => f.write_str(said),
            Self::OneWay(format) => write!(
                f,
                "it writes a journal of format {format}, and the running program reads up to \
                 {SCHEMA}: once it has written there is no way back. `warden hot-reload --one-way` \
                 (`\"one_way\": true`) takes it all the same"
            ),
        }
    }
}

fn warn_untidy(tidied: io::Result<()>) {
    if let Err(error) = tidied {
        tracing::warn!(%error, "what is left of looking at a program cannot be removed");
    }
}
