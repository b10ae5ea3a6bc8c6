//! Where the engine stands, and who works it.
//!
//! One at a time, under a lock that requests only ever try. Whoever finds it free and nobody before
//! him carries out his own request at once, on his own thread: two changes of threads would cost
//! more than all the rest. Everything else is done by the engine's own thread: what piles up
//! behind a turn, in one batch; what becomes due; what waits for the disk.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, TryLockError};

use crate::disk::journal::JournalError;
use crate::engine::inbox::Inbox;
use crate::engine::turn::Engine;

/// One engine and its inbox.
#[derive(Debug)]
pub(crate) struct Workshop {
    /// Nothing once it has ended.
    engine: Mutex<Option<Engine>>,
    inbox: Arc<Inbox>,
    /// Above 0 where many ask at once: then one commit for all of them saves more than the change
    /// of threads costs, and nobody works for himself. Counts down as it gets quiet.
    crowd: AtomicU32,
}

impl Workshop {
    pub(crate) fn new(engine: Engine, inbox: Arc<Inbox>) -> Self {
        Self {
            engine: Mutex::new(Some(engine)),
            inbox,
            crowd: AtomicU32::new(0),
        }
    }

    /// Carries out what is in the inbox, unless somebody is at it already: then it is seen to.
    pub(crate) fn nudge(&self) {
        if self.crowd.load(Ordering::Relaxed) > 0 {
            self.inbox.rouse();
            return;
        }
        let wake = match self.engine.try_lock() {
            Ok(mut engine) => {
                let Some(engine) = engine.as_mut() else {
                    return;
                };
                let _panicked = WakeOnPanic(&self.inbox);
                engine.turn_once(&self.inbox);
                engine.needs_its_thread()
            }
            // Whoever has it looks into the inbox once more when done.
            Err(TryLockError::WouldBlock) => {
                self.crowd.store(CROWD, Ordering::Relaxed);
                return;
            }
            Err(TryLockError::Poisoned(_)) => true,
        };
        if !self.inbox.is_empty() {
            self.crowd.store(CROWD, Ordering::Relaxed);
            self.inbox.rouse();
        }
        if wake {
            self.inbox.wake();
        }
    }

    /// The engine's thread: works until it is told to stop, or cannot go on.
    pub(crate) fn run(&self) -> Result<(), JournalError> {
        let mut patience = Some(std::time::Duration::ZERO);
        loop {
            self.inbox.wait(patience);
            let Ok(mut engine) = self.engine.lock() else {
                break;
            };
            let Some(engine) = engine.as_mut() else {
                break;
            };
            let taken = engine.turn_once(&self.inbox);
            self.judge_crowd(taken);
            engine.fold();
            if engine.is_over() {
                break;
            }
            patience = engine.patience();
        }
        let mut engine = self.engine.lock().unwrap_or_else(|poisoned| {
            let mut engine = poisoned.into_inner();
            if let Some(engine) = engine.as_mut() {
                engine.break_off();
            }
            engine
        });
        let ended = engine.take();
        ended.map_or(Ok(()), Engine::end)
    }

    fn judge_crowd(&self, taken: usize) {
        let crowd = self.crowd.load(Ordering::Relaxed);
        if taken > 1 {
            self.crowd.store(CROWD, Ordering::Relaxed);
        } else if taken == 1 && crowd > 0 {
            self.crowd.store(crowd - 1, Ordering::Relaxed);
        }
    }
}

/// So many batches of one in a row are no crowd any more.
const CROWD: u32 = 16;

struct WakeOnPanic<'a>(&'a Inbox);

impl Drop for WakeOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use tokio::sync::{mpsc, watch};
    use warden::snapshot::About;
    use warden::{Code, Event, Fact, Now, Policy, Start};

    use crate::disk::ballast::Ballast;
    use crate::disk::journal::{FILE, Journal, Opened, Opening};
    use crate::disk::reserve::Reserve;
    use crate::engine::inbox::Input;
    use crate::engine::{Desk, Parts};
    use crate::gpus::simulated;
    use crate::notices::Notices;
    use crate::stream::Stream;

    use super::*;

    const MANY: u64 = 100_001;

    fn opening(dir: &Path) -> Opening<'_> {
        Opening {
            dir,
            stamp: "",
            boot: "",
            ceiling: None,
            gpus: &[],
        }
    }

    #[tokio::test]
    async fn a_long_journal_is_short_before_another_program_reads_it() {
        let dir = tempfile::tempdir().unwrap();
        let Opened {
            mut journal,
            mut arbiter,
            ..
        } = Journal::open(opening(dir.path()), |_, _, _, _| {}).unwrap();
        let at = Now {
            clock_ms: 0,
            wall_ms: 0,
        };
        let fact = Fact::Refused {
            refused: [(Code::BadJson, 1)].into(),
        };
        let event = Event { at, fact };
        for _ in 0..MANY {
            arbiter.apply(&event);
            journal.append(&event);
        }
        journal.commit(&arbiter).unwrap();
        let inbox = Arc::new(Inbox::default());
        let (watcher, _watched) = mpsc::unbounded_channel();
        let parts = Parts {
            arbiter,
            journal,
            reserve: Reserve::open(dir.path()).unwrap(),
            inbox: Arc::clone(&inbox),
            stream: Arc::new(Stream::new()),
            watcher,
            busy: watch::channel(false).0,
            about: About {
                version: String::new(),
                started_at: String::new(),
            },
            notices: Arc::new(Notices::new()),
            ballast: Ballast::of(dir.path()),
            journal_path: dir.path().join(FILE),
        };
        let start = Start {
            token_floor: 1,
            revision_floor: 0,
            host_restarted: false,
            gpus: simulated(1),
            policy: Box::new(Policy::default()),
        };
        let engine = Engine::start(parts, start).unwrap();
        let workshop = Arc::new(Workshop::new(engine, Arc::clone(&inbox)));
        let desk = Desk::new(Arc::clone(&inbox), Arc::clone(&workshop));
        let thread = std::thread::spawn(move || workshop.run());
        desk.shorten().await.unwrap();
        inbox.tell(Input::Stop);
        thread.join().unwrap().unwrap();

        let mut replayed = 0;
        let opened = Journal::open(opening(dir.path()), |_, _, _, _| replayed += 1).unwrap();
        assert!(replayed < 10, "{replayed}");
        let refused = &opened.arbiter.counters().refused;
        assert_eq!(refused.get(&Code::BadJson), Some(&MANY));
    }
}
