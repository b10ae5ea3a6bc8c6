//! What a run came to.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use crate::poison::Poison;

/// Counts.
#[derive(Default)]
pub struct Tally {
    /// New generations that were good and stayed.
    pub good: u64,
    /// What was wrong, and how often.
    pub poisoned: BTreeMap<Poison, u64>,
    /// Where it was stopped.
    pub stopped: BTreeMap<String, u64>,
    /// How often the state was the same before and after something was stopped.
    pub state_equal: u64,
    /// Promises that were broken, the first few in words.
    pub broken: Vec<String>,
    pub broken_count: u64,
    /// Copying, mapping and finding symbols.
    pub load: Vec<Duration>,
    /// Waiting for hot-lib-reloader's watcher.
    pub watch_wait: Vec<Duration>,
    /// Rehearsing in a child.
    pub child: Vec<Duration>,
    /// All that the design's budget is for: check, load, migrate, rehearse here and swap.
    pub budgeted: Vec<Duration>,
    /// Builds that are mapped.
    pub loaded: u32,
    /// Bytes of address space of one.
    pub mapped_bytes: u64,
    /// Resident memory at the first generation and at the end, in bytes: all of it, and what no
    /// file stands behind.
    pub resident: [[u64; 2]; 2],
    /// The most copies of libraries that were seen in staging between two reloads.
    pub staged_max: usize,
    pub staged_left: usize,
    pub wall: Duration,
}

impl Tally {
    pub fn is_broken(&self) -> bool {
        self.broken_count > 0
    }

    /// A promise was broken.
    pub fn broke(&mut self, what: String) {
        self.broken_count += 1;
        if self.broken.len() < 20 {
            eprintln!("{what}");
            self.broken.push(what);
        }
    }

    pub fn json(&self, reloads: u64) -> Value {
        let poisoned: BTreeMap<String, u64> = self
            .poisoned
            .iter()
            .map(|(kind, count)| (format!("{kind:?}"), *count))
            .collect();
        let [first, last] = self.resident;
        let growth =
            |kind: usize| last[kind].saturating_sub(first[kind]) / u64::from(self.loaded.max(1));
        json!({
            "reloads": reloads,
            "survivors": self.good,
            "poisoned_total": self.poisoned.values().sum::<u64>(),
            "poisoned": poisoned,
            "stopped_at": self.stopped,
            "state_equal_before_and_after": self.state_equal,
            "broken": self.broken_count,
            "broken_first": self.broken,
            "loaded": self.loaded,
            "mapped_bytes_a_generation": self.mapped_bytes,
            "resident_growth_bytes_a_generation": growth(0),
            "private_growth_bytes_a_generation": growth(1),
            "resident_bytes": [first[0], last[0]],
            "staged_copies_max": self.staged_max,
            "staged_copies_left": self.staged_left,
            "load_ms": spread(&self.load),
            "watch_wait_ms": spread(&self.watch_wait),
            "child_ms": spread(&self.child),
            "budgeted_ms": spread(&self.budgeted),
            "wall_s": self.wall.as_secs(),
        })
    }
}

/// Median and 99th percentile in milliseconds.
fn spread(times: &[Duration]) -> Value {
    let mut times = times.to_vec();
    times.sort();
    let at = |part: f64| {
        // The casts are of small counts.
        let place = (times.len().saturating_sub(1) as f64 * part) as usize;
        let time = times.get(place).copied().unwrap_or_default();
        (time.as_secs_f64() * 1e6).round() / 1e3
    };
    json!({ "median": at(0.5), "p99": at(0.99) })
}
