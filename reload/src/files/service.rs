//! Watches all files of a process: one thread, and one number that orders their changes.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use super::folder::{Listed, Listing};
use super::format::Format;
use super::hot::{Cell, HotFile, Watched};
use super::read::Source;

/// Which file, among those of one service.
pub(crate) type FileId = u64;

/// Watches files. Clones are the same; everything ends when the last of them, and of its files, is
/// dropped.
#[derive(Clone)]
pub struct Files {
    shared: Arc<Shared>,
}

struct Shared {
    generation: Arc<Mutex<u64>>,
    cells: Mutex<(FileId, BTreeMap<FileId, Arc<dyn Watched>>)>,
    stopped: Arc<AtomicBool>,
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Release);
    }
}

impl Files {
    /// Begins to watch, by itself where the system does not help: [`FileState`](super::FileState)
    /// says which.
    #[must_use]
    pub fn start() -> Self {
        let stopped = Arc::new(AtomicBool::new(false));
        let shared = Arc::new(Shared {
            generation: Arc::default(),
            cells: Mutex::default(),
            stopped,
        });
        let weak = Arc::downgrade(&shared);
        let run = move || {
            while let Some(shared) = weak.upgrade() {
                let cells: Vec<_> = shared.cells().1.values().cloned().collect();
                drop(shared);
                for cell in cells {
                    let _ = cell.take(None);
                }
                thread::sleep(Duration::from_millis(20));
            }
        };
        let _ = thread::Builder::new().name("files".to_owned()).spawn(run);
        Self { shared }
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
        self.add(path.into(), Source::File, initial, format)
    }

    /// Lists the files of a folder that have this extension (`"json"`), and again whenever one
    /// comes, goes or changes. Until there is such a folder, the listing is empty.
    #[must_use]
    pub fn open_folder(&self, path: impl Into<PathBuf>, extension: &str) -> HotFile<Listing> {
        let folder: PathBuf = path.into();
        let format = Listed {
            folder: folder.clone(),
        };
        let source = Source::Folder(extension.to_owned());
        self.add(folder, source, Listing::default(), format)
    }

    fn add<F: Format>(
        &self,
        path: PathBuf,
        source: Source,
        initial: F::Value,
        format: F,
    ) -> HotFile<F::Value> {
        let generation = Arc::clone(&self.shared.generation);
        let cell = Arc::new(Cell::new(path, source, initial, format, generation));
        let _ = cell.take(None);
        let mut cells = self.shared.cells();
        cells.0 += 1;
        let id = cells.0;
        cells.1.insert(id, Arc::clone(&cell) as Arc<dyn Watched>);
        drop(cells);
        HotFile::new(cell, id, self.clone())
    }

    /// The last generation that any of the files went live with.
    #[must_use]
    pub fn generation(&self) -> u64 {
        *self
            .shared
            .generation
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn close(&self, id: FileId) {
        let closed = self.shared.cells().1.remove(&id);
        drop(closed);
    }
}

impl Shared {
    fn cells(&self) -> MutexGuard<'_, (FileId, BTreeMap<FileId, Arc<dyn Watched>>)> {
        self.cells.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Files").finish_non_exhaustive()
    }
}
