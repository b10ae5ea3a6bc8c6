//! Which waiters are shown, and in which order. Worked out once a projection, not once a frame.

use std::cmp::Ordering;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use warden_toolkit::egui::{Context, Id};
use warden_view::{Column, Sort, Waiter};

use crate::scene::Scene;

/// Places in the queue, from 0; `None` for all of them in order of turn.
pub(super) fn rows(ctx: &Context, scene: &Scene<'_>) -> Option<Arc<Vec<u32>>> {
    let (filter, sort) = (scene.memory.filter.trim(), scene.memory.sort);
    if filter.is_empty() && sort == Sort::default() {
        return None;
    }
    let mut hasher = DefaultHasher::new();
    (scene.picture.serial, filter, sort.column, sort.descending).hash(&mut hasher);
    let key = hasher.finish();
    let id = Id::unique("warden queue order");
    // Only types of std may be kept here: those of this library are other types in its next
    // generation.
    let kept = ctx.data(|data| data.get_temp::<(u64, Arc<Vec<u32>>)>(id));
    if let Some((_, rows)) = kept.filter(|(kept, _)| *kept == key) {
        return Some(rows);
    }
    let rows = Arc::new(work_out(scene, filter, sort));
    ctx.data_mut(|data| data.insert_temp(id, (key, rows.clone())));
    Some(rows)
}

fn work_out(scene: &Scene<'_>, filter: &str, sort: Sort) -> Vec<u32> {
    let queue = &scene.picture.queue;
    let needle = filter.to_lowercase();
    let mut rows: Vec<u32> = (0..u32::try_from(queue.len()).unwrap_or(u32::MAX))
        .filter(|at| needle.is_empty() || waiter_matches(scene, &queue[*at as usize], &needle))
        .collect();
    if sort.column != Column::Place {
        rows.sort_by(|a, b| {
            let order = compare(sort.column, &queue[*a as usize], &queue[*b as usize]);
            if sort.descending {
                order.reverse()
            } else {
                order
            }
            .then(a.cmp(b))
        });
    } else if sort.descending {
        rows.reverse();
    }
    rows
}

fn compare(column: Column, a: &Waiter, b: &Waiter) -> Ordering {
    match column {
        Column::Place => Ordering::Equal,
        Column::Client => a.client.cmp(&b.client),
        Column::Priority => a.priority.cmp(&b.priority),
        Column::Asks => (a.gpus, a.vram_mib).cmp(&(b.gpus, b.vram_mib)),
        // Who came first has waited longest, and the shortest wait comes first.
        Column::Waited => b.arrived_ms.cmp(&a.arrived_ms),
        Column::TimeLeft => a.times_out_ms.cmp(&b.times_out_ms),
        Column::Passed => a.passed.cmp(&b.passed),
        Column::Why => a.why.text.cmp(&b.why.text),
    }
}

fn waiter_matches(scene: &Scene<'_>, waiter: &Waiter, needle: &str) -> bool {
    let texts = [
        &waiter.client,
        &waiter.why.text,
        &waiter.request,
        &waiter.operation,
    ];
    texts.into_iter().any(|text| contains(text, needle))
        || scene
            .priority_name(waiter.priority)
            .is_some_and(|name| contains(name, needle))
}

/// Whether a text contains a needle that is in lower case already, in any case.
pub(crate) fn contains(text: &str, needle: &str) -> bool {
    if !text.is_ascii() || !needle.is_ascii() {
        return text.to_lowercase().contains(needle);
    }
    let (text, needle) = (text.as_bytes(), needle.as_bytes());
    needle.is_empty()
        || text
            .windows(needle.len())
            .any(|window| window.eq_ignore_ascii_case(needle))
}
