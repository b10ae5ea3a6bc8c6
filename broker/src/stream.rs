//! What the world is told: the last events, ready to be resumed from, and the picture that they
//! add up to.
//!
//! The engine only puts events down here, under a short lock. Folding them into the picture and
//! writing them as text is done by whoever reads, so that readers never slow it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Notify, watch};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use warden::{Snapshot, StreamEvent};

/// So many events are kept for whoever resumes.
pub(crate) const KEPT: usize = 10_000;
/// A reader that has more than this before it is disconnected.
const MAX_BEHIND: u64 = 1_024;
/// The picture is brought up to date at the latest when it is so far behind.
const FOLD_AT: u64 = 4_096;
/// How often at most readers are looked after.
const LOOK_AFTER: Duration = Duration::from_millis(10);
/// Events in one write.
const CHUNK: usize = 128;

/// One event with its number and time.
#[derive(Debug)]
pub(crate) struct Told {
    revision: u64,
    clock_ms: u64,
    event: StreamEvent,
    text: OnceLock<Bytes>,
}

impl Told {
    pub(crate) fn new(revision: u64, clock_ms: u64, event: StreamEvent) -> Self {
        Self {
            revision,
            clock_ms,
            event,
            text: OnceLock::new(),
        }
    }

    fn text(&self) -> &Bytes {
        self.text.get_or_init(|| write(self.revision, &self.event))
    }
}

/// An event as server-sent text.
pub(crate) fn write(revision: u64, event: &StreamEvent) -> Bytes {
    let mut text = format!("id: {revision}\nevent: {}\ndata: ", event.name()).into_bytes();
    text.extend_from_slice(&crate::http::answer::to_json(event));
    text.extend_from_slice(b"\n\n");
    text.into()
}

/// The stream of one broker.
#[derive(Debug)]
pub(crate) struct Stream {
    ring: Mutex<VecDeque<Arc<Told>>>,
    picture: Mutex<Option<Snapshot>>,
    /// The revision that the picture is at.
    folded: AtomicU64,
    /// The last revision told.
    head: watch::Sender<u64>,
    /// The picture is to be brought up to date.
    fold: Notify,
    readers: Mutex<Vec<Weak<Place>>>,
}

/// Where a reader stands.
#[derive(Debug)]
struct Place {
    /// The last event that it took.
    at: AtomicU64,
    /// The last event there was when it came: up to that it may take its time.
    since: u64,
    /// Closes its connection.
    hang_up: CancellationToken,
}

/// What a reader may begin with.
pub(crate) enum Begin {
    /// The events after the one that it named.
    Resume(Reader),
    /// A picture, then the events after it.
    Afresh,
}

impl Stream {
    pub(crate) fn new() -> Self {
        Self {
            ring: Mutex::new(VecDeque::with_capacity(KEPT + 1)),
            picture: Mutex::new(None),
            folded: AtomicU64::new(0),
            head: watch::Sender::new(0),
            fold: Notify::new(),
            readers: Mutex::new(Vec::new()),
        }
    }

    /// Events from the journal, as they were told before this start. Comes before everything else.
    pub(crate) fn recall(&self, told: Vec<Told>) {
        self.ring().extend(told.into_iter().map(Arc::new));
    }

    /// The state at the start.
    pub(crate) fn set_picture(&self, picture: Snapshot) {
        let revision = picture.revision();
        self.folded.store(revision, Ordering::Release);
        *self.picture() = Some(picture);
        self.head.send_replace(revision);
    }

    /// Tells events, leaving none in `told`.
    pub(crate) fn publish(&self, told: &mut Vec<Told>) {
        let Some(head) = told.last().map(|told| told.revision) else {
            return;
        };
        let mut dropped = Vec::new();
        {
            let mut ring = self.ring();
            ring.extend(told.drain(..).map(Arc::new));
            while ring.len() > KEPT {
                dropped.extend(ring.pop_front());
            }
        }
        self.head.send_replace(head);
        if head.saturating_sub(self.folded.load(Ordering::Acquire)) > FOLD_AT {
            self.fold.notify_one();
        }
    }

    /// The picture with everything in it that was told so far; nothing where the events in
    /// between are gone already.
    pub(crate) fn latest(&self) -> Option<Snapshot> {
        let mut kept = self.picture();
        let picture = kept.as_mut()?;
        let news: Vec<Arc<Told>> = {
            let ring = self.ring();
            let from = ring.partition_point(|told| told.revision <= picture.revision());
            ring.range(from..).cloned().collect()
        };
        for told in news {
            if let Err(error) = picture.fold(told.revision, &told.event, told.clock_ms) {
                tracing::warn!(%error, "the picture is made anew");
                *kept = None;
                return None;
            }
        }
        self.folded.store(picture.revision(), Ordering::Release);
        Some(picture.clone())
    }

    /// Takes a picture that was made anew, unless there is a later one.
    pub(crate) fn renew(&self, picture: Snapshot) {
        let mut kept = self.picture();
        let newer = kept
            .as_ref()
            .is_none_or(|kept| kept.revision() < picture.revision());
        if newer {
            self.folded.store(picture.revision(), Ordering::Release);
            *kept = Some(picture);
        }
    }

    /// Resumes after `last`, where every event since is still here.
    pub(crate) fn resume(self: &Arc<Self>, last: u64, hang_up: CancellationToken) -> Begin {
        let head = *self.head.borrow();
        let kept = |ring: &VecDeque<Arc<Told>>| {
            let first = ring.front();
            first.is_some_and(|first| first.revision <= last.saturating_add(1))
        };
        if last != head && (last > head || !kept(&self.ring())) {
            return Begin::Afresh;
        }
        Begin::Resume(self.reader(last, head, hang_up))
    }

    /// Reads from after `at`, the revision of a picture.
    pub(crate) fn follow(self: &Arc<Self>, at: u64, hang_up: CancellationToken) -> Reader {
        self.reader(at, at, hang_up)
    }

    fn reader(self: &Arc<Self>, at: u64, since: u64, hang_up: CancellationToken) -> Reader {
        let place = Arc::new(Place {
            at: AtomicU64::new(at),
            since,
            hang_up,
        });
        let mut readers = lock(&self.readers);
        readers.retain(|reader| reader.strong_count() > 0);
        readers.push(Arc::downgrade(&place));
        drop(readers);
        Reader {
            stream: Arc::clone(self),
            head: self.head.subscribe(),
            place,
        }
    }

    /// Looks after picture and readers for as long as the broker runs.
    pub(crate) async fn look_after(self: Arc<Self>) {
        let mut head = self.head.subscribe();
        loop {
            tokio::select! {
                () = self.fold.notified() => {
                    let stream = Arc::clone(&self);
                    // Some thousand events take a while.
                    drop(tokio::task::spawn_blocking(move || drop(stream.latest())).await);
                }
                changed = head.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    let head = *head.borrow_and_update();
                    self.drop_laggards(head);
                    sleep(LOOK_AFTER).await;
                }
            }
        }
    }

    fn drop_laggards(&self, head: u64) {
        for reader in lock(&self.readers).iter().filter_map(Weak::upgrade) {
            let at = reader.at.load(Ordering::Relaxed).max(reader.since);
            if head.saturating_sub(at) > MAX_BEHIND {
                reader.hang_up.cancel();
            }
        }
    }

    fn ring(&self) -> MutexGuard<'_, VecDeque<Arc<Told>>> {
        lock(&self.ring)
    }

    fn picture(&self) -> MutexGuard<'_, Option<Snapshot>> {
        lock(&self.picture)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is in it is replaced or extended as a whole: there is no half-done state to fear.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reads the stream at its own pace.
#[derive(Debug)]
pub(crate) struct Reader {
    stream: Arc<Stream>,
    head: watch::Receiver<u64>,
    place: Arc<Place>,
}

impl Reader {
    /// The next events as text; waits until there are some. Nothing when the reader has lost its
    /// place: it is too far behind.
    pub(crate) async fn next(&mut self) -> Option<Bytes> {
        loop {
            self.head.borrow_and_update();
            let at = self.place.at.load(Ordering::Relaxed);
            let next: Vec<Arc<Told>> = {
                let ring = self.stream.ring();
                let from = ring.partition_point(|told| told.revision <= at);
                ring.iter().skip(from).take(CHUNK).cloned().collect()
            };
            let (Some(first), Some(last)) = (next.first(), next.last()) else {
                self.head.changed().await.ok()?;
                continue;
            };
            if first.revision != at + 1 {
                return None;
            }
            self.place.at.store(last.revision, Ordering::Relaxed);
            if next.len() == 1 {
                return Some(first.text().clone());
            }
            let texts: Vec<&[u8]> = next.iter().map(|told| &**told.text()).collect();
            return Some(texts.concat().into());
        }
    }
}
