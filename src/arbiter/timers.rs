//! What falls due when, on the broker's clock.

use std::collections::BTreeSet;

use super::queue::Seat;
use super::soonest::{Positions, Soonest};

/// Deadlines of one kind, each of somebody with a number.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Timers {
    set: BTreeSet<(u64, u64)>,
    /// Looked at after every command, so it is kept at hand.
    first: Option<(u64, u64)>,
}

impl Timers {
    pub(super) fn set(&mut self, at_ms: u64, whose: u64) {
        let timer = (at_ms, whose);
        self.set.insert(timer);
        if self.first.is_none_or(|first| timer < first) {
            self.first = Some(timer);
        }
    }

    pub(super) fn unset(&mut self, at_ms: u64, whose: u64) {
        let timer = (at_ms, whose);
        self.set.remove(&timer);
        if self.first == Some(timer) {
            self.first = self.set.first().copied();
        }
    }

    /// The earliest, and whose it is.
    pub(super) fn first(&self) -> Option<(u64, u64)> {
        self.first
    }

    /// When the earliest is due; never where there is none.
    pub(super) fn first_ms(&self) -> u64 {
        self.first.map_or(u64::MAX, |(at_ms, _)| at_ms)
    }
}

/// Deadlines of one kind of waiters, of whom there may be many.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct SeatTimers {
    set: Soonest,
    positions: Positions,
}

impl SeatTimers {
    /// One that has no deadline of this kind has one from here on.
    pub(super) fn set(&mut self, at_ms: u64, seat: Seat) {
        self.set.insert(at_ms, seat, &mut self.positions);
    }

    pub(super) fn unset(&mut self, seat: Seat) {
        self.set.remove(seat, &mut self.positions);
    }

    /// The earliest, and whose it is.
    pub(super) fn first(&self) -> Option<(u64, Seat)> {
        self.set.first()
    }

    /// When the earliest is due; never where there is none.
    pub(super) fn first_ms(&self) -> u64 {
        self.first().map_or(u64::MAX, |(at_ms, _)| at_ms)
    }
}
