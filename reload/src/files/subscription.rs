//! Calls back, each callback apart from all others.
//!
//! A callback has a mailbox that keeps the newest news and joins it with what was not yet fetched.
//! While there is some, a thread of the mailbox's own calls the callback; so one that is slow, stuck
//! or reloads from within holds up nobody, and one without news costs nothing. Nothing is locked
//! while it runs.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

/// Keeps a callback called. It ends when this is dropped; a call that is under way ends by itself.
#[must_use = "the callback ends when its subscription is dropped"]
pub struct Subscription {
    end: Option<Box<dyn FnOnce() + Send + Sync>>,
    /// Whatever has to live for there to be news.
    _source: Box<dyn Send + Sync>,
}

impl Subscription {
    pub(crate) fn new(
        end: impl FnOnce() + Send + Sync + 'static,
        source: impl Send + Sync + 'static,
    ) -> Self {
        Self {
            end: Some(Box::new(end)),
            _source: Box::new(source),
        }
    }

    /// Leaves the callback called for as long as the file is open elsewhere.
    pub fn detach(mut self) {
        self.end = None;
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        if let Some(end) = self.end.take() {
            end();
        }
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription").finish_non_exhaustive()
    }
}

/// News of which a later one takes the place of an earlier one that nobody fetched.
pub(crate) trait News: Send + 'static {
    /// What is told instead of both.
    fn joined(self, later: Self) -> Self;
}

/// One callback and its news.
pub(crate) struct Mailbox<N> {
    call: Box<dyn Fn(&N) + Send + Sync>,
    /// What the log calls it.
    whose: String,
    state: Mutex<State<N>>,
}

struct State<N> {
    news: Option<N>,
    running: bool,
    closed: bool,
    panicked: bool,
}

impl<N: News> Mailbox<N> {
    pub fn new(whose: String, call: impl Fn(&N) + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self {
            call: Box::new(call),
            whose,
            state: Mutex::new(State {
                news: None,
                running: false,
                closed: false,
                panicked: false,
            }),
        })
    }

    /// Tells, without waiting.
    pub fn post(self: &Arc<Self>, news: N) {
        let mut state = self.lock();
        if state.closed {
            return;
        }
        state.news = Some(match state.news.take() {
            Some(earlier) => earlier.joined(news),
            None => news,
        });
        if state.running {
            return;
        }
        let mailbox = Arc::clone(self);
        let thread = thread::Builder::new().name("file callback".to_owned());
        match thread.spawn(move || mailbox.run()) {
            Ok(_) => state.running = true,
            Err(error) => {
                tracing::error!(of = %self.whose, %error, "no thread for a callback: it is told with the next change");
            }
        }
    }

    /// No more calls.
    pub fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        let unread = state.news.take();
        drop(state);
        drop(unread);
    }

    fn run(&self) {
        loop {
            let mut state = self.lock();
            let Some(news) = state.news.take() else {
                state.running = false;
                return;
            };
            drop(state);
            let called = catch_unwind(AssertUnwindSafe(|| {
                (self.call)(&news);
                drop(news);
            }));
            if let Err(payload) = called {
                self.panicked(payload.as_ref());
                // Its destructor may panic in turn.
                std::mem::forget(payload);
            }
        }
    }

    fn panicked(&self, payload: &(dyn std::any::Any + Send)) {
        let first = !std::mem::replace(&mut self.lock().panicked, true);
        if first {
            let words = payload.downcast_ref::<&str>().copied();
            let words = words.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
            let words = words.unwrap_or("panicked without words");
            tracing::error!(of = %self.whose, %words, "a callback panicked; it stays subscribed, and further panics of it are not told");
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<N>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
