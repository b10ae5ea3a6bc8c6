//! From what lies in the data directory to an engine that works.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::thread;

use tokio::sync::{mpsc, oneshot, watch};
use warden::snapshot::About;
use warden::wire::Counters;
use warden::{Arbiter, Gpu, Policy, Start};
use warden_reload::files::Files;
use warden_reload::promotion::Place;

use crate::app::{Ready, Refusals};
use crate::clock::rfc3339;
use crate::disk::ballast::Ballast;
use crate::disk::directory::Directory;
use crate::disk::journal::{FILE as JOURNAL, Journal, JournalError, Opened, Opening};
use crate::disk::reserve::{FILE as RESERVE, Reserve};
use crate::engine::inbox::Inbox;
use crate::engine::{Desk, Engine, Parts, Workshop};
use crate::error::ServeError;
use crate::notices::Notices;
use crate::owners::Watch;
use crate::program::switch::Switch;
use crate::program::{Itself, Plan, Program};
use crate::ring::KEPT;
use crate::rules::Rules;
use crate::sharing::Sharing;
use crate::stream::{Stream, Told};

/// What an engine begins with, beside the data directory.
pub(crate) struct Inputs {
    pub(crate) gpus: Vec<Gpu>,
    pub(crate) started_at: String,
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) watcher: mpsc::UnboundedSender<Watch>,
    pub(crate) busy: watch::Sender<bool>,
    pub(crate) files: Files,
    pub(crate) switch: Arc<Switch>,
    /// The broker's own code, and where plans to replace it go; nothing in another's process.
    pub(crate) program: Option<(Itself, mpsc::Sender<Box<Plan>>)>,
    pub(crate) notices: Arc<Notices>,
}

/// An engine at work.
pub(crate) struct Begun {
    pub(crate) ready: Ready,
    /// Resolves when its thread has ended; an error is why it could not go on.
    pub(crate) ended: oneshot::Receiver<Result<(), JournalError>>,
}

/// What the data directory gave.
struct Replayed {
    reserve: Reserve,
    journal: Journal,
    arbiter: Arbiter,
    /// The last of what was told before, where all of it is known.
    told: Vec<Told>,
    host_restarted: bool,
    /// Nothing that was told may be missing.
    whole: bool,
}

/// Replays the journal and starts the engine's thread. Blocks while it reads.
pub(crate) fn begin(dir: &Directory, place: &Place, inputs: Inputs) -> Result<Begun, ServeError> {
    let Inputs {
        gpus,
        started_at,
        inbox,
        watcher,
        busy,
        files,
        switch,
        program,
        notices,
    } = inputs;
    let replayed = replay(dir, &started_at, &gpus)?;
    let program = program.map(|(itself, plans)| {
        let journal = replayed.journal.copier();
        Program::new(itself, dir.path(), journal, plans).map(Arc::new)
    });
    let program = program.transpose().map_err(|source| ServeError::System {
        what: "open this program's own file",
        source,
    })?;
    let sharing = Sharing::open(&files, place, dir.path());
    let rules = Rules::open(
        &files,
        place.config_dir(),
        replayed.arbiter.policy(),
        Arc::clone(&inbox),
    );
    let start = start(&replayed, gpus, rules.policy());
    let stream = Arc::new(Stream::new());
    stream.recall(replayed.told);
    let parts = Parts {
        arbiter: replayed.arbiter,
        journal: replayed.journal,
        reserve: replayed.reserve,
        inbox: Arc::clone(&inbox),
        stream: Arc::clone(&stream),
        watcher,
        busy,
        about: About {
            version: crate::VERSION.to_owned(),
            started_at,
        },
        notices: Arc::clone(&notices),
        ballast: Ballast::of(dir.path()),
        journal_path: dir.file(JOURNAL),
    };
    let engine =
        Engine::start(parts, start).map_err(|error| unusable(dir, JOURNAL, error.to_string()))?;
    let ready = ready(&engine, stream, rules, sharing, notices, (switch, program));
    let workshop = Arc::new(Workshop::new(engine, Arc::clone(&inbox)));
    let ready = ready(Desk::new(inbox, Arc::clone(&workshop)));
    let (tell, ended) = oneshot::channel();
    thread::Builder::new()
        .name("engine".to_owned())
        .spawn(move || drop(tell.send(workshop.run())))
        .map_err(|source| ServeError::System {
            what: "start the engine's thread",
            source,
        })?;
    Ok(Begun { ready, ended })
}

fn unusable(dir: &Directory, name: &str, detail: String) -> ServeError {
    ServeError::Journal {
        path: dir.file(name),
        detail,
    }
}

/// Reads the reserve and the journal, which is this boot's from here on.
fn replay(dir: &Directory, started_at: &str, gpus: &[Gpu]) -> Result<Replayed, ServeError> {
    let reserve = Reserve::open(dir.path()).map_err(|error| {
        let detail = format!(
            "it keeps tokens from being given twice, and cannot be read: {error}. Put it back from a \
             copy, or write numbers there that are larger than any that was given"
        );
        unusable(dir, RESERVE, detail)
    })?;
    let stamp: String = started_at
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .collect();
    let mut told = Vec::new();
    let boot = boot_id();
    let opening = Opening {
        dir: dir.path(),
        stamp: &stamp,
        boot: &boot,
        ceiling: reserve.known(),
        gpus,
    };
    let opened = Journal::open(opening, |arbiter, event, change, left| {
        if left < KEPT as u64
            && let Some(row) = arbiter.stream_event(event.at, change, &rfc3339)
        {
            told.push(Told::new(arbiter.revision(), event.at.clock_ms, row));
        }
    })
    .map_err(|error| unusable(dir, JOURNAL, error.to_string()))?;
    let Opened {
        mut journal,
        arbiter,
        host_restarted,
        set_aside,
    } = opened;
    let whole = !host_restarted && set_aside.is_none();
    if !whole {
        told.clear();
    }
    journal.set_boot_id(&boot);
    journal.begin_head(dir.path(), &boot);
    Ok(Replayed {
        reserve,
        journal,
        arbiter,
        told,
        host_restarted,
        whole,
    })
}

/// What the routes take from the engine before it goes to its workshop.
fn ready(
    engine: &Engine,
    stream: Arc<Stream>,
    rules: Arc<Rules>,
    sharing: Arc<Sharing>,
    notices: Arc<Notices>,
    (switch, program): (Arc<Switch>, Option<Arc<Program>>),
) -> impl FnOnce(Desk) -> Ready + use<> {
    let arbiter = engine.arbiter();
    let Counters { refused, .. } = arbiter.counters().clone();
    let policy = engine.policy();
    let gpus = engine.gpus();
    let clock = engine.clock();
    move |desk| Ready {
        desk,
        stream,
        policy,
        rules,
        sharing,
        switch,
        program,
        gpus,
        host: host_name().into(),
        clock,
        refusals: Refusals::new(refused),
        notices,
        status_slots: Ready::status_slots(),
    }
}

/// Where the journal is whole, numbers go on from it. Where it may have lost its end, they go on
/// past everything that may ever have been told.
fn start(replayed: &Replayed, gpus: Vec<Gpu>, policy: Policy) -> Start {
    let arbiter = &replayed.arbiter;
    let ceiling = replayed.reserve.ceiling();
    let (token_floor, revision_floor) = if replayed.whole {
        (arbiter.next_token(), arbiter.revision())
    } else {
        (
            arbiter.next_token().max(ceiling.next_token()),
            arbiter.revision().max(ceiling.revision),
        )
    };
    Start {
        token_floor,
        revision_floor,
        host_restarted: replayed.host_restarted,
        gpus,
        policy: Box::new(policy),
    }
}

/// Differs after every boot of the host. Where the system does not say, all boots count as one.
fn boot_id() -> String {
    kernel("random/boot_id").unwrap_or_else(|| "unknown".to_owned())
}

fn host_name() -> String {
    kernel("hostname").unwrap_or_else(|| "localhost".to_owned())
}

fn kernel(name: &str) -> Option<String> {
    let text = fs::read_to_string(Path::new("/proc/sys/kernel").join(name)).ok()?;
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}
