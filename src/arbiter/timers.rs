//! What falls due when, on the broker's clock.

use std::collections::BTreeSet;

/// Deadlines of one kind, each of somebody with a number.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Timers {
    set: BTreeSet<(u64, u64)>,
}

impl Timers {
    pub(super) fn set(&mut self, at_ms: u64, whose: u64) {
        self.set.insert((at_ms, whose));
    }

    pub(super) fn unset(&mut self, at_ms: u64, whose: u64) {
        self.set.remove(&(at_ms, whose));
    }

    /// The earliest, and whose it is.
    pub(super) fn first(&self) -> Option<(u64, u64)> {
        self.set.first().copied()
    }
}
