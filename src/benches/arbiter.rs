//! decide + apply with 1,000, 10,000 and 100,000 waiters held constant: one line of JSON each.
//!
//! Measured in CPU time of this thread, and of fifteen rounds the fastest counts (the median stands
//! beside it): what else runs on the machine only ever slows it down, through the caches it shares.
//! How much it does is seen by the bare queue beside it, whose rounds take turns with these.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use warden::arbiter::REMEMBERED;
use warden::snapshot::About;
use warden::workload::{Measured, Workload};

const ROUNDS: usize = 15;
/// In each round.
const COMMANDS: u64 = 120_000;
const SEED: u64 = 20_250_101;

fn main() {
    for waiters in [1_000, 10_000, 100_000] {
        let mut workload = Workload::new(waiters, SEED);
        // Until the remembered requests and the pattern of shares are those of a long run.
        workload.measure(360_000, &thread_time);
        let mut bare = Bare::new(waiters);
        bare.measure(360_000);
        let mut bare_best = Duration::MAX;
        let mut rounds: Vec<Measured> = Vec::new();
        for _ in 0..ROUNDS {
            rounds.push(workload.measure(COMMANDS, &thread_time));
            bare_best = bare_best.min(bare.measure(COMMANDS));
        }
        rounds.sort_by_key(|round| round.took);
        let ns = |round: &Measured| round.took.as_secs_f64() * 1e9 / round.commands as f64;
        let (best, median) = (ns(&rounds[0]), ns(&rounds[ROUNDS / 2]));
        let bare_ns = bare_best.as_secs_f64() * 1e9 / COMMANDS as f64;
        let about = About {
            version: String::new(),
            started_at: String::new(),
        };
        let start = thread_time();
        let status = workload
            .arbiter()
            .status(workload.now(), &about, &|_| String::new());
        let status_ms = (thread_time() - start).as_secs_f64() * 1e3;
        println!(
            "{{\"n\":{waiters},\"waiters_at_end\":{},\"commands\":{},\"commands_per_s\":{:.0},\
             \"ns_per_command\":{best:.1},\"ns_per_command_median\":{median:.1},\"times_bare\":{:.2},\"facts\":{},\
             \"hand_offs\":{},\"status_ms\":{status_ms:.2},\"status_waiters\":{},\
             \"checksum\":\"{:016x}\"}}",
            workload.waiters(),
            rounds.iter().map(|round| round.commands).sum::<u64>(),
            1e9 / best,
            best / bare_ns,
            rounds.iter().map(|round| round.facts).sum::<u64>(),
            rounds.iter().map(|round| round.grants).sum::<u64>(),
            status.queue.len(),
            workload.checksum(),
        );
    }
}

/// The least that any queue does for an acquire, a hand-off and a renewal, in the standard library's
/// collections and without a rule: an id is known or not, waiters stand in order of arrival, whatever
/// has a deadline is found by it, and what has ended is remembered. Nobody disconnects.
#[derive(Default)]
struct Bare {
    waiters: BTreeMap<u64, Arc<str>>,
    timeouts: BTreeMap<u64, u64>,
    leases: BTreeMap<u64, Arc<str>>,
    expiries: BTreeSet<(u64, u64)>,
    known: HashMap<Arc<str>, u64>,
    ended: VecDeque<Arc<str>>,
    ids: Vec<Arc<str>>,
    made: u64,
    granted: u64,
}

impl Bare {
    fn new(waiters: usize) -> Self {
        let mut bare = Self::default();
        for id in bare.ids(waiters + 4) {
            bare.acquire(id);
        }
        for _ in 0..4 {
            bare.grant();
        }
        bare
    }

    /// Made outside the measured time, and kept, as the workload's are.
    fn ids(&mut self, count: usize) -> Vec<Arc<str>> {
        let first = self.ids.len();
        let made = (first..first + count).map(|number| format!("request-{number}").into());
        let made: Vec<Arc<str>> = made.collect();
        self.ids.extend(made.iter().cloned());
        made
    }

    fn measure(&mut self, commands: u64) -> Duration {
        let ids = self.ids(commands as usize / 3);
        let start = thread_time();
        for id in ids {
            self.acquire(id);
            self.hand_off();
            self.renew();
        }
        thread_time() - start
    }

    fn acquire(&mut self, id: Arc<str>) {
        if self.known.contains_key(&id) {
            return;
        }
        self.made += 1;
        self.known.insert(Arc::clone(&id), self.made);
        self.waiters.insert(self.made, id);
        self.timeouts.insert(self.made, self.made);
    }

    fn grant(&mut self) {
        if let Some((made, id)) = self.waiters.pop_first() {
            self.timeouts.remove(&made);
            self.granted += 1;
            self.leases.insert(self.granted, id);
            self.expiries.insert((self.made, self.granted));
        }
    }

    fn hand_off(&mut self) {
        if let Some((token, id)) = self.leases.pop_first() {
            self.expiries.retain(|(_, whose)| *whose != token);
            self.ended.push_back(id);
            if self.ended.len() > REMEMBERED
                && let Some(oldest) = self.ended.pop_front()
            {
                self.known.remove(&oldest);
            }
        }
        self.grant();
    }

    fn renew(&mut self) {
        if let Some((_, token)) = self.expiries.pop_first() {
            self.expiries.insert((self.made, token));
        }
    }
}

/// How long this thread has run.
fn thread_time() -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the pointer is to a local of the type that the call writes.
    let failed = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    assert_eq!(
        failed, 0,
        "this system has no clock for a thread's CPU time"
    );
    Duration::new(
        time.tv_sec.cast_unsigned(),
        time.tv_nsec.cast_unsigned() as u32,
    )
}
