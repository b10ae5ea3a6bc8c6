//! Whether a history could have been seen of a broker that keeps its promises.
//!
//! Nothing here knows how the broker works. A promise that has a time in it is held against the
//! instants between which something must have happened, never against a tolerance for slowness:
//! what a slow machine may show is no breach, and what no machine may show is one.
//!
//! - `leases` and `requests` gather what was told of each, and hold each answer against what its
//!   client, or a fault, had done by then.
//! - `calls` holds each answer against the contract.
//! - `hold` compares leases with each other: whatever their clients could rely on at once.
//! - `queue` holds the onlooker's pictures against the leases and against each other.
//! - `outage` looks at what was done while nothing could be written.
//! - `linear` has stateright's linearizability tester look for one order of all that happened.

mod calls;
mod faults;
mod hold;
mod leases;
mod linear;
mod outage;
mod queue;
mod requests;

use std::fmt;

use self::faults::Faults;
use self::leases::Leases;
use self::requests::Requests;
use crate::record::{Answer, History, Op};

/// What must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Law {
    /// No two leases on one GPU that do not fit beside each other, nor two model loads.
    DoubleGrant,
    /// Tokens increase and come once.
    Token,
    /// A lease that was told is known for as long as its holder may rely on it.
    LostLease,
    /// What ends has the outcome that is told, and could have ended so.
    Reason,
    /// Every request that was taken on is known, is one lease at most, and ends once.
    LostRequest,
    /// Who waits keeps its place, and equals are served in order of arrival.
    Place,
    /// The status shows what clients know, and never goes back.
    Picture,
    /// Each answer is one of the contract's.
    Answer,
    /// Nothing is granted while the journal cannot be written.
    Unwritten,
    /// There is one order in which all of it happened.
    Order,
}

/// A law that a history breaks, and how.
#[derive(Clone, Debug)]
pub struct Breach {
    pub law: Law,
    pub how: String,
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.law, self.how)
    }
}

/// What was judged, and what was found.
#[derive(Debug, Default)]
pub struct Verdict {
    pub breaches: Vec<Breach>,
    /// Leases that a client was told of.
    pub leases: usize,
    pub requests: usize,
    /// Calls whose answer nobody saw.
    pub unanswered: usize,
    /// Parts of the history that the linearizability tester ordered.
    pub windows: usize,
}

impl Verdict {
    fn breach(&mut self, law: Law, how: impl FnOnce() -> String) {
        self.breaches.push(Breach { law, how: how() });
    }

    fn demand(&mut self, law: Law, holds: bool, how: impl FnOnce() -> String) {
        if !holds {
            self.breach(law, how);
        }
    }

    pub fn of(&self, law: Law) -> usize {
        let breaches = self.breaches.iter();
        breaches.filter(|breach| breach.law == law).count()
    }
}

/// Judges a history.
pub fn judge(history: &History) -> Verdict {
    let mut verdict = Verdict::default();
    let faults = Faults::of(history);
    let leases = Leases::gather(history, &faults, &mut verdict);
    let requests = Requests::gather(history, &faults);
    calls::check(history, &faults, &mut verdict);
    leases.check_ends(&faults, &mut verdict);
    requests.check(history, &faults, &mut verdict);
    hold::check_fit(history, &faults, &leases, &mut verdict);
    hold::check_tokens(&leases, &mut verdict);
    queue::check(history, &leases, &mut verdict);
    outage::check(history, &leases, &mut verdict);
    linear::check(history, &leases, &mut verdict);
    verdict.leases = leases.all.len();
    verdict.requests = requests.all.len();
    verdict.unanswered = history.ops.iter().filter(|op| is_unanswered(op)).count();
    verdict
}

fn is_unanswered(op: &Op) -> bool {
    let answer = op.answer.as_ref().map(|(_, answer)| answer);
    matches!(answer, None | Some(Answer::Lost | Answer::HungUp))
}
