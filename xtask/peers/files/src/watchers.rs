//! Ours and the others, all on one file.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use notify::RecursiveMode;
use notify_debouncer_full::new_debouncer as new_full;
use notify_debouncer_mini::new_debouncer as new_mini;
use warden_reload::files::{Env, EnvMap, Files};

use crate::Result;

/// One watcher at work.
pub struct Watcher {
    pub name: String,
    pub seen: Arc<Seen>,
    _alive: Box<dyn std::any::Any>,
}

/// What a watcher took in.
#[derive(Default)]
pub struct Seen {
    taken: Mutex<Vec<Taken>>,
    halves: AtomicUsize,
}

#[derive(Clone, Copy)]
pub struct Taken {
    pub number: u64,
    pub at: Instant,
}

impl Seen {
    pub fn taken(&self) -> Vec<Taken> {
        self.lock().clone()
    }

    pub fn halves(&self) -> usize {
        self.halves.load(Ordering::Relaxed)
    }

    /// This process's time on all cores.
    pub fn process_cpu() -> Duration {
        let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
        let after = stat.rsplit(") ").next().unwrap_or("");
        let ticks = after
            .split(' ')
            .skip(11)
            .take(2)
            .filter_map(|ticks| ticks.parse::<u64>().ok());
        Duration::from_millis(ticks.sum::<u64>() * 10)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Taken>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, number: Option<&str>, whole: bool) {
        let at = Instant::now();
        if !whole {
            self.halves.fetch_add(1, Ordering::Relaxed);
        }
        let Some(number) = number.and_then(|number| number.parse().ok()) else {
            return;
        };
        let mut taken = self.lock();
        if whole && taken.last().is_none_or(|last| last.number != number) {
            taken.push(Taken { number, at });
        }
    }

    /// What the others do when they are called: read the file again.
    fn read(&self, path: &Path) {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let number = text.lines().find_map(|line| line.strip_prefix("NUMBER="));
        self.take(number, text.ends_with("END=here\n"));
    }
}

pub fn all(path: &Path) -> Result<Vec<Watcher>> {
    let millis = Duration::from_millis;
    Ok(vec![
        warden(path),
        full(path, millis(500))?,
        mini(path, millis(500))?,
        full(path, millis(10))?,
        mini(path, millis(10))?,
        poll(path, Duration::from_secs(2)),
    ])
}

fn warden(path: &Path) -> Watcher {
    let seen = Arc::new(Seen::default());
    let tells = Arc::clone(&seen);
    let file = Files::start().open(path, EnvMap::default(), Env);
    let told = file.on_change(move |change| {
        tells.take(change.new.get("NUMBER"), change.new.get("END").is_some());
    });
    Watcher {
        name: "Warden".to_owned(),
        seen,
        _alive: Box::new(told),
    }
}

/// Both debouncers watch the folder, as whoever wants to see renamed saves has to.
fn parent(path: &Path) -> PathBuf {
    path.parent().map_or_else(PathBuf::new, Path::to_owned)
}

fn full(path: &Path, timeout: Duration) -> Result<Watcher> {
    let seen = Arc::new(Seen::default());
    let (tells, file) = (Arc::clone(&seen), path.to_owned());
    let mut debouncer = new_full(
        timeout,
        None,
        move |events: notify_debouncer_full::DebounceEventResult| {
            let ours = |events: Vec<notify_debouncer_full::DebouncedEvent>| {
                events
                    .iter()
                    .any(|event| event.paths.contains(&file) && !event.kind.is_access())
            };
            if events.is_ok_and(ours) {
                tells.read(&file);
            }
        },
    )?;
    debouncer.watch(parent(path), RecursiveMode::NonRecursive)?;
    Ok(Watcher {
        name: format!("notify-debouncer-full, {} ms", timeout.as_millis()),
        seen,
        _alive: Box::new(debouncer),
    })
}

fn mini(path: &Path, timeout: Duration) -> Result<Watcher> {
    let seen = Arc::new(Seen::default());
    let (tells, file) = (Arc::clone(&seen), path.to_owned());
    let mut debouncer = new_mini(
        timeout,
        move |events: notify_debouncer_mini::DebounceEventResult| {
            if events.is_ok_and(|events| events.iter().any(|event| event.path == file)) {
                tells.read(&file);
            }
        },
    )?;
    debouncer
        .watcher()
        .watch(&parent(path), RecursiveMode::NonRecursive)?;
    Ok(Watcher {
        name: format!("notify-debouncer-mini, {} ms", timeout.as_millis()),
        seen,
        _alive: Box::new(debouncer),
    })
}

/// Looks at the time of the last change, again and again.
fn poll(path: &Path, every: Duration) -> Watcher {
    struct Stop(Arc<AtomicBool>);
    impl Drop for Stop {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let seen = Arc::new(Seen::default());
    let (tells, file) = (Arc::clone(&seen), path.to_owned());
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    thread::spawn(move || {
        let modified = || {
            std::fs::metadata(&file)
                .and_then(|metadata| metadata.modified())
                .ok()
        };
        let mut last = modified();
        while !stopped.load(Ordering::Relaxed) {
            // Looking so often is what is measured here.
            thread::sleep(every);
            let now = modified();
            if now != last {
                last = now;
                tells.read(&file);
            }
        }
    });
    Watcher {
        name: format!("a poll every {} s", every.as_secs()),
        seen,
        _alive: Box::new(Stop(stop)),
    }
}
