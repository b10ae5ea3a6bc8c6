//! What fits where: GPUs with what is on them, the shape of a request, and what is kept for
//! waiters that are overdue. Arbiter and picture both go by this, so that they never disagree.
//!
//! Sets of GPUs are bits in a word, by position in the list.

use crate::gpu::{Gpu, MAX_GPUS, UNKNOWN};
use crate::id::GpuId;
use crate::request::{Request, Wanted};

/// The positions in a set, lowest first.
pub(crate) fn positions(mut set: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let position = set.trailing_zeros() as usize;
        set &= set.wrapping_sub(1);
        (position < MAX_GPUS).then_some(position)
    })
}

/// One GPU and what is on it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Device {
    pub(crate) gpu: Gpu,
    /// It is no more, and stands here for the lease that it still has.
    pub(crate) gone: bool,
    /// Somebody has it alone.
    pub(crate) alone: bool,
    /// MiB given to shares.
    pub(crate) shared_mib: u64,
    /// How many leases are on it, those that drain included.
    pub(crate) leases: u32,
}

/// All GPUs, by index, and what is on them.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Devices {
    list: Vec<Device>,
    reserve_mib: u64,
    /// Those that anybody may be given at all.
    present: u64,
    /// Those among them without a lease.
    free: u64,
    /// Those among them with room for a share.
    roomy: u64,
    /// Those that are gone and without a lease.
    abandoned: u64,
    /// Those that are gone, still leased, and of which nothing was known.
    standing_in: u64,
}

impl Devices {
    /// Without a lease on any. `gone` ones are given to nobody.
    pub(crate) fn new(gpus: impl IntoIterator<Item = (Gpu, bool)>, reserve_mib: u64) -> Self {
        let mut list: Vec<Device> = gpus
            .into_iter()
            .map(|(gpu, gone)| Device {
                gpu,
                gone,
                alone: false,
                shared_mib: 0,
                leases: 0,
            })
            .collect();
        list.sort_by_key(|device| (device.gpu.index, device.gone));
        list.truncate(MAX_GPUS);
        let mut devices = Self {
            list,
            reserve_mib,
            ..Self::default()
        };
        for position in 0..devices.list.len() {
            devices.note(position);
        }
        devices
    }

    /// What shares leave unused on each.
    pub(crate) fn reserve_mib(&self) -> u64 {
        self.reserve_mib
    }

    pub(crate) fn list(&self) -> &[Device] {
        &self.list
    }

    pub(crate) fn present(&self) -> u64 {
        self.present
    }

    /// The GPUs that anybody may be given at all.
    pub(crate) fn present_gpus(&self) -> impl Iterator<Item = &Gpu> {
        self.list
            .iter()
            .filter(|device| !device.gone)
            .map(|device| &device.gpu)
    }

    /// Whether a GPU that is gone has lost its last lease.
    pub(crate) fn has_abandoned(&self) -> bool {
        self.abandoned != 0
    }

    /// Whether a lease is on a GPU of which nothing was known, and others were found since: it may
    /// be any of them.
    pub(crate) fn has_stand_in(&self) -> bool {
        self.standing_in != 0
    }

    /// Those without a lease.
    pub(crate) fn free(&self) -> u64 {
        self.free
    }

    /// Whether anything could be granted to anybody.
    pub(crate) fn has_room(&self) -> bool {
        self.free | self.roomy != 0
    }

    /// MiB that one more share may have there.
    pub(crate) fn room_mib(&self, position: usize) -> u64 {
        let Some(device) = self.list.get(position) else {
            return 0;
        };
        if device.gone || device.alone {
            return 0;
        }
        self.capacity_mib(device).saturating_sub(device.shared_mib)
    }

    /// The same by position.
    pub(crate) fn capacity_mib_at(&self, position: usize) -> u64 {
        let device = self.list.get(position);
        device.map_or(0, |device| self.capacity_mib(device))
    }

    /// MiB that shares may have there together.
    fn capacity_mib(&self, device: &Device) -> u64 {
        device
            .gpu
            .vram_total_mib
            .unwrap_or(0)
            .saturating_sub(self.reserve_mib)
    }

    /// Brings the sets up to date with what is on this GPU.
    fn note(&mut self, position: usize) {
        let device = &self.list[position];
        let (present, leases) = (!device.gone, device.leases);
        let free = present && leases == 0;
        let roomy = self.room_mib(position) > 0;
        let put = |set: &mut u64, holds: bool| {
            *set = *set & !(1 << position) | u64::from(holds) << position;
        };
        let abandoned = !present && leases == 0;
        let standing_in = !present && leases > 0 && device.gpu.source == UNKNOWN;
        put(&mut self.abandoned, abandoned);
        put(&mut self.standing_in, standing_in);
        put(&mut self.present, present);
        put(&mut self.free, free);
        put(&mut self.roomy, roomy);
    }

    /// Puts a lease on these.
    pub(crate) fn take(&mut self, gpus: u64, vram_mib: Option<u64>) {
        for position in positions(gpus) {
            let Some(device) = self.list.get_mut(position) else {
                continue;
            };
            device.leases += 1;
            match vram_mib {
                Some(size) => device.shared_mib += size,
                None => device.alone = true,
            }
            self.note(position);
        }
    }

    /// Takes a lease off these.
    pub(crate) fn give_back(&mut self, gpus: u64, vram_mib: Option<u64>) {
        for position in positions(gpus) {
            let Some(device) = self.list.get_mut(position) else {
                continue;
            };
            device.leases = device.leases.saturating_sub(1);
            match vram_mib {
                Some(size) => device.shared_mib = device.shared_mib.saturating_sub(size),
                None => device.alone = false,
            }
            self.note(position);
        }
    }

    /// The positions of these ids; unknown ones are left out.
    pub(crate) fn positions_of<'a>(&self, ids: impl IntoIterator<Item = &'a GpuId>) -> u64 {
        let mut set = 0;
        for id in ids {
            let position = self.list.iter().position(|device| device.gpu.id == *id);
            set |= position.map_or(0, |position| 1 << position);
        }
        set
    }

    /// The ids at these positions, in order of their index.
    pub(crate) fn ids(&self, gpus: u64) -> Vec<GpuId> {
        let known = positions(gpus).filter_map(|position| self.list.get(position));
        known.map(|device| device.gpu.id.clone()).collect()
    }

    /// The room that each of `count` GPUs outside `kept` has at least, at best.
    pub(crate) fn best_room_mib(&self, count: u32, kept: u64) -> u64 {
        let count = count as usize;
        let open = self.roomy & !kept;
        if (open.count_ones() as usize) < count || count == 0 {
            return 0;
        }
        if count == 1 {
            let rooms = positions(open).map(|position| self.room_mib(position));
            return rooms.max().unwrap_or(0);
        }
        let mut rooms = [0; MAX_GPUS];
        let mut len = 0;
        for position in positions(open) {
            rooms[len] = self.room_mib(position);
            len += 1;
        }
        let rooms = &mut rooms[..len];
        rooms.sort_unstable_by(|a, b| b.cmp(a));
        rooms[count - 1]
    }

    /// The least room among these.
    pub(crate) fn least_room_mib(&self, gpus: u64) -> u64 {
        let rooms = positions(gpus).map(|position| self.room_mib(position));
        rooms.min().unwrap_or(0)
    }
}

/// Which GPUs a request wants, by position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Which {
    Any(u32),
    Named(u64),
}

/// All of a request that decides where it fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Shape {
    pub(crate) which: Which,
    /// MiB on each GPU; nothing for the whole GPU alone.
    pub(crate) vram_mib: Option<u64>,
    pub(crate) model_load: bool,
}

impl Shape {
    pub(crate) fn of(request: &Request, devices: &Devices) -> Self {
        let which = match &request.wanted {
            Wanted::Any(count) => Which::Any(*count),
            Wanted::Named(ids) => Which::Named(devices.positions_of(ids)),
        };
        let model_load = request.operation.is_model_load();
        Self {
            which,
            vram_mib: request.vram_mib,
            model_load,
        }
    }

    /// The GPUs that it could use, whatever is on them now. None at all where it could not be given
    /// as many as it wants under the rules that hold: then nothing may be kept for it.
    pub(crate) fn usable(&self, devices: &Devices) -> u64 {
        let (among, wanted) = match self.which {
            Which::Any(count) => (devices.present, count),
            Which::Named(gpus) => (gpus & devices.present, gpus.count_ones()),
        };
        let large = match self.vram_mib {
            None => among,
            Some(size) => positions(among)
                .filter(|position| {
                    let device = &devices.list[*position];
                    device.gpu.vram_total_mib.is_some() && devices.capacity_mib(device) >= size
                })
                .fold(0, |set, position| set | 1 << position),
        };
        if large.count_ones() >= wanted {
            large
        } else {
            0
        }
    }

    /// The GPUs that it would be given now, were it its turn; nothing where it does not fit.
    /// Looks at GPUs alone, not at the model-load slot.
    pub(crate) fn choose(&self, devices: &Devices, kept: u64) -> Option<u64> {
        match (self.which, self.vram_mib) {
            (Which::Named(gpus), None) => (gpus & !(devices.free & !kept) == 0).then_some(gpus),
            (Which::Named(gpus), Some(size)) => {
                let open = gpus & kept == 0 && devices.least_room_mib(gpus) >= size;
                open.then_some(gpus)
            }
            (Which::Any(count), None) => lowest(devices.free & !kept, count),
            (Which::Any(count), Some(size)) => tightest(devices, kept, size, count),
        }
    }
}

/// The `count` lowest positions of a set that has as many.
fn lowest(set: u64, count: u32) -> Option<u64> {
    if set.count_ones() < count {
        return None;
    }
    let chosen = positions(set).take(count as usize);
    Some(chosen.fold(0, |chosen, position| chosen | 1 << position))
}

/// Shared GPUs before free ones, and of the shared ones those with the least room that suffices.
fn tightest(devices: &Devices, kept: u64, size: u64, count: u32) -> Option<u64> {
    let mut chosen = 0;
    for _ in 0..count {
        let open = devices.roomy & !kept & !chosen;
        let fitting = positions(open).filter(|position| devices.room_mib(*position) >= size);
        let best = fitting.min_by_key(|position| {
            let free = devices.free & 1 << position != 0;
            (
                free,
                if free { 0 } else { devices.room_mib(*position) },
                *position,
            )
        });
        chosen |= 1 << best?;
    }
    Some(chosen)
}

/// What only somebody in particular may be given now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) gpus: u64,
    /// The model-load slot.
    pub(crate) slot: bool,
}

impl Kept {
    /// The turn of an overdue waiter, which comes after those that the rest is kept for: either
    /// it can be given these GPUs now, or whatever it could use is kept for it from here on.
    pub(crate) fn or_keep(
        &mut self,
        shape: &Shape,
        usable: u64,
        devices: &Devices,
        slot_free: bool,
    ) -> Option<u64> {
        if usable == 0 {
            // The rules leave it no GPU: whatever was kept for it would be kept in vain.
            return None;
        }
        if shape.model_load && (self.slot || !slot_free) {
            // The slot first; what good are GPUs that it cannot use yet?
            self.slot = true;
            return None;
        }
        let chosen = shape.choose(devices, self.gpus);
        if chosen.is_none() {
            self.keep(shape, usable);
        }
        chosen
    }

    /// Keeps whatever it could use.
    pub(crate) fn keep(&mut self, shape: &Shape, usable: u64) {
        self.gpus |= usable;
        self.slot |= shape.model_load;
    }
}
