//! What can be wrong with a new generation.

use warden_reload::Stage;

use crate::chameleons::{library, patched, told};

/// A number that nobody could have guessed, the same in every run of one seed (xorshift64*).
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// From 0 up to, and without, `below`.
    pub fn roll(&mut self, below: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let drawn = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(drawn).unwrap() % below
    }
}

/// See [`ALL`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Poison {
    Truncated,
    FlippedAfterBuild,
    OtherCompiler,
    MissingSymbol,
    WrongSchema,
    PanicAtFrame1,
    PanicAtFrame30,
    PanicAtFrame100,
    PanicInRehearsal,
    Segfault,
    EndlessLoop,
    MemoryBalloon,
}

/// Every kind.
pub const ALL: [Poison; 12] = [
    Poison::Truncated,
    Poison::FlippedAfterBuild,
    Poison::OtherCompiler,
    Poison::MissingSymbol,
    Poison::WrongSchema,
    Poison::PanicAtFrame1,
    Poison::PanicAtFrame30,
    Poison::PanicAtFrame100,
    Poison::PanicInRehearsal,
    Poison::Segfault,
    Poison::EndlessLoop,
    Poison::MemoryBalloon,
];

impl Poison {
    /// The stage at which it must be stopped.
    pub fn stopped_at(self) -> Stage {
        match self {
            Self::Truncated | Self::MissingSymbol => Stage::Load,
            Self::FlippedAfterBuild | Self::OtherCompiler | Self::WrongSchema => Stage::Check,
            Self::PanicInRehearsal | Self::Segfault | Self::EndlessLoop | Self::MemoryBalloon => {
                Stage::Rehearse
            }
            Self::PanicAtFrame1 | Self::PanicAtFrame30 => Stage::Probation,
            Self::PanicAtFrame100 => Stage::Trusted,
        }
    }

    /// The frame at which it shows, for what is taken into use at first.
    pub fn frame(self) -> Option<u32> {
        match self {
            Self::PanicAtFrame1 => Some(1),
            Self::PanicAtFrame30 => Some(30),
            Self::PanicAtFrame100 => Some(100),
            _ => None,
        }
    }

    /// What a build of it leaves.
    pub fn library(self, serial: u32, dice: &mut Dice) -> Vec<u8> {
        let told = |mode, frame| told(library(false), mode, frame, serial);
        let good = told("good", 0);
        match self {
            Self::Truncated => good[..dice.roll(good.len())].to_vec(),
            Self::FlippedAfterBuild => good,
            Self::OtherCompiler => patched(&good, b"rustc rustc 1.", 14, b"rustc rustc 0."),
            Self::MissingSymbol => patched(&good, b"tiny_draw\0", 10, b"tiny_drow\0"),
            Self::WrongSchema => patched(&good, b"place: u64", 10, b"place: i64"),
            Self::PanicAtFrame1 => told("panic", 1),
            Self::PanicAtFrame30 => told("panic", 30),
            Self::PanicAtFrame100 => told("panic", 100),
            Self::PanicInRehearsal => told("panic", 0),
            Self::Segfault => told("segfault", 0),
            Self::EndlessLoop => told("loop", 0),
            Self::MemoryBalloon => told("balloon", 0),
        }
    }
}
