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

/// A number by which a request is found without its id, for as long as it is remembered. Which one
/// it is means nothing, so it is no part of the state and any two are equal.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record(u32);

impl PartialEq for Record {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

/// Finds requests by id and ended leases by token. The hash table is never iterated for a
/// decision: its hasher is seeded anew in each process, since clients choose the ids.
#[derive(Clone, Debug, Default)]
pub(super) struct Memory {
    numbers: HashMap<RequestId, Record, RandomState>,
    records: Vec<Whereabouts>,
    unused: Vec<Record>,
    /// Live leases by token.
    leased: BTreeMap<u64, Record>,
    /// By their number, from `forgotten` on.
    ended_requests: VecDeque<(RequestId, EndedRequest)>,
    /// How many ended requests are remembered no more.
    forgotten: u64,
    leases: BTreeMap<u64, EndedLease>,
    /// Their tokens in order of end.
    ended_leases: VecDeque<u64>,
}

impl PartialEq for Memory {
    fn eq(&self, other: &Self) -> bool {
        let known = |id: &RequestId| self.request(id) == other.request(id);
        self.numbers.len() == other.numbers.len()
            && self.numbers.keys().all(known)
            && self.ended_requests == other.ended_requests
            && self.leases == other.leases
            && self.ended_leases == other.ended_leases
    }
}

impl Memory {
    fn whereabouts(&self, record: Record) -> Option<Whereabouts> {
        self.records.get(record.0 as usize).copied()
    }

    pub(super) fn request(&self, id: &RequestId) -> Option<Whereabouts> {
        self.whereabouts(self.record(id)?)
    }

    pub(super) fn record(&self, id: &RequestId) -> Option<Record> {
        self.numbers.get(id).copied()
    }

    /// A request begins; where it is has to be said next.
    pub(super) fn begin(&mut self, id: RequestId) -> Record {
        let nowhere = Whereabouts::Waiting(Seat::MAX);
        let record = match self.unused.pop() {
            Some(record) => record,
            None => {
                self.records.push(nowhere);
                Record((self.records.len() - 1) as u32)
            }
        };
        self.put(record, nowhere);
        self.numbers.insert(id, record);
        record
    }

    fn put(&mut self, record: Record, whereabouts: Whereabouts) {
        if let Some(place) = self.records.get_mut(record.0 as usize) {
            *place = whereabouts;
        }
    }

    pub(super) fn waits(&mut self, record: Record, seat: Seat) {
        self.put(record, Whereabouts::Waiting(seat));
    }

    pub(super) fn leased(&mut self, record: Record, token: u64) {
        self.put(record, Whereabouts::Leased(token));
        self.leased.insert(token, record);
    }

    /// A waiter is over; it is remembered if the client named it.
    pub(super) fn end_request(
        &mut self,
        record: Record,
        id: RequestId,
        ended: EndedRequest,
        named: bool,
    ) {
        if !named {
            self.forget(&id);
            return;
        }
        let number = self.forgotten + self.ended_requests.len() as u64;
        self.put(record, Whereabouts::Ended(number));
        self.ended_requests.push_back((id, ended));
        if self.ended_requests.len() > REMEMBERED
            && let Some((oldest, _)) = self.ended_requests.pop_front()
        {
            self.forgotten += 1;
            self.forget(&oldest);
        }
    }

    fn forget(&mut self, id: &RequestId) {
        self.unused.extend(self.numbers.remove(id));
    }

    /// The request that ended just now is remembered no more, so that its id names nothing.
    pub(super) fn forget_last_ended(&mut self, id: &RequestId) {
        if self
            .ended_requests
            .back()
            .is_some_and(|(last, _)| last == id)
        {
            self.ended_requests.pop_back();
            self.forget(id);
        }
    }

    /// An ended request by its number.
    pub(super) fn ended_request(&self, number: u64) -> Option<&EndedRequest> {
        let position = usize::try_from(number.checked_sub(self.forgotten)?).ok()?;
        self.ended_requests.get(position).map(|(_, ended)| ended)
    }

    /// A lease is over. Its request's record, if it was live.
    pub(super) fn end_lease(&mut self, token: u64, ended: EndedLease) -> Option<Record> {
        self.leases.insert(token, ended);
        self.ended_leases.push_back(token);
        if self.ended_leases.len() > REMEMBERED
            && let Some(oldest) = self.ended_leases.pop_front()
        {
            self.leases.remove(&oldest);
        }
        self.leased.remove(&token)
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
