//! What keeps the arbiter from granting anything for a while.
//!
//! - A doubt is part of the state, so a restart does not forget it: the journal was damaged, and
//!   who holds what is not known for certain. It ends by a reset, or by time: after the longest
//!   ttl a lost lease would have ended too, since nobody could renew it.
//! - A suspension is not: the broker cannot make facts durable just now. What ends something is
//!   still taken in, but nothing is given, and no lease is ended for want of a renewal.
//! - A GPU of which nothing was known stands for the machine's: while it is leased, those that
//!   were found since are given to nobody.

use serde::{Deserialize, Serialize};

use super::Arbiter;
use crate::command::{Now, Refusal};
use crate::problem::Code;
use crate::wire::notice::{Notice, NoticeCode};

/// A lease may have been lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Doubt {
    /// When that was found out.
    pub since: Now,
    /// The longest ttl that was ever allowed, as far as the journal still says; the policy that
    /// holds may allow a longer one.
    pub max_ttl_ms: u64,
}

/// Facts cannot be made durable just now. The broker knows it anew at each start, so it is no part
/// of the state and any two are equal.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Suspended(pub(super) bool);

impl PartialEq for Suspended {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Arbiter {
    /// From here on nothing is granted or queued and no lease expires, until [`Self::resume`]:
    /// what is decided cannot be made durable.
    pub fn suspend(&mut self) {
        self.suspended.0 = true;
    }

    /// Facts can be made durable again; what became due meanwhile is due now.
    pub fn resume(&mut self) {
        self.suspended.0 = false;
        self.served.0 = false;
        self.looks.0 = 0;
    }

    /// Whether a lease may have been lost.
    #[must_use]
    pub fn doubt(&self) -> Option<Doubt> {
        self.doubt
    }

    /// The doubt, as it is told; `rfc3339` writes Unix milliseconds.
    #[must_use]
    pub fn doubt_notice(&self, rfc3339: &dyn Fn(u64) -> String) -> Option<Notice> {
        let since = self.doubt?.since;
        let left_ms = self.doubt_ends_ms().saturating_sub(since.clock_ms);
        let text = format!(
            "The journal was damaged: it was set aside (`journal.corrupt-…` in the data directory) and \
             what is readable of it goes on, but a lease may have been lost. Nothing is granted. See that nobody uses a GPU without a \
             lease, then call `warden reset`; without that, grants go on once the broker has run \
             for {} s since",
            left_ms / 1_000
        );
        Some(Notice {
            code: NoticeCode::JournalDamaged,
            since: rfc3339(since.wall_ms),
            text,
        })
    }

    /// When the doubt ends by itself; never where there is none.
    pub(super) fn doubt_ends_ms(&self) -> u64 {
        self.doubt.map_or(u64::MAX, |doubt| {
            let ttl_ms = doubt.max_ttl_ms.max(self.policy.max_ttl_ms);
            doubt.since.clock_ms.saturating_add(ttl_ms)
        })
    }

    /// When the first lease ends for want of a renewal; never while no answer to one is durable.
    pub(super) fn first_expiry_ms(&self) -> u64 {
        if self.suspended.0 {
            return u64::MAX;
        }
        self.lease_timers.first_ms()
    }

    /// Whether a new request may be taken on.
    pub(super) fn check_durable(&self) -> Result<(), Refusal> {
        if !self.suspended.0 {
            return Ok(());
        }
        let detail = "The broker cannot write its journal and takes nothing new on; leases live \
                      on. Try again later: it goes on by itself once it can, and the status says \
                      what is in the way.";
        Err(Refusal::new(Code::JournalUnwritable, detail))
    }

    /// When the first lease is taken whose holder was asked for it; never likewise.
    pub(super) fn first_take_ms(&self) -> u64 {
        if self.suspended.0 {
            return u64::MAX;
        }
        self.take_timers.first_ms()
    }

    /// Nothing is granted, whatever is free.
    pub(super) fn is_paused(&self) -> bool {
        self.shutting_down
            || self.suspended.0
            || self.doubt.is_some()
            || self.devices.has_stand_in()
    }

    /// The same in words for who waits, where it is not the GPUs that tell.
    pub(super) fn pause(&self) -> Option<&'static str> {
        if self.shutting_down {
            return Some("The broker is shutting down and grants nothing more");
        }
        let code = if self.suspended.0 {
            NoticeCode::JournalUnwritable
        } else {
            self.doubt.map(|_| NoticeCode::JournalDamaged)?
        };
        code.pause()
    }
}
