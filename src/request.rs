//! What a client asks for, parsed and valid: nothing deeper in this crate checks it again.

mod fingerprint;

use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use self::fingerprint::fingerprint;
use crate::gpu::Gpu;
use crate::id::{GpuId, RequestId};
use crate::policy::{MAX_TIMEOUT_MS, MAX_TTL_MS, MIN_TTL_MS, Policy};
use crate::problem::Code;
use crate::wire::{LockBody, PriorityName};

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

/// No process has a greater number on Linux (proc_sys_kernel(5), `pid_max`).
const PID_BITS: u32 = 22;
/// Of clock ticks, a hundred a second, for seven hundred years.
const START_BITS: u32 = 41;

impl Owner {
    /// Where `warden run` says whose process it is that runs under a lease, in the environment of
    /// all that it starts: the number of a lease is another broker's lease too.
    pub const VARIABLE: &'static str = "WARDEN_OWNER";
    /// Where it says under which lease.
    pub const LEASE_VARIABLE: &'static str = "WARDEN_LEASE";

    /// What [`Self::VARIABLE`] holds for this owner: one text for one process of a host and boot.
    #[must_use]
    pub fn mark(&self) -> Option<String> {
        Some(format!("{}:{}", self.pid, self.start?))
    }

    /// The owner of that mark.
    #[must_use]
    pub fn of_mark(mark: &str) -> Option<Self> {
        let (pid, start) = mark.split_once(':')?;
        let owner = Self {
            pid: pid.parse().ok()?,
            start: Some(start.parse().ok()?),
        };
        // No other text is this owner's, such as one with a plus sign.
        (owner.mark()? == mark).then_some(owner)
    }

    /// The mark as a number below 2⁶³, for the soft limit `RLIMIT_LOCKS` of all that `warden run`
    /// starts. Children inherit it as they do the environment, but no program clears it or writes
    /// over it by the way, and Linux itself has not looked at it since 2.4.25 (getrlimit(2)).
    #[must_use]
    pub fn mark_number(&self) -> Option<u64> {
        let start = self
            .start
            .filter(|start| (1..1 << START_BITS).contains(start))?;
        let pid = u64::from(self.pid);
        (pid < 1 << PID_BITS).then_some(start << PID_BITS | pid)
    }

    /// The owner of that number.
    #[must_use]
    pub fn of_mark_number(number: u64) -> Option<Self> {
        let owner = Self {
            pid: (number & ((1 << PID_BITS) - 1)) as u32,
            start: Some(number >> PID_BITS),
        };
        (owner.mark_number()? == number).then_some(owner)
    }
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
        let operation = body.operation.as_deref().unwrap_or(Operation::INFERENCE);
        let operation = Operation::parse(operation, policy)?;
        let default_ms = policy
            .timeout_ms(operation.as_str())
            .unwrap_or(MAX_TIMEOUT_MS);
        if body.pid == Some(0) {
            return Err(RequestError::invalid(
                "pid",
                "must be the number of a process",
            ));
        }
        if body.pid.is_none() && body.pid_start.is_some() {
            return Err(RequestError::invalid(
                "pid_start",
                "says nothing without `pid`",
            ));
        }
        let request = Self {
            id: body.request_id.as_ref().map(checked_id).transpose()?,
            client: checked_client(&body.client)?,
            priority: checked_priority(body.priority.as_ref(), policy)?,
            operation,
            wanted: checked_wanted(body)?,
            vram_mib: body.vram_mib.map(checked_vram).transpose()?,
            timeout_ms: in_range(
                "timeout_ms",
                body.timeout_ms,
                default_ms,
                0..=MAX_TIMEOUT_MS,
            )?,
            ttl_ms: in_range(
                "ttl_ms",
                body.ttl_ms,
                policy.default_ttl_ms,
                MIN_TTL_MS..=policy.max_ttl_ms,
            )?,
            owner: body.pid.map(|pid| Owner {
                pid,
                start: body.pid_start,
            }),
            wait: body.wait.unwrap_or(true),
            door: origin.door.clone(),
            host: Arc::clone(&origin.host),
            fingerprint: fingerprint(body),
        };
        request.check_possible(gpus, policy.vram_reserve_mib)?;
        Ok(request)
    }

    /// The same for a body that may have been posted under other rules before: whatever the rules
    /// could allow passes. To be compared with what was posted then, and never to be queued.
    ///
    /// # Errors
    /// What no rules allow.
    pub fn parse_under_any(
        body: &LockBody,
        origin: &Origin,
        policy: &Policy,
        gpus: &[Gpu],
    ) -> Result<Self, RequestError> {
        let mut widest = Policy {
            max_ttl_ms: MAX_TTL_MS,
            vram_reserve_mib: 0,
            ..policy.clone()
        };
        if let Some(PriorityName::Name(name)) = &body.priority {
            let priority = policy.default_priority().0;
            widest.priorities.entry(name.clone()).or_insert(priority);
        }
        if let Some(operation) = &body.operation {
            widest.operations.entry(operation.clone()).or_default();
        }
        Self::parse(body, origin, &widest, gpus)
    }

    /// Whether these GPUs, all of them free, could serve it beside this reserve.
    ///
    /// # Errors
    /// `impossible_request`, saying what there is.
    pub fn check_possible(&self, gpus: &[Gpu], reserve_mib: u64) -> Result<(), RequestError> {
        let named: Vec<&Gpu> = match &self.wanted {
            Wanted::Any(count) => {
                if *count as usize > gpus.len() {
                    let detail = format!("asks for {count}; there {}", there_are(gpus));
                    return Err(RequestError::impossible("gpus", detail));
                }
                gpus.iter().collect()
            }
            Wanted::Named(ids) => {
                let find = |id: &GpuId| {
                    let gpu = gpus.iter().find(|gpu| gpu.id == *id);
                    gpu.ok_or_else(|| {
                        let detail = format!("there is no GPU {id}; there {}", there_are(gpus));
                        RequestError::impossible("gpu_ids", detail)
                    })
                };
                ids.iter().map(find).collect::<Result<_, _>>()?
            }
        };
        let Some(size) = self.vram_mib else {
            return Ok(());
        };
        let room = |gpu: &Gpu| {
            gpu.vram_total_mib
                .map(|total| total.saturating_sub(reserve_mib))
        };
        let large = named
            .iter()
            .filter(|gpu| room(gpu).is_some_and(|room| room >= size))
            .count();
        let wanted = match &self.wanted {
            Wanted::Any(count) => *count as usize,
            Wanted::Named(ids) => ids.len(),
        };
        if large >= wanted {
            return Ok(());
        }
        let rooms = named.iter().map(|gpu| match room(gpu) {
            Some(room) => format!("{} has {room} MiB to share", gpu.id),
            None => format!("{} does not say how much it has", gpu.id),
        });
        let rooms: Vec<String> = rooms.take(16).collect();
        let detail = format!("asks for {size} MiB on each GPU; {}", rooms.join(", "));
        Err(RequestError::impossible("vram_mib", detail))
    }
}

fn there_are(gpus: &[Gpu]) -> String {
    const NAMED: usize = 16;
    match gpus {
        [] => "is none".to_owned(),
        [gpu] => format!("is 1: {}", gpu.id),
        _ => {
            let ids: Vec<&str> = gpus.iter().take(NAMED).map(|gpu| gpu.id.as_str()).collect();
            let more = if gpus.len() > NAMED { ", …" } else { "" };
            format!("are {}: {}{more}", gpus.len(), ids.join(", "))
        }
    }
}

fn checked_id(id: &RequestId) -> Result<RequestId, RequestError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._:-".contains(&byte);
    if (1..=128).contains(&id.as_str().len()) && id.as_str().bytes().all(plain) {
        return Ok(id.clone());
    }
    let detail = "must have 1 to 128 characters of A-Z a-z 0-9 . _ : -";
    Err(RequestError::invalid("request_id", detail))
}

/// Whether a character must not stand in a client's name: a control, a line separator, or a mark of
/// direction, which would show an operator another name than the one that is there.
#[must_use]
pub fn is_unprintable(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        )
}

fn checked_client(client: &str) -> Result<Arc<str>, RequestError> {
    let count = client.chars().count();
    if !(1..=128).contains(&count) {
        let detail = format!("must have 1 to 128 characters; this has {count}");
        return Err(RequestError::invalid("client", detail));
    }
    if client.chars().any(is_unprintable) {
        return Err(RequestError::invalid(
            "client",
            "must have no control characters, line separators or marks of direction",
        ));
    }
    Ok(client.into())
}

fn checked_priority(
    priority: Option<&PriorityName>,
    policy: &Policy,
) -> Result<Priority, RequestError> {
    let number = match priority {
        None => return Ok(policy.default_priority()),
        Some(PriorityName::Number(number)) => u8::try_from(*number).ok(),
        Some(PriorityName::Name(name)) => policy.priorities.get(name).copied(),
    };
    number.map(Priority).ok_or_else(|| {
        let names: Vec<&str> = policy.priorities.keys().map(String::as_str).collect();
        let detail = match names.as_slice() {
            [] => "must be from 0 to 255; the policy has no names".to_owned(),
            names => format!("must be from 0 to 255, or one of {}", names.join(", ")),
        };
        RequestError::invalid("priority", detail)
    })
}

fn checked_wanted(body: &LockBody) -> Result<Wanted, RequestError> {
    if body.gpus == Some(0) {
        return Err(RequestError::invalid("gpus", "must be 1 or more"));
    }
    let Some(ids) = &body.gpu_ids else {
        let count = body.gpus.unwrap_or(1);
        // More than any broker has is said to be so when it is compared with what there is.
        return Ok(Wanted::Any(u32::try_from(count).unwrap_or(u32::MAX)));
    };
    if ids.is_empty() {
        return Err(RequestError::invalid(
            "gpu_ids",
            "must name a GPU, or be left out for any",
        ));
    }
    let mut sorted: Vec<&GpuId> = ids.iter().collect();
    sorted.sort_unstable();
    if let Some(twice) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
        let detail = format!("names {} twice", twice[0]);
        return Err(RequestError::invalid("gpu_ids", detail));
    }
    if body.gpus.is_some_and(|count| count != ids.len() as u64) {
        let detail = format!("must agree with `gpu_ids`, which names {}", ids.len());
        return Err(RequestError::invalid("gpus", detail));
    }
    Ok(Wanted::Named(ids.clone()))
}

fn checked_vram(vram_mib: u64) -> Result<u64, RequestError> {
    if vram_mib > 0 {
        return Ok(vram_mib);
    }
    Err(RequestError::invalid(
        "vram_mib",
        "must be 1 or more, or be left out for the whole GPU",
    ))
}

fn in_range(
    field: &'static str,
    value: Option<u64>,
    default: u64,
    range: RangeInclusive<u64>,
) -> Result<u64, RequestError> {
    let value = value.unwrap_or(default);
    if range.contains(&value) {
        return Ok(value);
    }
    let detail = format!(
        "must be from {} to {} milliseconds",
        range.start(),
        range.end()
    );
    Err(RequestError::invalid(field, detail))
}
