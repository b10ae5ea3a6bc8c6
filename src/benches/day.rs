//! The figures of a day under each of the rules: one line of JSON for each program under each.

#![allow(
    clippy::expect_used,
    reason = "a trace that cannot be played measures nothing"
)]

#[allow(dead_code, unused_imports, reason = "the test looks at more of it")]
#[path = "../tests/day/mod.rs"]
mod day;

use day::{PROGRAMS, Rules};

fn main() {
    for rules in Rules::ALL {
        let played = rules.play();
        for (program, tally) in &played.tallies {
            println!(
                "{{\"rules\":\"{}\",\"program\":\"{}\",\"asked\":{},\"timed_out\":{},\
                 \"wait_p50_s\":{},\"wait_p95_s\":{},\"wait_max_s\":{},\"worked_s\":{},\
                 \"busy\":{:.3},\"at_work_max\":{},\"passed_max\":{}}}",
                rules.words(),
                PROGRAMS[*program].name,
                tally.waits_ms.len() as u64 + tally.timed_out,
                tally.timed_out,
                tally.wait_s(0.5),
                tally.wait_s(0.95),
                tally.wait_s(1.0),
                tally.worked_ms / 1000,
                played.busy_part(),
                played.at_work_max,
                played.passed_max,
            );
        }
    }
}
