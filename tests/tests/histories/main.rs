//! Histories: clients and faults at random, and a judge of all that was seen.
//!
//! Processes act out clients over HTTP while the broker is killed, stopped and replaced by other
//! programs, while its disk fills up and its wall clock is set, and while some of them are killed and
//! stopped too; each writes down what it sent and was answered, with the instants. The judge holds all of
//! it against the promises (`judge.rs`). The same clients in virtual time, before brokers that
//! break one promise each, show that the judge notices (`sim.rs`).
//!
//! - `cargo test -p warden-tests --test histories` kills the broker thirty times.
//! - `cargo xtask torture --crashes 1000` is the long form.

#![allow(
    clippy::expect_used,
    reason = "what a test expects and does not get fails the test"
)]

mod actor;
mod chance;
mod client;
mod clock;
mod director;
#[path = "../../../cli/tests/program/installed.rs"]
#[allow(clippy::unwrap_used, reason = "this is a test")]
mod installed;
mod judge;
mod onlooker;
mod options;
mod record;
mod report;
mod rules;
mod sim;
#[path = "../../../broker/tests/stand/space.rs"]
#[allow(
    clippy::unwrap_used,
    dead_code,
    reason = "this is a test, and not one of those in there"
)]
mod space;
mod wall;

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result};

use self::director::Plan;
use self::judge::judge;
use self::options::{Job, Options};
use self::record::History;
use self::report::Report;
use self::sim::broken::Broken;

/// A broken broker is noticed within so many histories; most are in the first.
const HISTORIES: u64 = 400;
/// Room for a journal, soon taken.
const DISK: &str = "16m";
/// And a real one whose journal is cut within so many crashes.
const CUT_CRASHES: u32 = 4;

fn main() -> ExitCode {
    let job = match Job::parse(std::env::args().skip(1)) {
        Ok(Some(job)) => job,
        Ok(None) => return ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("{problem}\n{}", options::USAGE);
            return ExitCode::from(64);
        }
    };
    let done = match job {
        Job::Client(options) => client::run(&options).map(|()| true),
        Job::Judge(file) => judge_file(&file),
        Job::Real(options, disk) => real(&options, Some(&disk)),
        Job::All(options) => all(&options),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether all went as it must.
fn all(options: &Options) -> Result<bool> {
    println!("seed {}", options.seed);
    let broken = Broken::ALL.iter();
    let noticed: Option<Vec<u64>> = broken.map(|broken| notice(*broken, options.seed)).collect();
    // At least as many as it took to notice the one that is noticed last.
    let longest = noticed.iter().flatten().copied().max().unwrap_or(0);
    let sound = acquit(options.simulated.max(longest), options.seed)?;
    let noticed = noticed.is_some() && notice_real(options.seed)?;
    Ok(everywhere(options)? && noticed && sound)
}

/// Whether the real broker keeps its promises on this machine's disk and, for a third of all crashes,
/// on one that fills up.
fn everywhere(options: &Options) -> Result<bool> {
    let folder = tempfile::tempdir()?;
    let here = match space::small_disk(folder.path(), DISK) {
        Err(why) => space::do_without(&why) & real(options, None)?,
        Ok(mut there) => {
            let crashes = options.crashes / 3;
            let here = Options {
                crashes: options.crashes - crashes,
                ..*options
            };
            let here = real(&here, None)?;
            there
                .arg(std::env::current_exe()?)
                .args(["--crashes", &crashes.to_string()])
                .args(["--at-once", &options.crashes_at_once.to_string()])
                .args(["--seed", &options.seed.to_string()])
                .arg("--disk")
                .arg(folder.path().join("data"));
            here & there.status()?.success()
        }
    };
    Ok(here)
}

/// Whether the judge notices a real broker whose journal loses its end in each crash.
fn notice_real(seed: u64) -> Result<bool> {
    println!("a real broker whose journal loses its end in a crash");
    let plan = Plan {
        seed,
        crashes: CUT_CRASHES,
        socket: true,
        replaces: false,
        disk: None,
        forgets: true,
    };
    let verdict = judge(&director::run(&plan)?.history);
    report::print_breaches(&verdict);
    Ok(!verdict.breaches.is_empty())
}

/// In which history the judge has noticed each law that a broker breaks which is broken so; nothing
/// where it has not.
fn notice(broken: Broken, seed: u64) -> Option<u64> {
    println!("a broker that {}", broken.words());
    let mut laws = broken.laws().to_vec();
    for number in 1..=HISTORIES {
        let verdict = judge(&sim::run(seed.wrapping_add(number), Some(broken)));
        laws.retain(|law| {
            let found = verdict.breaches.iter().find(|breach| breach.law == *law);
            if let Some(breach) = found {
                println!("    in history {number}: {breach}");
            }
            found.is_none()
        });
        if laws.is_empty() {
            return Some(number);
        }
    }
    println!("    NOT NOTICED in {HISTORIES} histories: {laws:?}");
    None
}

/// Whether the judge finds nothing in so many histories of the broker as it is.
fn acquit(histories: u64, seed: u64) -> Result<bool> {
    for number in 1..=histories {
        let history = sim::run(seed.wrapping_add(number), None);
        let verdict = judge(&history);
        if !verdict.breaches.is_empty() {
            let file = keep(&history)?;
            println!(
                "a simulated history of a sound broker, kept in {}:",
                file.display()
            );
            report::print_breaches(&verdict);
            return Ok(false);
        }
    }
    println!("{histories} simulated histories of a sound broker: nothing found");
    Ok(true)
}

/// Whether the real broker keeps its promises, on that disk if it is given one to fill.
fn real(options: &Options, disk: Option<&Path>) -> Result<bool> {
    let mut report = Report::default();
    let mut left = options.crashes;
    for number in 0.. {
        if left == 0 {
            break;
        }
        let crashes = left.min(options.crashes_at_once);
        left -= crashes;
        let plan = Plan {
            seed: options.seed.wrapping_add(number),
            crashes,
            socket: number % 2 == 0,
            // Of a program on a disk of name spaces it is not always plain whose folders it is in.
            replaces: disk.is_none(),
            disk: disk.map(Path::to_owned),
            forgets: false,
        };
        let run = director::run(&plan).with_context(|| format!("history of {plan:?}"))?;
        let verdict = judge(&run.history);
        if !verdict.breaches.is_empty() {
            let file = keep(&run.history)?;
            println!("{plan:?}, kept in {}:", file.display());
            report::print_breaches(&verdict);
        }
        report.take_in(&run, &verdict);
    }
    println!("{}", report.to_json());
    Ok(report.is_clean())
}

/// Writes a history where it can be judged again.
fn keep(history: &History) -> Result<std::path::PathBuf> {
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"));
    let file = folder.join(format!("history-{}.json", history.seed));
    std::fs::write(&file, serde_json::to_vec(history)?)?;
    Ok(file)
}

fn judge_file(file: &std::path::Path) -> Result<bool> {
    let history: History = serde_json::from_slice(&std::fs::read(file)?)?;
    let verdict = judge(&history);
    report::print_breaches(&verdict);
    println!("{} breaches", verdict.breaches.len());
    Ok(verdict.breaches.is_empty())
}
