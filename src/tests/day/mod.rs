//! One day of five programs, played in virtual time under old rules and new.
//!
//! The old rules are those that the seeds tell of: one lock, first come first served, and a time-out
//! after which the program gives that piece of work up. The new ones are the arbiter itself with its
//! default policy, driven as a broker drives it. A program wants one thing at a time: what it would
//! have begun while it still waits or works, it begins after.

mod fifo;
mod ours;
mod play;
mod trace;

use std::collections::BTreeMap;

pub use self::play::Played;
pub use self::trace::{DAY_MS, PROGRAMS, Program, trace};

/// What the programs live under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rules {
    /// One lock and 60 s.
    Old,
    /// What the seeds did about it: 120 s.
    OldLonger,
    /// One lock, and as long as each program is ready to wait: two minutes to an hour.
    OldPatient,
    /// The arbiter. Everybody takes the whole GPU, and nobody says how long it is ready to wait.
    OursUnsaid,
    /// The arbiter. Everybody takes the whole GPU, and says how long it is ready to wait.
    Ours,
    /// The arbiter. Everybody says how much memory it needs, and shares; nobody says how long it is
    /// ready to wait.
    OursShared,
}

impl Rules {
    pub const ALL: [Self; 6] = [
        Self::Old,
        Self::OldLonger,
        Self::OldPatient,
        Self::OursUnsaid,
        Self::Ours,
        Self::OursShared,
    ];

    pub const fn words(self) -> &'static str {
        match self {
            Self::Old => "one FIFO lock, 60 s",
            Self::OldLonger => "one FIFO lock, 120 s",
            Self::OldPatient => "one FIFO lock, patience",
            Self::OursUnsaid => "ours, the default time-outs",
            Self::Ours => "ours, the same patience",
            Self::OursShared => "ours, the default time-outs, sharing its memory",
        }
    }

    /// Lives the day.
    pub fn play(self) -> Played {
        let limit = |limit_ms| move |_: &Program| limit_ms;
        match self {
            Self::Old => play::play(fifo::Fifo::new(limit(60_000))),
            Self::OldLonger => play::play(fifo::Fifo::new(limit(120_000))),
            Self::OldPatient => {
                play::play(fifo::Fifo::new(|program: &Program| program.patience_ms))
            }
            Self::OursUnsaid => play::play(ours::Ours::new(ours::Says::Nothing)),
            Self::Ours => play::play(ours::Ours::new(ours::Says::Patience)),
            Self::OursShared => play::play(ours::Ours::new(ours::Says::Memory)),
        }
    }
}

/// What became of a program's day.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// From asking to the grant, of what was served.
    pub waits_ms: Vec<u64>,
    pub timed_out: u64,
    pub worked_ms: u64,
}

impl Tally {
    /// The wait that this part of all does not exceed, in seconds; 0 of nothing.
    pub fn wait_s(&self, part: f64) -> f64 {
        let mut waits = self.waits_ms.clone();
        waits.sort_unstable();
        let rank = ((waits.len() as f64 * part).ceil() as usize).max(1);
        waits
            .get(rank - 1)
            .map_or(0.0, |&wait_ms| wait_ms as f64 / 1000.0)
    }
}

/// By program, in the order of [`PROGRAMS`].
pub type Tallies = BTreeMap<usize, Tally>;
