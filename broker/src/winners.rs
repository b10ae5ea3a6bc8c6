//! The `winners/` folder: what is put there is promoted, once, on a thread of its own. A health
//! check may take its time there.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use warden_reload::files::{Files, HotFile, Listing, Stamp, Subscription};
use warden_reload::promotion::{Ack, Outcome, Place, PromotionError, Promotions};

use crate::sharing::Sharing;

/// Somebody else may promote for so long before it is tried again.
const PATIENCE: Duration = Duration::from_secs(5);
/// How soon what could not be done is tried again.
const RETRY: Duration = Duration::from_millis(500);

/// Keeps the folder watched.
#[derive(Debug)]
pub(crate) struct Winners {
    _told: Subscription,
    _wake: SyncSender<()>,
}

impl Winners {
    /// Concludes what was begun before, then promotes whatever is in the folder or comes into it.
    ///
    /// # Errors
    /// Where there is no thread to be had.
    pub(crate) fn watch(files: &Files, place: Place, sharing: Arc<Sharing>) -> io::Result<Self> {
        let folder = files.open_folder(place.winners(), "json");
        let (wake, woken) = sync_channel(1);
        let tell = wake.clone();
        let told = folder.on_change(move |_| {
            // One that stands there already is enough.
            let _ = tell.try_send(());
        });
        let mut work = Work {
            folder,
            place,
            sharing,
            done: BTreeMap::new(),
            complaint: None,
        };
        thread::Builder::new()
            .name("promotions".to_owned())
            .spawn(move || work.run(&woken))?;
        Ok(Self {
            _told: told,
            _wake: wake,
        })
    }
}

struct Work {
    folder: HotFile<Listing>,
    place: Place,
    sharing: Arc<Sharing>,
    /// Files that need not be looked at again as they are.
    done: BTreeMap<PathBuf, Stamp>,
    /// What was last said of what cannot be done, so that it is said once.
    complaint: Option<String>,
}

impl Work {
    /// Until nobody wakes it any more.
    fn run(&mut self, woken: &Receiver<()>) {
        loop {
            let wait = match self.round() {
                Ok(true) => woken.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Ok(false) => woken.recv_timeout(RETRY),
                Err(error) => {
                    self.complain(&error);
                    woken.recv_timeout(RETRY)
                }
            };
            if wait == Err(RecvTimeoutError::Disconnected) {
                return;
            }
        }
    }

    /// Whether all is done that there is to do.
    fn round(&mut self) -> Result<bool, PromotionError> {
        let listing = self.folder.get();
        self.done.retain(|path, _| listing.contains_key(path));
        if listing.is_empty() && !self.place.history().is_dir() {
            // Nobody has ever promoted anything here: not even folders are made.
            return Ok(true);
        }
        let mut promotions = Promotions::open(self.place.clone(), PATIENCE)?;
        for ack in promotions.recover(&*self.sharing)? {
            tell(&ack);
        }
        let mut all = true;
        for (path, stamp) in listing.iter() {
            if self.done.get(path) == Some(stamp) {
                continue;
            }
            match promotions.promote(path, &*self.sharing) {
                Ok(ack) => tell(&ack),
                // It was promoted, or taken away, before it was looked at here.
                Err(PromotionError::Repeated { .. } | PromotionError::Missing { .. }) => {}
                Err(PromotionError::Unfinished { .. }) => {
                    all = false;
                    continue;
                }
                Err(error) => return Err(error),
            }
            self.done.insert(path.clone(), *stamp);
        }
        self.complaint = None;
        Ok(all)
    }

    fn complain(&mut self, error: &PromotionError) {
        let complaint = error.to_string();
        if self.complaint.as_ref() != Some(&complaint) {
            tracing::error!(%error, "winners cannot be promoted; it is tried again");
            self.complaint = Some(complaint);
        }
    }
}

fn tell(ack: &Ack) {
    let Ack {
        id,
        outcome,
        generation,
        changed,
        error,
        ..
    } = ack;
    match outcome {
        Outcome::Live => tracing::info!(%id, ?generation, ?changed, "promoted"),
        Outcome::Refused | Outcome::PutBack => {
            tracing::warn!(%id, %outcome, ?generation, ?changed, error, "not promoted");
        }
    }
}
