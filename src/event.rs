//! The facts that the arbiter decides: journalled, then applied. [`Event`] is what the journal
//! holds; [`Change`] is what applying one did, from which the stream's events and the answers of
//! waiting connections are made.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::command::{Connection, Now};
use crate::gpu::Gpu;
use crate::id::{LeaseId, RequestId};
use crate::policy::Policy;
use crate::problem::Code;
use crate::request::{Operation, Owner, Request};
use crate::wire::Outcome;

/// A fact, with the time at which it became one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// When.
    pub at: Now,
    /// What.
    pub fact: Fact,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fact {
    /// A broker began.
    Started {
        /// The next number to give.
        token_floor: u64,
        /// The revision before the next.
        revision_floor: u64,
    },
    /// For the first while after a start nobody was skipped; that is over.
    Resumed,
    /// Nothing is granted any more until the next start.
    ShutDown,
    /// The journal was damaged, and a lease may have been lost: nothing is granted.
    Doubted {
        /// [`Doubt::max_ttl_ms`](crate::arbiter::Doubt::max_ttl_ms).
        max_ttl_ms: u64,
    },
    /// The doubt is over: by a reset, or because what was lost has ended by itself.
    Trusted,
    /// These are the GPUs.
    GpusChanged {
        /// All of them.
        gpus: Vec<Gpu>,
    },
    /// These are the rules.
    PolicyChanged {
        /// All of them.
        policy: Box<Policy>,
    },
    /// A request came in and waits.
    Queued {
        /// Its name, the client's or made here.
        request_id: RequestId,
        /// The request.
        request: Arc<Request>,
        /// The connection that its answer goes to.
        connection: Connection,
    },
    /// A waiter's connection broke; it keeps its place for a while.
    Disconnected {
        /// Whose.
        request_id: RequestId,
    },
    /// A disconnected waiter came back, or another process became a lease's owner.
    Rejoined(Joined),
    /// A newer connection, and maybe another owner, where nothing else shows.
    Attached(Joined),
    /// A poll was looked at.
    Looked {
        /// Which.
        request_id: RequestId,
        /// By this connection.
        connection: Connection,
    },
    /// A waiter became a lease.
    Granted {
        /// Which.
        request_id: RequestId,
        /// Its fencing token; its lease id follows from it.
        token: u64,
        /// Positions in the list of GPUs, as bits.
        gpus: u64,
        /// The waiter that it passed.
        passed: Option<RequestId>,
    },
    /// The answer with the lease did not get through; it stands for a while.
    Undelivered {
        /// Which lease.
        token: u64,
    },
    /// A holder renewed.
    Renewed {
        /// Which lease.
        token: u64,
        /// What it does from here on.
        operation: Option<Operation>,
    },
    /// A holder is asked to give its lease back.
    YieldAsked {
        /// Which lease.
        token: u64,
        /// For this waiter.
        by: RequestId,
    },
    /// Nobody waits any more for whom that was.
    YieldWithdrawn {
        /// Which lease.
        token: u64,
    },
    /// A lease ended.
    LeaseEnded {
        /// Which.
        token: u64,
        /// How.
        outcome: Outcome,
        /// Until then, on the broker's clock, its GPUs go to nobody: it was taken from a process
        /// that may still use them.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        drains_until_ms: Option<u64>,
    },
    /// What had used a taken lease's GPUs is gone, or had its time.
    Drained {
        /// Which lease it was.
        token: u64,
    },
    /// A waiter left the queue without a lease.
    WaiterEnded {
        /// Which.
        request_id: RequestId,
        /// How.
        outcome: Outcome,
        /// Its place at the end.
        place: u64,
        /// Who held what it could use, at the end.
        holders: Vec<LeaseId>,
    },
    /// A request that could not be made durable, and that its client was refused: it is as if it had
    /// never been posted, so that it may be posted again.
    Withdrawn {
        /// Which.
        request_id: RequestId,
    },
    /// Requests were refused.
    Refused {
        /// How many more, by code.
        refused: BTreeMap<Code, u64>,
    },
}

/// A request that was posted again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Joined {
    /// Which.
    pub request_id: RequestId,
    /// The connection that its answer goes to.
    pub connection: Connection,
    /// Whether that connection waits for the grant.
    pub wait: bool,
    /// The process that it lives with, where the re-post named one.
    pub owner: Option<Owner>,
}

/// What applying a fact did to what others can see. What is not here cannot be seen.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// Nothing that the stream tells.
    Silent,
    /// A request waits.
    Queued(Arc<Waiter>),
    /// A waiter's connection broke.
    Disconnected(Arc<Waiter>),
    /// A waiter came back.
    Rejoined(Arc<Waiter>),
    /// A lease has another owner.
    Adopted(Arc<Lease>),
    /// A waiter became a lease.
    Granted {
        /// The lease.
        lease: Arc<Lease>,
        /// Whom it passed.
        passed: Option<RequestId>,
    },
    /// A lease was renewed.
    Renewed(Arc<Lease>),
    /// A holder is asked to yield, or is no longer.
    YieldAsked(Arc<Lease>),
    /// A lease ended.
    LeaseEnded {
        /// As it was.
        lease: Arc<Lease>,
        /// How.
        outcome: Outcome,
        /// Until when its GPUs drain, on the broker's clock.
        drains_until_ms: Option<u64>,
    },
    /// A lease that had ended drains no longer.
    Drained(Arc<Lease>),
    /// A waiter left.
    WaiterEnded {
        /// As it was.
        waiter: Arc<Waiter>,
        /// How.
        outcome: Outcome,
        /// Its place at the end.
        place: u64,
        /// Who held what it could use, at the end.
        holders: Vec<LeaseId>,
    },
    /// Other GPUs.
    GpusChanged,
    /// Other rules.
    PolicyChanged,
}

/// That a holder was asked to yield.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ask {
    /// The waiter that it is for.
    pub by: RequestId,
    /// When, on the broker's clock.
    pub at_ms: u64,
}

/// A lease that was taken from a process which may still use its GPUs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Drain {
    /// As it was when it ended.
    pub lease: Arc<Lease>,
    /// By then its GPUs are granted on whatever the process does, on the broker's clock.
    pub until_ms: u64,
}

/// A request in the queue.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Waiter {
    /// Its name.
    pub id: RequestId,
    /// What it asks for.
    pub request: Arc<Request>,
    /// Its number in order of arrival.
    pub arrival: u64,
    /// When it arrived.
    pub arrived: Now,
    /// How often a later arrival was served before it.
    pub passed: u32,
    /// The connection that its answer goes to; nothing while that is broken. A poll always has
    /// the one that it was posted or looked at by last.
    pub connection: Option<Connection>,
    /// Whether the latest post waits on its connection; else its client comes back and looks.
    pub wait: bool,
    /// The process that its lease will live with.
    pub owner: Option<Owner>,
    /// When it ends as `client_gone`, on the broker's clock: while disconnected, or for a poll
    /// that nobody looks at.
    pub gone_at_ms: Option<u64>,
}

impl Waiter {
    /// Whether its answer could be delivered now. A poll's always can: its client comes for it.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        !self.wait || self.connection.is_some()
    }

    /// When it times out, on the broker's clock.
    #[must_use]
    pub fn times_out_at_ms(&self) -> u64 {
        self.arrived
            .clock_ms
            .saturating_add(self.request.timeout_ms)
    }
}

/// A granted request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Lease {
    /// Its fencing token.
    pub token: u64,
    /// The request that it was.
    pub request_id: RequestId,
    /// What was asked for.
    pub request: Arc<Request>,
    /// What the holder does now.
    pub operation: Operation,
    /// Positions in the list of GPUs, as bits.
    pub gpus: u64,
    /// When it was granted.
    pub granted: Now,
    /// From arrival to grant.
    pub waited_ms: u64,
    /// When it ends, on the broker's clock, if nothing is heard.
    pub deadline_ms: u64,
    /// Its answer did not get through: the deadline is then the end of the grace.
    pub undelivered: bool,
    /// The connection that the latest answer went to; nothing since a restart.
    pub connection: Option<Connection>,
    /// The process that it lives with.
    pub owner: Option<Owner>,
    /// The holder was asked to give it back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<Ask>,
}

impl Lease {
    /// Its name.
    #[must_use]
    pub fn id(&self) -> LeaseId {
        crate::number::lease_id(self.token)
    }
}
