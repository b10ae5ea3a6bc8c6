//! The load stage: maps a copy of a library through hot-lib-reloader, and keeps it mapped.
//!
//! One [`LibReloader`] a module, watching a private directory in which nobody else writes. It acts
//! only once its own watcher saw the file change, closes the old library before it loads the new
//! one, and holds none after a failure; so each loaded copy is pinned at once, and what the rest of
//! the program uses are the pointers that were taken then.
//!
//! Its watcher asks inotify for opened files too and opens the file itself to hash it, so once it
//! has seen a change it never rests: with a library of 6 MB that is a tenth of a core for ever.
//! Therefore a socket's node takes the file's place as soon as it is loaded. That is a change, so
//! the watcher signals one; but it cannot be opened, so there is no event after that. The change
//! stays signalled, [`LibReloader::update`] acts at once on the next library, and there is no wait
//! for the watcher at a reload at all, unless it comes within some [`DEBOUNCE`] of the one before.

use std::collections::BTreeMap;
use std::ffi::{CStr, CString, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::ptr::NonNull;
use std::sync::mpsc::Receiver;
use std::thread;
use std::time::{Duration, Instant};
use std::{fs, io};

use hot_lib_reloader::LibReloader;

use warden_hot::MemoryTable;

use crate::check::memory_symbol;
use crate::elf::Library;
use crate::failure::{Fault, Stage};
use crate::generation::Symbol;

/// How long hot-lib-reloader's watcher gathers events. Its thread wakes four times in each such
/// span for as long as the program lives, which at 10 ms would cost an idle program 1.3 % of a core.
/// Nothing waits for it but a reload that comes sooner than that after another.
const DEBOUNCE: Duration = Duration::from_millis(240);
/// How often the watcher is asked whether it saw the change.
const POLL: Duration = Duration::from_millis(1);
/// An event is lost when the file is renamed in before the watch was set up again. Renaming it in
/// once more makes a new one.
const RENAME_AGAIN: Duration = Duration::from_millis(600);
/// How often the watcher is brought to rest before that is given up, and how often somebody is
/// asked meanwhile whether there is something better to do.
const SETTLE_TRIES: usize = 4;
const SETTLE_POLL: Duration = Duration::from_millis(20);
/// The watcher must have seen it by then.
const DEADLINE: Duration = Duration::from_secs(5);

/// Loads the builds of one module.
pub(crate) struct Loader {
    directory: PathBuf,
    name: String,
    reloader: Option<Watched>,
    /// Something was loaded since the watcher came to rest.
    restless: bool,
}

/// Hot-lib-reloader, and what its watcher signals.
struct Watched {
    reloader: LibReloader,
    changes: Receiver<()>,
}

/// What loading gave.
pub(crate) struct Loaded {
    pub symbols: BTreeMap<String, Symbol>,
    pub memory: Option<&'static MemoryTable>,
    pub watch_wait: Duration,
}

impl Loader {
    /// `directory` is this module's alone.
    pub fn new(directory: PathBuf, name: &str) -> Self {
        Self {
            directory,
            name: name.to_owned(),
            reloader: None,
            restless: false,
        }
    }

    /// Maps a copy of `bytes` for good and finds `wanted` in it, and its table of memory where it
    /// is known to have one.
    pub fn load(
        &mut self,
        bytes: &[u8],
        wanted: &[String],
        has_memory: bool,
    ) -> Result<Loaded, Fault> {
        let watched = self.watched();
        self.stage(bytes, &watched).map_err(|error| {
            let directory = self.directory.display();
            fault(format!(
                "the library cannot be copied to {directory}: {error}"
            ))
        })?;
        self.restless = true;
        let mapped = self.map(&watched).and_then(|watch_wait| {
            let symbols = self.symbols(wanted, has_memory)?;
            Ok((watch_wait, symbols))
        });
        let (watch_wait, mut symbols) = mapped.inspect_err(|_| self.sweep())?;
        let memory = symbols.remove(&memory_symbol(&self.name));
        Ok(Loaded {
            // SAFETY: the manifest was compared, so this object is a table of the same layout; and
            // it stays mapped.
            memory: memory.map(|table| unsafe { table.0.cast().as_ref() }),
            symbols,
            watch_wait,
        })
    }

    /// Has hot-lib-reloader map a copy of the staged library, and says how long its watcher took.
    fn map(&mut self, watched: &Path) -> Result<Duration, Fault> {
        if let Some(Watched { reloader, changes }) = &mut self.reloader {
            while changes.try_recv().is_ok() {}
            return update(reloader, || rename_again(watched));
        }
        // The first file is loaded at once, without waiting for a change.
        let template = "{lib_name}-{load_counter}".to_owned();
        let reloader =
            LibReloader::new(&self.directory, &self.name, Some(DEBOUNCE), Some(template));
        let mut reloader =
            reloader.map_err(|error| fault(format!("the library cannot be mapped: {error}")))?;
        let changes = reloader.subscribe_to_file_changes();
        self.reloader = Some(Watched { reloader, changes });
        Ok(Duration::ZERO)
    }

    /// Brings the watcher to rest with a change signalled: see the module. To be called when a
    /// generation has been handed on; returns early when `urgent` says so.
    pub fn settle(&mut self, urgent: impl Fn() -> bool) {
        if !std::mem::take(&mut self.restless) {
            return;
        }
        let Some(Watched { changes, .. }) = &self.reloader else {
            return;
        };
        for _ in 0..SETTLE_TRIES {
            if let Err(error) = self.rest() {
                tracing::warn!(%error, "hot-lib-reloader's watcher does not come to rest");
                return;
            }
            let resting = Instant::now();
            // The node may have been put there before the watcher had begun to watch.
            while resting.elapsed() < RENAME_AGAIN {
                if urgent() || changes.recv_timeout(SETTLE_POLL).is_ok() {
                    return;
                }
            }
        }
    }

    /// Puts a node that cannot be opened in the watched file's place.
    fn rest(&self) -> io::Result<()> {
        let node = self.directory.join("rest");
        let path = CString::new(node.as_os_str().as_bytes())?;
        // SAFETY: `path` is a C string, and nothing else is read.
        if unsafe { libc::mknod(path.as_ptr(), libc::S_IFSOCK | 0o600, 0) } != 0 {
            return Err(io::Error::last_os_error());
        }
        fs::rename(node, self.watched())
    }

    /// Removes copies that could not be loaded: what was, has no file any more.
    fn sweep(&self) {
        let prefix = format!("lib{}-", self.name);
        let entries = fs::read_dir(&self.directory).into_iter().flatten();
        for entry in entries.filter_map(Result::ok) {
            let name = entry.file_name();
            let is_copy = name.to_str().is_some_and(|name| name.starts_with(&prefix));
            if is_copy && let Err(error) = fs::remove_file(entry.path()) {
                tracing::warn!(%error, "a copy that cannot be loaded stays on the disk");
            }
        }
    }

    fn watched(&self) -> PathBuf {
        self.directory.join(format!("lib{}.so", self.name))
    }

    /// Writes beside the watched file and renames over it, so that no half of it is ever seen. Only
    /// what will be mapped: every byte is copied and hashed once more on its way into memory.
    fn stage(&self, bytes: &[u8], watched: &Path) -> io::Result<()> {
        let new = self.directory.join("new");
        let library = Library::parse(bytes).map_err(io::Error::other)?;
        fs::write(&new, library.mapped_part())?;
        fs::rename(new, watched)
    }

    /// Pins the library before anything else is asked of it, then finds every symbol.
    fn symbols(
        &self,
        wanted: &[String],
        has_memory: bool,
    ) -> Result<BTreeMap<String, Symbol>, Fault> {
        let reloader = self
            .reloader
            .as_ref()
            .map(|watched| &watched.reloader)
            .ok_or_else(|| fault("nothing is loaded"))?;
        let address = |name: &str| {
            // SAFETY: only the address is taken; it is used by who knows what lies there.
            let symbol = unsafe { reloader.get_symbol::<*const c_void>(name.as_bytes()) };
            symbol
                .ok()
                // SAFETY: the address outlives the symbol, since the library is never unmapped.
                .and_then(|symbol| unsafe { symbol.try_as_raw_ptr() })
                .and_then(NonNull::new)
                .ok_or_else(|| fault(format!("the library does not export `{name}`")))
        };
        pin(address(&format!("{}_manifest", self.name))?)?;
        let table = has_memory.then(|| memory_symbol(&self.name));
        let symbol = |name: &String| Ok((name.clone(), Symbol(address(name)?)));
        wanted.iter().chain(&table).map(symbol).collect()
    }
}

/// Waits until the watcher saw a change, and has the library loaded. Says how long that took.
fn update(reloader: &mut LibReloader, rename_again: impl Fn()) -> Result<Duration, Fault> {
    let started = Instant::now();
    let mut renamed = started;
    loop {
        let waited = started.elapsed();
        match reloader.update() {
            Ok(true) => return Ok(waited),
            Ok(false) => {}
            Err(error) => return Err(fault(format!("the library cannot be mapped: {error}"))),
        }
        if waited > DEADLINE {
            return Err(fault(
                "hot-lib-reloader's watcher did not see the new file; try again",
            ));
        }
        if renamed.elapsed() > RENAME_AGAIN {
            rename_again();
            renamed = Instant::now();
        }
        thread::sleep(POLL);
    }
}

/// Makes another event for the watcher: a new file of the same content takes the old one's name.
fn rename_again(watched: &Path) {
    let copy = watched.with_extension("again");
    if let Err(error) = fs::copy(watched, &copy).and_then(|_| fs::rename(&copy, watched)) {
        tracing::warn!(path = %watched.display(), %error, "the staged library cannot be renamed again");
    }
}

/// Keeps the library that `inside` lies in mapped for as long as the process lives, whoever closes
/// it, and removes its file, which nobody needs any more.
fn pin(inside: NonNull<c_void>) -> Result<(), Fault> {
    // SAFETY: all zeroes is a value of this struct of pointers, and `dladdr` fills it in.
    let mut info: libc::Dl_info = unsafe { std::mem::zeroed() };
    // SAFETY: `dladdr` reads the address as a number and writes to `info`.
    let known = unsafe { libc::dladdr(inside.as_ptr(), &raw mut info) };
    if known == 0 || info.dli_fname.is_null() {
        return Err(fault("the mapped library cannot be found again"));
    }
    // SAFETY: `dli_fname` is a C string of the loader's, and stays while the library is mapped.
    let path = unsafe { CStr::from_ptr(info.dli_fname) };
    let flags = libc::RTLD_NOW | libc::RTLD_NOLOAD | libc::RTLD_NODELETE;
    // SAFETY: the library is mapped already, so this runs none of its code.
    let handle = unsafe { libc::dlopen(path.as_ptr(), flags) };
    if handle.is_null() {
        return Err(fault("the mapped library cannot be kept mapped"));
    }
    if let Err(error) = fs::remove_file(path.to_string_lossy().as_ref()) {
        tracing::warn!(%error, "the mapped copy of a library stays on the disk");
    }
    Ok(())
}

fn fault(title: impl Into<String>) -> Fault {
    Fault::new(Stage::Load, title)
}
