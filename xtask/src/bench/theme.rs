//! From a saved theme to the next frame, in the real window.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use warden_tests::process::checkout;
use warden_tests::{Broker, Display, Window};

use super::table::{Figure, amount, median, percentile};

const SAVES: usize = 100;
const PATIENCE: Duration = Duration::from_secs(60);
/// A window that has drawn nothing for so long is at rest: it is not busy with the frame before.
const REST: Duration = Duration::from_millis(250);
/// A colour of the theme that is saved.
const COLOUR: &str = "#0A0706";

pub fn measure() -> Result<Vec<Figure>> {
    let broker = Broker::start(2)?;
    let config = broker.data_dir().join("config");
    let theme = config.join("themes/mine.ron");
    let nerv = fs::read_to_string(checkout().join("themes/nerv.ron"))?;
    ensure!(nerv.contains(COLOUR), "the theme has no {COLOUR} any more");
    fs::create_dir_all(config.join("themes"))?;
    fs::write(&theme, &nerv)?;
    fs::write(config.join("settings.ron"), "(theme: \"mine\")")?;
    let display = Display::start(1280, 800)?;
    let arguments = ["--no-broker", "--report=frames"];
    let window = Window::open(&display, Some(broker.data_dir()), &arguments)?;
    window.wait_for("live", PATIENCE, |_| true)?;
    for _ in 0..2 {
        window.wait_for("trusted", PATIENCE, |_| true)?;
    }
    let mut took = Vec::new();
    for number in 0..SAVES {
        while window.wait_for("frame", REST, |_| true).is_ok() {}
        let beside = theme.with_extension("new");
        let colour = format!("#0A07{:02X}", 16 + number);
        fs::write(&beside, nerv.replacen(COLOUR, &colour, 1))?;
        let saved = Instant::now();
        fs::rename(&beside, &theme)?;
        window.wait_for("frame", PATIENCE, |_| true)?;
        took.push(saved.elapsed().as_secs_f64() * 1e3);
        // What that frame shows is told with the next one.
        window.wait_for("file", PATIENCE, |report| report["fault"].is_null())?;
    }
    let what = format!("saved theme → its frame described, of {SAVES}");
    Ok(vec![
        Figure::plain(format!("{what}, p50"), amount(median(&took), "ms")),
        Figure::at_most(format!("{what}, p99"), percentile(&took, 0.99), 50.0, "ms"),
    ])
}
