//! The programs, and what they wanted when.

use warden::Operation;

pub const DAY_MS: u64 = 24 * 60 * 60 * 1000;

const TRACE: &str = include_str!("trace.txt");

/// A program as it introduces itself to a broker.
#[derive(Debug)]
pub struct Program {
    pub name: &'static str,
    /// The policy's name for it, or nothing for the default.
    pub priority: Option<&'static str>,
    pub operation: &'static str,
    /// How long it is ready to wait. The seeds' own kernel waits 120 s; a load is watched by nobody,
    /// and the dreamer has all day.
    pub patience_ms: u64,
    /// What it keeps in the GPU's memory.
    pub vram_mib: u64,
}

pub const PROGRAMS: [Program; 5] = [
    Program {
        name: "mic",
        priority: Some("mic"),
        operation: Operation::INFERENCE,
        patience_ms: 120_000,
        vram_mib: 2_048,
    },
    Program {
        name: "console",
        priority: Some("console"),
        operation: Operation::INFERENCE,
        patience_ms: 120_000,
        vram_mib: 7_168,
    },
    Program {
        name: "loader-a",
        priority: None,
        operation: Operation::MODEL_LOAD,
        patience_ms: 300_000,
        vram_mib: 9_216,
    },
    Program {
        name: "loader-b",
        priority: None,
        operation: Operation::MODEL_LOAD,
        patience_ms: 300_000,
        vram_mib: 9_216,
    },
    Program {
        name: "dreamer",
        priority: Some("dreamer"),
        operation: Operation::INFERENCE,
        patience_ms: 3_600_000,
        vram_mib: 6_144,
    },
];

/// A piece of work.
#[derive(Clone, Copy, Debug)]
pub struct Work {
    pub at_ms: u64,
    /// Which of [`PROGRAMS`].
    pub program: usize,
    pub works_ms: u64,
}

/// The day, by time.
pub fn trace() -> Vec<Work> {
    let lines = TRACE.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| parse(line).expect(line)).collect()
}

fn parse(line: &str) -> Option<Work> {
    let mut words = line.split(' ');
    let at_ms = words.next()?.parse().ok()?;
    let name = words.next()?;
    let works_ms = words.next()?.parse().ok()?;
    let program = PROGRAMS.iter().position(|program| program.name == name)?;
    Some(Work {
        at_ms,
        program,
        works_ms,
    })
}
