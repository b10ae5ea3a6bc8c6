//! What the seeds promise of a day of the mic, the console, the dreamer and two model loaders, played
//! in virtual time: the old rules' time-outs are there, under ours there are none, and nobody
//! starves. `cargo xtask bench trace` prints the figures.

#![allow(
    clippy::expect_used,
    reason = "what a test expects and does not get fails the test"
)]

#[allow(dead_code, reason = "the benchmark prints more of it")]
#[path = "day/mod.rs"]
mod day;

use day::{DAY_MS, PROGRAMS, Played, Rules, trace};
use warden::{Operation, Policy};

/// Places in [`PROGRAMS`].
const MIC: usize = 0;
const CONSOLE: usize = 1;
const LOADER_A: usize = 2;
const LOADER_B: usize = 3;
const DREAMER: usize = 4;

fn asked(program: usize) -> usize {
    trace()
        .iter()
        .filter(|work| work.program == program)
        .count()
}

/// The mean wait, in seconds.
fn mean_s(played: &Played, programs: &[usize]) -> f64 {
    let waits = programs
        .iter()
        .flat_map(|program| &played.tallies[program].waits_ms);
    let (sum, count) = waits.fold((0, 0), |(sum, count), wait| (sum + wait, count + 1));
    sum as f64 / f64::from(count) / 1000.0
}

#[test]
fn the_day_is_as_the_seeds_tell() {
    let trace = trace();
    let wanted_ms: u64 = trace.iter().map(|work| work.works_ms).sum();
    let busy = wanted_ms as f64 / DAY_MS as f64;
    assert!(
        (0.695..0.705).contains(&busy),
        "the GPU is wanted for {busy} of the day"
    );
    assert!(trace.is_sorted_by_key(|work| work.at_ms));
    for (program, about) in PROGRAMS.iter().enumerate() {
        let works = || trace.iter().filter(move |work| work.program == program);
        assert!(works().count() >= 40, "{} takes part", about.name);
        if about.operation == Operation::MODEL_LOAD {
            assert!(
                works().all(|work| work.works_ms == 90_000),
                "{} loads for 90 s",
                about.name
            );
        }
    }
}

#[test]
fn the_old_rules_time_out_as_the_seeds_tell() {
    let old = Rules::Old.play();
    for program in [MIC, CONSOLE, LOADER_B, DREAMER] {
        let timed_out = old.tallies[&program].timed_out;
        assert!(timed_out > 0, "{} never timed out", PROGRAMS[program].name);
    }
    assert!(old.timed_out() >= 100, "{} time-outs", old.timed_out());
    assert_eq!(old.at_work_max, 1, "one lock");
    // "Reduced timeout errors by 80-90%" is what twice the time-out was to do.
    let longer = Rules::OldLonger.play();
    let left = longer.timed_out() as f64 / old.timed_out() as f64;
    assert!(
        (0.05..0.20).contains(&left),
        "{left} of them are left with 120 s"
    );
    assert!(
        Rules::OldPatient.play().tallies[&MIC].timed_out > 0,
        "patience alone helps nobody urgent"
    );
}

#[test]
fn under_ours_nobody_times_out_and_nobody_starves() {
    for rules in [Rules::Ours, Rules::OursShared] {
        let ours = rules.play();
        assert_eq!(ours.timed_out(), 0, "{}", rules.words());
        for (program, tally) in &ours.tallies {
            let name = PROGRAMS[*program].name;
            assert_eq!(
                tally.waits_ms.len(),
                asked(*program),
                "{name} was served each time"
            );
            assert!(
                tally.wait_s(1.0) < 600.0,
                "{name} waited {} s",
                tally.wait_s(1.0)
            );
        }
        assert!(
            ours.passed_max <= Policy::default().max_bypass,
            "passed {} times",
            ours.passed_max
        );
        assert_eq!(ours.loads_at_once_max, 1, "loads run one at a time");
    }
}

#[test]
fn alone_on_the_gpu_the_urgent_wait_less_than_under_the_old_rules() {
    let (old, ours) = (Rules::OldPatient.play(), Rules::Ours.play());
    assert_eq!(ours.at_work_max, 1, "everybody takes the whole GPU");
    let (mic, console) = (mean_s(&ours, &[MIC]), mean_s(&ours, &[CONSOLE]));
    let (loaders, dreamer) = (
        mean_s(&ours, &[LOADER_A, LOADER_B]),
        mean_s(&ours, &[DREAMER]),
    );
    assert!(mic < mean_s(&old, &[MIC]), "{mic} s");
    assert!(
        mic < console && console < loaders,
        "{mic}, {console}, {loaders}, {dreamer} s"
    );
}

#[test]
fn sharing_its_memory_the_urgent_hardly_wait() {
    let ours = Rules::OursShared.play();
    assert!(ours.at_work_max > 1, "somebody shares");
    let p95_s = [MIC, CONSOLE].map(|program| ours.tallies[&program].wait_s(0.95));
    assert!(p95_s.iter().all(|&p95_s| p95_s < 5.0), "{p95_s:?} s");
}
