//! The waiters, and why they wait.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use warden::snapshot::{Snapshot, WaiterRow};
use warden::wire;
use warden_view::{Text, Waiter, Why, WhyCode};

use super::mirror::Mirror;
use crate::clock::WindowClock;

/// Whose reasons are always of this very revision: more than any screen shows from the top.
const ALWAYS: usize = 64;
/// How long a frame may work on the other reasons.
const SWEEP: Duration = Duration::from_micros(200);
/// How many are worked on between two looks at the clock.
const SWEEP_STEP: usize = 32;

/// The queue's rows, and how far their reasons are up to date.
#[derive(Debug, Default)]
pub struct Queue {
    rows: Mirror<WaiterRow, Waiter>,
    /// Where the sweep goes on.
    at: usize,
    /// How many rows from there on may have an old reason.
    stale: usize,
    touched: bool,
}

impl Queue {
    /// Something changed that reasons may follow from.
    pub fn touched(&mut self) {
        self.touched = true;
    }

    /// A whole new snapshot.
    pub fn renewed(&mut self) {
        self.touched = true;
    }

    /// Converts everything anew.
    pub fn forget(&mut self) {
        self.rows.forget();
        self.touched = true;
    }

    /// Brings `shown` up to date. True when reasons are left for the next frame.
    pub fn project(
        &mut self,
        snapshot: &Snapshot,
        clock: &WindowClock,
        shown: &mut Arc<[Arc<Waiter>]>,
    ) -> bool {
        let mut changed = self.rows.update(snapshot.waiters(), |row, former| {
            let why = former.filter(|old| *old.request == *row.status.request_id.as_str());
            waiter(row, why.map(|old| old.why.clone()), clock)
        });
        if std::mem::take(&mut self.touched) || changed {
            self.stale = self.rows.len();
            changed |= self.refresh(snapshot, 0..ALWAYS.min(self.rows.len()));
        }
        changed |= self.sweep(snapshot);
        if changed {
            *shown = self.rows.iter().cloned().collect();
        }
        self.stale > 0
    }

    fn sweep(&mut self, snapshot: &Snapshot) -> bool {
        let started = Instant::now();
        let len = self.rows.len();
        self.stale = self.stale.min(len.saturating_sub(ALWAYS));
        let mut changed = false;
        while self.stale > 0 && started.elapsed() < SWEEP {
            let from = if (ALWAYS..len).contains(&self.at) {
                self.at
            } else {
                ALWAYS
            };
            let to = (from + SWEEP_STEP.min(self.stale)).min(len);
            changed |= self.refresh(snapshot, from..to);
            self.stale -= to - from;
            self.at = to;
        }
        changed
    }

    /// Asks for the reasons of some rows; true when one of them is another.
    fn refresh(&mut self, snapshot: &Snapshot, rows: Range<usize>) -> bool {
        let ids = rows
            .clone()
            .filter_map(|at| self.rows.get(at))
            .map(|(row, _)| &row.status.request_id);
        let whys = snapshot.whys(ids);
        let mut changed = false;
        for (at, why) in rows.zip(whys) {
            let shown = self.rows.get(at).map(|(_, shown)| Arc::clone(shown));
            if let Some((shown, why)) = shown.zip(why).filter(|(shown, why)| !same(&shown.why, why))
            {
                self.rows.set(
                    at,
                    Waiter {
                        why: reason(&why),
                        ..(*shown).clone()
                    },
                );
                changed = true;
            }
        }
        changed
    }
}

fn waiter(row: &WaiterRow, why: Option<Why>, clock: &WindowClock) -> Waiter {
    let status = &row.status;
    let seen_ms = clock.at(row.seen_ms);
    Waiter {
        request: status.request_id.as_str().into(),
        client: status.client.as_str().into(),
        priority: status.priority,
        operation: status.operation.as_str().into(),
        gpus: u32::try_from(status.gpus).unwrap_or(u32::MAX),
        gpu_ids: status
            .gpu_ids
            .as_ref()
            .map(|ids| texts(ids.iter().map(warden::GpuId::as_str))),
        vram_mib: status.vram_mib,
        arrived_ms: seen_ms.saturating_sub_unsigned(status.waited_ms),
        times_out_ms: seen_ms.saturating_add_unsigned(status.times_out_in_ms),
        passed: status.passed,
        connected: status.connected,
        why: why.unwrap_or_else(|| reason(&status.why)),
    }
}

fn reason(why: &wire::Why) -> Why {
    Why {
        code: code(why.code),
        text: why.text.as_str().into(),
        behind: texts(why.behind.iter().map(warden::RequestId::as_str)),
        holders: texts(why.holders.iter().map(warden::LeaseId::as_str)),
    }
}

fn same(shown: &Why, why: &wire::Why) -> bool {
    shown.code == code(why.code)
        && *shown.text == *why.text
        && shown
            .behind
            .iter()
            .map(|id| &**id)
            .eq(why.behind.iter().map(warden::RequestId::as_str))
        && shown
            .holders
            .iter()
            .map(|id| &**id)
            .eq(why.holders.iter().map(warden::LeaseId::as_str))
}

fn texts<'a>(ids: impl Iterator<Item = &'a str>) -> Arc<[Text]> {
    ids.map(Text::from).collect()
}

fn code(code: wire::WhyCode) -> WhyCode {
    match code {
        wire::WhyCode::Held => WhyCode::Held,
        wire::WhyCode::Turn => WhyCode::Turn,
        wire::WhyCode::Kept => WhyCode::Kept,
        wire::WhyCode::ModelSlot => WhyCode::ModelSlot,
        wire::WhyCode::Draining => WhyCode::Draining,
        wire::WhyCode::Paused => WhyCode::Paused,
        wire::WhyCode::Disconnected => WhyCode::Disconnected,
    }
}
