//! Writes settings on a thread of its own: the disk is told, and that takes longer than a frame.

use std::sync::mpsc::{Receiver, Sender, SyncSender, TrySendError, channel, sync_channel};
use std::thread;

use warden_view::Text;

use crate::feed::Wake;

/// So many may wait to be written; nobody types faster than a disk for so long.
const MAX: usize = 16;

/// One file to be written; why it was not, for the operator.
pub type Job = Box<dyn FnOnce() -> Result<(), String> + Send>;

/// What came of writing a setting.
#[derive(Debug)]
pub struct Written {
    /// The file's name.
    pub file: Text,
    /// The key.
    pub key: Text,
    /// As it was typed.
    pub value: Text,
    /// Why not.
    pub outcome: Result<(), String>,
}

/// See the module.
#[derive(Debug)]
pub struct Saver {
    jobs: SyncSender<(Written, Work)>,
    done: Receiver<Written>,
    /// How many were asked for and not heard of.
    pending: usize,
}

struct Work(Job);

impl std::fmt::Debug for Work {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Work")
    }
}

impl Saver {
    /// Starts the thread, which ends with this.
    pub fn start(wake: Wake) -> Self {
        let (jobs, to_do) = sync_channel(MAX);
        let (tell, done) = channel();
        let run = move || carry_out(&to_do, &tell, &wake);
        if let Err(error) = thread::Builder::new()
            .name("settings".to_owned())
            .spawn(run)
        {
            tracing::error!(%error, "no thread to write settings: they cannot be changed here");
        }
        Self {
            jobs,
            done,
            pending: 0,
        }
    }

    /// Has a setting written. In order.
    ///
    /// # Errors
    /// Where that cannot even be tried.
    pub fn write(&mut self, file: &str, key: &str, value: &str, job: Job) -> Result<(), String> {
        let written = Written {
            file: file.into(),
            key: key.into(),
            value: value.into(),
            outcome: Ok(()),
        };
        match self.jobs.try_send((written, Work(job))) {
            Ok(()) => {
                self.pending += 1;
                Ok(())
            }
            Err(TrySendError::Full(_)) => {
                Err("the disk does not keep up; try it again in a moment".to_owned())
            }
            Err(TrySendError::Disconnected(_)) => {
                Err("there is no thread to write it; start the window again".to_owned())
            }
        }
    }

    /// What came of those that were written since this was asked last.
    pub fn take(&mut self) -> Vec<Written> {
        let done: Vec<Written> = self.done.try_iter().collect();
        self.pending = self.pending.saturating_sub(done.len());
        done
    }

    /// Everything that was asked for is on the disk, or was refused.
    pub fn is_idle(&self) -> bool {
        self.pending == 0
    }
}

fn carry_out(jobs: &Receiver<(Written, Work)>, tell: &Sender<Written>, wake: &Wake) {
    for (mut written, Work(job)) in jobs {
        written.outcome = job();
        if tell.send(written).is_err() {
            return;
        }
        wake.call();
    }
}
