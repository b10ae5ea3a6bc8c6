//! The states, and what can happen in each: a real [`Arbiter`] and a few clients.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use stateright::{Model, Property};
use warden::event::{Lease, Waiter};
use warden::{Arbiter, Connection, Now};

use super::action::Action;
use super::broken::Fault;
use super::law::{Law, Laws};
use super::ledger::{Asked, Ledger};
use super::scene::{Kind, Scene, UNIT_MS, Who};
use super::tally::{Fired, Tally};

/// A state.
#[derive(Clone, Debug)]
pub struct World {
    pub arbiter: Arbiter,
    pub ledger: Ledger,
    pub now_ms: u64,
    pub next_number: u32,
    pub next_connection: u64,
    pub mischief_left: u8,
    /// Kinds that were posted, as bits.
    pub posted: u8,
    pub key: Arc<[u8]>,
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

    pub fn now(&self) -> Now {
        Now {
            clock_ms: self.now_ms,
            wall_ms: self.now_ms,
        }
    }

    pub fn asked(&self, who: Who) -> Option<&Asked> {
        self.ledger.asked.iter().find(|asked| asked.who == who)
    }

    pub fn waiter(&self, who: Who) -> Option<&Waiter> {
        self.ledger.waiter(self.asked(who)?)
    }

    pub fn lease(&self, who: Who) -> Option<&Lease> {
        self.ledger.lease(self.asked(who)?)
    }

    pub fn connection(&mut self) -> Connection {
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
        if !world.ledger.image.draining.is_empty() {
            actions.push(Action::Drained);
        }
    }

    fn is_mischief(&self, world: &World, action: Action) -> bool {
        match action {
            Action::Tick | Action::Post(_) | Action::Release(_) | Action::Drained => false,
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
            may(waiter.is_some() || lease.is_some(), Action::Cancel(who));
            may(who.kind == Kind::Share, Action::OwnerGone(who));
            let drains = self.scene.policy.drain_ms > 0;
            may(drains && who.kind == Kind::Share, Action::OwnerLeaves(who));
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
}
