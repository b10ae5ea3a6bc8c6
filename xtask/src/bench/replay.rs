//! From the start of a broker over the journal of one that was killed to the first answer.

use anyhow::Result;

use super::table::{Figure, amount};
use crate::build;

pub fn measure() -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for result in build::bench("warden-broker", "replay", "bench")? {
        let number = |key: &str| result[key].as_f64().unwrap_or(0.0);
        figures.push(Figure::at_most(
            "after kill -9: started again → serves, median of 5",
            number("ready_ms_median") / 1_000.0,
            1.0,
            "s",
        ));
        figures.push(Figure::plain(
            "  the longest",
            amount(number("ready_ms_longest") / 1_000.0, "s"),
        ));
        let journal = ["records", "facts"].map(|key| amount(number(key), key));
        figures.push(Figure::plain("  in its journal", journal.join(", ")));
    }
    Ok(figures)
}
