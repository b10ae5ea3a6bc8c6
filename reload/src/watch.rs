//! Watches artifacts, so that a host can show that there is something newer.
//!
//! What is watched is the directory, since a build replaces the file; what counts is the content of
//! the file once the directory has been quiet for a while. Nothing is loaded by itself but for
//! [`Watch::Reload`].

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};

use crate::check::sha256;
use crate::orders::{Shared, UnknownModule};
use crate::status::Watch;

/// A file is looked at when its directory has been quiet for so long: linkers write for a while.
const QUIET: Duration = Duration::from_millis(200);
/// Or after so long, if it never is.
const QUIET_MAX: Duration = Duration::from_secs(2);

/// Why a module is not watched.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// Nobody registered it.
    #[error(transparent)]
    Unknown(#[from] UnknownModule),
    /// The system does not watch its directory.
    #[error("{} cannot be watched: {error}", directory.display())]
    Directory {
        /// The directory.
        directory: PathBuf,
        /// What the system said.
        error: notify::Error,
    },
    /// No thread.
    #[error("the watching thread cannot be started: {0}")]
    Thread(std::io::Error),
}

/// Watches what it is told to. Costs nothing until the first module is watched.
#[derive(Debug)]
pub(crate) struct Watcher {
    shared: Arc<Shared>,
    watching: Mutex<Option<Watching>>,
}

#[derive(Debug)]
struct Watching {
    // Before the thread, which ends when this lets go of its sender.
    native: RecommendedWatcher,
    /// How many modules are watched in each directory.
    directories: BTreeMap<PathBuf, usize>,
    thread: Option<JoinHandle<()>>,
}

impl Watcher {
    pub fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            watching: Mutex::default(),
        }
    }

    pub fn watch(&self, slot: usize, watch: Watch) -> Result<(), WatchError> {
        let mut watching = self.watching.lock().unwrap_or_else(PoisonError::into_inner);
        let (former, directory) = {
            let state = self.shared.lock();
            let slot = &state.slots[slot];
            (slot.status.watch, directory(&slot.module.artifact))
        };
        match (former, watch) {
            (Watch::Off, Watch::Light | Watch::Reload) => {
                let watching = match &mut *watching {
                    Some(watching) => watching,
                    none => none.insert(self.begin(&directory)?),
                };
                watching.add(directory)?;
            }
            (Watch::Light | Watch::Reload, Watch::Off) => {
                if let Some(watching) = &mut *watching {
                    watching.remove(&directory);
                }
            }
            _ => {}
        }
        let status = &mut self.shared.lock().slots[slot].status;
        status.watch = watch;
        status.newer &= watch != Watch::Off;
        Ok(())
    }

    fn begin(&self, directory: &Path) -> Result<Watching, WatchError> {
        // One event is as good as many.
        let (changed, changes) = sync_channel(1);
        let native = notify::recommended_watcher(signal(changed)).map_err(|error| {
            let directory = directory.to_owned();
            WatchError::Directory { directory, error }
        })?;
        let shared = Arc::clone(&self.shared);
        let thread = thread::Builder::new()
            .name("reload watch".to_owned())
            .spawn(move || look(&shared, &changes))
            .map_err(WatchError::Thread)?;
        Ok(Watching {
            native,
            directories: BTreeMap::new(),
            thread: Some(thread),
        })
    }
}

impl Watching {
    fn add(&mut self, directory: PathBuf) -> Result<(), WatchError> {
        let count = self.directories.get(&directory).copied().unwrap_or(0);
        if count == 0 {
            let watched = self.native.watch(&directory, RecursiveMode::NonRecursive);
            watched.map_err(|error| WatchError::Directory {
                directory: directory.clone(),
                error,
            })?;
        }
        self.directories.insert(directory, count + 1);
        Ok(())
    }

    fn remove(&mut self, directory: &Path) {
        if let Some(count) = self.directories.get_mut(directory) {
            *count -= 1;
            if *count == 0 {
                self.directories.remove(directory);
                if let Err(error) = self.native.unwatch(directory) {
                    tracing::debug!(%error, "a directory that is no longer watched");
                }
            }
        }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let watching = self.watching.get_mut();
        let watching = watching.unwrap_or_else(PoisonError::into_inner).take();
        if let Some(Watching { native, thread, .. }) = watching {
            drop(native);
            // A panic of that thread was told when it happened.
            let _ = thread.map(JoinHandle::join);
        }
    }
}

/// Passes on that something was written, and not that it was read.
fn signal(changed: SyncSender<()>) -> impl Fn(notify::Result<notify::Event>) {
    move |event| {
        let matters = !matches!(event, Ok(event) if matches!(event.kind, EventKind::Access(_)));
        if matters {
            // Full: somebody is about to look anyway.
            let _ = changed.try_send(());
        }
    }
}

/// Looks at every watched file whenever a directory was changed and came to rest, until nobody can
/// signal any more.
fn look(shared: &Shared, changes: &Receiver<()>) {
    while changes.recv().is_ok() {
        let first = Instant::now();
        loop {
            match changes.recv_timeout(QUIET) {
                Ok(()) if first.elapsed() < QUIET_MAX => {}
                Err(RecvTimeoutError::Disconnected) => return,
                // An attempt that is under way looks at the file itself.
                Err(RecvTimeoutError::Timeout) if shared.lock().is_busy() => {}
                Ok(()) | Err(RecvTimeoutError::Timeout) => break,
            }
        }
        let watched: Vec<(usize, PathBuf)> = {
            let state = shared.lock();
            let slots = state.slots.iter().enumerate();
            slots
                .filter(|(_, slot)| slot.status.watch != Watch::Off)
                .map(|(place, slot)| (place, slot.module.artifact.clone()))
                .collect()
        };
        for (place, artifact) in watched {
            look_at(shared, place, &artifact);
        }
    }
}

fn look_at(shared: &Shared, place: usize, artifact: &Path) {
    // One that is not there is being replaced, or gone: nothing newer either way.
    let Ok(bytes) = fs::read(artifact) else {
        return;
    };
    let sha256 = sha256(&bytes);
    let (lit, load) = {
        let mut state = shared.lock();
        let slot = &mut state.slots[place];
        let newer = slot.seen != sha256 && slot.status.watch != Watch::Off;
        let lit = slot.status.newer != newer;
        slot.status.newer = newer;
        (lit, newer && slot.status.watch == Watch::Reload)
    };
    if load {
        // Its outcome is told by the status.
        drop(shared.order(place, false));
    }
    if lit || load {
        shared.wake();
    }
}

fn directory(artifact: &Path) -> PathBuf {
    match artifact.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}
