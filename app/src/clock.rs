//! The window's clock: milliseconds since the Unix epoch that never jump between two readings, so
//! that what was turned into an instant once stays right.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// How far the system's clock may run away (set by hand, or after a suspend) before it is followed.
const DRIFT_MS: i64 = 500;

/// See the module.
#[derive(Clone, Copy, Debug)]
pub struct WindowClock {
    started: Instant,
    /// The system's time at `started`.
    base_ms: i64,
}

impl WindowClock {
    /// Starts with the system's time.
    #[must_use]
    pub fn start() -> Self {
        Self {
            started: Instant::now(),
            base_ms: system_ms(),
        }
    }

    /// Since the start: the monotonic clock that the snapshot's rows are kept on.
    #[must_use]
    pub fn monotonic_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// What time it is.
    #[must_use]
    pub fn now_ms(&self) -> i64 {
        self.at(self.monotonic_ms())
    }

    /// What time it was when [`Self::monotonic_ms`] said so.
    #[must_use]
    pub fn at(&self, monotonic_ms: u64) -> i64 {
        self.base_ms.saturating_add_unsigned(monotonic_ms)
    }

    /// Follows the system's clock where that has jumped; true when every instant is another now.
    pub fn follow(&mut self) -> bool {
        let jump = system_ms() - self.now_ms();
        let jumped = jump.abs() > DRIFT_MS;
        if jumped {
            self.base_ms += jump;
        }
        jumped
    }
}

/// A time as the broker writes it, in milliseconds since the Unix epoch; nothing for what is none.
#[must_use]
pub fn rfc3339_ms(text: &str) -> Option<i64> {
    text.parse::<jiff::Timestamp>()
        .ok()
        .map(|at| at.as_millisecond())
}

/// What a time is in milliseconds since the Unix epoch.
#[must_use]
pub fn unix_ms(time: SystemTime) -> i64 {
    match time.duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
        Err(before) => -i64::try_from(before.duration().as_millis()).unwrap_or(i64::MAX),
    }
}

fn system_ms() -> i64 {
    unix_ms(SystemTime::now())
}
