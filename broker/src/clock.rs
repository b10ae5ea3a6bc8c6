//! The broker's clock: what every duration runs on.
//!
//! It is the monotonic clock, which stands still in suspend, and it goes on from the last fact in
//! the journal. It also stands still while the process itself was stopped: leases are renewed and
//! waiters come back through this process, so time in which nobody could reach it counts for
//! nobody.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use warden::Now;

/// How often the clock is read at least, while anything depends on it.
pub(crate) const BEAT: Duration = Duration::from_millis(250);
/// Two readings further apart than this: the process did not run in between.
const STOPPED: Duration = Duration::from_secs(1);

/// The clock. One thread reads it.
#[derive(Debug)]
pub(crate) struct Clock {
    /// What it showed when it was last read.
    shown: Duration,
    /// When that was.
    read_at: Instant,
    face: Arc<Face>,
}

/// What the other threads see of the clock.
#[derive(Debug)]
pub(crate) struct Face {
    epoch: Instant,
    /// From the time since `epoch` to what the clock shows, in milliseconds.
    offset_ms: AtomicI64,
}

impl Face {
    /// The time.
    pub(crate) fn now(&self) -> Now {
        let running_ms = signed(millis(self.epoch.elapsed()));
        let clock_ms = running_ms.saturating_add(self.offset_ms.load(Ordering::Relaxed));
        Now {
            clock_ms: u64::try_from(clock_ms).unwrap_or_default(),
            wall_ms: wall_ms(),
        }
    }

    fn set(&self, shown: Duration, at: Instant) {
        let running_ms = millis(at.saturating_duration_since(self.epoch));
        let offset_ms = signed(millis(shown)).saturating_sub(signed(running_ms));
        self.offset_ms.store(offset_ms, Ordering::Relaxed);
    }
}

impl Clock {
    /// A clock that goes on from `clock_ms`.
    pub(crate) fn from(clock_ms: u64) -> Self {
        let now = Instant::now();
        let shown = Duration::from_millis(clock_ms);
        let face = Face {
            epoch: now,
            offset_ms: AtomicI64::new(signed(clock_ms)),
        };
        Self {
            shown,
            read_at: now,
            face: Arc::new(face),
        }
    }

    /// What other threads read it by.
    pub(crate) fn face(&self) -> Arc<Face> {
        Arc::clone(&self.face)
    }

    /// The time.
    pub(crate) fn read(&mut self) -> Now {
        self.advance(Instant::now());
        self.face.set(self.shown, self.read_at);
        Now {
            clock_ms: millis(self.shown),
            wall_ms: wall_ms(),
        }
    }

    /// From now until it shows `clock_ms`.
    pub(crate) fn until(&self, clock_ms: u64) -> Duration {
        let shown = self.shown + self.read_at.elapsed();
        Duration::from_millis(clock_ms).saturating_sub(shown)
    }

    fn advance(&mut self, now: Instant) {
        let gap = now.saturating_duration_since(self.read_at);
        self.read_at = now;
        self.shown += if gap > STOPPED { BEAT } else { gap };
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn signed(millis: u64) -> i64 {
    i64::try_from(millis).unwrap_or(i64::MAX)
}

/// The system's monotonic clock, which programs of one process share.
pub(crate) fn monotonic_ms() -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is there to be written to; the clock exists on every Linux.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    let (s, ns) = (u64::try_from(time.tv_sec), u64::try_from(time.tv_nsec));
    s.unwrap_or(0) * 1_000 + ns.unwrap_or(0) / 1_000_000
}

pub(crate) fn wall_ms() -> u64 {
    let wall = SystemTime::now().duration_since(UNIX_EPOCH);
    millis(wall.unwrap_or_default())
}

/// Unix milliseconds as RFC 3339 in UTC, always to the millisecond: of two times the later one
/// sorts after the other as text too.
pub(crate) fn rfc3339(wall_ms: u64) -> String {
    let at = i64::try_from(wall_ms)
        .ok()
        .and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    at.map_or_else(
        || "9999-12-31T23:59:59.999Z".to_owned(),
        |at| format!("{at:.3}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_stands_still_while_the_process_is_stopped() {
        let mut clock = Clock::from(5_000);
        let start = clock.read_at;
        clock.advance(start + Duration::from_millis(900));
        assert_eq!(clock.shown, Duration::from_millis(5_900));
        clock.advance(start + Duration::from_millis(900) + Duration::from_secs(3_600));
        assert_eq!(clock.shown, Duration::from_millis(6_150));
        clock.advance(start);
        assert_eq!(clock.shown, Duration::from_millis(6_150), "never back");
    }

    #[test]
    fn times_of_day_are_utc() {
        assert_eq!(rfc3339(1_500), "1970-01-01T00:00:01.500Z");
        assert_eq!(rfc3339(u64::MAX), "9999-12-31T23:59:59.999Z");
        assert!(rfc3339(1_740) < rfc3339(1_741), "as text too");
        assert!(rfc3339(1_000) < rfc3339(1_001), "as text too");
    }
}
