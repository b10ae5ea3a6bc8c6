//! The picture that the outside has of the state: made from a status, kept up to date by folding
//! the stream's events over it, and asked for what follows from the rules: places, reasons, the
//! state of each GPU.
//!
//! Durations in the rows are turned into instants on the reader's own monotonic clock when they
//! come in (`clock_ms`, any origin), so that figures run on without new events.

use std::fmt;
use std::sync::Arc;

use crate::id::{LeaseId, RequestId};
use crate::policy::Policy;
use crate::stream::StreamEvent;
use crate::wire::{Counters, GpuState, GpuStatus, LeaseStatus, Status, WaiterStatus, Why};

/// What a broker says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    /// Its version.
    pub version: String,
    /// When it was ready, RFC 3339.
    pub started_at: String,
}

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
/// [`Snapshot::waiters`] for the place and [`Snapshot::why`] for the reason.
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

/// Why an event does not fit on a picture: ask for a new snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FoldError {
    /// Another revision was expected.
    Gap {
        /// The one after the picture's.
        expected: u64,
        /// The event's.
        got: u64,
    },
    /// The event is about something that the picture does not have.
    Unknown(String),
}

impl fmt::Display for FoldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gap { expected, got } => {
                write!(
                    f,
                    "expected event {expected} of the broker, got event {got}"
                )
            }
            Self::Unknown(id) => write!(f, "the broker told of {id}, which is not in the picture"),
        }
    }
}

impl std::error::Error for FoldError {}

/// The picture. Cloning shares the rows.
#[derive(Clone, Debug)]
pub struct Snapshot {}

impl Snapshot {
    /// A picture of what a status says, come in at `clock_ms`.
    #[must_use]
    pub fn new(status: Status, clock_ms: u64) -> Self {
        let _ = (status, clock_ms);
        unimplemented!()
    }

    /// Takes in the next event, come in at `clock_ms`.
    ///
    /// # Errors
    /// An event that is not the next, or that does not fit, changes nothing. A `snapshot` always
    /// fits.
    pub fn fold(
        &mut self,
        revision: u64,
        event: &StreamEvent,
        clock_ms: u64,
    ) -> Result<(), FoldError> {
        let _ = (revision, event, clock_ms);
        unimplemented!()
    }

    /// The whole picture as a status.
    #[must_use]
    pub fn status(&self, clock_ms: u64, at: String) -> Status {
        let _ = (clock_ms, at);
        unimplemented!()
    }

    /// The number of the last event in it.
    #[must_use]
    pub fn revision(&self) -> u64 {
        unimplemented!()
    }

    /// What the broker says of itself.
    #[must_use]
    pub fn about(&self) -> &About {
        unimplemented!()
    }

    /// The rules that hold.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        unimplemented!()
    }

    /// Granted, ended, refused so far. What was refused is as old as the last status.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        unimplemented!()
    }

    /// The GPUs by index, with their leases; for the state ask [`Self::gpu_state`].
    #[must_use]
    pub fn gpus(&self) -> &[GpuStatus] {
        &[]
    }

    /// What the GPU at this position of [`Self::gpus`] is doing.
    #[must_use]
    pub fn gpu_state(&self, position: usize) -> GpuState {
        let _ = position;
        unimplemented!()
    }

    /// The leases, by grant.
    pub fn leases(&self) -> impl Iterator<Item = &Arc<LeaseRow>> {
        [].into_iter()
    }

    /// One lease.
    #[must_use]
    pub fn lease(&self, lease_id: &LeaseId) -> Option<&Arc<LeaseRow>> {
        let _ = lease_id;
        unimplemented!()
    }

    /// The waiters in turn: the first has place 1.
    pub fn waiters(&self) -> impl Iterator<Item = &Arc<WaiterRow>> {
        [].into_iter()
    }

    /// One waiter.
    #[must_use]
    pub fn waiter(&self, request_id: &RequestId) -> Option<&Arc<WaiterRow>> {
        let _ = request_id;
        unimplemented!()
    }

    /// How many wait.
    #[must_use]
    pub fn depth(&self) -> usize {
        unimplemented!()
    }

    /// Why a waiter waits, and for whom. `place` is where [`Self::waiters`] has it. `behind`
    /// names at most the first [`BEHIND_MAX`] that come before it. Cheap enough for the rows
    /// that are on screen; for all of them take [`Self::status`].
    #[must_use]
    pub fn why(&self, request_id: &RequestId, place: usize) -> Option<Why> {
        let _ = (request_id, place);
        unimplemented!()
    }
}

/// The most requests that a reason names.
pub const BEHIND_MAX: usize = 8;
