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
/// How many bars of leases that have ended are kept. When leases are so short that more fall into
/// the span, the axis begins where the last that is not kept ended.
const BARS_MAX: usize = 1_000;
/// Depths closer together than this become one step: a screen has no more columns.
const STEP_MS: i64 = 300;

/// See the module.
#[derive(Debug, Default)]
pub struct Tape {
    /// The bars of leases that have ended, in the order of their ends.
    over: VecDeque<Bar>,
    /// Those of leases that are held, in the order of their grants. They are all kept, however long
    /// ago that was: a GPU that is held must not look free.
    open: Vec<Bar>,
    depth: VecDeque<DepthStep>,
    known_from_ms: Option<i64>,
    changed: bool,
    states: HashMap<String, (GpuState, Option<i64>)>,
}

impl Tape {
    /// A whole new snapshot: bars of leases that have gone meanwhile end now. `after_gap`: for a while
    /// nothing was seen of what led to it, so that the axis begins anew.
    pub fn renewed(
        &mut self,
        snapshot: &Snapshot,
        clock: &WindowClock,
        now_ms: i64,
        after_gap: bool,
    ) {
        let before = self.known_from_ms.filter(|_| !after_gap);
        self.known_from_ms = Some(before.unwrap_or(now_ms));
        self.close_all(now_ms, "", |bar| {
            snapshot.lease(&(*bar.lease).into()).is_none()
        });
        for row in snapshot.leases() {
            if !self
                .open
                .iter()
                .any(|bar| *bar.lease == *row.status.lease_id.as_str())
            {
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
                    let outcome = words::outcome(row.outcome);
                    let id = lease.lease_id.as_str();
                    self.close_all(now_ms, outcome, |bar| *bar.lease == *id);
                }
            }
            _ => {}
        }
    }

    fn bar(&mut self, lease: &LeaseStatus, from_ms: i64) {
        self.open.extend(lease.gpu_ids.iter().map(|id| Bar {
            gpu: id.as_str().into(),
            lease: lease.lease_id.as_str().into(),
            client: lease.client.as_str().into(),
            priority: lease.priority,
            from_ms,
            to_ms: None,
            outcome: Text::default(),
        }));
        self.changed = true;
    }

    fn close_all(&mut self, now_ms: i64, outcome: &str, ends: impl Fn(&Bar) -> bool) {
        let outcome = Text::from(outcome);
        let closed = self.open.extract_if(.., |bar| ends(bar)).map(|bar| Bar {
            to_ms: Some(now_ms),
            outcome: outcome.clone(),
            ..bar
        });
        let before = self.over.len();
        self.over.extend(closed);
        self.changed |= self.over.len() > before;
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
            shown.bars = self.over.iter().chain(&self.open).cloned().collect();
            shown.depth = self.depth.iter().copied().collect();
        }
    }

    fn forget_before(&mut self, oldest_ms: i64) {
        let is_old = |bar: &Bar| bar.to_ms.is_none_or(|to_ms| to_ms < oldest_ms);
        while let Some(bar) = self.over.front() {
            if !is_old(bar) {
                if self.over.len() <= BARS_MAX {
                    break;
                }
                self.known_from_ms = self.known_from_ms.max(bar.to_ms);
            }
            self.over.pop_front();
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

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(id: &str, gpu: &str) -> LeaseStatus {
        LeaseStatus {
            lease_id: id.into(),
            client: "whisper".to_owned(),
            priority: 10,
            operation: "inference".to_owned(),
            gpu_ids: vec![gpu.into()],
            vram_mib: None,
            pid: None,
            host: "here".to_owned(),
            granted_at: String::new(),
            held_ms: 0,
            ttl_ms: 60_000,
            expires_in_ms: 60_000,
            yield_asked: false,
        }
    }

    #[test]
    fn a_lease_that_is_held_keeps_its_bar_whatever_has_ended_since() {
        let (mut tape, mut shown) = (Tape::default(), Timeline::default());
        tape.bar(&lease("long", "a"), 0);
        let count = 3 * BARS_MAX as i64;
        for at_ms in 0..count {
            tape.bar(&lease("short", "b"), at_ms);
            tape.close_all(at_ms + 1, "released", |bar| *bar.lease == *"short");
            tape.show(at_ms + 1, &mut shown);
        }
        let long = shown.bars.iter().find(|bar| *bar.lease == *"long");
        assert_eq!(long.map(|bar| (bar.from_ms, bar.to_ms)), Some((0, None)));
        assert_eq!(shown.bars.len(), BARS_MAX + 1);
        assert_eq!(shown.known_from_ms, count - BARS_MAX as i64);
        // What ended before the span is gone, and the one that is held stands.
        tape.show(count + SPAN_MS + 1, &mut shown);
        assert_eq!(shown.bars.len(), 1);
    }
}
