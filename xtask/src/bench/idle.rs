//! What the whole window costs while nothing is held, nobody waits and nothing is typed.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use warden_tests::{Broker, Display, Window};

use super::table::Figure;
use crate::build;

const PATIENCE: Duration = Duration::from_secs(60);
const SETTLES: Duration = Duration::from_secs(5);
const WATCHED: Duration = Duration::from_secs(20);

pub fn measure() -> Result<Vec<Figure>> {
    build::programs()?;
    let broker = Broker::start(2)?;
    let display = Display::start(1280, 800)?;
    let window = Window::open(&display, Some(broker.data_dir()), &["--no-broker"])?;
    window.wait_for("live", PATIENCE, |_| true)?;
    // A generation on probation asks for frames; those of the start end together.
    for _ in 0..2 {
        window.wait_for("trusted", PATIENCE, |_| true)?;
    }
    // Not a race: start-up work (fonts, caches) is not what an idle window costs.
    std::thread::sleep(SETTLES);
    let (used, started) = (cpu_seconds(window.pid())?, Instant::now());
    std::thread::sleep(WATCHED);
    let share = (cpu_seconds(window.pid())? - used) / started.elapsed().as_secs_f64() * 100.0;
    Ok(vec![Figure::at_most(
        "idle window, dev build, of one core",
        share,
        0.5,
        "%",
    )])
}

/// CPU time of a process and all of its threads: `utime` and `stime`, fields 14 and 15 of its
/// `stat` (proc(5)), in ticks of which a second has 100 on Linux.
fn cpu_seconds(pid: u32) -> Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let after_name = stat.rsplit_once(')').context("a stat without a name")?.1;
    let ticks = after_name
        .split_whitespace()
        .skip(11)
        .take(2)
        .map(|field| field.parse::<f64>().context("a stat without times"))
        .sum::<Result<f64>>()?;
    Ok(ticks / 100.0)
}
