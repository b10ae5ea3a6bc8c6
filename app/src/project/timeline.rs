//! The last ten minutes: who held which GPU, how many waited, and since when each GPU is in its
//! state.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use warden::StreamEvent;
use warden::snapshot::Snapshot;
use warden::stream::Row;
use warden::wire::{self, LeaseStatus};
use warden_view::{Bar, DepthStep, Gpu, GpuState, Holder, Text, Timeline};

use super::{gpu, words};
use crate::clock::WindowClock;

/// How far back it reaches.
const SPAN_MS: i64 = 10 * 60 * 1_000;
/// How many bars are kept. When leases are so short that more fall into the span, the axis begins
/// where the oldest that is kept does.
const BARS_MAX: usize = 1_000;
/// Depths closer together than this become one step: a screen has no more columns.
const STEP_MS: i64 = 300;

/// See the module.
#[derive(Debug, Default)]
pub struct Tape {
    bars: VecDeque<Bar>,
    /// How many bars were dropped from the front, so that numbers below stay good.
    dropped: usize,
    /// The bars of each lease that is held, by number.
    open: HashMap<String, Vec<usize>>,
    depth: VecDeque<DepthStep>,
    known_from_ms: Option<i64>,
    changed: bool,
    states: HashMap<String, (GpuState, Option<i64>)>,
}

impl Tape {
    /// A whole new snapshot: bars of leases that have gone meanwhile end now.
    pub fn renewed(&mut self, snapshot: &Snapshot, clock: &WindowClock, now_ms: i64) {
        self.known_from_ms.get_or_insert(now_ms);
        let gone: Vec<String> = self
            .open
            .keys()
            .filter(|lease| snapshot.lease(&lease.as_str().into()).is_none())
            .cloned()
            .collect();
        for lease in gone {
            self.close(&lease, now_ms, "");
        }
        // In the order of their grants, so that bars stay in the order of their starts.
        for row in snapshot.leases() {
            if !self.open.contains_key(row.status.lease_id.as_str()) {
                let from_ms = clock
                    .at(row.seen_ms)
                    .saturating_sub_unsigned(row.status.held_ms);
                self.bar(&row.status, from_ms);
            }
        }
        self.changed = true;
    }

    /// Takes in an event.
    pub fn event(&mut self, event: &StreamEvent, now_ms: i64) {
        match event {
            StreamEvent::Granted(row) => self.bar(&row.lease, now_ms),
            StreamEvent::Ended(row) | StreamEvent::TimedOut(row) | StreamEvent::Cancelled(row) => {
                if let Row::Lease(lease) = &row.row {
                    self.close(lease.lease_id.as_str(), now_ms, words::outcome(row.outcome));
                }
            }
            _ => {}
        }
    }

    fn bar(&mut self, lease: &LeaseStatus, from_ms: i64) {
        let numbers = self.open.entry(lease.lease_id.to_string()).or_default();
        for id in &lease.gpu_ids {
            numbers.push(self.dropped + self.bars.len());
            self.bars.push_back(Bar {
                gpu: id.as_str().into(),
                lease: lease.lease_id.as_str().into(),
                client: lease.client.as_str().into(),
                priority: lease.priority,
                from_ms,
                to_ms: None,
                outcome: Text::default(),
            });
        }
        self.changed = true;
    }

    fn close(&mut self, lease: &str, now_ms: i64, outcome: &str) {
        for number in self.open.remove(lease).unwrap_or_default() {
            let at = number.checked_sub(self.dropped);
            if let Some(bar) = at.and_then(|at| self.bars.get_mut(at)) {
                bar.to_ms = Some(now_ms);
                bar.outcome = outcome.into();
                self.changed = true;
            }
        }
    }

    /// How many wait from now on.
    pub fn depth(&mut self, waiting: usize, now_ms: i64) {
        let waiting = u32::try_from(waiting).unwrap_or(u32::MAX);
        match self.depth.back_mut() {
            Some(last) if last.waiting == waiting => return,
            Some(last) if now_ms - last.at_ms < STEP_MS => last.waiting = waiting,
            _ => self.depth.push_back(DepthStep {
                at_ms: now_ms,
                waiting,
            }),
        }
        self.changed = true;
    }

    /// Brings what is shown up to date.
    pub fn show(&mut self, now_ms: i64, shown: &mut Timeline) {
        self.forget_before(now_ms - SPAN_MS);
        shown.span_ms = SPAN_MS;
        if std::mem::take(&mut self.changed) {
            shown.known_from_ms = self.known_from_ms.unwrap_or(now_ms);
            shown.bars = self.bars.iter().cloned().collect();
            shown.depth = self.depth.iter().copied().collect();
        }
    }

    fn forget_before(&mut self, oldest_ms: i64) {
        while let Some(bar) = self.bars.front() {
            let over = bar.to_ms.is_some_and(|to_ms| to_ms < oldest_ms);
            let full = self.bars.len() > BARS_MAX;
            if !over && !full {
                break;
            }
            if !over {
                let until_ms = bar.to_ms.unwrap_or(bar.from_ms);
                self.known_from_ms = self.known_from_ms.max(Some(until_ms));
            }
            self.bars.pop_front();
            self.dropped += 1;
            self.changed = true;
        }
        // The last step before the span says how deep the queue was when it begins.
        while self.depth.get(1).is_some_and(|step| step.at_ms < oldest_ms) {
            self.depth.pop_front();
            self.changed = true;
        }
    }

    /// The GPUs, each with the instant since when it is in its state.
    pub fn gpus(&mut self, snapshot: &Snapshot, holders: &[Holder], now_ms: i64) -> Arc<[Gpu]> {
        let rows = snapshot.gpus().iter().zip(snapshot.gpu_states());
        rows.map(|(status, state_now)| {
            let state = state(state_now);
            let granted = || {
                let own = holders.iter().filter(|holder| {
                    status
                        .lease_ids
                        .iter()
                        .any(|lease| *holder.lease == *lease.as_str())
                });
                own.map(|holder| holder.granted_ms).min()
            };
            let since_ms = match self.states.get(status.id.as_str()) {
                _ if state == GpuState::Held => granted(),
                Some((former, since_ms)) if *former == state => *since_ms,
                Some(_) => Some(now_ms),
                // It was so before anybody looked.
                None => None,
            };
            self.states.insert(status.id.to_string(), (state, since_ms));
            gpu(status, state, since_ms)
        })
        .collect()
    }
}

fn state(state: wire::GpuState) -> GpuState {
    match state {
        wire::GpuState::Free => GpuState::Free,
        wire::GpuState::Held => GpuState::Held,
        wire::GpuState::Kept => GpuState::Kept,
        wire::GpuState::Draining => GpuState::Draining,
        wire::GpuState::Cordoned => GpuState::Cordoned,
        wire::GpuState::Gone => GpuState::Gone,
    }
}
