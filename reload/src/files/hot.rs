//! One file and the value that it stands for.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use arc_swap::ArcSwap;

use super::env::EnvMap;
use super::fault::{Fault, FaultKind, Problem};
use super::folder;
use super::format::Format;
use super::inbox::FileId;
use super::read::{self, Found, Source};
use super::service::Files;
use super::state::{FileState, Reloaded, Watching};
use super::subscription::{Mailbox, News, Subscription};
use crate::check::sha256;

/// A file whose value is live: [`get`](Self::get) is always the last good one. Clones are the same
/// file, which is watched until the last of them, and of its subscriptions, is dropped.
pub struct HotFile<T> {
    open: Arc<Open<T>>,
}

impl<T> Clone for HotFile<T> {
    fn clone(&self) -> Self {
        Self {
            open: Arc::clone(&self.open),
        }
    }
}

/// Closes the file when the last handle goes.
struct Open<T> {
    cell: Arc<Cell<T>>,
    id: FileId,
    files: Files,
}

impl<T> Drop for Open<T> {
    fn drop(&mut self) {
        self.files.close(self.id);
    }
}

/// One change of a value, or several in a row that a callback had no time for.
pub struct Change<T> {
    /// What was live before the first of them.
    pub old: Arc<T>,
    /// What is live since the last of them.
    pub new: Arc<T>,
    /// The last of them.
    pub generation: u64,
}

impl<T> Clone for Change<T> {
    fn clone(&self) -> Self {
        Self {
            old: Arc::clone(&self.old),
            new: Arc::clone(&self.new),
            generation: self.generation,
        }
    }
}

impl<T: Send + Sync + 'static> News for Change<T> {
    fn joined(self, later: Self) -> Self {
        Self {
            old: self.old,
            ..later
        }
    }
}

impl News for Arc<FileState> {
    fn joined(self, later: Self) -> Self {
        later
    }
}

impl<T: Send + Sync + 'static> HotFile<T> {
    pub(crate) fn new(cell: Arc<Cell<T>>, id: FileId, files: Files) -> Self {
        Self {
            open: Arc::new(Open { cell, id, files }),
        }
    }

    /// The live value. Never waits.
    #[must_use]
    pub fn get(&self) -> Arc<T> {
        Arc::clone(&self.open.cell.live.load().value)
    }

    /// How the file stands. Never waits.
    #[must_use]
    pub fn state(&self) -> Arc<FileState> {
        Arc::clone(&self.open.cell.live.load().state)
    }

    /// The live value and how the file stood when it was stored, both of one moment.
    #[must_use]
    pub fn snapshot(&self) -> (Arc<T>, Arc<FileState>) {
        let live = self.open.cell.live.load();
        (Arc::clone(&live.value), Arc::clone(&live.state))
    }

    /// The file, as it was asked for.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.open.cell.path
    }

    /// Calls back after each change of the value, on a thread of the callback's own and with
    /// nothing locked. Changes that come while it runs are joined to one. A panic is caught and
    /// told once.
    pub fn on_change(&self, call: impl Fn(&Change<T>) + Send + Sync + 'static) -> Subscription {
        self.subscribe(call, |callbacks| &mut callbacks.changes)
    }

    /// As [`on_change`](Self::on_change), and also when a fault comes or goes, when the file is
    /// deleted or made, and when watching begins to be polling or ends to be.
    pub fn on_state(&self, call: impl Fn(&FileState) + Send + Sync + 'static) -> Subscription {
        let call = move |state: &Arc<FileState>| call(state);
        self.subscribe(call, |callbacks| &mut callbacks.states)
    }

    /// Adds one to a list of callbacks; the subscription takes it out again.
    fn subscribe<N: News>(
        &self,
        call: impl Fn(&N) + Send + Sync + 'static,
        list: fn(&mut Callbacks<T>) -> &mut Vec<Arc<Mailbox<N>>>,
    ) -> Subscription {
        let cell = &self.open.cell;
        let mailbox = Mailbox::new(cell.path.display().to_string(), call);
        list(&mut cell.callbacks()).push(Arc::clone(&mailbox));
        let weak = Arc::downgrade(cell);
        let end = move || {
            mailbox.close();
            if let Some(cell) = weak.upgrade() {
                list(&mut cell.callbacks()).retain(|other| !Arc::ptr_eq(other, &mailbox));
            }
        };
        Subscription::new(end, self.clone())
    }

    /// Reads the file now, on this thread: waits for no writer to close it and for no storm to
    /// pass.
    ///
    /// # Errors
    /// Why what the file holds is not taken. The last good value stays.
    pub fn force_reload(&self) -> Result<Reloaded, Fault> {
        self.open.cell.take(None)
    }
}

impl HotFile<EnvMap> {
    /// Calls back when the value of this key changes; none where it is not set. Otherwise as
    /// [`on_change`](Self::on_change).
    pub fn on_key(
        &self,
        key: impl Into<String>,
        call: impl Fn(Option<&str>, Option<&str>) + Send + Sync + 'static,
    ) -> Subscription {
        let key = key.into();
        self.on_change(move |change| {
            let (old, new) = (change.old.get(&key), change.new.get(&key));
            if old != new {
                call(old, new);
            }
        })
    }
}

impl<T> fmt::Debug for HotFile<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let live = self.open.cell.live.load();
        let mut file = f.debug_struct("HotFile");
        file.field("path", &self.open.cell.path);
        file.field("state", &live.state).finish_non_exhaustive()
    }
}

/// Values may be secrets.
impl<T> fmt::Debug for Change<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut change = f.debug_struct("Change");
        change.field("generation", &self.generation);
        change.finish_non_exhaustive()
    }
}

/// What is live, whole.
struct Live<T> {
    value: Arc<T>,
    state: Arc<FileState>,
    /// The value is what no file stands for.
    is_absence: bool,
}

/// What takes in a file's content.
pub(crate) struct Cell<T> {
    path: PathBuf,
    source: Source,
    format: Box<dyn Format<Value = T>>,
    /// What no file stands for; none where the last good value stays.
    absent: Option<Arc<T>>,
    live: ArcSwap<Live<T>>,
    /// One taking at a time. Nothing is called back under it, though the format runs.
    taking: Mutex<()>,
    callbacks: Mutex<Callbacks<T>>,
    generation: Arc<Mutex<u64>>,
}

struct Callbacks<T> {
    changes: Vec<Arc<Mailbox<Change<T>>>>,
    states: Vec<Arc<Mailbox<Arc<FileState>>>>,
}

/// A cell as who watches sees it.
pub(crate) trait Watched: Send + Sync {
    fn path(&self) -> &Path;
    /// What the path is to name.
    fn source(&self) -> &Source;
    /// What the path names now; of a folder, without these names. Nothing where that changed
    /// meanwhile.
    fn find(&self, without: &BTreeSet<OsString>) -> Option<Found>;
    /// Takes in what was found, or finds it first.
    fn take(&self, found: Option<Found>) -> Result<Reloaded, Fault>;
    fn watching(&self, watching: Watching);
}

impl<T: Send + Sync + 'static> Cell<T> {
    pub fn new<F: Format<Value = T>>(
        path: PathBuf,
        source: Source,
        (initial, absent): (T, Option<T>),
        format: F,
        generation: Arc<Mutex<u64>>,
    ) -> Self {
        let state = FileState {
            generation: 0,
            at: SystemTime::now(),
            sha256: None,
            present: false,
            fault: None,
            watching: Watching::Native,
        };
        Self {
            path,
            source,
            format: Box::new(format),
            absent: absent.map(Arc::new),
            live: ArcSwap::from_pointee(Live {
                value: Arc::new(initial),
                state: Arc::new(state),
                is_absence: false,
            }),
            taking: Mutex::default(),
            callbacks: Mutex::new(Callbacks {
                changes: Vec::new(),
                states: Vec::new(),
            }),
            generation,
        }
    }

    fn callbacks(&self) -> MutexGuard<'_, Callbacks<T>> {
        self.callbacks
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn parsed(&self, bytes: &[u8]) -> Result<T, Problem> {
        let text = read::text(bytes)?;
        let parsed = catch_unwind(AssertUnwindSafe(|| self.format.parse(text)));
        parsed.unwrap_or_else(|payload| {
            std::mem::forget(payload);
            let message = "reading it made the program panic; the log has more";
            Err(Problem::new(FaultKind::Invalid, message))
        })
    }

    /// Stores a value, of a file with this hash or of none; its generation is after whatever any file
    /// went live with before.
    fn publish(&self, value: Arc<T>, sha256: Option<String>) -> u64 {
        let former = self.live.load_full();
        let is_absence = sha256.is_none();
        let mut last = self
            .generation
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *last += 1;
        let generation = *last;
        let state = Arc::new(FileState {
            generation,
            at: SystemTime::now(),
            sha256,
            present: !is_absence,
            fault: None,
            watching: former.state.watching.clone(),
        });
        self.live.store(Arc::new(Live {
            value: Arc::clone(&value),
            state: Arc::clone(&state),
            is_absence,
        }));
        drop(last);
        tracing::debug!(path = %self.path.display(), generation, is_absence, "a file went live");
        let change = Change {
            old: Arc::clone(&former.value),
            new: value,
            generation,
        };
        let callbacks = self.callbacks();
        let (changes, states) = (callbacks.changes.clone(), callbacks.states.clone());
        drop(callbacks);
        for mailbox in changes {
            mailbox.post(change.clone());
        }
        for mailbox in states {
            mailbox.post(Arc::clone(&state));
        }
        generation
    }

    /// The value stays, and the file stands otherwise; whether it does.
    fn restate(&self, otherwise: impl FnOnce(&mut FileState)) -> bool {
        let live = self.live.load_full();
        let mut state = (*live.state).clone();
        otherwise(&mut state);
        if state == *live.state {
            return false;
        }
        let state = Arc::new(state);
        self.live.store(Arc::new(Live {
            value: Arc::clone(&live.value),
            state: Arc::clone(&state),
            is_absence: live.is_absence,
        }));
        let states = self.callbacks().states.clone();
        for mailbox in states {
            mailbox.post(Arc::clone(&state));
        }
        true
    }

    /// There is no file, from the start or since a while.
    fn gone(&self) -> Reloaded {
        let live = self.live.load_full();
        let Some(absent) = self.absent.as_ref().filter(|_| !live.is_absence) else {
            self.restate(|state| {
                state.present = false;
                state.fault = None;
            });
            return Reloaded::Absent;
        };
        let was_seen = live.state.present || live.state.generation > 0;
        if was_seen {
            return Reloaded::Changed(self.publish(Arc::clone(absent), None));
        }
        self.live.store(Arc::new(Live {
            value: Arc::clone(absent),
            state: Arc::clone(&live.state),
            is_absence: true,
        }));
        Reloaded::Absent
    }

    fn refuse(&self, problem: Problem) -> Fault {
        let fault = problem.of(&self.path);
        let told = fault.clone();
        let news = self.restate(move |state| {
            state.present = true;
            state.fault = Some(told);
        });
        if news {
            tracing::warn!(%fault, kind = %fault.kind, "a file is not taken; its last good value stays");
        }
        fault
    }
}

impl<T: Send + Sync + 'static> Watched for Cell<T> {
    fn path(&self) -> &Path {
        &self.path
    }

    fn source(&self) -> &Source {
        &self.source
    }

    fn find(&self, without: &BTreeSet<OsString>) -> Option<Found> {
        match &self.source {
            Source::File => read::read(&self.path, self.format.rules()),
            Source::Folder(names) => Some(folder::list(&self.path, names, without)),
        }
    }

    fn take(&self, found: Option<Found>) -> Result<Reloaded, Fault> {
        let _one = self.taking.lock().unwrap_or_else(PoisonError::into_inner);
        let find = || read::at_rest(|| self.find(&BTreeSet::new()));
        let bytes = match found.unwrap_or_else(find) {
            Found::Bytes(bytes) => bytes,
            Found::Refused(problem) => return Err(self.refuse(problem)),
            Found::Absent => return Ok(self.gone()),
        };
        let sha256 = sha256(&bytes);
        let live = self.live.load_full();
        if live.state.sha256.as_ref() == Some(&sha256) {
            self.restate(|state| {
                state.present = true;
                state.fault = None;
            });
            return Ok(Reloaded::Unchanged(live.state.generation));
        }
        match self.parsed(&bytes) {
            Ok(value) => Ok(Reloaded::Changed(
                self.publish(Arc::new(value), Some(sha256)),
            )),
            Err(problem) => Err(self.refuse(problem)),
        }
    }

    fn watching(&self, watching: Watching) {
        let _one = self.taking.lock().unwrap_or_else(PoisonError::into_inner);
        self.restate(|state| state.watching = watching);
    }
}
