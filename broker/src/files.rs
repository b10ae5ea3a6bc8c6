//! Open files, of which the system gives this process so many: connections and the processes that
//! leases live with are bounded so that the rest is left for the journal, and for looking at things.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, MutexGuard, OnceLock, PoisonError};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use warden::Owner;

/// Files that the broker needs beside those, where the system gives as many.
const SPARE: u64 = 512;
/// More than so many are not shared out, whatever the system would allow.
const MOST: u64 = 87_380;
/// Fewer are none to work with.
const LEAST: u64 = 64;

/// The processes that are held open, and by how many brokers of this process.
static WATCHED: LazyLock<Mutex<HashMap<Owner, usize>>> = LazyLock::new(Mutex::default);

/// One process that is held open; counted until this is dropped.
#[derive(Debug)]
pub(crate) struct Watched(Owner);

/// So many files connections and watched processes may have together. Asks the system for all that it
/// gives.
fn shared() -> usize {
    static SHARED: OnceLock<usize> = OnceLock::new();
    *SHARED.get_or_init(|| {
        let limit = getrlimit(Resource::Nofile);
        let raised = Rlimit {
            current: limit.maximum,
            maximum: limit.maximum,
        };
        let files = match setrlimit(Resource::Nofile, raised) {
            Ok(()) => limit.maximum,
            Err(_) => limit.current,
        };
        let shared = files.map_or(MOST, |files| files - SPARE.min(files / 4));
        usize::try_from(shared.clamp(LEAST, MOST)).unwrap_or(usize::MAX)
    })
}

/// So many processes may be watched. A share of their own, since a process comes to be watched by a
/// connection that is there already.
pub(crate) fn most_watched() -> usize {
    shared() / 4
}

/// And so many connections may be open.
pub(crate) fn most_connections() -> usize {
    shared() - most_watched()
}

/// Whether this one is, or may be.
pub(crate) fn may_watch(owner: &Owner) -> bool {
    let watched = lock();
    watched.contains_key(owner) || watched.len() < most_watched()
}

/// Counts it; nothing where there are too many.
pub(crate) fn watch(owner: Owner) -> Option<Watched> {
    let mut watched = lock();
    if !watched.contains_key(&owner) && watched.len() >= most_watched() {
        return None;
    }
    *watched.entry(owner).or_default() += 1;
    Some(Watched(owner))
}

impl Drop for Watched {
    fn drop(&mut self) {
        let mut watched = lock();
        if let Some(times) = watched.get_mut(&self.0) {
            *times -= 1;
            if *times == 0 {
                watched.remove(&self.0);
            }
        }
    }
}

fn lock() -> MutexGuard<'static, HashMap<Owner, usize>> {
    // Nothing panics while it holds this lock.
    WATCHED.lock().unwrap_or_else(PoisonError::into_inner)
}
