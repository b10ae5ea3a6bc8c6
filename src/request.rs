//! What a client asks for, parsed and valid: nothing deeper in this crate checks it again.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::gpu::Gpu;
use crate::id::{GpuId, RequestId};
use crate::policy::Policy;
use crate::problem::Code;
use crate::wire::LockBody;

/// How urgent: 0 is most, 255 least.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Priority(pub u8);

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What the holder does with its GPUs: `inference`, `model_load` or a name from the policy.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Operation(Arc<str>);

impl Operation {
    /// What a request does that does not say.
    pub const INFERENCE: &'static str = "inference";
    /// Loading a model: few at once, whatever the GPUs.
    pub const MODEL_LOAD: &'static str = "model_load";

    /// An operation that the policy allows.
    ///
    /// # Errors
    /// `invalid_request`, naming what is allowed.
    pub fn parse(name: &str, policy: &Policy) -> Result<Self, RequestError> {
        if policy.timeout_ms(name).is_some() {
            return Ok(Self(name.into()));
        }
        let known: Vec<&str> = policy.operation_names().collect();
        let detail = format!("must be one of {}", known.join(", "));
        Err(RequestError::invalid("operation", detail))
    }

    /// As it is written on the wire.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it takes the model-load slot.
    #[must_use]
    pub fn is_model_load(&self) -> bool {
        &*self.0 == Self::MODEL_LOAD
    }
}

/// The process that a lease lives and dies with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Owner {
    /// Its number on this host.
    pub pid: u32,
    /// When it started: field 22 of its `stat`, in clock ticks since boot. With the number it
    /// names one process for good; the broker fills it in where it can.
    pub start: Option<u64>,
}

/// Who posted a request, in the broker's own words (`uid:1000`, `token:operator`). Equal text is
/// the same poster; nothing else is read from it here.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Door(Arc<str>);

impl Door {
    /// A poster by its name.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self(name.into())
    }

    /// As the broker named it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Which GPUs a request wants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wanted {
    /// So many, whichever.
    Any(u32),
    /// These and no others, in the order in which they were named.
    Named(Vec<GpuId>),
}

/// A request that can be granted by these GPUs under this policy, once its turn comes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// The client's own name for it; nothing lets the arbiter make one.
    pub id: Option<RequestId>,
    /// Who asks, in words.
    pub client: Arc<str>,
    /// How urgent.
    pub priority: Priority,
    /// What for.
    pub operation: Operation,
    /// How many GPUs, or which.
    pub wanted: Wanted,
    /// MiB on each GPU, shared with others; nothing for the whole GPU alone.
    pub vram_mib: Option<u64>,
    /// How long it waits at most; 0 is now or never.
    pub timeout_ms: u64,
    /// How long its lease lives without a renewal.
    pub ttl_ms: u64,
    /// The process that its lease lives and dies with.
    pub owner: Option<Owner>,
    /// The connection waits for the grant; else the client comes back and looks.
    pub wait: bool,
    /// Who posted it.
    pub door: Door,
    /// The host that it came from.
    pub host: Arc<str>,
    /// A hash of the fields as sent, `wait`, `pid` and `pid_start` aside: what a re-post is
    /// compared by.
    pub fingerprint: u64,
}

/// Where a request came from: what the broker knows beside the body.
#[derive(Clone, Debug)]
pub struct Origin {
    /// Who posted it.
    pub door: Door,
    /// The host that it came from; for now always the broker's own.
    pub host: Arc<str>,
}

/// Why a body is no request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestError {
    /// `invalid_request` or `impossible_request`.
    pub code: Code,
    /// Which field.
    pub field: &'static str,
    /// What is wrong with it; for an impossible request, what there is.
    pub detail: String,
}

impl RequestError {
    /// A field that is out of its range.
    #[must_use]
    pub fn invalid(field: &'static str, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        Self {
            code: Code::InvalidRequest,
            field,
            detail,
        }
    }

    /// A field that asks for more than there is.
    #[must_use]
    pub fn impossible(field: &'static str, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        Self {
            code: Code::ImpossibleRequest,
            field,
            detail,
        }
    }
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.detail)
    }
}

impl std::error::Error for RequestError {}

impl Request {
    /// Checks a body against the policy and the GPUs that there are. Facts of the operating
    /// system (that `pid` lives, that it is the poster's) are the broker's to check.
    ///
    /// # Errors
    /// `invalid_request` names the field, `impossible_request` says what there is.
    pub fn parse(
        body: &LockBody,
        origin: &Origin,
        policy: &Policy,
        gpus: &[Gpu],
    ) -> Result<Self, RequestError> {
        let _ = (body, origin, policy, gpus);
        Err(RequestError::invalid("client", "not parsed yet"))
    }
}
