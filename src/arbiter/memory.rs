//! What became of each request and lease: where a live one is, and how the last ones ended.

use std::collections::{BTreeMap, HashMap, VecDeque};

use foldhash::fast::RandomState;
use serde::{Deserialize, Serialize};

use super::queue::Seat;
use crate::id::RequestId;
use crate::request::Door;
use crate::wire::Outcome;

/// So many ended requests that carried a client's id are remembered, and so many ended leases.
pub const REMEMBERED: usize = 100_000;

/// Where a request is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Whereabouts {
    Waiting(Seat),
    /// By its token.
    Leased(u64),
    /// By its number in order of end.
    Ended(u64),
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

/// Finds requests by id and ended leases by token. The hash table is never iterated: its hasher is
/// seeded anew in each process, since clients choose the ids.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Memory {
    requests: HashMap<RequestId, Whereabouts, RandomState>,
    /// By their number, from `forgotten` on.
    ended_requests: VecDeque<(RequestId, EndedRequest)>,
    /// How many ended requests are remembered no more.
    forgotten: u64,
    leases: BTreeMap<u64, EndedLease>,
    /// Their tokens in order of end.
    ended_leases: VecDeque<u64>,
}

impl Memory {
    pub(super) fn request(&self, id: &RequestId) -> Option<Whereabouts> {
        self.requests.get(id).copied()
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
        let number = self.forgotten + self.ended_requests.len() as u64;
        self.requests.insert(id.clone(), Whereabouts::Ended(number));
        self.ended_requests.push_back((id, ended));
        if self.ended_requests.len() > REMEMBERED
            && let Some((oldest, _)) = self.ended_requests.pop_front()
        {
            self.forgotten += 1;
            self.requests.remove(&oldest);
        }
    }

    /// An ended request by its number.
    pub(super) fn ended_request(&self, number: u64) -> Option<&EndedRequest> {
        let position = usize::try_from(number.checked_sub(self.forgotten)?).ok()?;
        self.ended_requests.get(position).map(|(_, ended)| ended)
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
    pub(super) fn ended_requests(&self) -> impl Iterator<Item = &(RequestId, EndedRequest)> {
        self.ended_requests.iter()
    }

    /// Ended leases, the oldest first.
    pub(super) fn ended_leases(&self) -> impl Iterator<Item = (u64, &EndedLease)> {
        self.ended_leases
            .iter()
            .filter_map(|token| Some((*token, self.leases.get(token)?)))
    }
}
