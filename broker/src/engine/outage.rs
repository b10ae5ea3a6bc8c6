//! While the journal cannot be written.
//!
//! Nothing is granted and nothing new is taken on, since neither would be in the journal; leases
//! live on, and none expires. What ends something and what renews is taken, answered, and written
//! in order once that can be done. The stream tells nothing meanwhile: what it tells is in the
//! journal, so that no number in it ever stands for something else after a crash. Whoever came in
//! with the very commit that failed is refused, as if he had come later. A broker that is about to
//! end takes nothing any more; what it took before is written at last with the room that the
//! ballast gives.

use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use warden::wire::notice::{Notice, NoticeCode};
use warden::{Code, Command, Now};

use crate::clock::rfc3339;
use crate::disk::journal::JournalError;
use crate::engine::turn::Engine;
use crate::http::answer::Failure;
use crate::ring::KEPT;

/// How long until the journal is tried again.
const RETRY: Duration = Duration::from_secs(1);
/// More facts than this in memory give way to an image of the state that they led to, which is made
/// when it is written.
const MAX_PENDING_BYTES: usize = 8 * 1024 * 1024;

/// What is known of it.
#[derive(Debug)]
pub(super) struct Outage {
    /// Unix time.
    since_ms: u64,
    why: String,
    pub(super) retry_at: Instant,
    /// Events were let go of, so the stream begins anew.
    events_lost: bool,
}

impl Engine {
    /// The facts of this turn could not be made durable, and nobody was told of them.
    pub(super) fn begin_outage(&mut self, now: Now, error: &JournalError) {
        tracing::error!(
            journal = %self.journal_path.display(), %error,
            "the journal cannot be written; nothing is granted until it can"
        );
        self.arbiter.suspend();
        let mut outage = Outage {
            since_ms: now.wall_ms,
            why: String::new(),
            retry_at: Instant::now() + RETRY,
            events_lost: false,
        };
        self.complain(&mut outage, error);
        self.outage = Some(outage);
        let withdrawn = self
            .outbox
            .take_back(&self.arbiter, self.durable_token, &refusal());
        for request_id in withdrawn {
            self.command(now, &Command::Withdraw { request_id });
        }
        if self.leaving {
            let failure = self.parting();
            self.outbox.take_back_all(&failure);
        }
        self.settle_in_outage(now);
    }

    /// Says what may be said though it is in no journal.
    pub(super) fn settle_in_outage(&mut self, now: Now) {
        if self.outbox.journal.pending_bytes() > MAX_PENDING_BYTES {
            self.outbox.journal.forget_record();
        }
        let told = self.outbox.told();
        if told.len() > KEPT {
            told.clear();
            if let Some(outage) = &mut self.outage {
                outage.events_lost = true;
            }
        }
        self.show_changes();
        self.outbox
            .send_safe_answers(now, self.durable_token, &refusal());
    }

    /// Tries the journal again, if it is time.
    pub(super) fn end_outage_if_over(&mut self) {
        let Some(mut outage) = self.outage.take() else {
            return;
        };
        if Instant::now() < outage.retry_at {
            self.outage = Some(outage);
            return;
        }
        if let Err(error) = self.write() {
            outage.retry_at = Instant::now() + RETRY;
            self.complain(&mut outage, &error);
            self.outage = Some(outage);
            return;
        }
        tracing::info!("the journal can be written again");
        self.outbox.journal.renew_head();
        self.ballast.take();
        let now = self.clock.read();
        self.arbiter.resume();
        self.outbox.release_held();
        if outage.events_lost {
            self.outbox.told().clear();
            let picture = self.arbiter.snapshot(now, &self.about, &rfc3339);
            self.stream.begin_anew(picture);
        } else {
            self.stream.publish(self.outbox.told());
        }
        // Whoever hears of this finds all the rest told.
        self.notices.clear(NoticeCode::JournalUnwritable, "");
        self.tell(now);
    }

    /// Another program is to go on, unless the journal cannot be written now.
    pub(super) fn make_way(&mut self, now: Now, to: oneshot::Sender<Result<(), String>>) {
        if self.outage.is_none() {
            self.outbox.journal.touch();
            self.settle(now);
        }
        let answer = match &self.outage {
            Some(outage) => Err(outage.why.clone()),
            None => {
                self.leaving = true;
                Ok(())
            }
        };
        // Whoever wanted it may be gone.
        let _ = to.send(answer);
    }

    /// What is said where this program ends soon.
    pub(super) fn parting(&self) -> Failure {
        self.closed.clone().unwrap_or_else(Failure::making_way)
    }

    fn complain(&self, outage: &mut Outage, error: &JournalError) {
        let why = error.to_string();
        if outage.why == why {
            return;
        }
        outage.why = why;
        let hint = match error.is_full() {
            true => " Make room on its file system.",
            false => "",
        };
        let text = format!(
            "The journal {} cannot be written: {}.{hint} Nothing is granted and nothing new is taken \
             on until it can; leases live on, and what else is shown is from the time when it last \
             could. It is tried again every second",
            self.journal_path.display(),
            outage.why,
        );
        let notice = Notice {
            code: NoticeCode::JournalUnwritable,
            since: rfc3339(outage.since_ms),
            text,
        };
        self.notices.say("", notice);
    }
}

pub(super) fn refusal() -> Failure {
    Failure::new(
        Code::JournalUnwritable,
        "the broker cannot write its journal and takes nothing new on; leases live on. Try again \
         later: it goes on by itself once it can, and the status says what is in the way",
    )
}
