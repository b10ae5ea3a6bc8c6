//! The end of a turn: what was decided is made durable, and then told.

use std::sync::Arc;

use warden::wire::notice::NoticeCode;
use warden::{Now, Snapshot};

use crate::clock::rfc3339;
use crate::disk::journal::JournalError;
use crate::engine::turn::Engine;

impl Engine {
    /// Commits, then publishes, then replies.
    pub(super) fn settle(&mut self, now: Now) {
        if self.outage.is_some() {
            self.settle_in_outage(now);
        } else if let Err(error) = self.write() {
            self.begin_outage(now, &error);
        } else {
            self.tell(now);
        }
    }

    /// The same for the first time; `known` is the state as the journal has it. A full disk is an
    /// outage from the beginning.
    pub(super) fn settle_start(&mut self, now: Now, known: Snapshot) -> Result<(), JournalError> {
        match self.write() {
            Ok(()) => {
                self.tell(now);
                let picture = self.arbiter.snapshot(now, &self.about, &rfc3339);
                self.stream.set_picture(picture);
                self.ballast.take();
            }
            Err(error) if error.is_full() => {
                // What the start changes is told once it is in the journal.
                self.stream.set_picture(known);
                self.begin_outage(now, &error);
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Makes everything since the last time durable, and sees to it that what is told of it is
    /// below what is reserved.
    pub(super) fn write(&mut self) -> Result<(), JournalError> {
        self.outbox.journal.commit(&self.arbiter)?;
        let (token, revision) = (self.arbiter.next_token(), self.arbiter.revision());
        self.reserve
            .cover(token, revision)
            .map_err(JournalError::Reserve)?;
        self.durable_token = token;
        Ok(())
    }

    /// The last attempt at a journal that could not be written: what is not in it then, the next
    /// broker does not know. Nobody was told of anything but ends and renewals, and of no number
    /// that would have to be reserved.
    pub(super) fn write_at_last(&mut self) {
        if self.outage.is_none() {
            return;
        }
        let journal = &mut self.outbox.journal;
        let mut written = journal.commit(&self.arbiter);
        let is_full =
            |written: &Result<(), JournalError>| written.as_ref().is_err_and(JournalError::is_full);
        if is_full(&written) {
            self.ballast.give_up();
            written = journal.commit(&self.arbiter);
        }
        if is_full(&written) {
            // The state may take less room than the facts that led to it.
            journal.forget_record();
            written = journal.commit(&self.arbiter);
        }
        if let Err(error) = written {
            tracing::error!(
                journal = %self.journal_path.display(), %error,
                "leases that were given back while the journal could not be written are held again \
                 at the next start, until their owners end or they expire: `warden force-release` \
                 ends them"
            );
        }
    }

    /// Tells what is durable.
    pub(super) fn tell(&mut self, now: Now) {
        self.show_changes();
        self.stream.publish(self.outbox.told());
        if self.doubt != self.arbiter.doubt() {
            self.doubt = self.arbiter.doubt();
            match self.arbiter.doubt_notice(&rfc3339) {
                Some(notice) => self.notices.say("", notice),
                None => self.notices.clear(NoticeCode::JournalDamaged, ""),
            }
        }
        self.outbox.send_answers();
        for to in self.pictures.drain(..) {
            drop(to.send(self.arbiter.snapshot(now, &self.about, &rfc3339)));
        }
        let busy = self.arbiter.queue_depth() > 0 || self.arbiter.leases().next().is_some();
        self.busy
            .send_if_modified(|was| std::mem::replace(was, busy) != busy);
    }

    /// Shows other rules and other GPUs to whoever parses requests.
    pub(super) fn show_changes(&mut self) {
        if let Some(policy) = self.outbox.new_policy() {
            self.policy.store(policy);
        }
        if self.outbox.has_other_gpus() {
            self.show_gpus();
        }
    }

    pub(super) fn show_gpus(&self) {
        let gpus = self.arbiter.gpus().cloned().collect();
        self.gpus.store(Arc::new(gpus));
    }
}
