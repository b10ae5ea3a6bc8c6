//! What the watching thread hears: from the system, through [`Inbox::heard`], and from handles. It is
//! bounded by what is watched, not by what happens to it: an event leaves a mark on its file.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use notify::event::{AccessKind, AccessMode, CreateKind, ModifyKind, RenameMode};
use notify::{Event, EventKind};

use super::folder::Names;
use super::hot::Watched;

/// Which file, among those of one [`Files`](super::Files).
pub(crate) type FileId = u64;

/// Whether the system tells when a writer closes a file.
const CLOSES_SEEN: bool = cfg!(any(target_os = "linux", target_os = "android"));
/// More writers than this at once in one folder are not told apart.
const WRITERS_MAX: usize = 1_000;

/// Shared by handles, the system's watcher and the watching thread.
#[derive(Default)]
pub(crate) struct Inbox {
    state: Mutex<State>,
    bell: Condvar,
}

/// What there is to do.
#[derive(Default)]
pub(crate) struct State {
    pub opened: Vec<Opened>,
    pub closed: Vec<FileId>,
    pub marks: BTreeMap<FileId, Marks>,
    pub routes: Routes,
    /// Folders that the system's watcher ceased to watch.
    pub lost: BTreeSet<PathBuf>,
    /// Events were lost.
    pub overflowed: bool,
    /// How many of the marks that we set ourselves came back.
    pub echoes: u64,
    pub stop: bool,
}

/// A file that a handle wants watched.
pub(crate) struct Opened {
    pub id: FileId,
    pub cell: Arc<dyn Watched>,
    /// Told when it has been looked at.
    pub done: SyncSender<()>,
}

/// What happened to a file since it was last looked at.
#[derive(Clone, Debug, Default)]
pub(crate) struct Marks {
    /// There is something to look at.
    pub changed: bool,
    /// Somebody wrote since.
    pub wrote: bool,
    /// Somebody may have written before we began to look.
    pub doubt: bool,
    /// The names that have a writer, of a file its own. It outlives looks.
    pub writers: BTreeMap<OsString, Writer>,
}

/// Somebody who has a file open.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Writer {
    /// Since when that is known.
    pub since: Instant,
    /// Whether anything was written. A file that was linked into place has no writer at all.
    pub wrote: bool,
}

/// Whom an event in a folder concerns.
pub(crate) type Routes = BTreeMap<PathBuf, Folder>;

/// Whom the events in one folder concern.
#[derive(Debug, Default)]
pub(crate) struct Folder {
    /// By the name in it: a file itself, or something on the way to it.
    pub names: BTreeMap<OsString, Vec<(FileId, Role)>>,
    /// Several names at once.
    pub all: Vec<(FileId, Names)>,
}

/// What a name is to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// The file itself, as far as is known.
    File,
    /// A folder or a link on the way to it.
    Way,
}

/// Where our own marks come back from: see `Native`.
pub(crate) const ECHO_PREFIX: &str = "/proc/self/fd/";

impl Inbox {
    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes something that the thread should see.
    pub fn tell(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock());
        self.bell.notify_all();
    }

    /// Waits for there to be something to do, or for a time.
    pub fn wait(&self, until: Option<Instant>) {
        let idle = |state: &mut State| {
            let quiet = state.opened.is_empty() && state.closed.is_empty() && state.lost.is_empty();
            quiet
                && !state.stop
                && !state.overflowed
                && !state.marks.values().any(|marks| marks.changed)
        };
        let state = self.lock();
        match until {
            None => drop(self.bell.wait_while(state, idle)),
            Some(until) => {
                let left = until.saturating_duration_since(Instant::now());
                drop(self.bell.wait_timeout_while(state, left, idle));
            }
        }
    }

    /// Waits for our own marks to come back; whether they did.
    pub fn wait_for_echo(&self, echoes: u64, at_most: Duration) -> bool {
        let missing = |state: &mut State| state.echoes < echoes && !state.stop;
        let waited = self.bell.wait_timeout_while(self.lock(), at_most, missing);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.echoes >= echoes
    }

    /// The system tells something. Runs on its watcher's thread.
    pub fn heard(&self, event: notify::Result<Event>) {
        let Ok(event) = event else {
            return self.tell(|state| state.overflowed = true);
        };
        if event.need_rescan() {
            return self.tell(|state| state.overflowed = true);
        }
        let Some(happened) = Happened::of(event.kind) else {
            return;
        };
        let [path] = event.paths.as_slice() else {
            return;
        };
        let mut state = self.lock();
        let rings = if path.starts_with(ECHO_PREFIX) {
            state.echoes += 1;
            true
        } else {
            state.mark(path, happened)
        };
        drop(state);
        if rings {
            self.bell.notify_all();
        }
    }
}

/// What may happen to a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Happened {
    /// It is new: somebody may be about to write.
    Made {
        folder: bool,
    },
    Wrote,
    Closed,
    /// It is another file now.
    Replaced,
    Gone,
    /// Rights or times.
    Touched,
    /// Something: this system tells no more.
    Something,
}

impl Happened {
    fn of(kind: EventKind) -> Option<Self> {
        Some(match kind {
            EventKind::Create(kind) => Self::Made {
                folder: kind == CreateKind::Folder,
            },
            EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(RenameMode::From)) => {
                Self::Gone
            }
            EventKind::Access(AccessKind::Close(AccessMode::Write)) => Self::Closed,
            EventKind::Access(_) => return None,
            // Both halves of it were told before.
            EventKind::Modify(ModifyKind::Name(RenameMode::Both)) => return None,
            EventKind::Modify(ModifyKind::Name(_)) => Self::Replaced,
            EventKind::Modify(ModifyKind::Metadata(_)) => Self::Touched,
            EventKind::Modify(_) if CLOSES_SEEN => Self::Wrote,
            EventKind::Modify(_) | EventKind::Any | EventKind::Other => Self::Something,
        })
    }
}

impl State {
    /// Nothing concerns this file any more.
    pub fn unroute(&mut self, id: FileId) {
        for folder in self.routes.values_mut() {
            for files in folder.names.values_mut() {
                files.retain(|(other, _)| *other != id);
            }
            folder.names.retain(|_, files| !files.is_empty());
            folder.all.retain(|(other, _)| *other != id);
        }
        self.routes
            .retain(|_, folder| !folder.names.is_empty() || !folder.all.is_empty());
    }

    /// Leaves its mark on whom it concerns; whether there is something to do now.
    fn mark(&mut self, path: &Path, happened: Happened) -> bool {
        let mut rings = false;
        if happened == Happened::Gone && self.routes.contains_key(path) {
            // The system's watcher forgets such a folder by its path, whatever is there by now.
            self.lost.insert(path.to_owned());
            rings = true;
        }
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
            return rings;
        };
        let Some(folder) = self.routes.get(folder) else {
            return rings;
        };
        for (id, role) in folder.names.get(name).into_iter().flatten() {
            let marks = self.marks.entry(*id).or_default();
            if matches!(happened, Happened::Replaced | Happened::Gone) {
                // Whoever writes, writes another file: this one, or what a link led to, is not it.
                marks.writers.clear();
            }
            rings |= match role {
                Role::File => marks.file(name, happened),
                Role::Way => marks.way(happened),
            };
        }
        for (id, asked) in &folder.all {
            if asked.hold(name) {
                rings |= self.marks.entry(*id).or_default().file(name, happened);
            }
        }
        rings
    }
}

impl Marks {
    /// Something happened to the file itself.
    fn file(&mut self, name: &OsStr, happened: Happened) -> bool {
        match happened {
            Happened::Made { folder: false } if CLOSES_SEEN => self.written(name, false),
            Happened::Wrote => {
                self.wrote = true;
                self.written(name, true);
                return false;
            }
            Happened::Touched => {}
            Happened::Something | Happened::Made { .. } => self.doubt = true,
            Happened::Closed | Happened::Replaced | Happened::Gone => {
                self.writers.remove(name);
            }
        }
        self.changed = true;
        true
    }

    fn written(&mut self, name: &OsStr, wrote: bool) {
        if let Some(writer) = self.writers.get_mut(name) {
            writer.wrote |= wrote;
        } else if self.writers.len() < WRITERS_MAX {
            let since = Instant::now();
            self.writers
                .insert(name.to_owned(), Writer { since, wrote });
        } else {
            self.doubt = true;
        }
    }

    /// Something happened on the way to the file, so that it may be another one.
    fn way(&mut self, happened: Happened) -> bool {
        match happened {
            Happened::Closed | Happened::Wrote => return false,
            Happened::Touched => {}
            // Who made it may have begun to fill it before we began to watch it.
            Happened::Made { .. } | Happened::Something => self.doubt = true,
            Happened::Replaced | Happened::Gone => {}
        }
        self.changed = true;
        true
    }
}

#[cfg(test)]
mod tests {
    use notify::event::{DataChange, Flag};

    use super::*;

    const FILE: FileId = 1;
    const CLOSED: EventKind = EventKind::Access(AccessKind::Close(AccessMode::Write));
    const WROTE: EventKind = EventKind::Modify(ModifyKind::Data(DataChange::Any));
    const RENAMED: EventKind = EventKind::Modify(ModifyKind::Name(RenameMode::To));

    /// One file, `/etc/way/file`, after these events.
    fn after(events: &[(EventKind, &str)]) -> (Inbox, Marks) {
        let inbox = Inbox::default();
        inbox.tell(|state| {
            for (folder, name, role) in
                [("/etc", "way", Role::Way), ("/etc/way", "file", Role::File)]
            {
                let folder = state.routes.entry(folder.into()).or_default();
                folder.names.insert(name.into(), vec![(FILE, role)]);
            }
        });
        for (kind, path) in events {
            inbox.heard(Ok(Event::new(*kind).add_path(path.into())));
        }
        let marks = inbox.lock().marks.remove(&FILE).unwrap_or_default();
        (inbox, marks)
    }

    #[test]
    fn a_writer_is_one_until_it_closes() {
        if !CLOSES_SEEN {
            return;
        }
        let (_, marks) = after(&[(WROTE, "/etc/way/file")]);
        assert!(marks.wrote && !marks.changed && marks.writers.len() == 1);
        let (_, marks) = after(&[(WROTE, "/etc/way/file"), (CLOSED, "/etc/way/file")]);
        assert!(marks.wrote && marks.changed && marks.writers.is_empty());
        let (_, marks) = after(&[(WROTE, "/etc/way/file"), (RENAMED, "/etc/way")]);
        assert!(marks.changed && marks.writers.is_empty() && !marks.doubt);
    }

    #[test]
    fn what_is_made_on_the_way_may_have_been_filled_unseen() {
        let (_, marks) = after(&[(EventKind::Create(CreateKind::Folder), "/etc/way")]);
        assert!(marks.changed && marks.doubt);
    }

    #[test]
    fn others_leave_no_mark() {
        let read = EventKind::Access(AccessKind::Open(AccessMode::Any));
        let (inbox, marks) = after(&[
            (WROTE, "/etc/other"),
            (CLOSED, "/etc/way/other"),
            (read, "/etc/way/file"),
        ]);
        assert!(!marks.changed && marks.writers.is_empty());
        assert!(inbox.lock().marks.is_empty());
    }

    #[test]
    fn a_watched_folder_that_goes_is_lost_and_lost_events_are_told() {
        let (inbox, marks) = after(&[(
            EventKind::Modify(ModifyKind::Name(RenameMode::From)),
            "/etc/way",
        )]);
        assert!(marks.changed);
        assert!(inbox.lock().lost.contains(Path::new("/etc/way")));
        inbox.heard(Ok(Event::new(EventKind::Other).set_flag(Flag::Rescan)));
        assert!(inbox.lock().overflowed);
    }
}
