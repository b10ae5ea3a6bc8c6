//! The run itself: a host that reloads, draws, and compares.

use std::path::PathBuf;
use std::time::{Duration, Instant};
use std::{env, fs};

use tempfile::TempDir;
use warden_reload::{
    BuildCommand, Child, Failure, HotModule, HotReloader, Outcome, Probation, Rehearsed, Snapshot,
    Stage, Start,
};

use crate::chameleons::{draw, library, module, told, write_unnoticed};
use crate::poison::{ALL, Dice, Poison};
use crate::tally::Tally;
use crate::workshop::{STAMP, staged_copies};

/// A rehearsal that has not ended by then is an endless loop.
const DEADLINE: Duration = Duration::from_secs(2);
const MEMORY_MAX: u64 = 128 << 20;
/// The design's frames; its two seconds would make this an affair of hours.
const PROBATION: Probation = Probation {
    frames: 60,
    time: Duration::ZERO,
    slow: Duration::from_secs(1),
    slow_max: 3,
};

/// A host under torture.
pub struct Run {
    reloader: HotReloader,
    directory: TempDir,
    artifact: PathBuf,
    next: PathBuf,
    dice: Dice,
    tally: Tally,
    serial: u32,
}

impl Run {
    pub fn new(seed: u64) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let own = env::current_exe().unwrap();
        let [artifact, next] = ["libtiny.so", "next.so"].map(|name| directory.path().join(name));
        let reloader = HotReloader::start(Start {
            staging: directory.path().join("staging"),
            stamp: STAMP,
            wake: Box::new(|| {}),
        });
        let reloader = reloader.unwrap();
        let build = BuildCommand {
            program: own.clone(),
            arguments: ["--copy".into(), next.clone(), artifact.clone()]
                .map(|path: PathBuf| path.into_os_string().into_string().unwrap())
                .to_vec(),
            directory: directory.path().to_owned(),
            target: "tiny".to_owned(),
        };
        let child = Child {
            program: own,
            arguments: vec!["--rehearse".to_owned()],
            deadline: DEADLINE,
            memory_max: MEMORY_MAX,
        };
        let registered = reloader.register(HotModule {
            build: Some(build),
            paranoid: Some(child),
            probation: PROBATION,
            ..module("tiny", &artifact)
        });
        registered.unwrap();
        Self {
            reloader,
            directory,
            artifact,
            next,
            dice: Dice::new(seed),
            tally: Tally::default(),
            serial: 0,
        }
    }

    /// One in ten is poisoned, each kind as often as any other.
    pub fn all(mut self, reloads: u64) -> Tally {
        let began = Instant::now();
        self.good();
        self.tally.resident[0] = resident();
        let mut poisons = ALL.iter().cycle();
        for reload in 1..reloads {
            if reload % 10 == 5 {
                let poison = *poisons.next().unwrap_or(&Poison::Truncated);
                self.poisoned(poison);
            } else {
                self.good();
            }
            let copies = self.staged();
            self.tally.staged_max = self.tally.staged_max.max(copies);
            if reload % 100 == 0 {
                eprintln!("{reload} of {reloads}, {} s", began.elapsed().as_secs());
            }
        }
        let status = self.reloader.status("tiny").unwrap();
        self.tally.loaded = status.loaded;
        self.tally.mapped_bytes = status.running.map_or(0, |running| running.mapped_bytes());
        self.tally.resident[1] = resident();
        self.tally.staged_left = self.staged();
        self.tally.wall = began.elapsed();
        if self.tally.staged_max > 0 {
            let most = self.tally.staged_max;
            self.tally
                .broke(format!("{most} copies lay in staging between two reloads"));
        }
        self.tally
    }

    /// A good generation is taken, and proves itself.
    fn good(&mut self) {
        self.serial += 1;
        let bytes = told(library(false), "good", 0, self.serial);
        let outcome = self.build(&bytes);
        let number = match outcome {
            Outcome::Ready(number) => number,
            other => {
                let serial = self.serial;
                return self.tally.broke(format!("good build {serial}: {other:?}"));
            }
        };
        let frames = self.frames_before();
        let Some(generation) = self.reloader.swap("tiny") else {
            return self
                .tally
                .broke(format!("generation {number} was not swapped in"));
        };
        let timings = generation.timings();
        self.tally.load.push(timings.load);
        self.tally.watch_wait.push(timings.watch_wait);
        self.tally.child.push(timings.rehearse_child);
        let budgeted =
            timings.check + timings.load + timings.migrate + timings.rehearse + timings.swap;
        self.tally.budgeted.push(budgeted);
        if !generation.provenance().recorded
            || generation.provenance().rehearsed != Rehearsed::Child
        {
            let provenance = generation.provenance();
            self.tally
                .broke(format!("generation {number}: {provenance}"));
        }
        for frame in 1..=PROBATION.frames {
            let called = draw(&self.reloader, "tiny");
            if called.result != Ok(frames + frame) || called.rolled_back.is_some() {
                return self
                    .tally
                    .broke(format!("generation {number} at {frame}: {called:?}"));
            }
        }
        if self.reloader.is_error_state() {
            let error = self.reloader.last_error();
            self.tally
                .broke(format!("generation {number} runs well, but: {error:?}"));
        }
        self.tally.good += 1;
    }

    fn poisoned(&mut self, poison: Poison) {
        self.serial += 1;
        *self.tally.poisoned.entry(poison).or_default() += 1;
        let running = self.number();
        let before = self.memory();
        let bytes = poison.library(self.serial, &mut self.dice);
        let outcome = match poison {
            Poison::FlippedAfterBuild => self.flipped(),
            _ => self.build(&bytes),
        };
        let (failure, before) = match (outcome, poison.frame()) {
            (Outcome::Failed(failure), None) => (failure, before),
            (Outcome::Ready(_), Some(frame)) => match self.panics_at(frame, poison) {
                Some(stopped) => stopped,
                None => return,
            },
            (other, _) => return self.tally.broke(format!("{poison:?}: {other:?}")),
        };
        *self
            .tally
            .stopped
            .entry(failure.stage.to_string())
            .or_default() += 1;
        if failure.stage != poison.stopped_at() {
            self.tally
                .broke(format!("{poison:?} was stopped elsewhere: {failure}"));
        }
        if self.memory() == before {
            self.tally.state_equal += 1;
        } else {
            let after = self.memory();
            self.tally
                .broke(format!("{poison:?}: the state was {before}, is {after}"));
        }
        if self.number() != running {
            self.tally
                .broke(format!("{poison:?}: {running:?} does not run on"));
        }
        if !self.reloader.is_error_state() || self.reloader.swap("tiny").is_some() {
            self.tally.broke(format!("{poison:?} was taken after all"));
        }
        let frames = self.frames_before();
        let called = draw(&self.reloader, "tiny");
        if called.result != Ok(frames + 1) || called.rolled_back.is_some() {
            self.tally.broke(format!("{poison:?}: {called:?}"));
        }
    }

    /// Takes it into use and draws up to the panic. Gives what was told, and the state that must be
    /// there again: that of the swap, or for trusted code that of the frame before.
    fn panics_at(&mut self, frame: u32, poison: Poison) -> Option<(Failure, String)> {
        let mut expected = self.memory();
        let snapshot = expected.clone();
        let swapped = self.reloader.swap_with("tiny", || Snapshot::new(snapshot));
        if swapped.is_none() {
            self.tally.broke(format!("{poison:?} was not swapped in"));
            return None;
        }
        let at_swap = expected.clone();
        for _ in 1..frame {
            let called = draw(&self.reloader, "tiny");
            if called.result.is_err() || called.rolled_back.is_some() {
                self.tally
                    .broke(format!("{poison:?}, too early: {called:?}"));
            }
        }
        let is_trusted = poison.stopped_at() == Stage::Trusted;
        if is_trusted {
            expected = self.memory();
        }
        let Some(back) = draw(&self.reloader, "tiny").rolled_back else {
            self.tally.broke(format!("{poison:?} drew frame {frame}"));
            return None;
        };
        let given = back.snapshot.as_ref().and_then(Snapshot::get::<String>);
        if given != (!is_trusted).then_some(&at_swap) {
            self.tally
                .broke(format!("{poison:?}: the host's state was not given back"));
        }
        if !is_trusted {
            // The same file again is refused, whoever builds it.
            let again = self.reloader.load("tiny").unwrap().wait();
            if !matches!(&again, Outcome::Failed(failure) if failure.stage == Stage::Check) {
                self.tally
                    .broke(format!("{poison:?} is not in quarantine: {again:?}"));
            }
        }
        Some((back.failure, expected))
    }

    /// Flips some bytes of what was built last, and gives it the time that it had.
    fn flipped(&mut self) -> Outcome {
        let good = told(library(false), "good", 0, self.serial);
        if !matches!(self.build(&good), Outcome::Ready(_)) {
            self.tally.broke("a good build was refused".to_owned());
        }
        // Taken, and gone back from, so that what runs is what ran.
        let running = self.number();
        let _ = self.reloader.swap("tiny");
        if let Some(running) = running {
            let _ = self.reloader.roll_back("tiny", running);
        }
        let mut bytes = good;
        for _ in 0..=self.dice.roll(8) {
            let at = self.dice.roll(bytes.len());
            bytes[at] ^= 1 << self.dice.roll(8);
        }
        if bytes == told(library(false), "good", 0, self.serial) {
            bytes[0] ^= 1;
        }
        write_unnoticed(&self.artifact, &bytes);
        self.reloader.load("tiny").unwrap().wait()
    }

    fn build(&self, bytes: &[u8]) -> Outcome {
        fs::write(&self.next, bytes).unwrap();
        self.reloader.reload("tiny").unwrap().wait()
    }

    fn memory(&self) -> String {
        let captured = self.reloader.capture_state("tiny").unwrap();
        captured.map_or_else(String::new, |captured| captured.memory)
    }

    /// How many frames were drawn, by the module's memory.
    fn frames_before(&self) -> u32 {
        let memory = self.memory();
        let digits = memory
            .strip_prefix("(frames:")
            .and_then(|rest| rest.split(',').next());
        digits.and_then(|digits| digits.parse().ok()).unwrap_or(0)
    }

    fn number(&self) -> Option<u32> {
        self.reloader
            .running("tiny")
            .map(|running| running.number())
    }

    fn staged(&self) -> usize {
        staged_copies(&self.directory.path().join("staging"))
    }
}

/// Resident memory of this process in bytes: all of it, and what no file stands behind.
fn resident() -> [u64; 2] {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    ["VmRSS:", "RssAnon:"].map(|name| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        kib.unwrap_or(0) << 10
    })
}
