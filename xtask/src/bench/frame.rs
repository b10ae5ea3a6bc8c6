//! A frame at 10,000 waiters and 1,000 events a second, and what the delegation to hot code costs.

use anyhow::Result;

use super::table::{Figure, amount};
use crate::build;

pub fn measure() -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for result in build::bench("warden-app", "frame", "static")? {
        let number = |key: &str| result[key].as_f64().unwrap_or(f64::NAN);
        if result["bench"] == "delegation" {
            let call = number("call_ns") / 1e3;
            figures.push(Figure::at_most(
                "delegation: call and catch_unwind",
                call,
                1.0,
                "µs",
            ));
            let copy = number("undo_copy_us");
            figures.push(Figure::at_most(
                "delegation: copy of UI memory",
                copy,
                100.0,
                "µs",
            ));
            continue;
        }
        let what = "frame at 10,000 waiters, 1,000 events/s, p99";
        figures.push(Figure::at_most(what, number("p99_ms"), 4.0, "ms"));
        figures.push(Figure::plain("  p50", amount(number("p50_ms"), "ms")));
    }
    Ok(figures)
}
