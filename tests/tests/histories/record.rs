//! What is written down while clients and faults are at work: the calls as their clients saw them,
//! the faults, and what an onlooker read in the status. The judge gets this and nothing else.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use warden::wire::{Granted, LockBody, Outcome};
use warden::{Code, GpuId, LeaseId, RequestId};

/// Nanoseconds on a clock that all processes of the run share and that never goes back.
pub type Ns = u64;

pub const MS: Ns = 1_000_000;

/// A process of a client, from its start to its end. The next one of the same client has another.
pub type ClientNo = u32;

/// Who looks at the status and, at the end, at every request.
pub const ONLOOKER: ClientNo = ClientNo::MAX;

/// What a client sends.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Call {
    Lock(Box<LockBody>),
    Renew { lease_id: LeaseId, token: u64 },
    Unlock { lease_id: LeaseId, token: u64 },
    Cancel(RequestId),
    Look(RequestId),
}

/// A lease as its holder was told of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Told {
    pub request_id: RequestId,
    pub lease_id: LeaseId,
    pub token: u64,
    pub gpu_ids: Vec<GpuId>,
    pub ttl_ms: u64,
    pub waited_ms: u64,
}

impl From<Granted> for Told {
    fn from(granted: Granted) -> Self {
        Self {
            request_id: granted.request_id,
            lease_id: granted.lease_id,
            token: granted.token,
            gpu_ids: granted.gpu_ids,
            ttl_ms: granted.ttl_ms,
            waited_ms: granted.waited_ms,
        }
    }
}

/// What a client made of the answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Answer {
    /// The request is this lease.
    Granted(Told),
    /// The request waits.
    Waiting,
    /// The request is over.
    Ended(Outcome),
    /// The lease lives on.
    Renewed,
    /// The lease ended by this call.
    Released(Outcome),
    /// The lease had ended before.
    LeaseEnded(Outcome),
    /// Nothing was done.
    Refused(Code),
    /// The connection broke before the answer: it may have been done, or not.
    Lost,
    /// There was no connection: it was not done.
    NotSent,
    /// The client closed before the answer: it may have been done, or not.
    HungUp,
    /// An answer that the contract does not have.
    Strange(String),
}

impl Answer {
    /// The same call, sent again, may get another answer.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Lost | Self::NotSent => true,
            Self::Refused(code) => matches!(
                code,
                Code::NotReady
                    | Code::TooManyRequests
                    | Code::Superseded
                    | Code::ShuttingDown
                    | Code::JournalUnwritable
            ),
            _ => false,
        }
    }
}

/// One call of one client.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Op {
    pub client: ClientNo,
    /// It was sent no sooner.
    pub at: Ns,
    pub call: Call,
    /// The answer was there no later; nothing where the client did not live to see it.
    pub answer: Option<(Ns, Answer)>,
}

/// What was done to a process.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub enum Mark {
    /// The broker was about to be killed. What it told before was told.
    BrokerKilled,
    /// A broker was about to be started.
    BrokerStarted,
    /// It served.
    BrokerReady,
    /// The broker had stopped whole, and was about to be let go on at `until`.
    BrokerStopped { until: Ns },
    /// The broker was about to be asked to become another program, in its process.
    ReplaceAsked,
    /// It was another program by then, which had said so.
    Replaced,
    /// The broker's disk was about to be filled.
    DiskFills,
    /// There was room again, and the status said that the journal can be written.
    DiskWorks,
    /// The broker's wall clock was about to be set, by so much. Nothing depends on it.
    WallClockSet { by_ms: i64 },
    /// This process was about to be stopped for a while.
    ClientStopped(ClientNo),
    /// This process was about to be killed, or to end by itself.
    ClientEnds(ClientNo),
}

/// A row of the queue, as the status had it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Row {
    pub request_id: RequestId,
    pub arrival: u64,
    pub priority: u8,
    /// Nothing about it but its client's name and its priority differs from the plainest request.
    pub plain: bool,
    pub passed: u32,
    pub connected: bool,
}

/// A status.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Sample {
    pub at: Ns,
    pub answered: Ns,
    pub revision: u64,
    pub granted: u64,
    /// Since when the broker says that it cannot write its journal. The rest is from before then.
    pub unwritable_since: Option<String>,
    pub ended: BTreeMap<Outcome, u64>,
    pub leases: Vec<LeaseId>,
    /// By turn.
    pub queue: Vec<Row>,
}

/// What the judge has to know of the rules.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Rules {
    /// Every GPU, with what shares may have of it together.
    pub gpus: Vec<(GpuId, u64)>,
    pub drain_ms: u64,
    pub grace_ms: u64,
    pub max_bypass: u32,
    pub model_loads_at_once: u32,
}

/// Everything that was seen of one data directory, from its first broker to its last.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct History {
    pub seed: u64,
    pub rules: Rules,
    pub ops: Vec<Op>,
    /// In order of time.
    pub marks: Vec<(Ns, Mark)>,
    pub samples: Vec<Sample>,
}

impl History {
    /// So often was the broker killed.
    pub fn crashes(&self) -> usize {
        self.count(|mark| matches!(mark, Mark::BrokerKilled))
    }

    /// How often each of this was done.
    pub fn count(&self, is_it: impl Fn(&Mark) -> bool) -> usize {
        self.marks.iter().filter(|(_, mark)| is_it(mark)).count()
    }

    /// How many requests were under way each time that the broker was killed.
    pub fn in_flight_at_crashes(&self) -> Vec<usize> {
        let locks = || {
            let locks = self.ops.iter();
            locks.filter(|op| matches!(op.call, Call::Lock(_)))
        };
        let under_way = |at: Ns| {
            let answered = |op: &Op| op.answer.as_ref().is_none_or(|(then, _)| *then > at);
            locks().filter(|op| op.at < at && answered(op)).count()
        };
        let killed = |(at, mark): &(Ns, Mark)| matches!(mark, Mark::BrokerKilled).then_some(*at);
        self.marks
            .iter()
            .filter_map(killed)
            .map(under_way)
            .collect()
    }
}

/// Milliseconds, as people read them in a breach.
pub struct At(pub Ns);

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:03} ms", self.0 / MS, self.0 % MS / 1_000)
    }
}
