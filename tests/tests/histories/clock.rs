//! The clock that all processes of a run share.

use crate::record::Ns;

/// Nanoseconds since the host booted: comparable between processes, and never set.
pub fn now() -> Ns {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the pointer is to a `timespec` that outlives the call.
    let failed = unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    assert_eq!(failed, 0, "every Linux has a monotonic clock");
    let unsigned = |number: i64| u64::try_from(number).expect("it counts from 0");
    unsigned(time.tv_sec) * 1_000_000_000 + unsigned(time.tv_nsec)
}
