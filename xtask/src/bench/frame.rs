//! A frame at 10,000 waiters and 1,000 events a second, and what the delegation to hot code costs.

use anyhow::Result;

use super::table::{Figure, amount};
use crate::build;

pub fn measure() -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for result in build::bench("warden-app", "frame", "static")? {
        let number = |key: &str| result[key].as_f64().unwrap_or(0.0);
        figures.push(Figure::plain(
            result.to_string(),
            amount(number("p99_ms"), "ms"),
        ));
    }
    Ok(figures)
}
