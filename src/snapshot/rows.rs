//! What the picture is made of.

use crate::wire::{LeaseStatus, WaiterStatus};

/// A lease in the picture.
#[derive(Clone, Debug, PartialEq)]
pub struct LeaseRow {
    /// As it came; its durations were true at `seen_ms`.
    pub status: LeaseStatus,
    /// When it came, on the reader's clock.
    pub seen_ms: u64,
}

impl LeaseRow {
    /// Since the grant.
    #[must_use]
    pub fn held_ms(&self, clock_ms: u64) -> u64 {
        self.status.held_ms + clock_ms.saturating_sub(self.seen_ms)
    }

    /// Until its deadline.
    #[must_use]
    pub fn expires_in_ms(&self, clock_ms: u64) -> u64 {
        self.status
            .expires_in_ms
            .saturating_sub(clock_ms.saturating_sub(self.seen_ms))
    }
}

/// A waiter in the picture. `place` and `why` of its status are as old as the row; ask
/// [`Snapshot::waiters`](super::Snapshot::waiters) for the place and [`Snapshot::why`](super::Snapshot::why) for the reason.
#[derive(Clone, Debug, PartialEq)]
pub struct WaiterRow {
    /// As it came; its durations were true at `seen_ms`.
    pub status: WaiterStatus,
    /// When it came, on the reader's clock.
    pub seen_ms: u64,
}

impl WaiterRow {
    /// Since its arrival.
    #[must_use]
    pub fn waited_ms(&self, clock_ms: u64) -> u64 {
        self.status.waited_ms + clock_ms.saturating_sub(self.seen_ms)
    }

    /// Until its time-out.
    #[must_use]
    pub fn times_out_in_ms(&self, clock_ms: u64) -> u64 {
        self.status
            .times_out_in_ms
            .saturating_sub(clock_ms.saturating_sub(self.seen_ms))
    }
}
