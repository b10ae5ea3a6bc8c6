//! The events as rows to read.

use std::collections::VecDeque;
use std::sync::Arc;

use warden::StreamEvent;
use warden::snapshot::Snapshot;
use warden::stream::{EndedRow, GrantedRow, Row};
use warden::wire::{Outcome, WaiterStatus};
use warden_view::{EventRow, Tone};

use super::words;
use crate::clock::WindowClock;

/// How many are kept.
const MAX: usize = 500;

/// The newest events, except renewals: those come all the time and say nothing new.
#[derive(Debug, Default)]
pub struct Story {
    rows: VecDeque<EventRow>,
    changed: bool,
}

impl Story {
    /// Takes in an event that is about to be folded into `before`.
    pub fn event(
        &mut self,
        before: &Snapshot,
        revision: u64,
        event: &StreamEvent,
        clock: &WindowClock,
    ) {
        let Some(told) = tell(before, event, clock.monotonic_ms()) else {
            return;
        };
        if self.rows.len() == MAX {
            self.rows.pop_front();
        }
        self.rows.push_back(EventRow {
            id: revision,
            at_ms: clock.now_ms(),
            kind: event.name().into(),
            client: told.client.into(),
            what: told.what.into(),
            subject: told.subject.into(),
            tone: told.tone,
        });
        self.changed = true;
    }

    /// Brings the rows that are shown up to date.
    pub fn show(&mut self, shown: &mut Arc<[EventRow]>) {
        if std::mem::take(&mut self.changed) {
            *shown = self.rows.iter().cloned().collect();
        }
    }
}

struct Told {
    client: String,
    what: String,
    subject: String,
    tone: Tone,
}

fn tell(before: &Snapshot, event: &StreamEvent, clock_ms: u64) -> Option<Told> {
    Some(match event {
        StreamEvent::Snapshot(_) | StreamEvent::Renewed(_) => return None,
        StreamEvent::Queued(waiter) => of(waiter, asks(waiter), Tone::Plain),
        StreamEvent::Disconnected(waiter) => of(
            waiter,
            "lost its connection and keeps its place for now".to_owned(),
            Tone::Warn,
        ),
        StreamEvent::Rejoined(row) => about(row, "came back".to_owned(), Tone::Plain),
        StreamEvent::Granted(row) => granted(before, row, clock_ms),
        StreamEvent::YieldAsked(lease) => {
            let lease = Row::Lease(lease.clone());
            let gpus = gpus(before, &lease);
            about(&lease, format!("is asked to give {gpus} back"), Tone::Warn)
        }
        StreamEvent::Ended(row) | StreamEvent::TimedOut(row) | StreamEvent::Cancelled(row) => {
            ended(before, row)
        }
        StreamEvent::GpusChanged(row) => {
            let what = format!("there are {} GPUs now", row.gpus.len());
            Told {
                client: String::new(),
                what,
                subject: String::new(),
                tone: Tone::Warn,
            }
        }
        StreamEvent::PolicyChanged(_) => {
            let what = "other rules hold from now on".to_owned();
            Told {
                client: String::new(),
                what,
                subject: String::new(),
                tone: Tone::Plain,
            }
        }
    })
}

fn granted(before: &Snapshot, row: &GrantedRow, clock_ms: u64) -> Told {
    let lease = Row::Lease(row.lease.clone());
    let mut what = gpus(before, &lease);
    if let Some(waiter) = before.waiter(&row.request_id) {
        what.push_str(" after ");
        what.push_str(&words::duration(waiter.waited_ms(clock_ms)));
    }
    if let Some(passed) = row.passed.as_ref().and_then(|id| before.waiter(id)) {
        what.push_str(", passed ");
        what.push_str(&passed.status.client);
    }
    about(&lease, what, Tone::Good)
}

fn ended(before: &Snapshot, row: &EndedRow) -> Told {
    let tone = match row.outcome {
        Outcome::Forced | Outcome::Reset | Outcome::Cleared => Tone::Alarm,
        Outcome::Released | Outcome::Yielded | Outcome::Cancelled => Tone::Plain,
        _ => Tone::Warn,
    };
    let how = words::ended(row.outcome);
    let what = match &row.row {
        Row::Lease(lease) => {
            format!(
                "{}: {how} after {}",
                gpus(before, &row.row),
                words::duration(lease.held_ms)
            )
        }
        Row::Waiter(waiter) => format!("{how} after {}", words::duration(waiter.waited_ms)),
    };
    about(&row.row, what, tone)
}

fn asks(waiter: &WaiterStatus) -> String {
    let gpus = if waiter.gpus == 1 {
        "a GPU".to_owned()
    } else {
        format!("{} GPUs", waiter.gpus)
    };
    match waiter.vram_mib {
        Some(mib) => format!("waits for {mib} MiB on {gpus}"),
        None => format!("waits for {gpus}"),
    }
}

/// The GPUs of a lease by their indexes: `GPU 0, 1`.
fn gpus(before: &Snapshot, row: &Row) -> String {
    let Row::Lease(lease) = row else {
        return String::new();
    };
    let index = |id: &warden::GpuId| before.gpus().iter().find(|gpu| gpu.id == *id);
    let names: Vec<String> = lease
        .gpu_ids
        .iter()
        .map(|id| index(id).map_or_else(|| id.to_string(), |gpu| gpu.index.to_string()))
        .collect();
    format!("GPU {}", names.join(", "))
}

fn of(waiter: &WaiterStatus, what: String, tone: Tone) -> Told {
    let (client, subject) = (waiter.client.clone(), waiter.request_id.to_string());
    Told {
        client,
        what,
        subject,
        tone,
    }
}

fn about(row: &Row, what: String, tone: Tone) -> Told {
    match row {
        Row::Waiter(waiter) => of(waiter, what, tone),
        Row::Lease(lease) => {
            let (client, subject) = (lease.client.clone(), lease.lease_id.to_string());
            Told {
                client,
                what,
                subject,
                tone,
            }
        }
    }
}
