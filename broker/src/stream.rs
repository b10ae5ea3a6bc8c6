//! What the world is told: the last events, ready to be resumed from, and the picture that they
//! add up to.
//!
//! The engine only puts events down here. Folding them into the picture is done by whoever reads.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use warden::{Snapshot, StreamEvent};

use crate::ring::{Entry, Reader, Ring};

/// The picture is brought up to date at the latest when it is so far behind.
const FOLD_AT: u64 = 4_096;
/// How often at most readers are looked after.
const LOOK_AFTER: Duration = Duration::from_millis(10);

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
}

impl Entry for Told {
    fn number(&self) -> u64 {
        self.revision
    }

    fn text(&self) -> &Bytes {
        self.text.get_or_init(|| write(self.revision, &self.event))
    }
}

/// An event as server-sent text.
pub(crate) fn write(revision: u64, event: &StreamEvent) -> Bytes {
    crate::http::events::write(revision, event.name(), event)
}

/// The stream of one broker.
#[derive(Debug)]
pub(crate) struct Stream {
    ring: Arc<Ring<Told>>,
    picture: Mutex<Option<Snapshot>>,
    /// The revision that the picture is at.
    folded: AtomicU64,
    /// The picture is to be brought up to date.
    fold: Notify,
}

impl Stream {
    pub(crate) fn new() -> Self {
        Self {
            ring: Arc::new(Ring::new()),
            picture: Mutex::new(None),
            folded: AtomicU64::new(0),
            fold: Notify::new(),
        }
    }

    /// Events from the journal, as they were told before this start. Comes before everything else.
    pub(crate) fn recall(&self, told: Vec<Told>) {
        self.ring.recall(told);
    }

    /// The state at the start.
    pub(crate) fn set_picture(&self, picture: Snapshot) {
        let revision = picture.revision();
        self.folded.store(revision, Ordering::Release);
        *self.picture() = Some(picture);
        self.ring.begin_at(revision);
    }

    /// The state, where what led to it is told to nobody: whoever follows begins afresh.
    pub(crate) fn begin_anew(&self, picture: Snapshot) {
        self.ring.forget();
        self.set_picture(picture);
    }

    /// Tells events, leaving none in `told`.
    pub(crate) fn publish(&self, told: &mut Vec<Told>) {
        let Some(head) = self.ring.tell(told) else {
            return;
        };
        if head.saturating_sub(self.folded.load(Ordering::Acquire)) > FOLD_AT {
            self.fold.notify_one();
        }
    }

    /// The picture with everything in it that was told so far; nothing where the events in
    /// between are gone already.
    pub(crate) fn latest(&self) -> Option<Snapshot> {
        let mut kept = self.picture();
        self.bring_up_to_date(&mut kept);
        kept.clone()
    }

    /// Leaves nothing where events in between are gone.
    fn bring_up_to_date(&self, kept: &mut Option<Snapshot>) {
        let Some(picture) = kept.as_mut() else {
            return;
        };
        for told in self.ring.after(picture.revision()) {
            if let Err(error) = picture.fold(told.revision, &told.event, told.clock_ms) {
                tracing::warn!(%error, "the picture is made anew");
                *kept = None;
                return;
            }
        }
        self.folded.store(picture.revision(), Ordering::Release);
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
    pub(crate) fn resume(&self, last: u64, hang_up: CancellationToken) -> Option<Reader<Told>> {
        self.ring.resume(last, hang_up)
    }

    /// Reads from after `at`, the revision of a picture.
    pub(crate) fn follow(&self, at: u64, hang_up: CancellationToken) -> Reader<Told> {
        self.ring.follow(at, hang_up)
    }

    /// Looks after picture and readers for as long as the broker runs.
    pub(crate) async fn look_after(self: Arc<Self>) {
        let mut head = self.ring.head();
        loop {
            tokio::select! {
                () = self.fold.notified() => {
                    let stream = Arc::clone(&self);
                    // Some thousand events take a while.
                    let fold = move || stream.bring_up_to_date(&mut stream.picture());
                    drop(tokio::task::spawn_blocking(fold).await);
                }
                changed = head.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    let head = *head.borrow_and_update();
                    self.ring.drop_laggards(head);
                    sleep(LOOK_AFTER).await;
                }
            }
        }
    }

    fn picture(&self) -> MutexGuard<'_, Option<Snapshot>> {
        // What is in it is replaced as a whole: there is no half-done state to fear.
        self.picture.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
