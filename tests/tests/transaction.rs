//! Reload as a transaction, in the real window and by real keys: what a new generation did to the
//! state before it was taken back, going back by hand, and the warm restart.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use warden_tests::process::{Process, build_hot, cargo, programs, until};
use warden_tests::{Broker, Display, Edit, Window};

/// A cold start or a build on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);
/// A build of the whole window program.
const REBUILD: Duration = Duration::from_secs(400);
/// Where the edits go: the end of the function that draws a frame.
const LAST_LINE: &str = "    dialog::show(ui, &mut scene);\n";

/// These tests edit the checkout and build it.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A window, its broker, and somebody who holds a GPU.
struct Scene {
    window: Window,
    display: Display,
    broker: Broker,
    _holder: Process,
}

impl Scene {
    fn open(more: &[&str]) -> Result<Self> {
        let broker = Broker::start(1)?;
        let holder = broker.run(&["--name", "trainer", "--ttl", "30m"], &["sleep", "900"])?;
        broker.wait_for("a lease", |status| {
            status["leases"]
                .as_array()
                .is_some_and(|leases| leases.len() == 1)
        })?;
        let display = Display::start(1280, 800)?;
        let mut arguments = vec!["--no-broker", "--theme", "nerv", "--size", "1000x700"];
        arguments.extend(more);
        let window = Window::open(&display, Some(broker.data_dir()), &arguments)?;
        window.wait_for("live", PATIENCE, |_| true)?;
        display.focus(window.pid())?;
        Ok(Self {
            window,
            display,
            broker,
            _holder: holder,
        })
    }

    /// Presses the key that reloads, and waits for what comes of it.
    fn reload(&self) -> Result<Value> {
        self.window.forget();
        self.display.press("ctrl+alt+r")?;
        self.window.wait_for_reload(PATIENCE)
    }

    /// Chooses in the command palette what these words find first.
    fn choose(&self, words: &str) -> Result<()> {
        self.display.press("ctrl+k")?;
        self.display.type_text(words)?;
        self.display.press("Return")
    }

    /// Types into the filter over the queue, and waits until the window has written that down.
    fn type_in_filter(&self, text: &str, whole: &str) -> Result<()> {
        self.display.type_text(text)?;
        self.filter_reads(whole)
    }

    /// Waits until what the window remembers of the filter is this.
    fn filter_reads(&self, whole: &str) -> Result<()> {
        let file = self.broker.data_dir().join("window.ron");
        let wanted = format!("filter: {whole:?},");
        let mut found = String::new();
        let read = until(PATIENCE, "the filter to be remembered", || {
            found = std::fs::read_to_string(&file).unwrap_or_default();
            let line = found
                .lines()
                .find(|line| line.trim().starts_with("filter:"));
            Ok(line.is_some_and(|line| line.trim() == wanted).then_some(()))
        });
        read.with_context(|| format!("the window remembers:\n{found}"))
    }
}

#[test]
fn what_fails_on_probation_is_undone_and_what_runs_can_be_gone_back_from() -> Result<()> {
    let _alone = alone();
    let lib = Edit::of("ui_hot/src/lib.rs")?;
    let scene = Scene::open(&[])?;
    scene.reload()?;
    scene.display.press("slash")?;
    scene.type_in_filter("wait", "wait")?;

    // Draws well in its rehearsal and for a while, spoils the state, then panics.
    lib.replace(
        LAST_LINE,
        &format!(
            "{LAST_LINE}    static DRAWN: std::sync::atomic::AtomicU32 = \
             std::sync::atomic::AtomicU32::new(0);
    let drawn = DRAWN.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    if drawn > 10 {{
        scene.memory.filter = \"spoilt\".to_owned();
    }}
    assert!(drawn < 30, \"the ink ran out\");\n"
        ),
    )?;
    let report = scene.reload()?;
    ensure!(report["event"] == "generation", "not taken: {report}");
    let bad = report["n"].clone();
    let back = scene.window.wait_for("rolled_back", PATIENCE, |_| true)?;
    ensure!(
        back["module"] == "ui_hot" && back["from"] == bad && back["to"].is_number(),
        "{back}"
    );
    let failure = scene.window.wait_for("reload_failed", PATIENCE, |_| true)?;
    ensure!(failure["stage"] == "probation", "{failure}");
    ensure!(
        failure["message"]
            .as_str()
            .is_some_and(|text| text.contains("the ink ran out")),
        "{failure}"
    );
    // The state is that of the swap, and the caret where it was.
    scene.type_in_filter("er", "waiter")?;
    // The same file is refused from now on.
    let refused = scene.reload()?;
    ensure!(
        refused["event"] == "reload_failed" && refused["stage"] == "check",
        "{refused}"
    );

    let other = "    ui.ctx().request_repaint_after(std::time::Duration::from_secs(86_400));\n";
    lib.replace(LAST_LINE, &format!("{LAST_LINE}{other}"))?;
    let good = scene.reload()?;
    ensure!(good["event"] == "generation", "not taken: {good}");
    scene.window.forget();
    scene.display.press("ctrl+alt+z")?;
    let back = scene.window.wait_for("rolled_back", PATIENCE, |_| true)?;
    ensure!(
        back["from"] == good["n"] && back["to"].as_u64() < good["n"].as_u64(),
        "{back}"
    );
    scene.type_in_filter("-1", "waiter-1")?;
    lib.undo()?;
    scene.reload().map(drop)
}

#[test]
fn what_ends_its_process_in_a_rehearsal_ends_a_child_alone() -> Result<()> {
    let _alone = alone();
    let lib = Edit::of("ui_hot/src/lib.rs")?;
    let scene = Scene::open(&["--paranoid"])?;
    lib.replace(
        LAST_LINE,
        &format!("{LAST_LINE}    std::process::abort();\n"),
    )?;
    let refused = scene.reload()?;
    ensure!(
        refused["event"] == "reload_failed" && refused["stage"] == "rehearse",
        "{refused}"
    );
    ensure!(
        refused["title"]
            .as_str()
            .is_some_and(|title| title.contains("SIGABRT")),
        "{refused}"
    );
    lib.replace(
        LAST_LINE,
        &format!("{LAST_LINE}    let _ = ui.max_rect().is_finite();\n"),
    )?;
    let taken = scene.reload()?;
    ensure!(
        taken["event"] != "reload_failed",
        "good code was refused: {taken}"
    );
    lib.undo()?;
    let undone = scene.reload()?;
    ensure!(
        undone["event"] != "reload_failed",
        "good code was refused: {undone}"
    );
    println!("{taken}\n{undone}");
    Ok(())
}

#[test]
fn a_build_from_elsewhere_is_told_and_taken_as_the_operator_wants() -> Result<()> {
    let _alone = alone();
    let lib = Edit::of("ui_hot/src/lib.rs")?;
    let asks_for_a_frame_in = |seconds: u32| {
        format!(
            "{LAST_LINE}    ui.ctx().request_repaint_after(std::time::Duration::from_secs({seconds}));\n"
        )
    };
    let scene = Scene::open(&[])?;
    lib.replace(LAST_LINE, &asks_for_a_frame_in(90_000))?;
    let first = scene.reload()?;
    ensure!(first["event"] == "generation", "not taken: {first}");
    scene.window.wait_for("trusted", PATIENCE, |_| true)?;

    scene.window.forget();
    scene.choose("watch ui_hot tell when")?;
    lib.replace(LAST_LINE, &asks_for_a_frame_in(90_001))?;
    build_hot("ui_hot")?;
    let of_ui_hot = |newer: bool| {
        move |report: &Value| report["module"] == "ui_hot" && report["newer"] == newer
    };
    scene.window.wait_for("newer", PATIENCE, of_ui_hot(true))?;
    // It was told and not taken: it is the next one that is taken by hand.
    let second = scene.reload()?;
    ensure!(
        second["n"].as_u64() == first["n"].as_u64().map(|n| n + 1),
        "taken by itself: {first}, then {second}"
    );

    scene.window.wait_for("trusted", PATIENCE, |_| true)?;
    scene.window.forget();
    scene.choose("watch ui_hot load its file")?;
    lib.replace(LAST_LINE, &asks_for_a_frame_in(90_002))?;
    build_hot("ui_hot")?;
    let third = scene.window.wait_for_reload(PATIENCE)?;
    ensure!(
        third["event"] == "generation" && third["n"].as_u64() > second["n"].as_u64(),
        "not taken by itself: {third}"
    );
    scene.choose("watch ui_hot ignore")?;
    lib.undo()?;
    scene.reload().map(drop)
}

#[test]
fn a_build_that_is_given_up_leaves_everything_as_it_was() -> Result<()> {
    let _alone = alone();
    let lib = Edit::of("ui_hot/src/lib.rs")?;
    let scene = Scene::open(&[])?;
    scene.reload()?;
    lib.replace(
        LAST_LINE,
        &format!("{LAST_LINE}    scene.no_such_thing();\n"),
    )?;
    // Cargo waits for this lock as for any other cargo, so that the build lasts until it is given up.
    let folder = std::fs::File::open(programs()?.join(".cargo-lock"))?;
    folder.lock()?;
    scene.window.forget();
    scene.display.press("ctrl+alt+r")?;
    scene.choose("stop the build of ui_hot")?;
    let of = |module: &'static str| move |report: &Value| report["module"] == module;
    scene.window.wait_for("cancelled", PATIENCE, of("ui_hot"))?;
    scene.choose("stop the build of palette")?;
    scene
        .window
        .wait_for("cancelled", PATIENCE, of("palette"))?;
    folder.unlock()?;
    // Nothing of it goes on: what would have failed is not heard of, until it is built again.
    let failed = scene.reload()?;
    ensure!(
        failed["event"] == "reload_failed" && failed["stage"] == "build",
        "{failed}"
    );
    ensure!(
        failed["place"]
            .as_str()
            .is_some_and(|place| place.starts_with("ui_hot/src/lib.rs:")),
        "the file and line are not named: {failed}"
    );
    lib.undo()?;
    let mended = scene.reload()?;
    ensure!(mended["event"] != "reload_failed", "{mended}");
    Ok(())
}

#[test]
fn a_change_of_what_crosses_is_refused_and_taken_by_a_warm_restart() -> Result<()> {
    let _alone = alone();
    let view = Edit::of("view/src/picture.rs")?;
    let restarted = restarts_warm(&view);
    view.undo()?;
    build_as_it_was()?;
    restarted
}

fn restarts_warm(view: &Edit) -> Result<()> {
    let scene = Scene::open(&[])?;
    scene.reload()?;
    scene.display.press("slash")?;
    scene.type_in_filter("wait", "wait")?;
    let before = scene.broker.status()?;
    let pid = scene.window.pid();

    let last = "    pub reduced_motion: bool,\n";
    view.replace(
        last,
        &format!("{last}    /// Nobody reads it.\n    pub dimmed: bool,\n"),
    )?;
    let refused = scene.reload()?;
    ensure!(
        refused["event"] == "reload_failed" && refused["stage"] == "check",
        "{refused}"
    );
    let title = refused["title"].as_str().unwrap_or_default();
    ensure!(
        title.contains("Window") && title.contains("dimmed"),
        "the type and the field are not named: {title}"
    );

    scene.window.forget();
    scene.display.press("ctrl+alt+w")?;
    scene.window.wait_for("restarts", REBUILD, |_| true)?;
    // The same process, and the same pipe to report on.
    scene.window.wait_for("generation", PATIENCE, |_| true)?;
    scene.window.wait_for("live", PATIENCE, |_| true)?;
    scene.display.focus(pid)?;
    // What was being typed goes on, where it was.
    scene.type_in_filter("er", "waiter")?;
    let after = scene.broker.status()?;
    for key in ["leases", "started_at"] {
        let of = |status: &Value| match key {
            "leases" => status["leases"][0]["lease_id"].clone(),
            _ => status[key].clone(),
        };
        ensure!(of(&before) == of(&after), "{before} became {after}");
    }
    let broker = std::path::PathBuf::from(format!("/proc/{}", scene.broker.pid()));
    ensure!(
        broker.exists(),
        "the broker did not live through the restart"
    );
    Ok(())
}

/// Others that are run after this find what the checkout holds.
fn build_as_it_was() -> Result<()> {
    for module in ["ui_hot", "palette"] {
        build_hot(module)?;
    }
    cargo(&["build", "--package", "warden-app"])
}
