//! Why a waiter waits, and for whom: the same words from the arbiter's state and from a picture
//! of it.

use std::collections::BTreeMap;

use crate::fit::{Devices, Kept, Shape, Which, positions};
use crate::id::{LeaseId, RequestId};
use crate::wire::{GpuState, Why, WhyCode};

/// The most requests that a reason names as coming before.
pub const BEHIND_MAX: usize = 8;
/// The most leases that a reason names as holders.
pub const HOLDERS_MAX: usize = 64;
/// Why nothing is granted while [`Devices::has_stand_in`].
const STAND_IN: &str = "A GPU of which nothing was known is still leased and may be any of those that were found since: \
     they are granted once that lease has ended";
/// Those that come before a waiter are looked for among so many from the front of the queue.
pub const LOOK_AHEAD: usize = 1_000;

/// The order in which waiters are served: overdue before others, then by priority, then by
/// arrival. The overdue all have priority 0 here.
pub(crate) type TurnKey = (bool, u8, u64);

pub(crate) fn turn_key(overdue: bool, priority: u8, arrival: u64) -> TurnKey {
    (!overdue, if overdue { 0 } else { priority }, arrival)
}

/// A waiter, as far as reasons go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Person<'a> {
    pub(crate) id: &'a RequestId,
    pub(crate) key: TurnKey,
    pub(crate) shape: Shape,
    pub(crate) usable: u64,
    pub(crate) connected: bool,
}

impl Person<'_> {
    fn overdue(&self) -> bool {
        !self.key.0
    }
}

/// A lease, as far as reasons go.
#[derive(Clone, Debug)]
pub(crate) struct Holder<'a> {
    pub(crate) id: LeaseId,
    pub(crate) client: &'a str,
    pub(crate) gpus: u64,
    pub(crate) model_load: bool,
}

/// A lease that was taken and drains, as far as reasons go.
#[derive(Clone, Debug)]
pub(crate) struct Drainer<'a> {
    pub(crate) client: &'a str,
    pub(crate) pid: u32,
    pub(crate) gpus: u64,
}

/// What those that could use the same things have in common.
struct Common {
    /// Leases on what they could use.
    holders: Vec<LeaseId>,
    held_by: String,
    /// The first in turn that could use any of it.
    heads: Vec<(TurnKey, RequestId)>,
}

/// Gives reasons; keeps what many of them share.
pub(crate) struct Explainer<'a> {
    devices: &'a Devices,
    holders: Vec<Holder<'a>>,
    draining: Vec<Drainer<'a>>,
    slot_free: bool,
    /// Why nothing is granted to anybody.
    paused: Option<&'a str>,
    /// After each overdue waiter that something is kept for: all that is kept, and for whom.
    kept: Vec<(TurnKey, Kept, RequestId)>,
    common: BTreeMap<(u64, bool), Common>,
}

impl<'a> Explainer<'a> {
    /// `in_turn` are the waiters from the front; only the overdue ones are looked at.
    pub(crate) fn new<'b>(
        devices: &'a Devices,
        holders: Vec<Holder<'a>>,
        draining: Vec<Drainer<'a>>,
        model_loads_at_once: u32,
        paused: Option<&'a str>,
        in_turn: impl Iterator<Item = Person<'b>>,
    ) -> Self {
        let loads = holders.iter().filter(|holder| holder.model_load).count();
        let slot_free = loads < model_loads_at_once as usize;
        let kept = kept_for(devices, slot_free, in_turn);
        Self {
            devices,
            holders,
            draining,
            slot_free,
            paused: paused.or(devices.has_stand_in().then_some(STAND_IN)),
            kept,
            common: BTreeMap::new(),
        }
    }

    /// The GPUs that nobody but somebody overdue may be given.
    pub(crate) fn kept_gpus(&self) -> u64 {
        self.kept.last().map_or(0, |(_, kept, _)| kept.gpus)
    }

    /// `in_turn` are all waiters from the front; it is looked at only where nobody alike was
    /// asked about before.
    pub(crate) fn why<'b, I>(&mut self, me: &Person<'_>, in_turn: impl FnOnce() -> I) -> Why
    where
        I: Iterator<Item = Person<'b>>,
    {
        if me.usable == 0 && me.connected && self.paused.is_none() {
            return self.ruled_out(me);
        }
        let key = (me.usable, me.shape.model_load);
        if !self.common.contains_key(&key) {
            let common = self.common(me, in_turn());
            self.common.insert(key, common);
        }
        let common = &self.common[&key];
        let before = common.heads.iter().filter(|(key, _)| *key < me.key);
        let behind: Vec<RequestId> = before.map(|(_, id)| id.clone()).collect();
        let holders = common.holders.clone();
        let code_and_text = if !me.connected {
            (
                WhyCode::Disconnected,
                "Its connection is gone; it keeps its place for a while".into(),
            )
        } else if let Some(why) = self.paused {
            (WhyCode::Paused, why.to_owned())
        } else {
            match self.kept_from(me) {
                Some((code, text, keepers)) => {
                    let keepers = keepers.into_iter().take(BEHIND_MAX).collect();
                    return Why {
                        code,
                        text,
                        behind: keepers,
                        holders,
                    };
                }
                None => self.held_or_turn(me, common, &behind),
            }
        };
        let (code, text) = code_and_text;
        Why {
            code,
            text,
            behind,
            holders,
        }
    }

    /// The rules that hold now leave it no GPU: they are others than those that it was posted under.
    fn ruled_out(&self, me: &Person<'_>) -> Why {
        let reserve_mib = self.devices.reserve_mib();
        let size_mib = me.shape.vram_mib.unwrap_or_default();
        Why {
            code: WhyCode::Paused,
            text: format!(
                "No GPU that it could use has {size_mib} MiB beside the policy's reserve of \
                 {reserve_mib} MiB; it is served once vram_reserve_mib is lower"
            ),
            behind: Vec::new(),
            holders: Vec::new(),
        }
    }

    fn common<'b>(&self, me: &Person<'_>, in_turn: impl Iterator<Item = Person<'b>>) -> Common {
        let heads = in_turn
            .take(LOOK_AHEAD)
            .filter(|other| {
                let both_load = other.shape.model_load && me.shape.model_load;
                other.usable & me.usable != 0 || both_load
            })
            .take(BEHIND_MAX)
            .map(|other| (other.key, other.id.clone()))
            .collect();
        let on_mine: Vec<&Holder<'_>> = self
            .holders
            .iter()
            .filter(|holder| {
                holder.gpus & me.usable != 0 || holder.model_load && me.shape.model_load
            })
            .collect();
        let ids = on_mine.iter().map(|holder| holder.id.clone());
        Common {
            holders: ids.take(HOLDERS_MAX).collect(),
            held_by: named(&on_mine),
            heads,
        }
    }

    /// What it lacks though it would fit: the model-load slot, or what is kept for somebody.
    fn kept_from(&self, me: &Person<'_>) -> Option<(WhyCode, String, Vec<RequestId>)> {
        me.shape.choose(self.devices, 0)?;
        let before = self.kept.partition_point(|(key, ..)| *key < me.key);
        let keepers = &self.kept[..before];
        let kept = keepers.last().map_or(Kept::default(), |(_, kept, _)| *kept);
        if me.shape.model_load && !self.slot_free {
            let loading = self.holders.iter().filter(|holder| holder.model_load);
            let loading: Vec<&Holder<'_>> = loading.collect();
            let text = format!("Waits for the model-load slot: {} loads", named(&loading));
            return Some((WhyCode::ModelSlot, text, ids(keepers)));
        }
        let slot_kept = me.shape.model_load && kept.slot;
        if !slot_kept && me.shape.choose(self.devices, kept.gpus).is_some() {
            return None;
        }
        let what = if slot_kept {
            "The model-load slot"
        } else {
            "What it could use"
        };
        let whom = keepers.first().map_or("somebody", |(.., id)| id.as_str());
        let text = format!("{what} is kept for {whom}, which was passed as often as it may be");
        Some((WhyCode::Kept, text, ids(keepers)))
    }

    fn held_or_turn(
        &self,
        me: &Person<'_>,
        common: &Common,
        behind: &[RequestId],
    ) -> (WhyCode, String) {
        if behind.is_empty()
            && let Some(drains) = self.drains(me)
        {
            return (WhyCode::Draining, drains);
        }
        let held = if common.holders.is_empty() {
            String::new()
        } else {
            format!("{} by {}", self.what_is_held(me), common.held_by)
        };
        let count = match behind.len() {
            0 if held.is_empty() => return (WhyCode::Turn, "Is served next".to_owned()),
            0 => return (WhyCode::Held, held),
            1 => "1 comes before it".to_owned(),
            BEHIND_MAX => format!("{BEHIND_MAX} or more come before it"),
            count => format!("{count} come before it"),
        };
        let text = if held.is_empty() {
            count
        } else {
            format!("{count}; {held}")
        };
        (WhyCode::Turn, text)
    }

    /// What drains that it could use.
    fn drains(&self, me: &Person<'_>) -> Option<String> {
        let mut draining = self.draining.iter();
        let Drainer { client, pid, gpus } = draining.find(|drain| drain.gpus & me.usable != 0)?;
        let first = positions(gpus & me.usable).next()?;
        let index = self.devices.list().get(first)?.gpu.index;
        Some(format!(
            "GPU {index} drains: its lease was taken from {client}, whose process {pid} may still \
             use it"
        ))
    }

    fn what_is_held(&self, me: &Person<'_>) -> String {
        let free = (self.devices.free() & me.usable).count_ones();
        let wanted = match me.shape.which {
            Which::Any(count) => count,
            Which::Named(gpus) => gpus.count_ones(),
        };
        if let Some(size) = me.shape.vram_mib {
            return format!("no room for {size} MiB; held");
        }
        if free > 0 && wanted > 1 {
            return format!("needs {wanted} GPUs at once, {free} free; held");
        }
        let mut all = positions(me.usable);
        match (all.next(), all.next()) {
            (Some(only), None) => match self.devices.list().get(only) {
                Some(device) => format!("GPU {} is held", device.gpu.index),
                None => "its GPU is held".to_owned(),
            },
            _ => "all GPUs that it could use are held".to_owned(),
        }
    }
}

fn ids(keepers: &[(TurnKey, Kept, RequestId)]) -> Vec<RequestId> {
    keepers.iter().map(|(.., id)| id.clone()).collect()
}

/// The clients of some leases, in words.
fn named(holders: &[&Holder<'_>]) -> String {
    const NAMED: usize = 3;
    let mut names: Vec<&str> = Vec::new();
    for holder in holders {
        if names.len() < NAMED && !names.contains(&holder.client) {
            names.push(holder.client);
        }
    }
    let more = holders
        .iter()
        .filter(|holder| !names.contains(&holder.client))
        .count();
    match (names.split_last(), more) {
        (None, _) => "nobody".to_owned(),
        (Some((only, [])), 0) => (*only).to_owned(),
        (Some((last, others)), 0) => format!("{} and {last}", others.join(", ")),
        _ => format!("{} and {more} more", names.join(", ")),
    }
}

/// What is kept after each connected overdue waiter; those that add nothing are left out.
fn kept_for<'b>(
    devices: &Devices,
    slot_free: bool,
    in_turn: impl Iterator<Item = Person<'b>>,
) -> Vec<(TurnKey, Kept, RequestId)> {
    let mut kept = Kept::default();
    let mut steps = Vec::new();
    for person in in_turn
        .take_while(Person::overdue)
        .filter(|person| person.connected)
    {
        let before = kept;
        let Person { shape, usable, .. } = &person;
        if kept.or_keep(shape, *usable, devices, slot_free).is_none() && kept != before {
            steps.push((person.key, kept, person.id.clone()));
        }
        if kept.gpus == devices.present() && kept.slot {
            break;
        }
    }
    steps
}

/// What a GPU is doing.
pub(crate) fn gpu_state(gone: bool, held: bool, drains: bool, kept: bool) -> GpuState {
    match (gone, held, drains, kept) {
        (true, ..) => GpuState::Gone,
        (_, true, ..) => GpuState::Held,
        (_, _, true, _) => GpuState::Draining,
        (.., true) => GpuState::Kept,
        _ => GpuState::Free,
    }
}
