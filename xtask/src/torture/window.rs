//! The real window under `--paranoid`, given one edit after another of what it draws, one in ten of
//! them such that it must not be taken.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use warden_tests::{Broker, Display, Edit, Window};

const PATIENCE: Duration = Duration::from_secs(60);
const FILE: &str = "ui_hot/src/lib.rs";
const LINE: &str = "    footer::show(ui, footer, &mut scene);\n";
/// What the window must still know at the end.
const TYPED: &str = "nobody";

/// What is wrong with an edit.
struct Poison {
    name: &'static str,
    /// From which frame on, and what then happens.
    frame: u32,
    code: &'static str,
    /// Where it must be stopped.
    stage: &'static str,
}

const POISONS: [Poison; 6] = [
    Poison {
        name: "does not compile",
        frame: 0,
        code: "scene.nothing_of_that_name();",
        stage: "build",
    },
    Poison {
        name: "panics in rehearsal",
        frame: 0,
        code: "panic!(\"poisoned\");",
        stage: "rehearse",
    },
    Poison {
        name: "segfault",
        frame: 0,
        code: "unsafe { std::ptr::null_mut::<u32>().write_volatile(1) };",
        stage: "rehearse",
    },
    Poison {
        name: "endless loop",
        frame: 0,
        code: "loop { std::hint::spin_loop(); }",
        stage: "rehearse",
    },
    Poison {
        name: "memory balloon",
        frame: 0,
        code: "let mut all = Vec::new(); loop { all.push(vec![1_u8; 1 << 24]); }",
        stage: "rehearse",
    },
    Poison {
        name: "panics at frame 30",
        frame: 30,
        code: "panic!(\"poisoned\");",
        stage: "probation",
    },
];

pub fn torture(edits: u32) -> Result<()> {
    let broker = Broker::start(2)?;
    let display = Display::start(1280, 800)?;
    let arguments = ["--no-broker", "--paranoid"];
    let mut window = Window::open(&display, Some(broker.data_dir()), &arguments)?;
    window.wait_for("live", PATIENCE, |_| true)?;
    display.focus(window.pid())?;
    display.press("slash")?;
    display.type_text(TYPED)?;
    let edit = Edit::of(FILE)?;
    let mut stopped = BTreeMap::<&str, u32>::new();
    for number in 1..=edits {
        let poison = number.is_multiple_of(10).then(|| {
            let nth = (number / 10 - 1) as usize;
            &POISONS[nth % POISONS.len()]
        });
        edit.replace(LINE, &edited(number, poison))?;
        window.forget();
        display.press("ctrl+alt+r")?;
        match poison {
            None => drop(window.wait_for("generation", PATIENCE, of_ui_hot)?),
            Some(poison) => {
                refused(&window, poison)
                    .with_context(|| format!("edit {number}, which {}", poison.name))?;
                *stopped.entry(poison.name).or_default() += 1;
            }
        }
        ensure!(
            window.process().is_running(),
            "the window ended at edit {number}"
        );
    }
    edit.undo()?;
    let kept = fs::read_to_string(broker.data_dir().join("window.ron"))?;
    ensure!(
        kept.contains(TYPED),
        "what was typed before the first edit is lost:\n{kept}"
    );
    println!(
        "{}",
        json!({ "edits": edits, "stopped": stopped, "window": "alive", "typed": "kept" })
    );
    Ok(())
}

/// The line with what is added to it: a label that no other edit draws, and what is wrong.
fn edited(number: u32, poison: Option<&Poison>) -> String {
    let label = format!(
        "{LINE}    ui.painter().text(warden_toolkit::egui::pos2(4.0, 4.0), \
         warden_toolkit::egui::Align2::LEFT_TOP, \"edit {number}\", Default::default(), \
         warden_toolkit::egui::Color32::WHITE);\n"
    );
    let wrong = poison.map(|Poison { frame, code, .. }| {
        format!(
            "    {{ static FRAMES: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);\n\
             if FRAMES.fetch_add(1, std::sync::atomic::Ordering::Relaxed) >= {frame} {{ {code} }} }}\n"
        )
    });
    label + &wrong.unwrap_or_default()
}

/// Waits until the window says that it was stopped, where it must be.
fn refused(window: &Window, poison: &Poison) -> Result<()> {
    if poison.stage == "probation" {
        window.wait_for("generation", PATIENCE, of_ui_hot)?;
    }
    let report = window.wait_for("reload_failed", PATIENCE, of_ui_hot)?;
    ensure!(
        report["stage"] == poison.stage,
        "stopped elsewhere than at {}: {report}",
        poison.stage
    );
    Ok(())
}

fn of_ui_hot(report: &Value) -> bool {
    report["module"] == "ui_hot"
}
