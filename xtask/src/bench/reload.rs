//! From an edit of a render function to the first frame of the new generation, in the real window.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde_json::Value;
use warden_tests::process::{output, programs};
use warden_tests::{Broker, Display, Edit, Window};

use super::table::{Figure, median, percentile};

const EDITS: usize = 20;
const PATIENCE: Duration = Duration::from_secs(60);

/// The files that are edited in turn, and after which line: functions that draw.
const PLACES: [(&str, &str); 4] = [
    (
        "ui_hot/src/lib.rs",
        "    footer::show(ui, footer, &mut scene);\n",
    ),
    (
        "ui_hot/src/queue/row.rs",
        "    paint::rule(painter, rect, rect.bottom() - 0.5, ink);\n",
    ),
    (
        "ui_hot/src/timeline.rs",
        "    ui.painter().vline(x, plot.y_range(), ink.strong(ink.good));\n",
    ),
    (
        "ui_hot/src/dialog.rs",
        "    panel(ui, scene, rect, scene.live.accent, false);\n",
    ),
];

/// The parts of a reload that the budget bounds together, as the window reports them.
const OWN_PARTS: [&str; 5] = [
    "check_ms",
    "load_ms",
    "migrate_ms",
    "rehearse_ms",
    "swap_ms",
];

fn of_ui_hot(report: &Value) -> bool {
    report["module"] == "ui_hot"
}

pub fn measure() -> Result<Vec<Figure>> {
    let broker = Broker::start(2)?;
    let display = Display::start(1280, 800)?;
    let window = Window::open(&display, Some(broker.data_dir()), &["--no-broker"])?;
    window.wait_for("live", PATIENCE, |_| true)?;
    display.focus(window.pid())?;
    let edits = PLACES
        .iter()
        .map(|(file, line)| Ok((Edit::of(file)?, *line)))
        .collect::<Result<Vec<_>>>()?;
    let mut wholes = Vec::new();
    let mut reports = Vec::new();
    let mut resident_at_first = 0;
    for number in 0..=EDITS {
        // Each draws something else somewhere else: code that changes, not a comment.
        let (edit, line) = &edits[number % edits.len()];
        edit.replace(
            line,
            &format!(
                "{line}    ui.painter().text(warden_toolkit::egui::pos2({number}.0 * 20.0, 4.0), \
             warden_toolkit::egui::Align2::LEFT_TOP, \"{number}\", Default::default(), \
             warden_toolkit::egui::Color32::WHITE);\n"
            ),
        )?;
        display.picture_at_rest()?;
        read_beforehand()?;
        let saved = Instant::now();
        display.press("ctrl+alt+r")?;
        let report = window.wait_for("generation", PATIENCE, of_ui_hot)?;
        let whole = saved.elapsed().as_secs_f64();
        // Its probation asks for frames, which are drawn in software here.
        window.wait_for("trusted", PATIENCE, of_ui_hot)?;
        // The first one pays for caches that the machine may not have had.
        if number > 0 {
            wholes.push(whole);
            reports.push(report);
        } else {
            resident_at_first = resident_kib(window.pid())?;
        }
    }
    let grown = resident_kib(window.pid())?.saturating_sub(resident_at_first);
    let mut figures = figures(&wholes, &reports)?;
    figures.push(Figure::plain(
        "resident memory a generation",
        super::table::amount(grown as f64 / 1024.0 / EDITS as f64, "MiB"),
    ));
    Ok(figures)
}

/// Reads what the compiler reads. A person's edits have a machine that remembers these files; one that
/// gives its page cache back within seconds would have them read from the disk, while the plain
/// program's edits, which follow each other at once, find them in memory.
fn read_beforehand() -> Result<()> {
    let sysroot = String::from_utf8(output(Command::new("rustc").args(["--print", "sysroot"]))?)?;
    let lib = Path::new(sysroot.trim()).join("lib");
    let (deps, incremental) = (programs()?.join("deps"), programs()?.join("incremental"));
    let named = |path: &Path, begins: &str| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with(begins)
    };
    // Each set of flags has a folder of its own: the one that is used was written last.
    let modules =
        fs::read_dir(&incremental)?.filter_map(|entry| entry.ok().map(|entry| entry.path()));
    let module = modules
        .filter(|path| named(path, "ui_hot-"))
        .max_by_key(|path| path.metadata().and_then(|meta| meta.modified()).ok());
    read_all(&lib, &|_| true)?;
    read_all(&deps, &|path| named(path, "libwarden_toolkit."))?;
    read_all(&incremental, &|path| module.as_deref() == Some(path))
}

/// Reads the wanted files of a folder, and all of the wanted folders in it.
fn read_all(folder: &Path, wanted: &dyn Fn(&Path) -> bool) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        if !wanted(&path) {
            continue;
        }
        if entry.file_type()?.is_dir() {
            read_all(&path, &|_| true)?;
        } else if let Ok(mut file) = File::open(&path) {
            io::copy(&mut file, &mut io::sink())?;
        }
    }
    Ok(())
}

/// How much memory a process has resident, in KiB.
fn resident_kib(pid: u32) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:")?.split_whitespace().next())
        .and_then(|kib| kib.parse().ok())
        .context("the system does not tell how much memory the window has")
}

fn figures(wholes: &[f64], reports: &[Value]) -> Result<Vec<Figure>> {
    let part = |name: &str| -> Result<Vec<f64>> {
        reports
            .iter()
            .map(|report| {
                report["timings"][name]
                    .as_f64()
                    .with_context(|| format!("no {name} in {report}"))
            })
            .collect()
    };
    let mut figures = vec![
        Figure::at_most(
            format!("edit → first frame, median of {}", wholes.len()),
            median(wholes),
            1.0,
            "s",
        ),
        Figure::plain(
            "  the slowest of them",
            super::table::amount(percentile(wholes, 1.0), "s"),
        ),
    ];
    let mut own = vec![0.0; reports.len()];
    for name in OWN_PARTS {
        for (sum, part) in own.iter_mut().zip(part(name)?) {
            *sum += part;
        }
    }
    for name in [
        "build_ms",
        "check_ms",
        "load_ms",
        "migrate_ms",
        "rehearse_ms",
        "watch_wait_ms",
        "frame_wait_ms",
        "swap_ms",
    ] {
        let label = format!("  {}", name.trim_end_matches("_ms").replace('_', " "));
        figures.push(Figure::plain(
            label,
            super::table::amount(median(&part(name)?), "ms"),
        ));
    }
    figures.push(Figure::at_most(
        "check + load + migrate + rehearse + swap, median",
        median(&own),
        20.0,
        "ms",
    ));
    let watcher = median(&part("watch_wait_ms")?);
    figures.push(Figure::at_most(
        "hot-lib-reloader's watcher, median",
        watcher,
        100.0,
        "ms",
    ));
    Ok(figures)
}
