//! From a save to a live value, beside what others offer for it, on the same saves at the same time.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use warden_tests::process::output;

use super::table::{Figure, amount};
use crate::build;

/// Of each kind, one every 75 ms: a debouncer that waits for 500 ms of quiet and has no cap waits
/// for the last of them.
const SAVES: &str = "1000";
/// Saves that pause in the middle.
const HALVES: &str = "20";
const IDLE_SECONDS: &str = "20";
/// What a storm of a thousand saves in a second may be applied at most: the first eight, one a
/// second, the last, and room for a machine that is slower than the storm.
const APPLIED_MAX: f64 = 20.0;

pub fn measure() -> Result<Vec<Figure>> {
    let program = build::peer("files")?;
    let rows = |arguments: &[&str]| -> Result<Vec<Row>> {
        let said = output(Command::new(&program).args(arguments))?;
        Ok(String::from_utf8(said)?.lines().map(Row::of).collect())
    };
    let mut figures = Vec::new();
    for (way, kind, budget_ms) in [("rename", "atomic", 50.0), ("write", "in place", 1000.0)] {
        for row in rows(&["latency", SAVES, way])? {
            figures.extend(latency(&row, kind, budget_ms)?);
        }
    }
    for (way, kind) in [("rename", "atomic"), ("write", "in place")] {
        for row in rows(&["storm", way])? {
            figures.push(storm(&row, kind)?);
        }
    }
    for row in rows(&["halves", HALVES])? {
        let what = format!(
            "{}: reads of a half-written file, in {HALVES} saves that pause",
            row.name()
        );
        figures.push(match row.is_ours() {
            true => Figure::at_most(what, row.number(0)?, 0.0, ""),
            false => Figure::plain(format!("  {what}"), amount(row.number(0)?, "")),
        });
    }
    for keys in ["100", "1000", "10000"] {
        for row in rows(&["apply", keys])? {
            let what = format!("read, check and store {keys} keys, median");
            figures.push(Figure::at_most(what, row.number(0)? * 1e3, 5.0, "ms"));
        }
    }
    for row in rows(&["idle", IDLE_SECONDS])? {
        let memory = row.number(0)? / 1024.0;
        figures.push(Figure::at_most("a watch: memory", memory, 1000.0, "KiB"));
        figures.push(Figure::at_most(
            "a watch: CPU while nothing happens",
            row.number(1)? * 100.0,
            0.1,
            "% of a core",
        ));
    }
    Ok(figures)
}

fn latency(row: &Row, kind: &str, budget_ms: f64) -> Result<Vec<Figure>> {
    let [p50, p99] = [row.number(0)? * 1e3, row.number(1)? * 1e3];
    if !row.is_ours() {
        let what = format!("  {}: {kind} save → told, p50 / p99", row.name());
        let both = format!("{} / {}", amount(p50, "ms"), amount(p99, "ms"));
        return Ok(vec![Figure::plain(what, both)]);
    }
    let what = format!("{kind} save → live and called back, of {SAVES}");
    Ok(vec![
        Figure::plain(format!("{what}, p50"), amount(p50, "ms")),
        Figure::at_most(format!("{what}, p99"), p99, budget_ms, "ms"),
    ])
}

fn storm(row: &Row, kind: &str) -> Result<Figure> {
    let (applied, last) = (row.number(0)?, row.number(1)?);
    let what = format!(
        "{}: 1,000 {kind} saves in {}, applied",
        row.name(),
        amount(row.number(2)?, "s")
    );
    if row.is_ours() {
        ensure!(
            last.is_finite(),
            "the last save of a storm was not live after 3 s"
        );
        return Ok(Figure::at_most(what, applied, APPLIED_MAX, ""));
    }
    Ok(Figure::plain(format!("  {what}"), amount(applied, "")))
}

/// A line of the measuring program: a name, and numbers.
struct Row {
    parts: Vec<String>,
}

impl Row {
    fn of(line: &str) -> Self {
        let parts = line.split('\t').map(str::to_owned).collect();
        Self { parts }
    }

    fn name(&self) -> &str {
        self.parts.first().map_or("", String::as_str)
    }

    fn is_ours(&self) -> bool {
        self.name() == "Warden"
    }

    fn number(&self, at: usize) -> Result<f64> {
        let part = self.parts.get(at + 1);
        let number = part.and_then(|part| part.parse().ok());
        number.with_context(|| format!("no number {at} in {:?}", self.parts))
    }
}
