//! What became of each request and lease: where a live one is, and how the last ones ended.

use std::collections::{HashMap, VecDeque};

use foldhash::fast::RandomState;
use serde::{Deserialize, Serialize};

use super::queue::Seat;
use crate::id::RequestId;
use crate::request::Door;
use crate::wire::Outcome;

/// So many ended requests that carried a client's id are remembered, and so many ended leases.
pub const REMEMBERED: usize = 100_000;

/// Where a request is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Whereabouts {
    Waiting(Seat),
    /// By its token.
    Leased(u64),
    Ended(EndedRequest),
}

/// A request that is over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EndedRequest {
    /// Who posted it.
    pub door: Door,
    /// How it ended.
    pub outcome: Outcome,
    /// From arrival to its grant or end.
    pub waited_ms: u64,
}

/// A lease that is over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EndedLease {
    /// Who posted its request.
    pub door: Door,
    /// How it ended.
    pub outcome: Outcome,
    /// From its grant to its end.
    pub held_ms: u64,
}

/// Finds requests by id and ended leases by token. Never iterated where order matters: the
/// hasher is seeded anew in each process, since clients choose the ids.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Memory {
    requests: HashMap<RequestId, Whereabouts, RandomState>,
    ended_requests: VecDeque<RequestId>,
    leases: HashMap<u64, EndedLease, RandomState>,
    ended_leases: VecDeque<u64>,
}

impl Memory {
    pub(super) fn request(&self, id: &RequestId) -> Option<&Whereabouts> {
        self.requests.get(id)
    }

    pub(super) fn put(&mut self, id: RequestId, whereabouts: Whereabouts) {
        self.requests.insert(id, whereabouts);
    }

    /// A request is over; it is remembered if the client named it.
    pub(super) fn end_request(&mut self, id: RequestId, ended: EndedRequest, named: bool) {
        if !named {
            self.requests.remove(&id);
            return;
        }
        self.requests.insert(id.clone(), Whereabouts::Ended(ended));
        self.ended_requests.push_back(id);
        if self.ended_requests.len() > REMEMBERED
            && let Some(oldest) = self.ended_requests.pop_front()
        {
            self.requests.remove(&oldest);
        }
    }

    /// A lease is over.
    pub(super) fn end_lease(&mut self, token: u64, ended: EndedLease) {
        self.leases.insert(token, ended);
        self.ended_leases.push_back(token);
        if self.ended_leases.len() > REMEMBERED
            && let Some(oldest) = self.ended_leases.pop_front()
        {
            self.leases.remove(&oldest);
        }
    }

    pub(super) fn ended_lease(&self, token: u64) -> Option<&EndedLease> {
        self.leases.get(&token)
    }

    /// Ended requests, the oldest first.
    pub(super) fn ended_requests(&self) -> impl Iterator<Item = (&RequestId, &EndedRequest)> {
        self.ended_requests
            .iter()
            .filter_map(|id| match self.requests.get(id) {
                Some(Whereabouts::Ended(ended)) => Some((id, ended)),
                _ => None,
            })
    }

    /// Ended leases, the oldest first.
    pub(super) fn ended_leases(&self) -> impl Iterator<Item = (u64, &EndedLease)> {
        self.ended_leases
            .iter()
            .filter_map(|token| Some((*token, self.leases.get(token)?)))
    }
}
