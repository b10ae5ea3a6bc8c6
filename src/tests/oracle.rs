//! Who is served next, written down a second time: naive, by looking at everyone, from the words
//! of the contract alone. Shares no code with the arbiter.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use warden::arbiter::Image;
use warden::event::{Lease, Waiter};
use warden::gpu::{Gpu, UNKNOWN};
use warden::policy::YieldMode;
use warden::request::Wanted;
use warden::{GpuId, RequestId};

/// What the next grant must be.
#[derive(Debug, PartialEq)]
pub struct Next {
    pub request_id: RequestId,
    /// Positions in the list of GPUs.
    pub gpus: BTreeSet<usize>,
    pub passed: Option<RequestId>,
    /// Somebody before it in turn waits on.
    pub backfill: bool,
    pub overdue: bool,
}

pub struct Oracle<'a> {
    image: &'a Image,
}

impl<'a> Oracle<'a> {
    pub fn new(image: &'a Image) -> Self {
        Self { image }
    }

    fn position(&self, id: &GpuId) -> usize {
        let position = self.image.gpus.iter().position(|(gpu, _)| gpu.id == *id);
        position.expect("a GPU that a waiter names is there")
    }

    /// MiB that shares may have on a GPU; nothing where that is not known.
    fn capacity(&self, gpu: usize) -> Option<u64> {
        let total = self.image.gpus[gpu].0.vram_total_mib?;
        Some(total.saturating_sub(self.image.policy.vram_reserve_mib))
    }

    /// The sizes of the leases on a GPU, those that drain included.
    fn on(&self, gpu: usize) -> Vec<Option<u64>> {
        let draining = self.image.draining.iter().map(|drain| &*drain.lease);
        let leases = self.image.leases.iter().chain(draining);
        leases
            .filter(|lease| lease.gpus >> gpu & 1 == 1)
            .map(|lease| lease.request.vram_mib)
            .collect()
    }

    fn free(&self, gpu: usize) -> bool {
        self.on(gpu).is_empty()
    }

    /// MiB left for a share.
    fn room(&self, gpu: usize) -> u64 {
        let on = self.on(gpu);
        if on.contains(&None) {
            return 0;
        }
        let shared: u64 = on.into_iter().flatten().sum();
        self.capacity(gpu).unwrap_or(0).saturating_sub(shared)
    }

    /// What a waiter could use, whatever is on it now.
    pub fn usable(&self, waiter: &Waiter) -> BTreeSet<usize> {
        let request = &waiter.request;
        let wanted = match &request.wanted {
            Wanted::Any(count) => *count as usize,
            Wanted::Named(ids) => ids.len(),
        };
        let usable: BTreeSet<usize> = (0..self.image.gpus.len())
            .filter(|gpu| !self.image.gpus[*gpu].1)
            .filter(|gpu| match &request.wanted {
                Wanted::Named(ids) => ids.iter().any(|id| self.position(id) == *gpu),
                Wanted::Any(_) => true,
            })
            .filter(|gpu| {
                let large = |size| self.capacity(*gpu).is_some_and(|capacity| capacity >= size);
                request.vram_mib.is_none_or(large)
            })
            .collect();
        if usable.len() >= wanted {
            usable
        } else {
            // The rules have changed since it came: it cannot be served while they hold.
            BTreeSet::new()
        }
    }

    fn loads(&self, waiter: &Waiter) -> bool {
        waiter.request.operation.as_str() == "model_load"
    }

    fn slot_free(&self) -> bool {
        let loads = self.image.leases.iter();
        let loads = loads
            .filter(|lease| lease.operation.as_str() == "model_load")
            .count();
        loads < self.image.policy.model_loads_at_once as usize
    }

    /// What it would be given now beside what is kept.
    pub fn choose(&self, waiter: &Waiter, kept: &BTreeSet<usize>) -> Option<BTreeSet<usize>> {
        let usable = self.usable(waiter);
        let open: Vec<usize> = usable
            .into_iter()
            .filter(|gpu| !kept.contains(gpu))
            .collect();
        let fits = |gpu: usize| match waiter.request.vram_mib {
            None => self.free(gpu),
            Some(size) => self.room(gpu) >= size,
        };
        match &waiter.request.wanted {
            Wanted::Named(ids) => {
                let named: BTreeSet<usize> = ids.iter().map(|id| self.position(id)).collect();
                let all = named.iter().all(|gpu| open.contains(gpu) && fits(*gpu));
                all.then_some(named)
            }
            Wanted::Any(count) => {
                let mut fitting: Vec<usize> = open.into_iter().filter(|gpu| fits(*gpu)).collect();
                if waiter.request.vram_mib.is_some() {
                    // Shared before free; of the shared the fullest; of the free the first.
                    let room = |gpu: usize| if self.free(gpu) { 0 } else { self.room(gpu) };
                    fitting.sort_by_key(|gpu| (self.free(*gpu), room(*gpu), *gpu));
                }
                let count = *count as usize;
                (fitting.len() >= count).then(|| fitting[..count].iter().copied().collect())
            }
        }
    }

    fn overdue(&self, waiter: &Waiter) -> bool {
        waiter.passed >= self.image.policy.max_bypass
    }

    /// Everyone whose turn counts, in turn.
    fn in_turn(&self) -> Vec<&'a Waiter> {
        let resuming = self.image.resume_until_ms.is_some();
        let waiters = self.image.waiters.iter();
        let mut waiters: Vec<&Waiter> = waiters
            .filter(|waiter| resuming || waiter.is_connected())
            .collect();
        waiters.sort_by_key(|waiter| {
            let overdue = self.overdue(waiter);
            let priority = if overdue {
                0
            } else {
                waiter.request.priority.0
            };
            (!overdue, priority, waiter.arrival)
        });
        waiters
    }

    /// What is kept for overdue waiters, as far as none of them can be served.
    fn walk(&self) -> (Option<Next>, BTreeSet<usize>, bool) {
        let mut kept: BTreeSet<usize> = BTreeSet::new();
        let mut slot_kept = false;
        let mut skipped = false;
        for waiter in self.in_turn() {
            let (loads, overdue) = (self.loads(waiter), self.overdue(waiter));
            if self.usable(waiter).is_empty() {
                skipped = true;
                continue;
            }
            if loads && (slot_kept || !self.slot_free()) {
                slot_kept |= overdue;
                skipped = true;
                continue;
            }
            let chosen = self.choose(waiter, &kept);
            match chosen {
                Some(gpus) if waiter.is_connected() => {
                    let passed = self.passed(waiter, &gpus);
                    let request_id = waiter.id.clone();
                    let next = Next {
                        request_id,
                        gpus,
                        passed,
                        backfill: skipped,
                        overdue,
                    };
                    return (Some(next), kept, slot_kept);
                }
                // It is not there yet, and waited for; or it is overdue and cannot be served.
                chosen if overdue || chosen.is_some() => {
                    kept.extend(self.usable(waiter));
                    slot_kept |= loads;
                }
                _ => {}
            }
            skipped = true;
        }
        (None, kept, slot_kept)
    }

    fn passed(&self, granted: &Waiter, gpus: &BTreeSet<usize>) -> Option<RequestId> {
        let waiters = self.image.waiters.iter();
        waiters
            .filter(|waiter| waiter.is_connected() && !self.overdue(waiter))
            .filter(|waiter| waiter.arrival < granted.arrival)
            .filter(|waiter| {
                let slot = self.loads(waiter) && self.loads(granted);
                let usable = self.usable(waiter);
                !usable.is_empty() && (slot || !usable.is_disjoint(gpus))
            })
            .min_by_key(|waiter| waiter.arrival)
            .map(|waiter| waiter.id.clone())
    }

    /// The next grant, if there must be one.
    pub fn next(&self) -> Option<Next> {
        if self.paused() {
            return None;
        }
        self.walk().0
    }

    /// Nothing is granted, whatever is free.
    fn paused(&self) -> bool {
        let stand_in = |(gpu, (device, gone)): (usize, &(Gpu, bool))| {
            *gone && device.source == UNKNOWN && !self.free(gpu)
        };
        self.image.shutting_down
            || self.image.doubt.is_some()
            || self.image.gpus.iter().enumerate().any(stand_in)
    }

    /// Somebody could be served but for what is kept for the overdue.
    pub fn keeps(&self) -> bool {
        let (next, kept, slot_kept) = self.walk();
        let nobody = BTreeSet::new();
        next.is_none()
            && self.image.waiters.iter().any(|waiter| {
                let slot = !self.loads(waiter) || self.slot_free();
                let blocked = self.loads(waiter) && slot_kept || !kept.is_empty();
                let open = waiter.is_connected() && !self.overdue(waiter);
                open && slot && blocked && self.choose(waiter, &nobody).is_some()
            })
    }

    /// Whether a waiter is urgent to a holder.
    fn is_urgent(&self, waiter: &Waiter, lease: &Lease) -> bool {
        let gap = u16::from(self.image.policy.r#yield.gap);
        let by_priority = u16::from(waiter.request.priority.0) + gap;
        self.overdue(waiter) || by_priority <= u16::from(lease.request.priority.0)
    }

    /// The next holder that must be asked to yield, and for whom.
    pub fn next_ask(&self, now_ms: u64) -> Option<(u64, RequestId)> {
        let rules = self.image.policy.r#yield;
        if rules.mode == YieldMode::Never || self.paused() {
            return None;
        }
        let mut chosen: BTreeSet<usize> = BTreeSet::new();
        let mut slot_chosen = false;
        for waiter in self.in_turn() {
            let waited_ms = now_ms - waiter.arrived.clock_ms;
            let usable = self.usable(waiter);
            if !waiter.is_connected() || usable.is_empty() || waited_ms < rules.after_ms {
                continue;
            }
            let asks = if self.loads(waiter) && !self.slot_free() {
                if std::mem::replace(&mut slot_chosen, true) {
                    continue;
                }
                self.loads_in_the_way(waiter)
            } else {
                self.in_the_way(waiter, &mut chosen)
            };
            let due = asks.into_iter().find(|lease| {
                lease.asked.is_none() && now_ms - lease.granted.clock_ms >= rules.min_hold_ms
            });
            if let Some(lease) = due {
                return Some((lease.token, waiter.id.clone()));
            }
        }
        None
    }

    fn loads_in_the_way(&self, waiter: &Waiter) -> Vec<&'a Lease> {
        let loads = self.image.leases.iter().filter(|lease| {
            lease.operation.as_str() == "model_load"
                && !lease.undelivered
                && self.is_urgent(waiter, lease)
        });
        let key = |lease: &&Lease| {
            (
                is_asked_for(lease, waiter),
                lease.request.priority,
                lease.token,
            )
        };
        loads.max_by_key(key).into_iter().collect()
    }

    /// The holders on those GPUs that this waiter should have, which are added to those chosen.
    fn in_the_way(&self, waiter: &Waiter, chosen: &mut BTreeSet<usize>) -> Vec<&'a Lease> {
        let wanted = match &waiter.request.wanted {
            Wanted::Any(count) => *count as usize,
            Wanted::Named(ids) => ids.len(),
        };
        let mut choices: Vec<(usize, Vec<&Lease>)> = self
            .usable(waiter)
            .into_iter()
            .filter(|gpu| !chosen.contains(gpu))
            .filter_map(|gpu| Some((gpu, self.must_leave(waiter, gpu)?)))
            .collect();
        if choices.len() < wanted {
            return Vec::new();
        }
        choices.sort_by_key(|(gpu, leases)| {
            let nobody = leases.is_empty();
            let asked = leases.iter().all(|lease| is_asked_for(lease, waiter));
            let most_urgent = leases.iter().map(|lease| lease.request.priority.0).min();
            let priority = Reverse(most_urgent.unwrap_or(255));
            (!nobody, !asked, priority, leases.len(), *gpu)
        });
        choices.truncate(wanted);
        chosen.extend(choices.iter().map(|(gpu, _)| *gpu));
        let mut leases: Vec<&Lease> = choices.into_iter().flat_map(|(_, all)| all).collect();
        leases.sort_by_key(|lease| lease.token);
        leases
    }

    /// Who has to leave a GPU so that this waiter fits; nothing where one of them may not be asked.
    fn must_leave(&self, waiter: &Waiter, gpu: usize) -> Option<Vec<&'a Lease>> {
        let leases = self.image.leases.iter();
        let mut stay: Vec<&Lease> = leases.filter(|lease| lease.gpus >> gpu & 1 == 1).collect();
        stay.sort_by_key(|lease| (lease.request.priority, lease.token));
        let mut leave = Vec::new();
        let fits = |stay: &[&Lease]| match waiter.request.vram_mib {
            None => stay.is_empty(),
            Some(size) => {
                let alone = stay.iter().any(|lease| lease.request.vram_mib.is_none());
                let sizes = stay.iter().filter_map(|lease| lease.request.vram_mib);
                !alone
                    && self
                        .capacity(gpu)
                        .is_some_and(|room| sizes.sum::<u64>() + size <= room)
            }
        };
        while !fits(&stay) {
            leave.push(stay.pop()?);
        }
        let may = |lease: &&Lease| !lease.undelivered && self.is_urgent(waiter, lease);
        leave.iter().all(may).then_some(leave)
    }

    /// Law 1, law 4, law 5.
    pub fn check_leases(&self) {
        for gpu in 0..self.image.gpus.len() {
            let on = self.on(gpu);
            if on.contains(&None) {
                assert_eq!(on.len(), 1, "an exclusive lease is alone on its GPU");
            }
        }
        for lease in &self.image.leases {
            let wanted = match &lease.request.wanted {
                Wanted::Any(count) => *count,
                Wanted::Named(ids) => ids.len() as u32,
            };
            assert_eq!(lease.gpus.count_ones(), wanted, "all or none");
        }
    }

    /// What a grant gave lies within the rules of its moment. Leases of before may not: an
    /// operator can raise the reserve over them.
    pub fn check_grant(&self, token: u64) {
        let lease = self.image.leases.iter().find(|lease| lease.token == token);
        let lease = lease.expect("it was granted");
        for gpu in (0..self.image.gpus.len()).filter(|gpu| lease.gpus >> gpu & 1 == 1) {
            let shared: u64 = self.on(gpu).into_iter().flatten().sum();
            assert!(
                shared <= self.capacity(gpu).unwrap_or(0),
                "shares exceed GPU {gpu}"
            );
            assert!(!self.image.gpus[gpu].1, "a GPU that is gone is granted");
        }
        if lease.operation.as_str() == "model_load" {
            let loads = self.image.leases.iter();
            let loads = loads
                .filter(|lease| lease.operation.as_str() == "model_load")
                .count();
            assert!(
                loads <= self.image.policy.model_loads_at_once as usize,
                "model loads"
            );
        }
    }
}

fn is_asked_for(lease: &Lease, waiter: &Waiter) -> bool {
    lease.asked.as_ref().is_some_and(|ask| ask.by == waiter.id)
}
