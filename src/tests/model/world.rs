//! The states, and the steps between them: a real [`Arbiter`] and a few clients.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use stateright::{Model, Property};
use warden::event::{Lease, Waiter};
use warden::{Arbiter, Code, Command, Connection, Now, Refusal, Reply};

use super::broken::{self, Fault};
use super::key::key;
use super::law::{Law, Laws};
use super::ledger::{Asked, Judge, Ledger};
use super::scene::{Kind, OWNER, Scene, UNIT_MS, Who, caller};
use super::tally::{Fired, Rule, Tally};
use crate::oracle::Oracle;

/// Everything that can happen next.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// A unit of time passes.
    Tick,
    /// A client asks.
    Post(Kind),
    /// It posts the same again, on a new connection.
    Again(Who),
    /// Its connection breaks while it waits.
    Lose(Who),
    /// The answer with its lease does not get through.
    Undelivered(Who),
    /// It looks where its request stands.
    Look(Who),
    Renew(Who),
    /// It renews, and its model is loaded.
    Loaded(Who),
    Release(Who),
    Cancel(Who),
    OwnerGone(Who),
    Force(Who),
    Reset,
    /// A reset that finds this one's owner gone.
    ResetGone(Who),
    ForceAll,
    /// And the queue.
    ClearAll,
    /// The broker dies and begins again from its journal.
    Crash,
    /// The host does.
    Reboot,
    /// The broker shuts down.
    Stop,
    /// The second GPU vanishes.
    Unplug,
    /// It is back.
    Plug,
}

impl fmt::Debug for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tick => f.write_str("time passes"),
            Self::Post(kind) => write!(f, "post {kind}"),
            Self::Again(who) => write!(f, "post {who} again"),
            Self::Lose(who) => write!(f, "lose the connection of {who}"),
            Self::Undelivered(who) => write!(f, "the answer to {who} is lost"),
            Self::Look(who) => write!(f, "look at {who}"),
            Self::Renew(who) => write!(f, "renew {who}"),
            Self::Loaded(who) => write!(f, "{who} has loaded"),
            Self::Release(who) => write!(f, "release {who}"),
            Self::Cancel(who) => write!(f, "cancel {who}"),
            Self::OwnerGone(who) => write!(f, "the owner of {who} dies"),
            Self::Force(who) => write!(f, "force {who}"),
            Self::Reset => f.write_str("reset"),
            Self::ResetGone(who) => write!(f, "reset, the owner of {who} being gone"),
            Self::ForceAll => f.write_str("force all"),
            Self::ClearAll => f.write_str("force all and clear the queue"),
            Self::Crash => f.write_str("crash"),
            Self::Reboot => f.write_str("the host restarts"),
            Self::Stop => f.write_str("shut down"),
            Self::Unplug => f.write_str("unplug"),
            Self::Plug => f.write_str("plug in"),
        }
    }
}

/// A state.
#[derive(Clone, Debug)]
pub struct World {
    pub arbiter: Arbiter,
    pub ledger: Ledger,
    now_ms: u64,
    next_number: u32,
    next_connection: u64,
    mischief_left: u8,
    /// Kinds that were posted, as bits.
    posted: u8,
    key: Arc<[u8]>,
}

impl Hash for World {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key.hash(state);
    }
}

impl PartialEq for World {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl World {
    pub fn breaks(&self, law: Law) -> bool {
        let breach = self.ledger.breach.as_ref();
        breach.is_some_and(|breach| breach.law == law)
    }

    fn now(&self) -> Now {
        Now {
            clock_ms: self.now_ms,
            wall_ms: self.now_ms,
        }
    }

    fn asked(&self, who: Who) -> Option<&Asked> {
        self.ledger.asked.iter().find(|asked| asked.who == who)
    }

    fn waiter(&self, who: Who) -> Option<&Waiter> {
        self.ledger.waiter(self.asked(who)?)
    }

    fn lease(&self, who: Who) -> Option<&Lease> {
        self.ledger.lease(self.asked(who)?)
    }

    fn connection(&mut self) -> Connection {
        self.next_connection += 1;
        Connection(self.next_connection)
    }
}

/// A small world: bounds, and what must hold in it.
#[derive(Debug)]
pub struct Small {
    pub scene: Scene,
    pub laws: Laws,
    /// A rule that this copy of the arbiter breaks.
    pub fault: Option<Fault>,
    pub tally: Tally,
}

impl Model for Small {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        let arbiter = Arbiter::new();
        let ledger = Ledger {
            image: Arc::new(arbiter.image()),
            asked: Vec::new(),
            told_token: 0,
            began: Arc::new(arbiter.clone()),
            journal: None,
            ended: Vec::new(),
            fired: Fired::default(),
            breach: None,
        };
        let mut world = World {
            arbiter,
            ledger,
            now_ms: UNIT_MS,
            next_number: 1,
            next_connection: 0,
            mischief_left: self.scene.mischief.unwrap_or(0),
            posted: 0,
            key: Arc::from([]),
        };
        self.start(&mut world, Action::Crash);
        self.close(&mut world, Action::Crash);
        vec![world]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        if world.ledger.breach.is_some() {
            return;
        }
        self.everyday(world, actions);
        if self.scene.mischief.is_none() || world.mischief_left > 0 {
            for asked in &world.ledger.asked {
                self.of_client(world, asked, actions);
            }
            self.of_operator(world, actions);
        }
    }

    fn next_state(&self, last: &World, action: Action) -> Option<World> {
        let mut world = last.clone();
        world.ledger.fired = Fired::default();
        world.ledger.ended.clear();
        if self.is_mischief(&world, action) {
            world.mischief_left = world.mischief_left.saturating_sub(1);
        }
        self.step(&mut world, action);
        self.close(&mut world, action);
        self.tally.step(world.ledger.fired);
        Some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = Vec::new();
        for law in Law::ALL.iter().filter(|law| self.laws.has(**law)) {
            match law {
                Law::Deadlock => properties.push(Property::always(
                    law.words(),
                    |model: &Self, world: &World| {
                        world.ledger.breach.is_some() || model.drains(world)
                    },
                )),
                // A way that never ends would never be seen not to reach what it must.
                Law::Ends if self.scene.mischief.is_some() => {
                    properties.push(Property::eventually(
                        law.words(),
                        |model: &Self, world: &World| {
                            world.ledger.breach.is_some() || model.is_over(world)
                        },
                    ));
                }
                Law::Ends => {}
                law => properties.push(Property::always(law.words(), law.kept())),
            }
        }
        if self.fault.is_none() {
            // Looked at once in each state: the place to count them.
            properties.push(Property::always(
                "(states are counted)",
                |model: &Self, world: &World| {
                    model.tally.state(world.ledger.fired);
                    true
                },
            ));
        }
        properties
    }
}

impl Small {
    /// What happens by itself, and what ends every way in scenes where all ways end.
    fn everyday(&self, world: &World, actions: &mut Vec<Action>) {
        let deadline = world.arbiter.next_deadline();
        if self.scene.allowed.time && deadline.is_some_and(|at_ms| at_ms > world.now_ms) {
            actions.push(Action::Tick);
        }
        if world.ledger.asked.len() < self.scene.clients {
            for (kind, (most, _)) in &self.scene.cast {
                let live = world.ledger.asked.iter();
                let live = live.filter(|asked| asked.who.kind == *kind).count();
                let again = self.scene.mischief.is_none() || world.posted >> *kind as u8 & 1 == 0;
                // Whoever asks for more than there is is refused before the arbiter hears of it.
                let possible = kind.count() as usize <= world.arbiter.gpus().count();
                if live < *most && again && possible {
                    actions.push(Action::Post(*kind));
                }
            }
        }
        for asked in &world.ledger.asked {
            if world.ledger.lease(asked).is_some() {
                actions.push(Action::Release(asked.who));
            }
        }
        if world.arbiter.is_shutting_down() {
            actions.push(Action::Crash);
        }
    }

    fn is_mischief(&self, world: &World, action: Action) -> bool {
        match action {
            Action::Tick | Action::Post(_) | Action::Release(_) => false,
            Action::Crash => !world.arbiter.is_shutting_down(),
            _ => true,
        }
    }

    /// What may happen to one request.
    fn of_client(&self, world: &World, asked: &Asked, actions: &mut Vec<Action>) {
        let who = asked.who;
        let allowed = self.scene.allowed;
        let named = who.kind != Kind::Nameless;
        let waiter = world.ledger.waiter(asked);
        let lease = world.ledger.lease(asked);
        let mut may = |allowed: bool, action: Action| {
            if allowed {
                actions.push(action);
            }
        };
        if allowed.connections {
            may(named, Action::Again(who));
            let open = waiter.is_some_and(|waiter| waiter.wait && waiter.connection.is_some());
            may(open, Action::Lose(who));
            let told = lease.is_some_and(|lease| lease.connection.is_some() && !lease.undelivered);
            may(told, Action::Undelivered(who));
            may(who.kind == Kind::Poll, Action::Look(who));
        }
        if allowed.clients {
            may(lease.is_some(), Action::Renew(who));
            let loads = lease.is_some_and(|lease| lease.operation.is_model_load());
            may(loads, Action::Loaded(who));
            may(waiter.is_some(), Action::Cancel(who));
            may(who.kind == Kind::Share, Action::OwnerGone(who));
        }
        if allowed.operator {
            may(lease.is_some(), Action::Force(who));
            let owned = lease.is_some_and(|lease| lease.owner.is_some());
            may(owned, Action::ResetGone(who));
        }
    }

    fn of_operator(&self, world: &World, actions: &mut Vec<Action>) {
        if self.scene.allowed.operator {
            actions.extend([Action::Reset, Action::ForceAll, Action::ClearAll]);
        }
        if self.scene.allowed.broker {
            actions.push(Action::Reboot);
            if !world.arbiter.is_shutting_down() {
                actions.extend([Action::Crash, Action::Stop]);
            }
        }
        if self.scene.allowed.hardware {
            let whole = world.arbiter.gpus().count() == self.scene.gpus.len();
            actions.push(if whole { Action::Unplug } else { Action::Plug });
        }
    }

    fn step(&self, world: &mut World, action: Action) {
        match action {
            Action::Post(kind) => self.post(world, action, kind),
            Action::Again(who) => self.post_again(world, action, who),
            Action::Crash | Action::Reboot => {
                self.crash(world, action);
                self.start(world, action);
            }
            _ => {
                if action == Action::Tick {
                    world.now_ms += UNIT_MS;
                }
                let Some(command) = self.command(world, action) else {
                    return;
                };
                if let Err(refusal) = self.run(world, action, &command) {
                    let judge = &mut self.judge(world, action);
                    judge.breach(Law::SameId, || format!("{action:?}: {}", refusal.detail));
                }
            }
        }
    }

    /// The command that stands for an action; all of these are carried out where they are offered.
    fn command(&self, world: &mut World, action: Action) -> Option<Command> {
        let request = |world: &World, who| world.asked(who).map(|asked| asked.id.clone());
        let caller = caller();
        Some(match action {
            Action::Lose(who) => Command::ConnectionLost {
                request_id: request(world, who)?,
                connection: world.waiter(who)?.connection?,
            },
            Action::Undelivered(who) => Command::Undelivered {
                request_id: request(world, who)?,
                connection: world.lease(who)?.connection?,
            },
            Action::Look(who) => Command::Look {
                request_id: request(world, who)?,
                caller,
                connection: world.connection(),
            },
            Action::Renew(who) | Action::Loaded(who) => {
                let lease = world.lease(who)?;
                let loaded = action == Action::Loaded(who);
                Command::Renew {
                    lease_id: lease.id(),
                    token: lease.token,
                    operation: loaded.then(|| "inference".to_owned()),
                    caller,
                }
            }
            Action::Release(who) => {
                let lease = world.lease(who)?;
                Command::Release {
                    lease_id: lease.id(),
                    token: lease.token,
                    caller,
                }
            }
            Action::Cancel(who) => Command::Cancel {
                request_id: request(world, who)?,
                caller,
            },
            Action::OwnerGone(who) => Command::OwnerGone {
                request_id: request(world, who)?,
                owner: OWNER,
            },
            Action::Force(who) => Command::ForceRelease {
                lease_id: world.lease(who)?.id(),
            },
            Action::ResetGone(who) => Command::Reset {
                owner_gone: vec![world.lease(who)?.id()],
            },
            Action::Reset => Command::Reset {
                owner_gone: Vec::new(),
            },
            Action::ForceAll => Command::ForceReleaseAll { clear_queue: false },
            Action::ClearAll => Command::ForceReleaseAll { clear_queue: true },
            Action::Stop => Command::ShutDown,
            Action::Unplug => Command::ChangeGpus {
                gpus: self.scene.gpus[..1].to_vec(),
            },
            Action::Plug => Command::ChangeGpus {
                gpus: self.scene.gpus.clone(),
            },
            _ => Command::Tick,
        })
    }

    fn judge<'a>(&'a self, world: &'a mut World, action: Action) -> Judge<'a> {
        Judge {
            scene: &self.scene,
            laws: self.laws,
            action,
            ledger: &mut world.ledger,
        }
    }

    /// Carries a command out as the broker does it, with the judge looking on.
    fn run(&self, world: &mut World, action: Action, command: &Command) -> Result<Reply, Refusal> {
        let now = world.now();
        let mut judge = Judge {
            scene: &self.scene,
            laws: self.laws,
            action,
            ledger: &mut world.ledger,
        };
        broken::handle(
            self.fault,
            &mut world.arbiter,
            now,
            command,
            &mut |arbiter, event, change| judge.take_in(arbiter, event, change),
        )
    }

    fn post(&self, world: &mut World, action: Action, kind: Kind) {
        let who = Who {
            kind,
            number: world.next_number,
        };
        world.next_number += 1;
        world.posted |= 1 << kind as u8;
        let command = Command::Acquire {
            request: self.scene.request(who),
            caller: caller(),
            connection: world.connection(),
        };
        let waiting = world.ledger.image.waiters.len();
        let expected = world.arbiter.decide(world.now(), &command).answer;
        if let Ok(Reply::Waiting { request_id, .. }) = &expected {
            world.ledger.asked.push(Asked {
                who,
                id: request_id.clone(),
                at_ms: world.now_ms,
                patience: (self.scene.policy.max_bypass + 1) * (waiting as u32 + 1) - 1,
            });
        }
        let stopped = world.arbiter.is_shutting_down();
        let full = waiting >= self.scene.policy.max_queue;
        let reply = self.run(world, action, &command);
        let right = match &reply {
            Ok(Reply::Waiting {
                request_id,
                superseded: None,
            }) => kind == Kind::Nameless || *request_id == who.id(),
            Err(refusal) => {
                world.ledger.fired.saw(Rule::Refused);
                refusal.code == Code::ShuttingDown && stopped
                    || refusal.code == Code::QueueFull && full
            }
            _ => false,
        };
        if !right {
            let judge = &mut self.judge(world, action);
            judge.breach(Law::SameId, || format!("{who} is answered {reply:?}"));
        }
    }

    fn post_again(&self, world: &mut World, action: Action, who: Who) {
        let command = Command::Acquire {
            request: self.scene.request(who),
            caller: caller(),
            connection: world.connection(),
        };
        let (waiter, lease) = (world.waiter(who).cloned(), world.lease(who).cloned());
        let stopped = world.arbiter.is_shutting_down();
        let reply = self.run(world, action, &command);
        let right = match (&reply, &waiter, &lease) {
            (Ok(Reply::Granted { grant, .. }), None, Some(lease)) => {
                world.ledger.fired.saw(Rule::SameLease);
                grant.token == lease.token && grant.lease_id == lease.id()
            }
            (
                Ok(Reply::Waiting {
                    request_id,
                    superseded,
                }),
                Some(waiter),
                None,
            ) => {
                let older = waiter.connection.filter(|_| waiter.wait);
                if let Some(connection) = older {
                    world.ledger.fired.saw(Rule::Superseded);
                    self.lose_older(world, action, who, connection);
                }
                *request_id == waiter.id && *superseded == older
            }
            (Err(refusal), Some(_), None) => stopped && refusal.code == Code::ShuttingDown,
            _ => false,
        };
        if !right {
            let judge = &mut self.judge(world, action);
            judge.breach(Law::SameId, || format!("{who} is answered {reply:?}"));
        }
    }

    /// The connection that was superseded closes after the newer one has come: nothing happens.
    fn lose_older(&self, world: &mut World, action: Action, who: Who, connection: Connection) {
        let Some(request_id) = world.asked(who).map(|asked| asked.id.clone()) else {
            return;
        };
        let lost = Command::ConnectionLost {
            request_id,
            connection,
        };
        if !world.arbiter.decide(world.now(), &lost).events.is_empty() {
            let judge = &mut self.judge(world, action);
            judge.breach(Law::SameId, || {
                format!("{who} is lost with an older connection")
            });
        }
    }

    /// The broker is gone; what the next one begins with is the journal's.
    fn crash(&self, world: &mut World, action: Action) {
        let mut replayed = Arbiter::clone(&world.ledger.began);
        for event in world.ledger.facts() {
            replayed.apply(event);
        }
        let image = Arc::clone(&world.ledger.image);
        let restored = broken::restore(self.fault, Arbiter::from((*image).clone()));
        let same = replayed == world.arbiter && replayed.image() == *image;
        let same_image = self.fault.is_some() || restored.image() == *image;
        if !same || !same_image {
            let judge = &mut self.judge(world, action);
            judge.breach(Law::Replay, || {
                "another state than before the crash".to_owned()
            });
        }
        world.ledger.journal = None;
        world.ledger.image = Arc::new(restored.image());
        world.ledger.began = Arc::new(restored.clone());
        world.arbiter = restored;
    }

    fn start(&self, world: &mut World, action: Action) {
        let arbiter = &world.arbiter;
        let host_restarted = action == Action::Reboot;
        let (token, revision) = (arbiter.next_token(), arbiter.revision());
        let start = self.scene.start(token, revision, host_restarted);
        let reply = self.run(world, action, &Command::Start(start));
        if let Err(refusal) = reply {
            let judge = &mut self.judge(world, action);
            judge.breach(Law::Replay, || refusal.detail);
        }
    }

    /// Looks at what a step has left, and names the state.
    fn close(&self, world: &mut World, action: Action) {
        self.check_live(world, action);
        self.check_quiet(world, action);
        self.check_late(world, action);
        let rest = match self.scene.mischief {
            Some(_) => &[world.mischief_left, world.posted][..],
            None => &[],
        };
        let key = key(&world.ledger, world.now_ms, rest);
        world.key = key.into();
    }

    /// Whoever asked and was not told of an end waits or holds, once.
    fn check_live(&self, world: &mut World, action: Action) {
        let image = &world.ledger.image;
        let waiting = image.waiters.iter().map(|waiter| &waiter.id);
        let holding = image.leases.iter().map(|lease| &lease.request_id);
        let mut live: Vec<_> = waiting.chain(holding).collect();
        let mut asked: Vec<_> = world.ledger.asked.iter().map(|asked| &asked.id).collect();
        live.sort_unstable();
        asked.sort_unstable();
        if live == asked {
            return;
        }
        let how = format!("{asked:?} asked, {live:?} wait or hold");
        self.judge(world, action).breach(Law::Lost, || how);
    }

    /// When all is quiet nobody can be served, and nothing is due.
    fn check_quiet(&self, world: &mut World, action: Action) {
        let image = Arc::clone(&world.ledger.image);
        let now_ms = world.now_ms;
        let oracle = Oracle::new(&image);
        let next = oracle.next();
        self.see_waits(world, &oracle);
        let judge = &mut self.judge(world, action);
        if let Some(next) = next {
            judge.breach(Law::Idle, || format!("{next:?} could be served"));
        }
        let waiters = image.waiters.iter();
        let waits = waiters.map(|waiter| waiter.times_out_at_ms());
        let gone = image.waiters.iter().filter_map(|waiter| waiter.gone_at_ms);
        let leases = image.leases.iter().map(|lease| lease.deadline_ms);
        let due = waits.chain(gone).chain(leases).chain(image.resume_until_ms);
        if due.min().is_some_and(|at_ms| at_ms <= now_ms) {
            judge.breach(Law::Due, || "its time is over".to_owned());
        }
        let deadline = world.arbiter.next_deadline();
        if deadline.is_some_and(|at_ms| at_ms <= now_ms) {
            let judge = &mut self.judge(world, action);
            judge.breach(Law::Due, || format!("{deadline:?} is past"));
        }
    }

    /// Which waits the state shows.
    fn see_waits(&self, world: &mut World, oracle: &Oracle) {
        let image = &world.ledger.image;
        if image.waiters.is_empty() || image.shutting_down {
            return;
        }
        let taken = image
            .leases
            .iter()
            .fold(0, |taken, lease| taken | lease.gpus);
        let free = u64::from(taken.count_ones()) < image.gpus.len() as u64;
        let mut waiters = image.waiters.iter();
        let slot = waiters.any(|waiter| waiter.request.operation.is_model_load());
        let loading = image.leases.iter();
        let loading = loading
            .filter(|lease| lease.operation.is_model_load())
            .count();
        let awaited = image.resume_until_ms.is_some() && free;
        let kept = oracle.keeps();
        let fired = &mut world.ledger.fired;
        if slot && free && loading > 0 {
            fired.saw(Rule::Slot);
        }
        if kept {
            fired.saw(Rule::Kept);
        }
        if awaited {
            fired.saw(Rule::Awaited);
        }
    }

    /// What comes after the end is told how it ended.
    fn check_late(&self, world: &mut World, action: Action) {
        let mut wrong = None;
        for ended in &world.ledger.ended {
            let answer = |command| world.arbiter.decide(world.now(), &command).answer;
            let refused = |command, code| {
                let refusal = answer(command).err();
                refusal.is_some_and(|refusal| {
                    refusal.code == code && refusal.outcome == Some(ended.outcome)
                })
            };
            let caller = caller();
            if let Some(token) = ended.token {
                let lease_id = warden::number::lease_id(token);
                let release = Command::Release {
                    lease_id,
                    token,
                    caller: caller.clone(),
                };
                if !refused(release, Code::LeaseEnded) {
                    wrong = Some(ended.who);
                }
            }
            if ended.who.kind != Kind::Nameless {
                let again = Command::Acquire {
                    request: self.scene.request(ended.who),
                    caller,
                    connection: Connection(0),
                };
                if !refused(again, Code::RequestEnded) {
                    wrong = Some(ended.who);
                }
            }
        }
        if !world.ledger.ended.is_empty() {
            world.ledger.fired.saw(Rule::Late);
        }
        if let Some(who) = wrong {
            let judge = &mut self.judge(world, action);
            judge.breach(Law::SameId, || {
                format!("{who} comes late and is not told how it ended")
            });
        }
    }

    /// Everything that was to be asked was asked, and has ended.
    fn is_over(&self, world: &World) -> bool {
        let asked = |kind: &Kind| world.posted >> *kind as u8 & 1 == 1;
        self.scene.cast.keys().all(asked) && world.ledger.asked.is_empty()
    }

    /// Once clients are back and holders let go, everyone is served, without a moment's wait.
    fn drains(&self, world: &World) -> bool {
        let mut world = world.clone();
        let small = |world: &mut World, command: &Command| {
            let now = world.now();
            let seen = &mut |_: &Arbiter, _: &_, _: &_| {};
            broken::handle(self.fault, &mut world.arbiter, now, command, seen).is_ok()
        };
        if world.arbiter.is_shutting_down() {
            let arbiter = &world.arbiter;
            let start = self
                .scene
                .start(arbiter.next_token(), arbiter.revision(), false);
            small(&mut world, &Command::Start(start));
        }
        let away: Vec<Who> = world
            .ledger
            .asked
            .iter()
            .map(|asked| asked.who)
            .filter(|who| who.kind != Kind::Nameless)
            .collect();
        for who in away {
            let again = Command::Acquire {
                request: self.scene.request(who),
                caller: caller(),
                connection: world.connection(),
            };
            small(&mut world, &again);
        }
        for _ in 0..=self.scene.clients {
            let held: Vec<_> = world.arbiter.leases().map(Lease::id).collect();
            for lease_id in held {
                small(&mut world, &Command::ForceRelease { lease_id });
            }
        }
        world.arbiter.queue_depth() == 0
    }
}
