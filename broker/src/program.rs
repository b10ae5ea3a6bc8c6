//! The broker's own code: what runs, what lies on disk, and becoming that.
//!
//! A reload of the program goes through these steps, and stops at the first that fails, with
//! everything as it was: the file is opened, and looked at who could have written it (`source`); it
//! is copied to where nobody else writes (`copies`); the copy runs as a child on a copy of the
//! journal (`check`); the broker comes to rest; the copy is executed in this very process, which
//! keeps its number, its sockets and its lock (`handover`); and until it serves, whatever ends it
//! begins the one before again (`trial`).
//!
//! Sameness is by hash of the content. No caller names a path: what is taken is the file that this
//! process was started from, or the copy of the program before.

pub(crate) mod check;
pub(crate) mod copies;
pub(crate) mod handover;
mod launch;
mod prepare;
pub(crate) mod signals;
pub(crate) mod source;
pub(crate) mod switch;
pub(crate) mod trial;

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tokio::sync::{OwnedMutexGuard, mpsc};
use warden::wire::reload::{
    ProgramBefore, ProgramFiles, ReloadError, ReloadKind, ReloadModule, ReloadOutcome,
    ReloadResult, ReloadState,
};
use warden_reload::files::Stamp;

use crate::clock::{rfc3339, wall_ms};
use crate::disk::journal::Copier;
use crate::http::answer::Failure;
use crate::module;
use crate::program::copies::{Copies, Kept, hash};
use crate::program::handover::{Build, Carried, Failed};

/// What a reload calls it.
pub(crate) const MODULE: &str = "program";

/// What a process knows of itself when it starts, or was told by the program before.
#[derive(Clone, Debug)]
pub(crate) struct Itself {
    /// Nothing where it was not handed over: its hash is found when somebody asks.
    pub(crate) build: Option<Build>,
    /// Who it took over from.
    pub(crate) before: Option<Build>,
    /// Who was to take over from it, and failed.
    pub(crate) failed: Option<Failed>,
    pub(crate) disk: PathBuf,
    pub(crate) arguments: Vec<OsString>,
    /// When the process started, RFC 3339.
    pub(crate) started_at: String,
    pub(crate) ignores_hangups: bool,
}

impl Itself {
    /// As the process was started.
    pub(crate) fn of_this_process() -> io::Result<Self> {
        Ok(Self {
            build: None,
            before: None,
            failed: None,
            disk: source::of_this_process()?,
            arguments: std::env::args_os().collect(),
            started_at: rfc3339(wall_ms()),
            ignores_hangups: signals::ignores_hangups(),
        })
    }
}

impl From<Carried> for Itself {
    fn from(carried: Carried) -> Self {
        Self {
            build: Some(carried.build),
            before: carried.before,
            failed: carried.failed,
            disk: carried.disk.into(),
            arguments: carried.arguments,
            started_at: carried.started_at,
            ignores_hangups: carried.ignores_hangups,
        }
    }
}

/// How the program is to be reloaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct How {
    /// To the one before.
    pub(crate) back: bool,
    /// Though there is no way back.
    pub(crate) one_way: bool,
}

/// Why a program was not taken.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) stage: &'static str,
    pub(crate) path: PathBuf,
    pub(crate) message: String,
}

/// What a reload comes to.
#[derive(Debug)]
pub(crate) enum Turn {
    /// This program goes on.
    Stays(ReloadResult),
    /// All is ready for another one.
    Goes(Box<Plan>),
}

/// To become another program.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Which copy is executed.
    pub(crate) path: PathBuf,
    /// And which one where that fails: this program's own.
    pub(crate) back: PathBuf,
    /// What it is told.
    pub(crate) carried: Carried,
    /// Nobody else begins another.
    _attempt: OwnedMutexGuard<()>,
}

/// The program of one broker.
#[derive(Debug)]
pub(crate) struct Program {
    itself: Itself,
    /// What runs, but for its hash where that is not known.
    live: Build,
    live_sha256: OnceLock<String>,
    /// The file that runs, whatever became of its path; nothing where it is a copy of ours.
    image: Option<Mutex<File>>,
    copies: Copies,
    journal: Copier,
    attempt: Arc<tokio::sync::Mutex<()>>,
    last_error: Mutex<Option<ReloadError>>,
    /// What was last found on disk.
    found: Mutex<Option<(Stamp, String)>>,
    plans: mpsc::Sender<Box<Plan>>,
}

impl Program {
    /// The program of the broker in `data_dir`, whose plans are carried out by who has the other end.
    pub(crate) fn new(
        itself: Itself,
        data_dir: &Path,
        journal: Copier,
        plans: mpsc::Sender<Box<Plan>>,
    ) -> io::Result<Self> {
        let live = itself.build.clone().unwrap_or_else(|| Build {
            sha256: String::new(),
            version: crate::VERSION.to_owned(),
            generation: 1,
            since_ms: wall_ms(),
        });
        let image = match itself.build {
            Some(_) => None,
            None => Some(Mutex::new(File::open("/proc/self/exe")?)),
        };
        let last_error = itself.failed.as_ref().map(|failed| ReloadError {
            stage: "start".to_owned(),
            path: itself.disk.display().to_string(),
            line: None,
            column: None,
            message: failed.said.clone(),
        });
        Ok(Self {
            live_sha256: match &itself.build {
                Some(build) => build.sha256.clone().into(),
                None => OnceLock::new(),
            },
            live,
            image,
            copies: Copies::of(data_dir),
            journal,
            attempt: Arc::default(),
            last_error: Mutex::new(last_error),
            found: Mutex::default(),
            plans,
            itself,
        })
    }

    /// Where it lies on disk.
    pub(crate) fn disk(&self) -> &Path {
        &self.itself.disk
    }

    /// How it stands. Reads the program on disk, where that has changed.
    pub(crate) fn module(&self, enabled: bool) -> ReloadModule {
        let last_error = lock(&self.last_error).clone();
        let sha256 = self.sha256().ok();
        let found = self.found_on_disk().ok();
        let before = sha256.as_ref().and_then(|sha256| self.before(sha256));
        ReloadModule {
            name: MODULE.to_owned(),
            kind: ReloadKind::Program,
            state: match &last_error {
                _ if !enabled => ReloadState::Disabled,
                Some(_) => ReloadState::Refused,
                None => ReloadState::Live,
            },
            generation: self.live.generation,
            since: rfc3339(self.live.since_ms),
            last_error,
            program: Some(Box::new(ProgramFiles {
                version: self.live.version.clone(),
                path: self.disk().display().to_string(),
                newer_sha256: found.filter(|found| sha256.as_ref() != Some(found)),
                before: before.map(|Kept { sha256, version }| ProgramBefore { sha256, version }),
            })),
            sha256,
        }
    }

    /// Makes ready to become another program, unless that is the one that runs.
    ///
    /// # Errors
    /// `reload_refused` with the reason; nothing has changed then.
    pub(crate) async fn reload(self: &Arc<Self>, how: How) -> Result<Turn, Failure> {
        let attempt = Arc::clone(&self.attempt).lock_owned().await;
        let program = Arc::clone(self);
        let prepared = tokio::task::spawn_blocking(move || program.prepare(how)).await;
        let fault = match prepared.map_err(|_| Failure::shutting_down())? {
            Ok(None) => {
                *lock(&self.last_error) = None;
                return Ok(Turn::Stays(self.result(ReloadOutcome::Unchanged)));
            }
            Ok(Some((path, next))) => {
                let running = self.live_sha256.get().map_or("", String::as_str);
                return Ok(Turn::Goes(Box::new(Plan {
                    path,
                    back: self.copies.path(running),
                    carried: self.carried(next),
                    _attempt: attempt,
                })));
            }
            Err(fault) => fault,
        };
        Err(self.refuse(fault))
    }

    /// Another one is not taken after all, since the journal, which it would go on from, cannot be
    /// written.
    pub(crate) async fn stay(self: &Arc<Self>, plan: Box<Plan>, why: &str) -> Failure {
        let program = Arc::clone(self);
        // What cannot be removed now is at the next reload.
        let _ = tokio::task::spawn_blocking(move || program.let_go()).await;
        let failure = self.refuse(Fault {
            stage: "journal",
            path: self.disk().to_owned(),
            message: format!(
                "the journal, which it would go on from, cannot be written: {why}. Try again once it \
                 can"
            ),
        });
        drop(plan);
        failure
    }

    fn refuse(&self, fault: Fault) -> Failure {
        let Fault {
            stage,
            path,
            message,
        } = fault;
        let path = path.display().to_string();
        tracing::error!(
            module = MODULE,
            stage,
            path,
            message,
            "refused; the running program goes on"
        );
        let failure = module::reload_refused(stage, format!("{path}: {message}"));
        *lock(&self.last_error) = Some(ReloadError {
            stage: stage.to_owned(),
            path,
            line: None,
            column: None,
            message,
        });
        failure
    }

    /// Carries a plan out. Returns at once; this program ends soon after.
    pub(crate) fn go(&self, plan: Box<Plan>) {
        // One at a time, and the other end is gone only where the broker ends anyway.
        let _ = self.plans.try_send(plan);
    }

    /// What came of the reload that led to this program, or back to it.
    pub(crate) fn verdict(&self) -> Result<ReloadResult, Failure> {
        match &self.itself.failed {
            None => Ok(self.result(ReloadOutcome::Reloaded)),
            Some(failed) => Err(module::reload_refused(
                "start",
                format!("the new program could not start: {}", failed.said),
            )),
        }
    }

    /// Writes down which programs are kept, now that this one serves.
    pub(crate) fn settle(&self) -> io::Result<()> {
        let Some(build) = &self.itself.build else {
            return self.copies.clear_scratch();
        };
        let mut record = self.copies.record();
        let kept = |build: &Build| Kept {
            sha256: build.sha256.clone(),
            version: build.version.clone(),
        };
        if let Some(before) = &self.itself.before {
            record.before = Some(kept(before));
        } else if record
            .live
            .as_ref()
            .is_some_and(|live| live.sha256 != build.sha256)
        {
            record.before = record.live.take();
        }
        record.live = Some(kept(build));
        self.copies.settle(&record)
    }

    fn result(&self, outcome: ReloadOutcome) -> ReloadResult {
        ReloadResult {
            name: MODULE.to_owned(),
            outcome,
            generation: self.live.generation,
        }
    }

    /// Of the program that runs.
    fn sha256(&self) -> io::Result<String> {
        if let Some(known) = self.live_sha256.get() {
            return Ok(known.clone());
        }
        let Some(image) = &self.image else {
            return Ok(self.live.sha256.clone());
        };
        let found = hash(&mut lock(image))?;
        Ok(self.live_sha256.get_or_init(|| found).clone())
    }

    /// Of the program on disk, whether it may be taken or not.
    fn found_on_disk(&self) -> io::Result<String> {
        let metadata = fs::metadata(self.disk())?;
        if !metadata.is_file() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let stamp = Stamp::of(&metadata);
        let mut found = lock(&self.found);
        if let Some((_, sha256)) = found.as_ref().filter(|(seen, _)| *seen == stamp) {
            return Ok(sha256.clone());
        }
        let sha256 = hash(&mut File::open(self.disk())?)?;
        *found = Some((stamp, sha256.clone()));
        Ok(sha256)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while it holds one of these.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
