//! The thread that looks at files when they changed.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant, SystemTime};

use super::folder::Stamp;
use super::hot::Watched;
use super::inbox::{FileId, Inbox, Marks, Opened, Writer};
use super::native::{Deaf, Native};
use super::read::{Found, Source};
use super::settle::{APART, Settle, Verdict};
use super::state::Watching;
use crate::check::sha256;

/// When to look again at a file that is being changed.
const SOON: Duration = Duration::from_millis(5);
/// How often a file is looked at where the system does not tell.
const POLL: Duration = Duration::from_millis(250);
/// How often the system is asked whether it tells by now.
const RETRY: Duration = Duration::from_secs(30);
/// File systems count time so coarsely that two saves within this may look like one.
const COARSE: Duration = Duration::from_secs(2);

/// All files, and who watches them.
pub(crate) struct Keeper {
    inbox: Arc<Inbox>,
    native: Result<Native, String>,
    /// Whether nobody asked for polling, so that the system may be tried again.
    retries: bool,
    retry: Instant,
    files: BTreeMap<FileId, File>,
}

struct File {
    cell: Arc<dyn Watched>,
    settle: Settle,
    /// Why it has to be looked at again and again.
    deaf: Option<Deaf>,
    poll: Option<Instant>,
    seen: Option<Sign>,
    opening: Option<SyncSender<()>>,
}

/// What changes when a file does.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Sign {
    File(Stamp),
    Listing(String),
}

impl Keeper {
    /// Without a reason to poll, the system is asked to tell.
    pub fn new(inbox: Arc<Inbox>, polling: Option<String>) -> Self {
        let retries = polling.is_none();
        let native = match polling {
            None => Native::start(&inbox),
            Some(why) => Err(why),
        };
        if let Err(why) = &native {
            tracing::warn!(%why, "files are looked at four times a second, since the system does not tell of changes");
        }
        Self {
            inbox,
            native,
            retries,
            retry: Instant::now() + RETRY,
            files: BTreeMap::new(),
        }
    }

    /// Until it is told to stop.
    pub fn run(mut self) {
        loop {
            self.inbox.wait(self.next());
            let (opened, closed, lost, overflowed, stop) = {
                let mut state = self.inbox.lock();
                (
                    std::mem::take(&mut state.opened),
                    std::mem::take(&mut state.closed),
                    std::mem::take(&mut state.lost),
                    std::mem::take(&mut state.overflowed),
                    state.stop,
                )
            };
            if stop {
                return;
            }
            for id in closed {
                self.close(id);
            }
            if overflowed {
                self.overflowed();
            }
            if let Ok(native) = &mut self.native {
                lost.iter().for_each(|folder| native.lost(folder));
            }
            for opened in opened {
                self.open(opened);
            }
            self.collect();
            self.poll();
            self.look_at_all();
        }
    }

    /// When there is something to do, if nothing happens before.
    fn next(&self) -> Option<Instant> {
        let due = self
            .files
            .values()
            .flat_map(|file| [file.settle.due(), file.poll]);
        due.flatten().min()
    }

    fn open(&mut self, opened: Opened) {
        let mut file = File {
            cell: opened.cell,
            settle: Settle::new(),
            deaf: None,
            poll: None,
            seen: None,
            opening: Some(opened.done),
        };
        file.settle.again(Instant::now());
        self.files.insert(opened.id, file);
    }

    fn close(&mut self, id: FileId) {
        if let Ok(native) = &mut self.native {
            native.close(id);
        }
        self.inbox.lock().marks.remove(&id);
        self.files.remove(&id);
    }

    /// Nobody knows what happened.
    fn overflowed(&mut self) {
        if let Ok(native) = &mut self.native {
            native.overflowed();
        }
        let mut state = self.inbox.lock();
        for id in self.files.keys() {
            let marks = state.marks.entry(*id).or_default();
            marks.writers.clear();
            marks.changed = true;
            marks.doubt = true;
        }
    }

    /// Takes in what the system told.
    fn collect(&mut self) {
        let now = Instant::now();
        self.inbox.lock().marks.retain(|id, marks| {
            let Some(file) = self.files.get_mut(id) else {
                return false;
            };
            if std::mem::take(&mut marks.changed) {
                file.settle.changed(now);
            }
            true
        });
    }

    fn poll(&mut self) {
        let now = Instant::now();
        let due = |file: &File| file.poll.is_some_and(|at| at <= now);
        if !self.files.values().any(due) {
            return;
        }
        let retry = self.retries && now >= self.retry;
        if retry {
            self.retry = now + RETRY;
            if self.native.is_err() {
                self.native = Native::start(&self.inbox);
            }
        }
        for file in self.files.values_mut().filter(|file| due(file)) {
            file.poll = Some(now + POLL);
            if retry {
                file.settle.again(now);
            }
            if sign(&*file.cell) != file.seen {
                file.settle.doubt();
                file.settle.changed(now);
            }
        }
    }

    fn look_at_all(&mut self) {
        let now = Instant::now();
        let due = self
            .files
            .iter()
            .filter(|(_, file)| file.settle.due().is_some_and(|due| due <= now));
        let due: Vec<FileId> = due.map(|(id, _)| *id).collect();
        for id in due {
            if let Some(file) = self.files.get_mut(&id) {
                file.settle.looked();
                follow(&mut self.native, id, file);
                look(&self.inbox, &mut self.native, id, file);
                file.opening = None;
            }
        }
    }
}

/// Has everything watched that decides which file a path names by now.
fn follow(native: &mut Result<Native, String>, id: FileId, file: &mut File) {
    let cell = &*file.cell;
    let deaf = match native {
        Ok(native) => native.follow(id, cell.path(), cell.source()),
        Err(why) => Some(Deaf {
            why: why.clone(),
            decides: true,
        }),
    };
    file.poll = match (&deaf, file.poll) {
        (None, _) => None,
        (Some(_), None) => Some(Instant::now() + POLL),
        (Some(_), at) => at,
    };
    if file.deaf == deaf && file.opening.is_none() {
        return;
    }
    cell.watching(match &deaf {
        Some(Deaf { why, decides: true }) => Watching::Polling { why: why.clone() },
        _ => Watching::Native,
    });
    file.deaf = deaf;
}

/// Looks at a file, and takes in what is there if it can be believed.
fn look(inbox: &Inbox, native: &mut Result<Native, String>, id: FileId, file: &mut File) {
    let first = file.opening.is_some();
    let (writers, doubt) = begin(inbox, id);
    let writing = Writing::of(&*file.cell, writers);
    if let Some(at) = writing.again {
        file.settle.again(at);
    }
    forget(inbox, id, &writing.none);
    let deaf = file.deaf.as_ref().is_some_and(|deaf| deaf.decides);
    if (doubt || deaf || writing.doubt) && !first {
        file.settle.doubt();
    }
    if *file.cell.source() == Source::File && !writing.names.is_empty() {
        // Its end is told.
        return;
    }
    let is_file = *file.cell.source() == Source::File;
    if is_file || file.poll.is_some() {
        file.seen = sign(&*file.cell);
    }
    if file.poll.is_some() && fresh(file.seen.as_ref()) {
        file.settle.again(Instant::now() + COARSE);
    }
    let Some(found) = file.cell.find(&writing.names) else {
        return file.settle.again(Instant::now() + SOON);
    };
    if !deaf {
        let heard_all = native.as_mut().is_ok_and(Native::heard_all);
        if !heard_all && !first {
            file.settle.doubt();
        }
        if written_meanwhile(inbox, id) {
            // What was read may be half of it. Its end is told, or was told just now.
            return;
        }
        if is_file && sign(&*file.cell) != file.seen {
            // Something happens whose event is not sent yet: an effect comes before its event.
            return file.settle.again(Instant::now() + SOON);
        }
    }
    let digest = match &found {
        Found::Absent if !first => None,
        Found::Absent => Some(String::new()),
        Found::Refused(problem) => Some(problem.message.clone()),
        Found::Bytes(bytes) => Some(sha256(bytes)),
    };
    let empty = !first && matches!(&found, Found::Bytes(bytes) if bytes.is_empty());
    if file.settle.found(Instant::now(), digest, empty) == Verdict::Believed {
        // What is wrong is told by its state, and logged there.
        let _ = file.cell.take(Some(found));
    }
}

/// Who writes the file, and whether what it holds is in doubt; from now on it counts anew.
fn begin(inbox: &Inbox, id: FileId) -> (BTreeMap<OsString, Writer>, bool) {
    let mut state = inbox.lock();
    let marks = state.marks.entry(id).or_default();
    let Marks {
        wrote,
        doubt,
        writers,
        ..
    } = marks;
    *wrote = false;
    (writers.clone(), std::mem::take(doubt))
}

fn written_meanwhile(inbox: &Inbox, id: FileId) -> bool {
    inbox.lock().marks.get(&id).is_some_and(|marks| marks.wrote)
}

/// These write nothing.
fn forget(inbox: &Inbox, id: FileId, names: &[OsString]) {
    if let Some(marks) = inbox.lock().marks.get_mut(&id) {
        for name in names {
            if marks.writers.get(name).is_some_and(|writer| !writer.wrote) {
                marks.writers.remove(name);
            }
        }
    }
}

/// Who is about to write.
#[derive(Default)]
struct Writing {
    names: BTreeSet<OsString>,
    /// They look like writers and are none.
    none: Vec<OsString>,
    doubt: bool,
    /// When it will be known of another one.
    again: Option<Instant>,
}

impl Writing {
    fn of(cell: &dyn Watched, writers: BTreeMap<OsString, Writer>) -> Self {
        let mut writing = Self::default();
        for (name, writer) in writers {
            let path = match cell.source() {
                Source::File => cell.path().to_owned(),
                Source::Folder(_) => cell.path().join(&name),
            };
            if writer.wrote || writing.is_made(&path, writer) {
                writing.names.insert(name);
            } else {
                writing.none.push(name);
            }
        }
        writing
    }

    /// Whether a new name is that of a file which somebody begins to write, and not of something
    /// whole that was linked into place.
    fn is_made(&mut self, path: &Path, writer: Writer) -> bool {
        let Ok(metadata) = fs::symlink_metadata(path) else {
            return false;
        };
        if metadata.is_symlink() {
            self.doubt = true;
        }
        if !metadata.is_file() {
            return false;
        }
        let known = writer.since + APART;
        let linked = metadata.len() > 0 && Instant::now() >= known;
        if metadata.len() > 0 && !linked {
            self.again = Some(self.again.map_or(known, |again| again.min(known)));
        }
        !linked
    }
}

/// What changes when the file does.
fn sign(cell: &dyn Watched) -> Option<Sign> {
    match cell.source() {
        Source::File => fs::metadata(cell.path())
            .ok()
            .map(|metadata| Sign::File(Stamp::of(&metadata))),
        Source::Folder(_) => match cell.find(&BTreeSet::new()) {
            Some(Found::Bytes(bytes)) => Some(Sign::Listing(sha256(&bytes))),
            _ => None,
        },
    }
}

/// Whether the next save may leave the same sign.
fn fresh(sign: Option<&Sign>) -> bool {
    let Some(Sign::File(stamp)) = sign else {
        return false;
    };
    let modified = SystemTime::UNIX_EPOCH + Duration::from_nanos(stamp.modified_ns);
    SystemTime::now()
        .duration_since(modified)
        .is_ok_and(|age| age < COARSE)
}
