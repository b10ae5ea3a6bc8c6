//! Turns what the broker told into the picture that is drawn.
//!
//! Rows that did not change are shared with the picture before, so a frame costs what changed and
//! one pass over the queue, not ten thousand conversions. Reasons follow from the whole state and
//! would cost most: those of the first rows are always of this very revision, those further down
//! are brought up to date a slice at a time, and more frames are asked for until all are.

mod mirror;
mod queue;
mod story;
mod timeline;
mod words;

pub use words::{ended as ended_words, outcome as outcome_name};

use std::collections::HashMap;
use std::sync::Arc;

use warden::snapshot::Snapshot;
use warden::{LeaseId, StreamEvent};
use warden_view::{Draining, Gpu, Holder, Picture, Rules, Summary, Text};

use crate::clock::{WindowClock, rfc3339_ms};
use mirror::Mirror;
use queue::Queue;
use story::Story;
use timeline::Tape;

/// What is kept from one picture to the next.
#[derive(Debug, Default)]
pub struct Projection {
    queue: Queue,
    holders: Mirror<warden::snapshot::LeaseRow, Holder>,
    /// When each holder was asked to yield, where that was seen.
    asked_ms: HashMap<LeaseId, i64>,
    tape: Tape,
    story: Story,
    /// When the last wait that ended in a grant ended, and how long it took.
    last_wait: Option<(i64, i64)>,
}

impl Projection {
    /// A snapshot has come that nothing was folded into yet. What was seen before stays in the
    /// timeline and among the events; `after_gap` the axis says that something was not seen.
    pub fn renewed(&mut self, snapshot: &Snapshot, clock: &WindowClock, after_gap: bool) {
        let now_ms = clock.now_ms();
        self.asked_ms
            .retain(|lease, _| snapshot.lease(lease).is_some());
        self.tape.renewed(snapshot, clock, now_ms, after_gap);
        self.queue.renewed();
    }

    /// An event is about to be folded into `before`.
    pub fn event(
        &mut self,
        before: &Snapshot,
        revision: u64,
        event: &StreamEvent,
        clock: &WindowClock,
    ) {
        let now_ms = clock.now_ms();
        match event {
            StreamEvent::Granted(row) => {
                let waiter = before.waiter(&row.request_id);
                let waited_ms = waiter.map(|waiter| waiter.waited_ms(clock.monotonic_ms()));
                let waited_ms = waited_ms.and_then(|waited| i64::try_from(waited).ok());
                self.last_wait = waited_ms.map(|waited| (waited, now_ms)).or(self.last_wait);
            }
            StreamEvent::YieldAsked(lease) => {
                self.asked_ms.insert(lease.lease_id.clone(), now_ms);
            }
            StreamEvent::Ended(row) => {
                if let warden::stream::Row::Lease(lease) = &row.row {
                    self.asked_ms.remove(&lease.lease_id);
                }
            }
            _ => {}
        }
        self.story.event(before, revision, event, clock);
        self.tape.event(event, now_ms);
        self.queue.touched();
    }

    /// Brings the picture up to date. True when there is more to do at the next frame.
    pub fn project(
        &mut self,
        snapshot: &Snapshot,
        clock: &WindowClock,
        picture: &mut Picture,
    ) -> bool {
        let now_ms = clock.now_ms();
        picture.broker.revision = snapshot.revision();
        picture.rules = rules(snapshot, &picture.rules);
        let more = self.queue.project(snapshot, clock, &mut picture.queue);
        let asked_ms = &self.asked_ms;
        self.holders
            .update(snapshot.leases(), |row, _| holder(row, asked_ms, clock));
        picture.holders = self
            .holders
            .iter()
            .map(|holder| (**holder).clone())
            .collect();
        picture.gpus = self.tape.gpus(snapshot, &picture.holders, now_ms);
        self.tape.depth(snapshot.depth(), now_ms);
        self.tape.show(now_ms, &mut picture.timeline);
        self.story.show(&mut picture.events);
        picture.summary = Summary::of(
            &picture.gpus,
            &picture.holders,
            &picture.queue,
            &picture.rules,
            self.last_wait,
        );
        picture.serial += 1;
        more
    }

    /// Every instant is another now: nothing of before is kept.
    pub fn clock_jumped(&mut self) {
        self.queue.forget();
        self.holders.forget();
    }
}

fn rules(snapshot: &Snapshot, former: &Rules) -> Rules {
    let policy = snapshot.policy();
    let mut named: Vec<(u8, &String)> = policy
        .priorities
        .iter()
        .map(|(name, number)| (*number, name))
        .collect();
    named.sort_unstable();
    let same = former.priorities.len() == named.len()
        && former
            .priorities
            .iter()
            .zip(&named)
            .all(|((old, old_name), (new, new_name))| old == new && **old_name == ***new_name);
    let priorities = if same {
        Arc::clone(&former.priorities)
    } else {
        named
            .into_iter()
            .map(|(number, name)| (number, Text::from(name.as_str())))
            .collect()
    };
    Rules {
        priorities,
        max_bypass: policy.max_bypass,
    }
}

fn holder(
    row: &warden::snapshot::LeaseRow,
    asked_ms: &HashMap<LeaseId, i64>,
    clock: &WindowClock,
) -> Holder {
    let lease = &row.status;
    let seen_ms = clock.at(row.seen_ms);
    Holder {
        lease: lease.lease_id.as_str().into(),
        client: lease.client.as_str().into(),
        priority: lease.priority,
        operation: lease.operation.as_str().into(),
        gpus: lease
            .gpu_ids
            .iter()
            .map(|id| Text::from(id.as_str()))
            .collect(),
        vram_mib: lease.vram_mib,
        pid: lease.pid,
        host: lease.host.as_str().into(),
        granted_ms: seen_ms.saturating_sub_unsigned(lease.held_ms),
        ttl_ms: lease.ttl_ms,
        expires_ms: seen_ms.saturating_add_unsigned(lease.expires_in_ms),
        yield_asked: lease.yield_asked,
        yield_asked_ms: asked_ms
            .get(&lease.lease_id)
            .copied()
            .filter(|_| lease.yield_asked),
    }
}

fn gpu(
    status: &warden::wire::GpuStatus,
    state: warden_view::GpuState,
    since_ms: Option<i64>,
) -> Gpu {
    Gpu {
        id: status.id.as_str().into(),
        index: status.index,
        name: status.name.as_str().into(),
        source: status.source.as_str().into(),
        simulated: status.simulated,
        vram_total_mib: status.vram_total_mib,
        vram_used_mib: None,
        load_percent: None,
        state,
        leases: status
            .lease_ids
            .iter()
            .map(|id| Text::from(id.as_str()))
            .collect(),
        since_ms,
        draining: status.draining.first().map(|drain| Draining {
            client: drain.client.as_str().into(),
            pid: drain.pid,
            until_ms: rfc3339_ms(&drain.until),
        }),
    }
}
