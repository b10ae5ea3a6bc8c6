//! What the routes share.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use arc_swap::ArcSwap;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use warden::wire::Status;
use warden::{Code, Command, Gpu, Policy, Snapshot};

use crate::clock::{Face, rfc3339};
use crate::engine::Desk;
use crate::http::answer::Failure;
use crate::notices::Notices;
use crate::program::Program;
use crate::program::switch::Switch;
use crate::rules::Rules;
use crate::sharing::Sharing;
use crate::stream::Stream;

/// Status answers that are written at once: each takes a thread for some milliseconds where
/// thousands wait.
const STATUS_AT_ONCE: usize = 2;

/// One broker, as its routes see it.
#[derive(Debug)]
pub(crate) struct App {
    /// Set once the journal is replayed.
    ready: OnceLock<Ready>,
    /// Cancelled when the broker is ending.
    pub(crate) closing: CancellationToken,
    /// Cancelled before that, where another program goes on.
    pub(crate) leaving: CancellationToken,
}

/// What there is once requests are served.
#[derive(Debug)]
pub(crate) struct Ready {
    pub(crate) desk: Desk,
    pub(crate) stream: Arc<Stream>,
    /// The rules that hold.
    pub(crate) policy: Arc<ArcSwap<Policy>>,
    /// Where they come from.
    pub(crate) rules: Arc<Rules>,
    /// What programs share.
    pub(crate) sharing: Arc<Sharing>,
    /// Whether new code may be taken.
    pub(crate) switch: Arc<Switch>,
    /// The broker's own code, where this process is the broker's alone.
    pub(crate) program: Option<Arc<Program>>,
    /// The GPUs that a request may ask for.
    pub(crate) gpus: Arc<ArcSwap<Vec<Gpu>>>,
    /// This host's name.
    pub(crate) host: Arc<str>,
    pub(crate) clock: Arc<Face>,
    pub(crate) refusals: Refusals,
    pub(crate) notices: Arc<Notices>,
    pub(crate) status_slots: Semaphore,
}

impl App {
    pub(crate) fn new(closing: CancellationToken) -> Self {
        Self {
            ready: OnceLock::new(),
            closing,
            leaving: CancellationToken::new(),
        }
    }

    /// Requests are served from here on.
    pub(crate) fn open(&self, ready: Ready) {
        // Said once, by the one who starts the broker.
        let _ = self.ready.set(ready);
    }

    /// What requests are served from.
    pub(crate) fn ready(&self) -> Result<&Ready, Failure> {
        self.ready.get().ok_or_else(Failure::not_ready)
    }
}

impl Ready {
    pub(crate) fn status_slots() -> Semaphore {
        Semaphore::new(STATUS_AT_ONCE)
    }

    /// The state with everything in it that anybody was told before.
    pub(crate) async fn picture(&self) -> Result<Snapshot, Failure> {
        let stream = Arc::clone(&self.stream);
        let latest = tokio::task::spawn_blocking(move || stream.latest()).await;
        if let Ok(Some(picture)) = latest {
            return Ok(picture);
        }
        let picture = self.desk.picture().await?;
        self.stream.renew(picture.clone());
        Ok(picture)
    }

    /// That state as the answer to a status call, written by `write` off the runtime's threads.
    pub(crate) async fn status<T: Send + 'static>(
        &self,
        write: impl FnOnce(u64, Status) -> T + Send + 'static,
    ) -> Result<T, Failure> {
        let _slot = self
            .status_slots
            .acquire()
            .await
            .map_err(|_| Failure::shutting_down())?;
        // Read first: who hears that something is over finds in the picture what came of it.
        let notices = self.notices.list();
        let mut picture = self.picture().await?;
        picture.set_notices(notices);
        let refused = self.refusals.total();
        let mut files: Vec<_> = self.rules.refused().into_iter().collect();
        files.extend(self.sharing.refused());
        let now = self.clock.now();
        let written = tokio::task::spawn_blocking(move || {
            let mut status = picture.status(now.clock_ms, rfc3339(now.wall_ms));
            status.counters.refused = refused;
            status.refused_files = files;
            write(picture.revision(), status)
        });
        written.await.map_err(|_| Failure::shutting_down())
    }
}

/// Counts what was refused. Refusals change no state, so they are not streamed, and go to the
/// journal a second's worth at a time.
#[derive(Debug)]
pub(crate) struct Refusals(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    total: BTreeMap<Code, u64>,
    unwritten: BTreeMap<Code, u64>,
}

impl Refusals {
    /// Goes on from what the journal knows.
    pub(crate) fn new(total: BTreeMap<Code, u64>) -> Self {
        Self(Mutex::new(Counts {
            total,
            unwritten: BTreeMap::new(),
        }))
    }

    /// One more. What merely ended is counted by how it ended, not here.
    pub(crate) fn count(&self, code: Code) {
        if matches!(
            code,
            Code::QueueTimeout | Code::RequestEnded | Code::Superseded
        ) {
            return;
        }
        let mut counts = self.lock();
        *counts.total.entry(code).or_default() += 1;
        *counts.unwritten.entry(code).or_default() += 1;
    }

    /// Since the journal's beginning.
    pub(crate) fn total(&self) -> BTreeMap<Code, u64> {
        self.lock().total.clone()
    }

    /// What the journal has not heard of yet; it has after this.
    pub(crate) fn unwritten(&self) -> Option<Command> {
        let refused = std::mem::take(&mut self.lock().unwritten);
        (!refused.is_empty()).then_some(Command::CountRefused { refused })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
