//! Every order of a small world: the arbiter itself, not a model of it, under stateright.
//!
//! A state is a real [`warden::Arbiter`] with the few clients around it; a step is a command, a
//! crash with the replay of its journal, or the passing of time. All states that any order of
//! steps can reach within the bounds are visited, and each must keep the laws (`model/law.rs`).
//! Each rule is then broken on purpose in a copy (`model/broken.rs`), which must be noticed.
//!
//! - `cargo test -p warden --test model` runs the small scenes, in a few seconds.
//! - `cargo test --release -p warden --test model -- --long` runs the large ones.

#![allow(
    clippy::expect_used,
    reason = "what a test expects and does not get fails the test"
)]

#[path = "model/action.rs"]
mod action;
#[path = "model/broken.rs"]
mod broken;
#[path = "model/check.rs"]
mod check;
#[path = "model/key.rs"]
mod key;
#[path = "model/law.rs"]
mod law;
#[path = "model/ledger.rs"]
mod ledger;
#[allow(dead_code, reason = "the histories ask more of it")]
mod oracle;
#[path = "model/report.rs"]
mod report;
#[path = "model/scene.rs"]
mod scene;
#[path = "model/scenes.rs"]
mod scenes;
#[path = "model/step.rs"]
mod step;
#[path = "model/tally.rs"]
mod tally;
#[path = "model/world.rs"]
mod world;

use std::process::ExitCode;
use std::time::Duration;

use self::broken::Fault;
use self::report::{Report, check};
use self::tally::{Rule, Tally};

const USAGE: &str = "\
Usage: model [--long] [--scene NAME] [--seconds N] [--threads N] [--no-faults]

  --long        the large scenes; without it the small ones
  --scene NAME  the scenes whose name has this in it
  --seconds N   stop a scene after so long, and say that not all states were visited; with --long
                120, since states that are still to be visited take memory
  --threads N   how many threads visit states (2)
  --no-faults   leave out the broken copies
";

/// How long a large scene may take where nothing else is said.
const LONG_S: u64 = 120;

struct Options {
    long: bool,
    scene: Option<String>,
    seconds: Option<u64>,
    threads: usize,
    faults: bool,
}

impl Options {
    /// Nothing where `cargo test` was given the name of another test.
    fn parse(mut words: impl Iterator<Item = String>) -> Result<Option<Self>, String> {
        let mut options = Self {
            long: false,
            scene: None,
            seconds: None,
            threads: 2,
            faults: true,
        };
        let mut named = None;
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or_else(|| format!("{word} wants a value"));
            let number = |text: String| text.parse().map_err(|error| format!("{text}: {error}"));
            match word.as_str() {
                "--long" => options.long = true,
                "--scene" => options.scene = Some(value()?),
                "--seconds" => options.seconds = Some(number(value()?)?),
                "--threads" => options.threads = value()?.parse().map_err(|_| "--threads N")?,
                "--no-faults" => options.faults = false,
                "--help" => return Err(String::new()),
                // What else a test program is given: how to run, which is fixed here.
                flag if flag.starts_with('-') => {}
                name => named = Some(named.unwrap_or(false) || "model".contains(name)),
            }
        }
        Ok((named != Some(false)).then_some(options))
    }
}

fn main() -> ExitCode {
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(Some(options)) => options,
        Ok(None) => return ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("{problem}\n{USAGE}");
            return ExitCode::from(64);
        }
    };
    let laws_hold = check_scenes(&options);
    let faults_show = !options.faults || check_faults();
    if laws_hold && faults_show {
        return ExitCode::SUCCESS;
    }
    ExitCode::FAILURE
}

/// Whether every law holds in every scene.
fn check_scenes(options: &Options) -> bool {
    let scenes = if options.long {
        scenes::long()
    } else {
        scenes::short()
    };
    let long_s = options.long.then_some(LONG_S);
    let limit = options.seconds.or(long_s).map(Duration::from_secs);
    let chosen = |name: &str| {
        options
            .scene
            .as_ref()
            .is_none_or(|part| name.contains(part.as_str()))
    };
    let mut reports = Vec::new();
    for scene in scenes.into_iter().filter(|scene| chosen(&scene.name)) {
        let report = check(scene, None, options.threads, limit);
        println!("{report}");
        if let Some(found) = &report.broken {
            println!("  {found}");
        }
        reports.push(report);
    }
    let tallies: Vec<&Tally> = reports.iter().map(|report| &report.tally).collect();
    let never = print_rules(&tallies);
    let whole = !options.long && options.scene.is_none() && limit.is_none();
    if whole && !never.is_empty() {
        println!("never fired: {}", never.join(", "));
        return false;
    }
    reports.iter().all(|report| report.broken.is_none())
}

/// Prints how often each rule fired; those that never did.
fn print_rules(tallies: &[&Tally]) -> Vec<&'static str> {
    println!(
        "\n{:<56} {:>10} {:>12}",
        "rule fired", "new states", "steps"
    );
    let mut never = Vec::new();
    for rule in Rule::ALL {
        let each = tallies.iter().map(|tally| tally.of(*rule));
        let (states, steps) = each.fold((0, 0), |sum, each| (sum.0 + each.0, sum.1 + each.1));
        println!("{:<56} {states:>10} {steps:>12}", rule.words());
        if steps == 0 {
            never.push(rule.words());
        }
    }
    println!();
    never
}

/// Whether each broken copy is found out.
fn check_faults() -> bool {
    let mut all = true;
    for fault in Fault::ALL {
        let report: Report = check(scenes::of_fault(*fault), Some(*fault), 1, None);
        match &report.broken {
            Some(found) => println!("a copy that {}\n    {found}", fault.words()),
            None => {
                println!("NOT NOTICED: a copy that {}\n    {report}", fault.words());
                all = false;
            }
        }
    }
    all
}
