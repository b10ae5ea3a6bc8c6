//! The handle on all watched files of a process: one thread, and one number that orders their
//! changes.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use super::folder::{Listed, Listing, Names};
use super::format::Format;
use super::hot::{Cell, HotFile, Watched};
use super::inbox::{FileId, Inbox, Opened};
use super::keeper::Keeper;
use super::read::Source;
use super::state::Watching;

/// How long a new file waits to be looked at by a thread that another one keeps busy, before it is
/// read by who opened it.
const PATIENCE: Duration = Duration::from_secs(2);

/// Watches files. Clones are the same; everything ends when the last of them, and of its files, is
/// dropped.
#[derive(Clone)]
pub struct Files {
    service: Arc<Service>,
}

struct Service {
    inbox: Arc<Inbox>,
    generation: Arc<Mutex<u64>>,
    last_id: AtomicU64,
    /// Why there is no thread.
    off: Option<String>,
}

impl Drop for Service {
    fn drop(&mut self) {
        self.inbox.tell(|state| state.stop = true);
    }
}

impl Files {
    /// Begins to watch. Where the system does not tell of changes, files are looked at four times
    /// a second; [`FileState::watching`](super::FileState::watching) says so, and why.
    #[must_use]
    pub fn start() -> Self {
        Self::with(None)
    }

    /// Begins to watch without the system's help, for a reason that a person is shown.
    #[must_use]
    pub fn start_polling(why: impl Into<String>) -> Self {
        Self::with(Some(why.into()))
    }

    fn with(polling: Option<String>) -> Self {
        let inbox = Arc::new(Inbox::default());
        let hears = Arc::clone(&inbox);
        let thread = thread::Builder::new().name("files".to_owned());
        let thread = thread.spawn(move || Keeper::new(hears, polling).run());
        let off = thread
            .err()
            .map(|error| format!("there is no thread to watch files: {error}"));
        if let Some(why) = &off {
            tracing::error!(%why, "files are not watched");
        }
        Self {
            service: Arc::new(Service {
                inbox,
                generation: Arc::default(),
                last_id: AtomicU64::new(0),
                off,
            }),
        }
    }

    /// Reads the file at once, and again whenever it changes. Until it holds something that the
    /// format takes, `initial` is the value.
    #[must_use]
    pub fn open<F: Format>(
        &self,
        path: impl Into<PathBuf>,
        initial: F::Value,
        format: F,
    ) -> HotFile<F::Value> {
        self.add(path.into(), Source::File, (initial, None), format)
    }

    /// As [`open`](Self::open), but without a file `absent` is the value: from the start, and again
    /// once the file is deleted. One that is gone for less than half a second is being replaced.
    #[must_use]
    pub fn open_or<F: Format>(
        &self,
        path: impl Into<PathBuf>,
        absent: F::Value,
        initial: F::Value,
        format: F,
    ) -> HotFile<F::Value> {
        let values = (initial, Some(absent));
        self.add(path.into(), Source::File, values, format)
    }

    /// Lists the files of a folder that have this extension (`"json"`), and again whenever one
    /// comes, goes or changes; one that somebody is writing is not listed. Until there is such a
    /// folder, the listing is empty.
    #[must_use]
    pub fn open_folder(&self, path: impl Into<PathBuf>, extension: &str) -> HotFile<Listing> {
        self.list(path.into(), Names::Ending(extension.to_owned()))
    }

    /// Watches one file of any size and content without reading it: the listing holds its stamp, and
    /// is empty while there is no such file, or somebody writes it.
    #[must_use]
    pub fn open_stamp(&self, path: impl AsRef<Path>) -> HotFile<Listing> {
        let path = path.as_ref();
        let folder = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let name = path.file_name().unwrap_or_default().to_owned();
        self.list(folder.to_owned(), Names::Only(name))
    }

    fn list(&self, folder: PathBuf, names: Names) -> HotFile<Listing> {
        let format = Listed {
            folder: folder.clone(),
        };
        let values = (Listing::default(), None);
        self.add(folder, Source::Folder(names), values, format)
    }

    fn add<F: Format>(
        &self,
        path: PathBuf,
        source: Source,
        values: (F::Value, Option<F::Value>),
        format: F,
    ) -> HotFile<F::Value> {
        let service = &self.service;
        let generation = Arc::clone(&service.generation);
        let cell = Arc::new(Cell::new(path, source, values, format, generation));
        let id: FileId = service.last_id.fetch_add(1, Ordering::Relaxed);
        let read_here = || {
            // What is wrong is told by its state.
            let _ = cell.take(None);
        };
        if let Some(why) = &service.off {
            cell.watching(Watching::Off { why: why.clone() });
            read_here();
        } else {
            let (done, told) = sync_channel(0);
            service.inbox.tell(|state| {
                state.opened.push(Opened {
                    id,
                    cell: Arc::clone(&cell) as Arc<dyn Watched>,
                    done,
                });
            });
            // Nothing is ever sent: the other end goes when the file was looked at.
            if let Err(std::sync::mpsc::RecvTimeoutError::Timeout) = told.recv_timeout(PATIENCE) {
                read_here();
            }
        }
        HotFile::new(cell, id, self.clone())
    }

    /// The last generation that any of the files went live with.
    #[must_use]
    pub fn generation(&self) -> u64 {
        *self
            .service
            .generation
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn close(&self, id: FileId) {
        self.service.inbox.tell(|state| state.closed.push(id));
    }
}

impl fmt::Debug for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut files = f.debug_struct("Files");
        files
            .field("generation", &self.generation())
            .finish_non_exhaustive()
    }
}
