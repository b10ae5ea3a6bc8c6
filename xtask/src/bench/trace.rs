//! A day of the mic, the console, the dreamer and two model loaders, under the seeds' rules and ours.

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::table::{Figure, amount, print_rows};
use crate::build;

/// Each of these serves everybody, and says so.
const OURS: [&str; 2] = [
    "ours, the same patience",
    "ours, the default time-outs, sharing its memory",
];
const OLD: &str = "one FIFO lock, 60 s";

pub fn measure() -> Result<Vec<Figure>> {
    let lines = build::bench("warden", "day", "workload")?;
    let head = [
        "rules",
        "program",
        "asked",
        "timed out",
        "wait p50",
        "p95",
        "longest",
    ];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    rows.extend(lines.iter().map(row));
    print_rows(&rows);
    println!();
    let of = |rules: &str, key: &str| -> Result<Vec<f64>> {
        let lines = lines.iter().filter(|line| line["rules"] == rules);
        let values: Option<Vec<f64>> = lines.map(|line| line[key].as_f64()).collect();
        let values = values.filter(|values| !values.is_empty());
        values.with_context(|| format!("the day has no {key} under {rules}"))
    };
    let mut figures = vec![Figure::plain(
        format!("a day's time-outs: {OLD}"),
        amount(of(OLD, "timed_out")?.iter().sum(), ""),
    )];
    for rules in OURS {
        let timed_out = of(rules, "timed_out")?.iter().sum();
        let what = format!("a day's time-outs: {rules}");
        figures.push(Figure::at_most(what, timed_out, 0.0, ""));
        let passed = of(rules, "passed_max")?.into_iter().fold(0.0, f64::max);
        figures.push(Figure::at_most(
            "  how often anybody was passed",
            passed,
            8.0,
            "",
        ));
    }
    Ok(figures)
}

fn row(line: &Value) -> Vec<String> {
    let text = |key: &str| line[key].as_str().unwrap_or_default().to_owned();
    let count = |key: &str| line[key].to_string();
    let seconds = |key: &str| amount(line[key].as_f64().unwrap_or(f64::NAN), "s");
    vec![
        text("rules"),
        text("program"),
        count("asked"),
        count("timed_out"),
        seconds("wait_p50_s"),
        seconds("wait_p95_s"),
        seconds("wait_max_s"),
    ]
}
