//! The bounds of a small world: who may ask for what, what else may happen, under which rules.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use warden::policy::{YieldMode, YieldPolicy};
use warden::wire::{LockBody, PriorityName};
use warden::{
    Caller, Door, Gpu, GpuId, Operation, Origin, Owner, Policy, Request, RequestId, Start,
};

/// One step of the clock. Every duration here is a few of them, so that the distances between
/// deadlines, which are all that the state keeps of time, are few too. Half of
/// [`warden::arbiter::LOOK_MS`], which no policy changes.
pub const UNIT_MS: u64 = 30_000;

/// What shares may have on each GPU: two of [`Kind::Share`], and not three.
const VRAM_MIB: u64 = 24_576;
const SHARE_MIB: u64 = 10_000;

/// The process that a [`Kind::Share`] lives with.
pub const OWNER: Owner = Owner {
    pid: 7,
    start: Some(1),
};

/// What a client may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Both GPUs, alone.
    Both,
    /// Part of a GPU, urgent, with an owner.
    Share,
    /// A model load: a GPU alone, and the slot.
    Load,
    /// A GPU alone.
    One,
    /// A GPU alone, urgent.
    Mic,
    /// The first GPU alone, in the background.
    First,
    /// As `One`, by a client that comes back and looks.
    Poll,
    /// As `One`, without an id of the client's.
    Nameless,
}

impl Kind {
    pub const ALL: [Self; 8] = [
        Self::Both,
        Self::Share,
        Self::Load,
        Self::One,
        Self::Mic,
        Self::First,
        Self::Poll,
        Self::Nameless,
    ];

    fn priority(self) -> i64 {
        match self {
            Self::Share | Self::Mic => 0,
            Self::Load => 10,
            Self::First => 20,
            _ => 15,
        }
    }

    /// How long it waits, and how long its lease lives without a renewal, in units.
    fn lives(self) -> (u64, u64) {
        match self {
            Self::Both => (3, 2),
            Self::Share => (2, 1),
            _ => (2, 2),
        }
    }

    fn body(self) -> LockBody {
        let (timeout, ttl) = self.lives();
        let first = || vec![GpuId::from("GPU-0")];
        LockBody {
            client: self.to_string(),
            priority: Some(PriorityName::Number(self.priority())),
            operation: (self == Self::Load).then(|| Operation::MODEL_LOAD.to_owned()),
            gpus: (self == Self::Both).then_some(2),
            gpu_ids: (self == Self::First).then(first),
            vram_mib: (self == Self::Share).then_some(SHARE_MIB),
            timeout_ms: Some(timeout * UNIT_MS),
            ttl_ms: Some(ttl * UNIT_MS),
            pid: (self == Self::Share).then_some(OWNER.pid),
            pid_start: (self == Self::Share).then_some(1),
            wait: Some(self != Self::Poll),
            ..LockBody::default()
        }
    }

    /// How many GPUs it wants.
    pub fn count(self) -> u32 {
        if self == Self::Both { 2 } else { 1 }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Both => "both",
            Self::Share => "share",
            Self::Load => "load",
            Self::One => "one",
            Self::Mic => "mic",
            Self::First => "first",
            Self::Poll => "poll",
            Self::Nameless => "nameless",
        })
    }
}

/// What may happen beside posts, releases and, where nothing else says so, time.
#[derive(Clone, Copy, Debug, Default)]
pub struct Allowed {
    /// Time passes.
    pub time: bool,
    /// Connections break, clients come back.
    pub connections: bool,
    /// Holders renew, requests are cancelled, owners die.
    pub clients: bool,
    /// Resets, forced ends.
    pub operator: bool,
    /// The broker crashes, is stopped, the host restarts.
    pub broker: bool,
    /// The second GPU vanishes and comes back.
    pub hardware: bool,
}

impl Allowed {
    pub const ALL: Self = Self {
        time: true,
        connections: true,
        clients: true,
        operator: true,
        broker: true,
        hardware: false,
    };
}

/// A small world.
#[derive(Clone, Debug)]
pub struct Scene {
    pub name: String,
    /// How many requests may be live at once.
    pub clients: usize,
    pub allowed: Allowed,
    /// Nothing but posts, releases and time happens more than so often, and every kind is posted
    /// once: every way through the scene then ends.
    pub mischief: Option<u8>,
    pub gpus: Vec<Gpu>,
    pub policy: Policy,
    /// Of each kind, how many may be live at once, and the request.
    pub cast: BTreeMap<Kind, (usize, Request)>,
}

impl Scene {
    pub fn new(name: &str, clients: usize, cast: &[(Kind, usize)], allowed: Allowed) -> Self {
        let gpus: Vec<Gpu> = (0..2).map(gpu).collect();
        let policy = Policy {
            // Maps that nothing here reads would be copied with every state.
            priorities: BTreeMap::new(),
            operations: BTreeMap::new(),
            max_bypass: 1,
            max_queue: clients,
            reconnect_grace_ms: UNIT_MS,
            resume_ms: UNIT_MS,
            // Scenes of their own are about these.
            drain_ms: 0,
            r#yield: YieldPolicy {
                mode: YieldMode::Never,
                after_ms: UNIT_MS,
                grace_ms: UNIT_MS,
                min_hold_ms: UNIT_MS,
                ..YieldPolicy::default()
            },
            ..Policy::default()
        };
        let origin = Origin {
            door: caller().door,
            host: "here".into(),
        };
        let request = |kind: Kind| {
            Request::parse(&kind.body(), &origin, &policy, &gpus).expect("a valid request")
        };
        let cast = cast.iter();
        let cast = cast.map(|(kind, most)| (*kind, (*most, request(*kind))));
        Self {
            name: name.to_owned(),
            clients,
            allowed,
            mischief: None,
            cast: cast.collect(),
            gpus,
            policy,
        }
    }

    /// The same with every way through it ending.
    pub fn ending(self, mischief: u8) -> Self {
        Self {
            mischief: Some(mischief),
            ..self
        }
    }

    /// The same where holders are asked to yield, or more.
    pub fn yielding(mut self, mode: YieldMode) -> Self {
        self.policy.r#yield.mode = mode;
        self
    }

    /// The same where what is taken from a living process drains.
    pub fn draining(mut self) -> Self {
        self.policy.drain_ms = UNIT_MS;
        self
    }

    /// A start of the broker after which tokens and revisions go on behind these.
    pub fn start(&self, next_token: u64, revision: u64, host_restarted: bool) -> Start {
        Start {
            token_floor: next_token + 2,
            revision_floor: revision + 2,
            host_restarted,
            gpus: self.gpus.clone(),
            policy: Box::new(self.policy.clone()),
        }
    }

    /// The request of a client with this name.
    pub fn request(&self, who: Who) -> Arc<Request> {
        let (_, template) = &self.cast[&who.kind];
        let id = (who.kind != Kind::Nameless).then(|| who.id());
        Arc::new(Request {
            id,
            ..template.clone()
        })
    }
}

/// A client's request by its kind and its number in order of posts.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Who {
    pub kind: Kind,
    pub number: u32,
}

impl Who {
    pub fn id(self) -> RequestId {
        RequestId::from(self.to_string())
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.kind, self.number)
    }
}

impl fmt::Debug for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn gpu(index: u32) -> Gpu {
    Gpu {
        id: GpuId::from(format!("GPU-{index}")),
        index,
        name: "Simulated".to_owned(),
        source: "simulated".to_owned(),
        simulated: true,
        vram_total_mib: Some(VRAM_MIB),
    }
}

/// Who posts everything here.
pub fn caller() -> Caller {
    Caller {
        door: Door::new("uid:1000"),
        operator: true,
    }
}
