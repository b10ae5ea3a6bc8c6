//! Files that go live when they are saved, as the log and `GET /v1/hot-reload` tell of them.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{SystemTime, UNIX_EPOCH};

use warden::Code;
use warden::wire::reload::{RefusedFile, ReloadError, ReloadKind, ReloadModule, ReloadState};
use warden_reload::files::{Fault, FileState, Watching};

use crate::clock::rfc3339;
use crate::http::answer::{Extra, Failure};

/// Tells the log whenever a file stands otherwise. What is wrong with one is told there by the watch
/// of files itself.
#[derive(Debug)]
pub(crate) struct Watch {
    name: &'static str,
    /// What holds without its file.
    absence: &'static str,
    told: Mutex<Told>,
}

#[derive(Debug, Default, PartialEq)]
struct Told {
    generation: u64,
    present: bool,
    has_fault: bool,
    unwatched: Option<String>,
}

impl Watch {
    /// From how the file stands at the start.
    pub(crate) fn new(name: &'static str, absence: &'static str, state: &FileState) -> Self {
        let watch = Self {
            name,
            absence,
            told: Mutex::default(),
        };
        watch.note(state);
        watch
    }

    /// The file stands like this now.
    pub(crate) fn note(&self, state: &FileState) {
        let name = self.name;
        let unwatched = match &state.watching {
            Watching::Polling { why } | Watching::Off { why } => Some(why.clone()),
            Watching::Native => None,
        };
        let now = Told {
            generation: state.generation,
            present: state.present,
            has_fault: state.fault.is_some(),
            unwatched,
        };
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let generation = now.generation;
        if !now.present && told.present {
            let absence = self.absence;
            tracing::info!(module = name, generation, "its file is gone: {absence}");
        } else if generation != told.generation {
            tracing::info!(module = name, generation, "live");
        } else if told.has_fault && !now.has_fault {
            tracing::info!(module = name, generation, "its file is good again");
        }
        if let Some(why) = now
            .unwatched
            .as_ref()
            .filter(|_| now.unwatched != told.unwatched)
        {
            tracing::warn!(
                module = name,
                why,
                "the system does not tell when its file changes"
            );
        }
        *told = now;
    }
}

/// A module that is one file, but for its number and its hash.
pub(crate) fn of_file(name: &str, kind: ReloadKind, state: &FileState) -> ReloadModule {
    ReloadModule {
        name: name.to_owned(),
        kind,
        state: standing(state.fault.as_ref()),
        generation: 0,
        sha256: None,
        since: rfc3339(unix_ms(state.at)),
        last_error: state.fault.as_ref().map(error),
        program: None,
    }
}

/// Whether what lies there is live.
pub(crate) fn standing(fault: Option<&Fault>) -> ReloadState {
    match fault {
        Some(_) => ReloadState::Refused,
        None => ReloadState::Live,
    }
}

/// A fault as it travels.
pub(crate) fn error(fault: &Fault) -> ReloadError {
    ReloadError {
        stage: fault.kind.name().to_owned(),
        path: fault.path.display().to_string(),
        line: fault.line,
        column: fault.column,
        message: fault.message.clone(),
    }
}

/// A fault as the status tells it, with what holds until it is mended.
pub(crate) fn refused_file(fault: &Fault, holds: &str) -> RefusedFile {
    RefusedFile {
        error: error(fault),
        holds: holds.to_owned(),
    }
}

/// The answer to who asked for a reload of a file that was refused.
pub(crate) fn refused(fault: &Fault) -> Failure {
    reload_refused(fault.kind.name(), fault.to_string())
}

/// The same for anything.
pub(crate) fn reload_refused(stage: &str, detail: String) -> Failure {
    Failure {
        code: Code::ReloadRefused,
        detail,
        extra: Box::new(Extra {
            stage: Some(stage.to_owned()),
            ..Extra::default()
        }),
    }
}

pub(crate) fn unix_ms(at: SystemTime) -> u64 {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// A callback that does not keep alive what it is about.
pub(crate) fn follow<T, E: ?Sized, F: Fn(&T, &E)>(
    about: &Arc<T>,
    call: F,
) -> impl Fn(&E) + use<T, E, F> {
    let about = Arc::downgrade(about);
    move |event| {
        if let Some(about) = Weak::upgrade(&about) {
            call(&about, event);
        }
    }
}
