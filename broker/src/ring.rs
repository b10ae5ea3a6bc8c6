//! The last events of a stream, ready to be resumed from, and whoever reads them.
//!
//! Who has something to tell only puts it down here, under a short lock. Writing it as text is
//! done by whoever reads, so that readers never slow it; one that does not keep up is
//! disconnected.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use bytes::Bytes;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// So many events are kept for whoever resumes.
pub(crate) const KEPT: usize = 10_000;
/// So many bytes of them, where they have a weight.
const KEPT_BYTES: usize = 16 * 1024 * 1024;
/// A reader that has more than this before it is disconnected.
const MAX_BEHIND: u64 = 1_024;
/// Events in one write.
const CHUNK: usize = 128;

/// One event.
pub(crate) trait Entry: Send + Sync + 'static {
    /// Its number: one more than that of the event before it.
    fn number(&self) -> u64;

    /// It as server-sent text.
    fn text(&self) -> &Bytes;

    /// What it takes in memory, where that may be much.
    fn weight(&self) -> usize {
        0
    }
}

/// The events of one stream.
#[derive(Debug)]
pub(crate) struct Ring<E> {
    kept: Mutex<Kept<E>>,
    /// The last event told.
    head: watch::Sender<u64>,
    readers: Mutex<Vec<Weak<Place>>>,
}

#[derive(Debug)]
struct Kept<E> {
    events: VecDeque<Arc<E>>,
    bytes: usize,
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

impl<E: Entry> Ring<E> {
    pub(crate) fn new() -> Self {
        Self {
            kept: Mutex::new(Kept {
                events: VecDeque::new(),
                bytes: 0,
            }),
            head: watch::Sender::new(0),
            readers: Mutex::new(Vec::new()),
        }
    }

    /// Everything up to this number has been told. Comes before any reader.
    pub(crate) fn begin_at(&self, head: u64) {
        self.head.send_replace(head);
    }

    /// Events as they were told before this start. Comes before everything else.
    pub(crate) fn recall(&self, mut events: Vec<E>) {
        self.put(&mut events);
    }

    /// Tells events, leaving none in `events`; the number of the last.
    pub(crate) fn tell(&self, events: &mut Vec<E>) -> Option<u64> {
        let head = events.last()?.number();
        self.put(events);
        self.head.send_replace(head);
        Some(head)
    }

    fn put(&self, events: &mut Vec<E>) {
        let mut dropped = Vec::new();
        let mut kept = lock(&self.kept);
        kept.bytes += events.iter().map(Entry::weight).sum::<usize>();
        kept.events.extend(events.drain(..).map(Arc::new));
        while kept.events.len() > KEPT || kept.bytes > KEPT_BYTES && kept.events.len() > 1 {
            let Some(oldest) = kept.events.pop_front() else {
                break;
            };
            kept.bytes -= oldest.weight();
            dropped.push(oldest);
        }
        drop(kept);
        // Freed outside the lock.
        drop(dropped);
    }

    /// What was told can be had no more: whoever resumes begins afresh.
    pub(crate) fn forget(&self) {
        let mut kept = lock(&self.kept);
        kept.bytes = 0;
        let forgotten = std::mem::take(&mut kept.events);
        drop(kept);
        drop(forgotten);
    }

    /// The events after this number, as far as they are kept.
    pub(crate) fn after(&self, number: u64) -> Vec<Arc<E>> {
        let kept = lock(&self.kept);
        let from = kept
            .events
            .partition_point(|event| event.number() <= number);
        kept.events.range(from..).cloned().collect()
    }

    /// The number of the last event told, whenever it changes.
    pub(crate) fn head(&self) -> watch::Receiver<u64> {
        self.head.subscribe()
    }

    /// A reader of what comes after `last`; nothing where not every event since is still here.
    pub(crate) fn resume(
        self: &Arc<Self>,
        last: u64,
        hang_up: CancellationToken,
    ) -> Option<Reader<E>> {
        let head = *self.head.borrow();
        let kept = || {
            let first = lock(&self.kept).events.front().map(|first| first.number());
            first.is_some_and(|first| first <= last.saturating_add(1))
        };
        (last == head || last < head && kept()).then(|| self.reader(last, head, hang_up))
    }

    /// A reader of what comes after `at`, which it was just told.
    pub(crate) fn follow(self: &Arc<Self>, at: u64, hang_up: CancellationToken) -> Reader<E> {
        self.reader(at, at, hang_up)
    }

    fn reader(self: &Arc<Self>, at: u64, since: u64, hang_up: CancellationToken) -> Reader<E> {
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
            ring: Arc::clone(self),
            head: self.head.subscribe(),
            place,
        }
    }

    /// Disconnects those who are too far behind this event.
    pub(crate) fn drop_laggards(&self, head: u64) {
        for reader in lock(&self.readers).iter().filter_map(Weak::upgrade) {
            let at = reader.at.load(Ordering::Relaxed).max(reader.since);
            if head.saturating_sub(at) > MAX_BEHIND {
                reader.hang_up.cancel();
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is in it is replaced or extended as a whole: there is no half-done state to fear.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reads a stream at its own pace.
#[derive(Debug)]
pub(crate) struct Reader<E> {
    ring: Arc<Ring<E>>,
    head: watch::Receiver<u64>,
    place: Arc<Place>,
}

impl<E: Entry> Reader<E> {
    /// The next events as text; waits until there are some. Nothing when the reader has lost its
    /// place: it is too far behind.
    pub(crate) async fn next(&mut self) -> Option<Bytes> {
        loop {
            // Read before the events are: they are put down before they count as told.
            let head = *self.head.borrow_and_update();
            let at = self.place.at.load(Ordering::Relaxed);
            let next = self.chunk(at);
            if next.is_empty() && head <= at {
                self.head.changed().await.ok()?;
                continue;
            }
            return self.take(&next);
        }
    }

    /// The next events up to this one, as far as one write goes; nothing once that one was taken, or
    /// where one before it is forgotten.
    pub(crate) fn next_up_to(&mut self, last: u64) -> Option<Bytes> {
        let mut next = self.chunk(self.place.at.load(Ordering::Relaxed));
        next.retain(|event| event.number() <= last);
        self.take(&next)
    }

    /// Moves on over these; nothing where one that was to come before them was forgotten.
    fn take(&self, next: &[Arc<E>]) -> Option<Bytes> {
        let (first, last) = (next.first()?, next.last()?);
        if first.number() != self.place.at.load(Ordering::Relaxed) + 1 {
            return None;
        }
        self.place.at.store(last.number(), Ordering::Relaxed);
        if next.len() == 1 {
            return Some(first.text().clone());
        }
        let texts: Vec<&[u8]> = next.iter().map(|event| &**event.text()).collect();
        Some(texts.concat().into())
    }

    /// What comes next, as much as one write may have.
    fn chunk(&self, at: u64) -> Vec<Arc<E>> {
        const CHUNK_BYTES: usize = 256 * 1024;
        let kept = lock(&self.ring.kept);
        let from = kept.events.partition_point(|event| event.number() <= at);
        let mut bytes = 0;
        let fits = |event: &&Arc<E>| {
            let first = bytes == 0;
            bytes += event.weight();
            first || bytes <= CHUNK_BYTES
        };
        let next = kept.events.range(from..).take(CHUNK);
        next.take_while(fits).cloned().collect()
    }
}
