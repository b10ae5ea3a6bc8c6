//! What became of each request and lease: where a live one is, and how the last ones ended.

use std::collections::{BTreeMap, VecDeque};
use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use hashbrown::HashTable;
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

/// A request that is remembered.
#[derive(Clone, Debug)]
struct Known {
    id: RequestId,
    /// Of the id: to be forgotten it need not be read again, long after anybody named it.
    hash: u64,
    whereabouts: Whereabouts,
}

/// Finds requests by id and ended leases by token. The hash table is never iterated for a
/// decision: its hasher is seeded anew in each process, since clients choose the ids.
#[derive(Clone, Debug, Default)]
pub(super) struct Memory {
    hasher: RandomState,
    /// By the hash of their ids.
    numbers: HashTable<Record>,
    records: Vec<Known>,
    unused: Vec<Record>,
    /// Live leases by token.
    leased: BTreeMap<u64, Record>,
    /// By their number, from `forgotten` on.
    ended_requests: VecDeque<(Record, EndedRequest)>,
    /// How many ended requests are remembered no more.
    forgotten: u64,
    leases: BTreeMap<u64, EndedLease>,
    /// Their tokens in order of end.
    ended_leases: VecDeque<u64>,
}

impl PartialEq for Memory {
    fn eq(&self, other: &Self) -> bool {
        let known = |record: &Record| {
            let known = self.known(*record);
            known.is_some_and(|known| Some(known.whereabouts) == other.request(&known.id))
        };
        self.numbers.len() == other.numbers.len()
            && self.numbers.iter().all(known)
            && self.ended_requests().eq(other.ended_requests())
            && self.leases == other.leases
            && self.ended_leases == other.ended_leases
    }
}

impl Memory {
    fn known(&self, record: Record) -> Option<&Known> {
        self.records.get(record.0 as usize)
    }

    pub(super) fn request(&self, id: &RequestId) -> Option<Whereabouts> {
        let is_named_so = |record: &Record| {
            let known = self.known(*record);
            known.is_some_and(|known| known.id == *id)
        };
        let record = self.numbers.find(self.hasher.hash_one(id), is_named_so)?;
        Some(self.known(*record)?.whereabouts)
    }

    /// A request begins; where it is has to be said next. Whatever had its id before, which only a
    /// journal with gaps can say of one that is remembered, is found by it no more.
    pub(super) fn begin(&mut self, id: RequestId) -> Record {
        let hash = self.hasher.hash_one(&id);
        let begun = Known {
            id,
            hash,
            whereabouts: Whereabouts::Waiting(Seat::MAX),
        };
        let record = match self.unused.pop() {
            Some(record) => {
                self.records[record.0 as usize] = begun;
                record
            }
            None => {
                self.records.push(begun);
                Record((self.records.len() - 1) as u32)
            }
        };
        let Self {
            numbers, records, ..
        } = self;
        let id = &records[record.0 as usize].id;
        let is_named_so = |other: &Record| records[other.0 as usize].id == *id;
        let hash_of = |other: &Record| records[other.0 as usize].hash;
        numbers.entry(hash, is_named_so, hash_of).insert(record);
        record
    }

    fn put(&mut self, record: Record, whereabouts: Whereabouts) {
        if let Some(known) = self.records.get_mut(record.0 as usize) {
            known.whereabouts = whereabouts;
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
    pub(super) fn end_request(&mut self, record: Record, ended: EndedRequest, named: bool) {
        if !named {
            self.forget(record);
            return;
        }
        let number = self.forgotten + self.ended_requests.len() as u64;
        self.put(record, Whereabouts::Ended(number));
        self.ended_requests.push_back((record, ended));
        if self.ended_requests.len() > REMEMBERED
            && let Some((oldest, _)) = self.ended_requests.pop_front()
        {
            self.forgotten += 1;
            self.forget(oldest);
        }
    }

    fn forget(&mut self, record: Record) {
        let Some(hash) = self.known(record).map(|known| known.hash) else {
            return;
        };
        let is_it = |other: &Record| other.0 == record.0;
        let found = self.numbers.find_entry(hash, is_it).ok();
        self.unused.extend(found.map(|entry| entry.remove().0));
    }

    /// The request that ended just now is remembered no more, so that its id names nothing.
    pub(super) fn forget_last_ended(&mut self, id: &RequestId) {
        let last = self.ended_requests.back().map(|(record, _)| *record);
        if let Some(record) = last
            && self.known(record).is_some_and(|known| known.id == *id)
        {
            self.ended_requests.pop_back();
            self.forget(record);
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
    pub(super) fn ended_requests(&self) -> impl Iterator<Item = (&RequestId, &EndedRequest)> {
        self.ended_requests
            .iter()
            .filter_map(|(record, ended)| Some((&self.known(*record)?.id, ended)))
    }

    /// Ended leases, the oldest first.
    pub(super) fn ended_leases(&self) -> impl Iterator<Item = (u64, &EndedLease)> {
        self.ended_leases
            .iter()
            .filter_map(|token| Some((*token, self.leases.get(token)?)))
    }
}
