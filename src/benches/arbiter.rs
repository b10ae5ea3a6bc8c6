//! decide + apply with 1,000, 10,000 and 100,000 waiters held constant: one line of JSON each.
//!
//! Measured in CPU time of this thread, so that what else runs on the machine does not count.

use std::time::Duration;

use warden::snapshot::About;
use warden::workload::Workload;

const COMMANDS: u64 = 1_500_000;
const SEED: u64 = 20_250_101;

fn main() {
    for waiters in [1_000, 10_000, 100_000] {
        let mut workload = Workload::new(waiters, SEED);
        // Until the remembered requests and the pattern of shares are those of a long run.
        workload.measure(COMMANDS / 4, &thread_time);
        let measured = workload.measure(COMMANDS, &thread_time);
        let seconds = measured.took.as_secs_f64();
        let about = About { version: String::new(), started_at: String::new() };
        let start = thread_time();
        let status = workload.arbiter().status(workload.now(), &about, &|_| String::new());
        let status_ms = (thread_time() - start).as_secs_f64() * 1e3;
        println!(
            "{{\"n\":{waiters},\"waiters_at_end\":{},\"commands\":{},\"commands_per_s\":{:.0},\
             \"ns_per_command\":{:.1},\"facts\":{},\"hand_offs\":{},\"status_ms\":{status_ms:.2},\
             \"status_waiters\":{},\"checksum\":\"{:016x}\"}}",
            workload.waiters(),
            measured.commands,
            measured.commands as f64 / seconds,
            seconds * 1e9 / measured.commands as f64,
            measured.facts,
            measured.grants,
            status.queue.len(),
            workload.checksum(),
        );
    }
}

/// How long this thread has run.
fn thread_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a local of the type that the call writes.
    let failed = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    assert_eq!(failed, 0, "this system has no clock for a thread's CPU time");
    Duration::new(time.tv_sec.cast_unsigned(), time.tv_nsec.cast_unsigned() as u32)
}
