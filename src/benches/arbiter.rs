//! decide + apply with 1,000, 10,000 and 100,000 waiters held constant: one line of JSON each.
//!
//! Measured in CPU time of this thread, and of fifteen rounds the fastest counts (the median stands
//! beside it): what else runs on the machine only ever slows it down, through the caches it shares.

use std::time::Duration;

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
        let mut rounds: Vec<Measured> = (0..ROUNDS)
            .map(|_| workload.measure(COMMANDS, &thread_time))
            .collect();
        rounds.sort_by_key(|round| round.took);
        let ns = |round: &Measured| round.took.as_secs_f64() * 1e9 / round.commands as f64;
        let (best, median) = (ns(&rounds[0]), ns(&rounds[ROUNDS / 2]));
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
             \"ns_per_command\":{best:.1},\"ns_per_command_median\":{median:.1},\"facts\":{},\
             \"hand_offs\":{},\"status_ms\":{status_ms:.2},\"status_waiters\":{},\
             \"checksum\":\"{:016x}\"}}",
            workload.waiters(),
            rounds.iter().map(|round| round.commands).sum::<u64>(),
            1e9 / best,
            rounds.iter().map(|round| round.facts).sum::<u64>(),
            rounds.iter().map(|round| round.grants).sum::<u64>(),
            status.queue.len(),
            workload.checksum(),
        );
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
