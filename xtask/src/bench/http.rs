//! Lock and unlock over loopback, beside the same server's route that does nothing.

use anyhow::Result;

use super::table::{Figure, amount};
use crate::build;

pub fn measure() -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for result in build::bench("warden-broker", "http", "bench")? {
        let number = |key: &str| result[key].as_f64().unwrap_or(0.0);
        if result["bench"] == "lock_latency" {
            figures.push(Figure::at_most(
                "lock, one client, p50 over the no-op route's",
                number("times_noop"),
                2.0,
                "×",
            ));
            figures.push(Figure::plain("  lock, p50", amount(number("p50_us"), "µs")));
            figures.push(Figure::plain(
                "  no-op, p50",
                amount(number("noop_p50_us"), "µs"),
            ));
            continue;
        }
        let connections = number("connections");
        let what = format!("lock + unlock, connections: {connections}, of the no-op route's rate");
        let share = number("share_of_noop") * 100.0;
        figures.push(if connections > 1.0 {
            Figure::at_least(what, share, 50.0, "%")
        } else {
            Figure::plain(what, amount(share, "%"))
        });
        figures.push(Figure::plain(
            "  lock + unlock",
            amount(number("pairs_per_s"), "pairs/s"),
        ));
        figures.push(Figure::plain(
            "  no-op",
            amount(number("noop_pairs_per_s"), "pairs/s"),
        ));
    }
    Ok(figures)
}
