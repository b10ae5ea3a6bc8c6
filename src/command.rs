//! Everything that can happen to the arbiter, and what it answers.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::gpu::Gpu;
use crate::id::{LeaseId, RequestId};
use crate::policy::Policy;
use crate::problem::Code;
use crate::request::{Door, Owner, Request};
use crate::wire::Outcome;

/// The time, as the broker gives it.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    serde::Serialize,
    serde::Deserialize,
)]
pub struct Now {
    /// Milliseconds on the broker's clock, which never goes back and stands still in suspend and
    /// while no broker runs: all durations are taken on it. A new broker goes on from
    /// [`crate::Arbiter::clock_ms`].
    pub clock_ms: u64,
    /// Milliseconds of Unix time: what people are shown, compared with nothing.
    pub wall_ms: u64,
}

/// One connection that waits for an answer. Unique while the broker runs.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(transparent)]
pub struct Connection(pub u64);

/// Who asks: another's request may be touched by an operator only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// As whom.
    pub door: Door,
    /// May act on what others posted.
    pub operator: bool,
}

impl Caller {
    /// Whether what came through this door is its to act on.
    #[must_use]
    pub fn may_touch(&self, door: &Door) -> bool {
        self.operator || self.door == *door
    }
}

/// Everything that can happen.
#[derive(Clone, Debug)]
pub enum Command {
    /// A broker begins, with the state that the journal gave it. Comes before all others.
    Start(Start),
    /// A lock is posted, for the first time or again. Answered by [`Reply::Waiting`] or
    /// [`Reply::Granted`]; the grant of a waiter comes later, as [`crate::event::Change::Granted`]
    /// (maybe within the same call), a time-out likewise.
    ///
    /// A poll (`wait: false`) is answered by a [`Command::Look`] right after.
    Acquire {
        /// What is asked for.
        request: Arc<Request>,
        /// By whom.
        caller: Caller,
        /// The connection that the answer goes to.
        connection: Connection,
    },
    /// A lock is posted that the rules refuse. Where it is one that waits or was granted under other
    /// rules, it joins that as [`Command::Acquire`] does.
    Rejoin {
        /// As [`Request::parse_under_any`] reads it.
        request: Arc<Request>,
        /// By whom.
        caller: Caller,
        /// The connection that the answer goes to.
        connection: Connection,
        /// What it is told where there is nothing to join.
        refusal: Box<Refusal>,
    },
    /// `GET` of a request: where it stands. For a poll it counts as a sign of life, and a granted
    /// lease counts as delivered on this connection.
    Look {
        /// Which.
        request_id: RequestId,
        /// By whom.
        caller: Caller,
        /// The connection that the answer goes to.
        connection: Connection,
    },
    /// A connection closed while its request waited. Ignored when it is not the latest of that
    /// request, or when the request waits no more.
    ConnectionLost {
        /// Whose.
        request_id: RequestId,
        /// Which.
        connection: Connection,
    },
    /// The answer with a granted lease could not be written whole to an open connection. Every
    /// lease counts as delivered until this is said; ignored when the connection is not the
    /// latest of that request.
    Undelivered {
        /// Whose.
        request_id: RequestId,
        /// Which.
        connection: Connection,
    },
    /// A holder says that it lives.
    Renew {
        /// Which lease.
        lease_id: LeaseId,
        /// Its fencing token.
        token: u64,
        /// What it does from here on; checked against the policy here.
        operation: Option<String>,
        /// By whom.
        caller: Caller,
    },
    /// A holder gives its lease back.
    Release {
        /// Which lease.
        lease_id: LeaseId,
        /// Its fencing token.
        token: u64,
        /// By whom.
        caller: Caller,
    },
    /// `DELETE` of a request, wherever it stands.
    Cancel {
        /// Which.
        request_id: RequestId,
        /// By whom.
        caller: Caller,
    },
    /// A request that was told to nobody, since it could not be made durable. Its client was refused
    /// and may post it again.
    Withdraw {
        /// Which.
        request_id: RequestId,
    },
    /// The process that a request or its lease lives with is gone. Ignored when another process
    /// has become the owner since.
    OwnerGone {
        /// Whose.
        request_id: RequestId,
        /// Which process.
        owner: Owner,
        /// Some of what it started lives and could not be ended: its lease's GPUs drain.
        remains: bool,
    },
    /// Every process that may have used a taken lease's GPUs is gone. Ignored where nothing drains.
    Drained {
        /// Which lease it was.
        lease_id: LeaseId,
    },
    /// An operator ends what is stale.
    Reset {
        /// Leases whose owner's process the broker found gone just now.
        owner_gone: Vec<LeaseId>,
    },
    /// An operator ends one lease.
    ForceRelease {
        /// Which.
        lease_id: LeaseId,
    },
    /// An operator ends every lease.
    ForceReleaseAll {
        /// And every waiter.
        clear_queue: bool,
    },
    /// Other GPUs are there now.
    ChangeGpus {
        /// All of them, at most [`crate::gpu::MAX_GPUS`].
        gpus: Vec<Gpu>,
    },
    /// Other rules hold now.
    ChangePolicy {
        /// Without errors.
        policy: Box<Policy>,
    },
    /// Requests were refused: counted, not streamed.
    CountRefused {
        /// How many since the last such command.
        refused: BTreeMap<Code, u64>,
    },
    /// The broker is shutting down: nothing is granted any more, nothing is taken on.
    ShutDown,
    /// Time has passed: say the next thing that follows from the rules and the time alone.
    Tick,
}

/// What a broker knows when it begins.
#[derive(Clone, Debug)]
pub struct Start {
    /// Numbers from here on were never given to a lease or to a request: the end of the last
    /// reserved block.
    pub token_floor: u64,
    /// Revisions up to this one may have been told.
    pub revision_floor: u64,
    /// The host has booted since the journal was written: local leases have no holder any more.
    pub host_restarted: bool,
    /// The GPUs that there are.
    pub gpus: Vec<Gpu>,
    /// The rules.
    pub policy: Box<Policy>,
}

/// What a command is answered with when it was carried out.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// Nothing to say.
    Done,
    /// The request waits, newly or again. `superseded` gets 409.
    Waiting {
        /// The id that the answer will name.
        request_id: RequestId,
        /// The older connection that waited for it.
        superseded: Option<Connection>,
    },
    /// The request was granted before: this is its lease.
    Granted {
        /// The lease.
        grant: Grant,
        /// The older connection, should it still be busy with the same answer.
        superseded: Option<Connection>,
    },
    /// Where the request stands.
    Request(Box<RequestView>),
    /// The lease lives on.
    Renewed {
        /// Which.
        lease_id: LeaseId,
        /// How long without another renewal.
        ttl_ms: u64,
        /// Unix time.
        expires_wall_ms: u64,
        /// The holder is asked to give it back.
        yield_asked: bool,
    },
    /// The lease has ended.
    Ended(crate::wire::Ended),
    /// What a reset ended.
    WasReset(crate::wire::WasReset),
    /// What a force-release-all ended.
    ForcedAll(crate::wire::ForcedAll),
}

/// A lease as its holder is told of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Grant {
    /// The request that was granted.
    pub request_id: RequestId,
    /// The lease it became.
    pub lease_id: LeaseId,
    /// The fencing token.
    pub token: u64,
    /// In order of their index.
    pub gpu_ids: Vec<crate::id::GpuId>,
    /// How long it lives without a renewal.
    pub ttl_ms: u64,
    /// Unix time.
    pub granted_wall_ms: u64,
    /// Unix time.
    pub expires_wall_ms: u64,
    /// From arrival to grant.
    pub waited_ms: u64,
}

impl Grant {
    /// As it goes over the wire; `rfc3339` writes Unix milliseconds.
    #[must_use]
    pub fn to_wire(&self, rfc3339: &dyn Fn(u64) -> String) -> crate::wire::Granted {
        crate::wire::Granted {
            request_id: self.request_id.clone(),
            lease_id: self.lease_id.clone(),
            token: self.token,
            gpu_ids: self.gpu_ids.clone(),
            ttl_ms: self.ttl_ms,
            granted_at: rfc3339(self.granted_wall_ms),
            expires_at: rfc3339(self.expires_wall_ms),
            waited_ms: self.waited_ms,
        }
    }
}

/// Where a request stands, as its poster is told.
#[derive(Clone, Debug, PartialEq)]
pub struct RequestView {
    /// All but the lease.
    pub state: crate::wire::RequestState,
    /// The lease, while it is one.
    pub grant: Option<Grant>,
}

impl RequestView {
    /// As it goes over the wire; `rfc3339` writes Unix milliseconds.
    #[must_use]
    pub fn to_wire(&self, rfc3339: &dyn Fn(u64) -> String) -> crate::wire::RequestState {
        let lease = self.grant.as_ref().map(|grant| grant.to_wire(rfc3339));
        crate::wire::RequestState {
            lease,
            ..self.state.clone()
        }
    }
}

/// Why a command was not carried out. Nothing has changed then.
#[derive(Clone, Debug, PartialEq)]
pub struct Refusal {
    /// For programs.
    pub code: Code,
    /// For people: what happened, to what, and what to do about it.
    pub detail: String,
    /// How it ended, for `request_ended` and `lease_ended`, where that is still known.
    pub outcome: Option<Outcome>,
    /// Which field, for `invalid_request` and `impossible_request`.
    pub field: Option<&'static str>,
}

impl Refusal {
    /// A refusal without more to say.
    #[must_use]
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self {
            code,
            detail: detail.into(),
            outcome: None,
            field: None,
        }
    }

    /// For whoever comes with the id of a request that is over.
    #[must_use]
    pub fn request_ended(id: &RequestId, outcome: Outcome) -> Self {
        let detail = format!(
            "The request {id} has ended: {}. Take another id for a new request.",
            outcome.as_str()
        );
        Self {
            outcome: Some(outcome),
            ..Self::new(Code::RequestEnded, detail)
        }
    }
}

impl From<crate::request::RequestError> for Refusal {
    fn from(error: crate::request::RequestError) -> Self {
        let field = Some(error.field);
        let detail = error.to_string();
        Self {
            code: error.code,
            detail,
            outcome: None,
            field,
        }
    }
}
