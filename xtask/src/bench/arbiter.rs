//! Decide and apply.

use anyhow::Result;

use super::table::{Figure, amount};
use crate::build;

pub fn measure() -> Result<Vec<Figure>> {
    let results = build::bench("warden", "arbiter", "workload")?;
    let number = |at: usize, key: &str| {
        results
            .get(at)
            .and_then(|result| result[key].as_f64())
            .unwrap_or(0.0)
    };
    let mut figures = Vec::new();
    for (at, result) in results.iter().enumerate() {
        let what = format!("decide + apply at {} waiters", amount(number(at, "n"), ""));
        figures.push(Figure::at_least(
            what,
            number(at, "commands_per_s"),
            1e6,
            "commands/s",
        ));
        let of_bare = amount(number(at, "times_bare"), "×");
        figures.push(Figure::plain("  over a bare queue without rules", of_bare));
        let checksum = result["checksum"].as_str().unwrap_or("none");
        figures.push(Figure::plain("  checksum of the end state", checksum));
    }
    // As log n, from a thousand to a hundred thousand: log(10^5) / log(10^3) = 5/3.
    let last = results.len().saturating_sub(1);
    let growth =
        number(last, "ns_per_command") / number(0, "ns_per_command").max(f64::MIN_POSITIVE);
    figures.push(Figure::at_most(
        "  growth from 1,000 to 100,000 waiters",
        growth,
        5.0 / 3.0,
        "×",
    ));
    Ok(figures)
}
