//! The system's watcher: which folders it watches for whom, and whether all that it saw was heard.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use notify::{ErrorKind, RecommendedWatcher, RecursiveMode, Watcher as _};

use super::echo::Echo;
use super::folder::Names;
use super::inbox::{FileId, Inbox, Role};
use super::lookup::{self, Step};
use super::network;
use super::read::Source;

/// A path that is changed more often than this while we look never comes to rest.
const ROUNDS: usize = 8;

/// The folders that are watched, and for whom.
pub(crate) struct Native {
    watcher: RecommendedWatcher,
    inbox: Arc<Inbox>,
    /// By what a folder is, since two paths may be one folder: a system's watcher tells of one.
    folders: BTreeMap<FolderId, Watched>,
    echo: Option<Echo>,
}

struct Watched {
    path: PathBuf,
    users: BTreeSet<FileId>,
}

/// Device and inode.
#[cfg(unix)]
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct FolderId(u64, u64);

/// Its path, where there is nothing better.
#[cfg(not(unix))]
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct FolderId(PathBuf);

/// Why the system does not tell all of what happens to a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Deaf {
    pub why: String,
    /// It is a file's own folder, or a link's. Of the others nothing but a replacement matters.
    pub decides: bool,
}

impl Native {
    /// # Errors
    /// Why there is no such watcher.
    pub fn start(inbox: &Arc<Inbox>) -> Result<Self, String> {
        let hears = Arc::clone(inbox);
        let watcher = notify::recommended_watcher(move |event| hears.heard(event));
        let mut watcher = watcher.map_err(|error| why(&error))?;
        let echo = Echo::start(&mut watcher, inbox);
        if echo.is_none() {
            tracing::debug!(
                "no echo of the file watcher: saves take half a second longer to be believed"
            );
        }
        Ok(Self {
            watcher,
            inbox: Arc::clone(inbox),
            folders: BTreeMap::new(),
            echo,
        })
    }

    /// Watches everything that decides which file a path names. Says why it cannot.
    pub fn follow(&mut self, id: FileId, path: &Path, source: &Source) -> Option<Deaf> {
        let mut steps = lookup::steps(path);
        for _ in 0..ROUNDS {
            let deaf = self.watch(id, &steps, path, source);
            let now = lookup::steps(path);
            if now == steps {
                return deaf;
            }
            steps = now;
        }
        Some(Deaf {
            why: "what its path names changes all the time".to_owned(),
            decides: true,
        })
    }

    fn watch(&mut self, id: FileId, steps: &[Step], path: &Path, source: &Source) -> Option<Deaf> {
        let mut places: Vec<Place<'_>> = steps.iter().map(|step| Place::of(step, source)).collect();
        if let Source::Folder(names) = source {
            places.push(Place {
                folder: path,
                decides: true,
                route: Route::All(names),
            });
        }
        let mut deaf: Option<Deaf> = None;
        let mut hear = |why: String, decides: bool| {
            if deaf.as_ref().is_none_or(|deaf| !deaf.decides && decides) {
                deaf = Some(Deaf { why, decides });
            }
        };
        let mut found = Vec::new();
        for place in &places {
            match folder_id(place.folder) {
                Ok(folder) => found.push((folder, place)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    hear(
                        format!("{}: {error}", place.folder.display()),
                        place.decides,
                    );
                }
            }
        }
        // Before anything is watched, so that no event goes astray.
        self.route(id, &found);
        let mut wanted = BTreeSet::new();
        for (folder, place) in found {
            match self.ensure(id, &folder, place) {
                Ok(true) => drop(wanted.insert(folder)),
                Ok(false) => {}
                Err(why) => hear(why, place.decides),
            }
        }
        self.release(id, &wanted);
        deaf
    }

    fn route(&self, id: FileId, found: &[(FolderId, &Place<'_>)]) {
        self.inbox.tell(|state| {
            state.unroute(id);
            for (folder, place) in found {
                let watched = self
                    .folders
                    .get(folder)
                    .map(|watched| watched.path.as_path());
                let path = watched.unwrap_or(place.folder).to_owned();
                let folder = state.routes.entry(path).or_default();
                match place.route {
                    Route::Name(name, role) => {
                        folder
                            .names
                            .entry(name.clone())
                            .or_default()
                            .push((id, role));
                    }
                    Route::All(names) => folder.all.push((id, names.clone())),
                }
            }
        });
    }

    /// Watches a folder for a file; false where there is none any more.
    fn ensure(&mut self, id: FileId, folder: &FolderId, place: &Place<'_>) -> Result<bool, String> {
        if let Some(watched) = self.folders.get_mut(folder) {
            watched.users.insert(id);
            return Ok(true);
        }
        let path = place.folder;
        if let Some(remote) = network::remote(path).filter(|_| place.decides) {
            let path = path.display();
            return Err(format!("{path} is on {remote}, where others write unseen"));
        }
        self.lost(path);
        if let Err(error) = self.watcher.watch(path, RecursiveMode::NonRecursive) {
            return match &error.kind {
                ErrorKind::PathNotFound => Ok(false),
                ErrorKind::Io(io) if io.kind() == io::ErrorKind::NotFound => Ok(false),
                _ => Err(format!(
                    "{} cannot be watched: {}",
                    path.display(),
                    why(&error)
                )),
            };
        }
        let watched = Watched {
            path: path.to_owned(),
            users: BTreeSet::from([id]),
        };
        self.folders.insert(folder.clone(), watched);
        Ok(true)
    }

    /// The system's watcher ceased to watch what was at this path.
    pub fn lost(&mut self, path: &Path) {
        let lost = self
            .folders
            .iter()
            .find(|(_, watched)| watched.path == path);
        if let Some(lost) = lost.map(|(id, _)| id.clone()) {
            self.forget(&lost);
        }
    }

    /// Ceases to watch a folder; its users look where theirs is now.
    fn forget(&mut self, folder: &FolderId) {
        let Some(watched) = self.folders.remove(folder) else {
            return;
        };
        self.unwatch(&watched.path);
        self.inbox.tell(|state| {
            for id in watched.users {
                state.marks.entry(id).or_default().changed = true;
            }
        });
    }

    /// The file needs no folders but these.
    fn release(&mut self, id: FileId, wanted: &BTreeSet<FolderId>) {
        let mut unused = Vec::new();
        for (folder, watched) in &mut self.folders {
            if !wanted.contains(folder) && watched.users.remove(&id) && watched.users.is_empty() {
                unused.push(folder.clone());
            }
        }
        for folder in unused {
            if let Some(watched) = self.folders.remove(&folder) {
                self.unwatch(&watched.path);
            }
        }
    }

    /// The file is closed.
    pub fn close(&mut self, id: FileId) {
        self.inbox.tell(|state| state.unroute(id));
        self.release(id, &BTreeSet::new());
    }

    fn unwatch(&mut self, path: &Path) {
        if let Err(error) = self.watcher.unwatch(path) {
            tracing::trace!(%error, folder = %path.display(), "it was not watched any more");
        }
    }

    /// Events were lost, and perhaps echoes too.
    pub fn overflowed(&mut self) {
        if let Some(echo) = &mut self.echo {
            echo.overflowed(&self.inbox);
        }
    }

    /// Whether everything that happened until now was heard.
    pub fn heard_all(&mut self) -> bool {
        self.echo
            .as_mut()
            .is_some_and(|echo| echo.heard_all(&self.inbox))
    }
}

/// Something to hear of.
struct Place<'a> {
    folder: &'a Path,
    decides: bool,
    route: Route<'a>,
}

#[derive(Clone, Copy)]
enum Route<'a> {
    Name(&'a OsString, Role),
    All(&'a Names),
}

impl<'a> Place<'a> {
    fn of(step: &'a Step, source: &Source) -> Self {
        let role = match source {
            Source::File if step.is_last => Role::File,
            _ => Role::Way,
        };
        Self {
            folder: &step.folder,
            decides: step.decides,
            route: Route::Name(&step.name, role),
        }
    }
}

#[cfg(unix)]
fn folder_id(folder: &Path) -> io::Result<FolderId> {
    use std::os::unix::fs::MetadataExt as _;
    let metadata = std::fs::metadata(folder)?;
    Ok(FolderId(metadata.dev(), metadata.ino()))
}

#[cfg(not(unix))]
fn folder_id(folder: &Path) -> io::Result<FolderId> {
    std::fs::metadata(folder).map(|_| FolderId(folder.to_owned()))
}

/// What the system said, and what to do about it.
fn why(error: &notify::Error) -> String {
    match &error.kind {
        ErrorKind::MaxFilesWatch => {
            "the system's limit of watches is reached (on Linux: fs.inotify.max_user_watches)"
                .to_owned()
        }
        ErrorKind::Io(io) if is_watcher_limit(io) => {
            "the system's limit of watchers is reached (on Linux: fs.inotify.max_user_instances)"
                .to_owned()
        }
        ErrorKind::Io(io) => io.to_string(),
        _ => error.to_string(),
    }
}

#[cfg(unix)]
fn is_watcher_limit(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
}

#[cfg(not(unix))]
fn is_watcher_limit(_: &io::Error) -> bool {
    false
}
