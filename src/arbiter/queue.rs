//! Who waits, under every order that a decision asks for: by turn among those that fit alike, by
//! arrival among those that could use the same GPUs, and the place of each. No decision looks at
//! the queue one by one.
//!
//! Waiters that want alike are a *class* (count or names, whole GPU or share, model load or not);
//! waiters that could use the same GPUs are a *group*. There are few of either, however many wait:
//! as many as there are sets of GPUs that somebody names.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::sync::Arc;

use foldhash::fast::FixedState;

use super::front::{Front, Turn};
use super::line::Line;
use super::memory::Record;
use super::soonest::{Positions, Soonest};
use crate::event::Waiter;
use crate::fit::{Shape, Which};

/// A waiter's number while it waits.
pub(super) type Seat = u32;

/// A waiter and where the indexes have it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Seated {
    pub(super) waiter: Arc<Waiter>,
    /// Where it is remembered.
    pub(super) record: Record,
    pub(super) shape: Shape,
    /// What it could use.
    pub(super) usable: u64,
    /// It was passed as often as anybody may be, and comes before everyone else.
    pub(super) overdue: bool,
    /// Its priority, then its arrival: at hand, since every index goes by it.
    pub(super) turn: Turn,
    /// Whether the indexes have it among those that are connected.
    pub(super) here: bool,
    class: u32,
    group: u32,
    /// Its position in the line of its priority.
    position: u32,
}

impl Seated {
    fn priority(&self) -> u8 {
        (self.turn >> ARRIVAL_BITS) as u8
    }

    pub(super) fn arrival(&self) -> u64 {
        self.turn & ((1 << ARRIVAL_BITS) - 1)
    }
}

/// A million arrivals a second for two thousand years.
const ARRIVAL_BITS: u32 = 56;

/// By priority, then by arrival.
fn turn(waiter: &Waiter) -> Turn {
    u64::from(waiter.request.priority.0) << ARRIVAL_BITS | waiter.arrival
}

type ClassKey = (Which, bool, bool);

/// Waiters that want alike and are not overdue.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Class {
    /// Of any of them; their sizes differ.
    pub(super) shape: Shape,
    /// Those that an answer would reach now.
    pub(super) here: Front,
    /// Those whose connection is broken.
    pub(super) away: Front,
    members: u32,
}

type GroupKey = (u64, bool);

/// Waiters that could use the same GPUs.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Group {
    pub(super) usable: u64,
    pub(super) model_load: bool,
    /// Those that an answer would reach now and that are not overdue, by arrival.
    here: Soonest,
    /// The overdue ones, by arrival.
    overdue: Soonest,
    /// The overdue ones whose connection is broken.
    overdue_away: Soonest,
    members: u32,
}

/// Things by number, found by key; a number is used again once its thing is done with.
#[derive(Clone, Debug, PartialEq)]
struct Interned<K: Eq + Hash, T> {
    things: Vec<T>,
    unused: Vec<u32>,
    numbers: HashMap<K, u32, FixedState>,
}

impl<K: Eq + Hash, T> Default for Interned<K, T> {
    fn default() -> Self {
        Self {
            things: Vec::new(),
            unused: Vec::new(),
            numbers: HashMap::default(),
        }
    }
}

impl<K: Eq + Hash + Copy, T> Interned<K, T> {
    fn number(&mut self, key: K, new: impl FnOnce() -> T) -> u32 {
        if let Some(number) = self.numbers.get(&key) {
            return *number;
        }
        let number = match self.unused.pop() {
            Some(number) => {
                self.things[number as usize] = new();
                number
            }
            None => {
                self.things.push(new());
                (self.things.len() - 1) as u32
            }
        };
        self.numbers.insert(key, number);
        number
    }

    fn done_with(&mut self, key: &K) {
        self.unused.extend(self.numbers.remove(key));
    }

    fn get(&mut self, number: u32) -> &mut T {
        &mut self.things[number as usize]
    }
}

/// The queue.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Queue {
    seats: Vec<Option<Seated>>,
    unused: Vec<Seat>,
    classes: Interned<ClassKey, Class>,
    groups: Interned<GroupKey, Group>,
    /// Where waiters stand in those of their group.
    positions: Positions,
    /// Those that are not overdue, by priority.
    lines: BTreeMap<u8, Line>,
    /// The overdue ones by arrival, connected or not.
    overdue: BTreeMap<u64, Seat>,
    len: usize,
}

impl Queue {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn seated(&self, seat: Seat) -> Option<&Seated> {
        self.seats.get(seat as usize)?.as_ref()
    }

    /// For changes that no index goes by: connections within one state, owners, deadlines.
    pub(super) fn waiter_mut(&mut self, seat: Seat) -> Option<&mut Waiter> {
        let seated = self.seats.get_mut(seat as usize)?.as_mut();
        seated.map(|seated| Arc::make_mut(&mut seated.waiter))
    }

    /// Lets a waiter in. It must have arrived after all others of its priority, or be overdue.
    pub(super) fn insert(
        &mut self,
        waiter: Arc<Waiter>,
        record: Record,
        shape: Shape,
        usable: u64,
        max_bypass: u32,
    ) -> Seat {
        let class = self.classes.number(class_key(&shape), || Class::new(shape));
        let group_key = (usable, shape.model_load);
        let group = self.groups.number(group_key, || Group::new(group_key));
        self.classes.get(class).members += 1;
        self.groups.get(group).members += 1;
        let seated = Seated {
            overdue: waiter.passed >= max_bypass,
            turn: turn(&waiter),
            here: waiter.is_connected(),
            waiter,
            record,
            shape,
            usable,
            class,
            group,
            position: 0,
        };
        let seat = self.unused.pop().unwrap_or(self.seats.len() as u32);
        if seat as usize == self.seats.len() {
            self.seats.push(None);
        }
        self.seats[seat as usize] = Some(seated);
        self.len += 1;
        self.line_up(seat);
        self.index(seat);
        seat
    }

    /// Lets a waiter go.
    pub(super) fn remove(&mut self, seat: Seat) -> Option<(Arc<Waiter>, Record)> {
        self.unindex(seat);
        self.leave_line(seat);
        let seated = self.seats.get_mut(seat as usize)?.take()?;
        self.unused.push(seat);
        self.len -= 1;
        let class = self.classes.get(seated.class);
        class.members -= 1;
        if class.members == 0 {
            self.classes.done_with(&class_key(&seated.shape));
        }
        let group = self.groups.get(seated.group);
        group.members -= 1;
        if group.members == 0 {
            self.groups
                .done_with(&(seated.usable, seated.shape.model_load));
        }
        Some((seated.waiter, seated.record))
    }

    /// Changes what the indexes go by: whether it is connected.
    pub(super) fn reconnect(&mut self, seat: Seat, change: impl FnOnce(&mut Waiter)) {
        self.unindex(seat);
        if let Some(Some(seated)) = self.seats.get_mut(seat as usize) {
            change(Arc::make_mut(&mut seated.waiter));
            seated.here = seated.waiter.is_connected();
        }
        self.index(seat);
    }

    /// Counts a pass against a waiter; the last one that it may suffer makes it overdue.
    pub(super) fn pass(&mut self, seat: Seat, max_bypass: u32) {
        let Some(Some(seated)) = self.seats.get_mut(seat as usize) else {
            return;
        };
        if seated.overdue || seated.waiter.passed + 1 < max_bypass {
            Arc::make_mut(&mut seated.waiter).passed += 1;
            return;
        }
        self.unindex(seat);
        self.leave_line(seat);
        if let Some(Some(seated)) = self.seats.get_mut(seat as usize) {
            Arc::make_mut(&mut seated.waiter).passed += 1;
            seated.overdue = true;
        }
        self.line_up(seat);
        self.index(seat);
    }

    fn line_up(&mut self, seat: Seat) {
        let Some(seated) = self.seated(seat) else {
            return;
        };
        let (arrival, priority) = (seated.arrival(), seated.priority());
        if seated.overdue {
            self.overdue.insert(arrival, seat);
            return;
        }
        let seats = &mut self.seats;
        self.lines
            .entry(priority)
            .or_default()
            .push(seat, |seat, position| {
                if let Some(Some(seated)) = seats.get_mut(seat as usize) {
                    seated.position = position;
                }
            });
    }

    fn leave_line(&mut self, seat: Seat) {
        let Some(seated) = self.seated(seat) else {
            return;
        };
        let (position, priority) = (seated.position, seated.priority());
        if seated.overdue {
            let arrival = seated.arrival();
            self.overdue.remove(&arrival);
        } else if let Some(line) = self.lines.get_mut(&priority) {
            line.remove(position);
            if line.len() == 0 {
                self.lines.remove(&priority);
            }
        }
    }

    fn index(&mut self, seat: Seat) {
        let Some(Some(seated)) = self.seats.get(seat as usize) else {
            return;
        };
        let (arrival, here) = (seated.arrival(), seated.here);
        let group = &mut self.groups.things[seated.group as usize];
        let positions = &mut self.positions;
        match (seated.overdue, here) {
            (true, true) => group.overdue.insert(arrival, seat, positions),
            (true, false) => group.overdue_away.insert(arrival, seat, positions),
            (false, here) => {
                if here {
                    group.here.insert(arrival, seat, positions);
                }
                let class = &mut self.classes.things[seated.class as usize];
                let front = if here {
                    &mut class.here
                } else {
                    &mut class.away
                };
                front.insert(seated.shape.vram_mib.unwrap_or(0), seated.turn, seat);
            }
        }
    }

    fn unindex(&mut self, seat: Seat) {
        let Some(Some(seated)) = self.seats.get(seat as usize) else {
            return;
        };
        let here = seated.here;
        let group = &mut self.groups.things[seated.group as usize];
        let positions = &mut self.positions;
        match (seated.overdue, here) {
            (true, true) => group.overdue.remove(seat, positions),
            (true, false) => group.overdue_away.remove(seat, positions),
            (false, here) => {
                if here {
                    group.here.remove(seat, positions);
                }
                let class = &mut self.classes.things[seated.class as usize];
                let front = if here {
                    &mut class.here
                } else {
                    &mut class.away
                };
                front.remove(seated.shape.vram_mib.unwrap_or(0), seated.turn);
            }
        }
    }

    /// Classes that somebody waits in.
    pub(super) fn classes(&self) -> impl Iterator<Item = &Class> {
        self.classes.things.iter().filter(|class| class.members > 0)
    }

    /// Whether anybody is overdue.
    pub(super) fn has_overdue(&self) -> bool {
        !self.overdue.is_empty()
    }

    /// The first overdue waiter of each group, by arrival; of the disconnected ones too if
    /// `away`. What is kept for it is all that the others of its group could use.
    pub(super) fn overdue_heads(&self, away: bool) -> Vec<Seat> {
        let mut heads: Vec<(u64, Seat)> = Vec::new();
        for group in &self.groups.things {
            let here = group.overdue.first();
            let gone = group.overdue_away.first().filter(|_| away);
            heads.extend(here.into_iter().chain(gone).min());
        }
        heads.sort_unstable();
        heads.into_iter().map(|(_, seat)| seat).collect()
    }

    /// The connected waiter that has waited longest among those that arrived before `arrival`,
    /// could use a part of what was given (these GPUs, and the model-load slot or not) and are not
    /// overdue. Only an overdue model load without the slot can be passed still; were it counted
    /// against that one, whoever came after it could be passed for as long as the slot is taken.
    pub(super) fn longest_waiting(
        &self,
        arrival: u64,
        gpus: u64,
        model_load: bool,
    ) -> Option<Seat> {
        let groups = self.groups.things.iter();
        let (first, seat) = groups
            .filter(|group| group.usable != 0)
            .filter(|group| group.usable & gpus != 0 || group.model_load && model_load)
            .filter_map(|group| group.here.first())
            .min()?;
        (first < arrival).then_some(seat)
    }

    /// 1 for the first in turn.
    pub(super) fn place(&self, seat: Seat) -> usize {
        let Some(seated) = self.seated(seat) else {
            return 0;
        };
        if seated.overdue {
            return 1 + self.overdue.range(..seated.arrival()).count();
        }
        let priority = seated.priority();
        let better: usize = self
            .lines
            .range(..priority)
            .map(|(_, line)| line.len())
            .sum();
        let line = self.lines.get(&priority);
        let alike = line.map_or(0, |line| line.before(seated.position));
        1 + self.overdue.len() + better + alike
    }

    /// Everyone, in turn.
    pub(super) fn in_turn(&self) -> impl Iterator<Item = &Seated> {
        let overdue = self.overdue.values().copied();
        let lines = self.lines.values().flat_map(Line::iter);
        overdue.chain(lines).filter_map(|seat| self.seated(seat))
    }

    /// Everyone with their seat, in no order that means anything.
    pub(super) fn seats(&self) -> impl Iterator<Item = (Seat, &Seated)> {
        let seats = self.seats.iter().enumerate();
        seats.filter_map(|(seat, seated)| Some((seat as Seat, seated.as_ref()?)))
    }
}

fn class_key(shape: &Shape) -> ClassKey {
    (shape.which, shape.vram_mib.is_some(), shape.model_load)
}

impl Class {
    fn new(shape: Shape) -> Self {
        let front = || Front::new(shape.vram_mib.is_some());
        Self {
            shape,
            here: front(),
            away: front(),
            members: 0,
        }
    }
}

impl Group {
    fn new((usable, model_load): GroupKey) -> Self {
        Self {
            usable,
            model_load,
            here: Soonest::default(),
            overdue: Soonest::default(),
            overdue_away: Soonest::default(),
            members: 0,
        }
    }
}
