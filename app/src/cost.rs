//! What a piece of a frame cost: the CPU time of this thread, which waiting does not add to.

use std::time::Duration;

/// A reading of the thread's CPU clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct ThreadClock(Duration);

impl ThreadClock {
    /// Now.
    #[must_use]
    pub fn start() -> Self {
        let mut now = libc::timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        // SAFETY: the clock exists on every Unix, and `now` is written to.
        unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut now) };
        let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
        Self(Duration::new(
            seconds,
            u32::try_from(now.tv_nsec).unwrap_or(0),
        ))
    }

    /// CPU time of this thread since then.
    #[must_use]
    pub fn elapsed(self) -> Duration {
        Self::start().0.saturating_sub(self.0)
    }
}
