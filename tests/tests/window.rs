//! The real window on a virtual display, driven by real keys: a queue of real processes, and render
//! code that is edited, broken and mended while it runs.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tokio::runtime::Runtime;
use warden::RequestId;
use warden::wire::LockBody;
use warden_client::{Client, Find};
use warden_tests::picture::Area;
use warden_tests::process::{Process, build_hot, programs, until};
use warden_tests::{Broker, Display, Edit, Picture, Window};

const WIDTH: u32 = 1280;
const HEIGHT: u32 = 800;
/// A cold start or a build on a busy machine.
const PATIENCE: Duration = Duration::from_secs(90);
/// The tint's edge pulses for so long after a failure.
const PULSE: Duration = Duration::from_millis(2_500);

/// Where the edits go: the end of the function that draws a frame.
const LAST_LINE: &str = "    dialog::show(ui, &mut scene);\n";
/// A colour that no theme has.
const FOREIGN: [u8; 3] = [255, 0, 255];
/// A word that nothing in the window says.
const LABEL: &str = "KINGFISHER";
const NERV_RED: [f64; 3] = [255.0, 72.0, 64.0];

/// Static parts of the queue's rows: place and client. The other columns tick.
const ROWS: Area = Area {
    x: 12,
    y: 196,
    width: 200,
    height: 320,
};
/// Below the queue, where a failure's banner moves nothing and no key is answered.
const LOWER: Area = Area {
    x: 100,
    y: 600,
    width: 1100,
    height: 130,
};

/// A window at work: processes that hold and wait, and more waiters than its queue has rows.
struct Scene {
    window: Window,
    display: Display,
    _processes: Vec<Process>,
    _waiters: Runtime,
    _broker: Broker,
}

impl Scene {
    fn open() -> Result<Self> {
        let broker = Broker::start(2)?;
        let mut processes = Vec::new();
        for (name, priority) in [("root-console", "console"), ("train-lora", "dreamer")] {
            processes
                .push(broker.run(&["--name", name, "--priority", priority], &["sleep", "900"])?);
            let held = processes.len();
            broker.wait_for("a holder", |status| length(&status["leases"]) == held)?;
        }
        for (name, priority) in [
            ("root-dreamer", "dreamer"),
            ("ollama-proxy", "default"),
            ("root-mic", "mic"),
        ] {
            processes.push(broker.run(
                &["--name", name, "--priority", priority, "--timeout", "30m"],
                &["sleep", "900"],
            )?);
            let waiting = processes.len() - 2;
            broker.wait_for("a waiter", |status| length(&status["queue"]) == waiting)?;
        }
        let waiters = Runtime::new()?;
        for number in 0..40 {
            let (client, body) = (client(broker.data_dir())?, waiter(number));
            waiters.spawn(async move { client.lock(body).await.map(drop) });
            broker.wait_for("another waiter", |status| {
                length(&status["queue"]) == 4 + number
            })?;
        }
        let display = Display::start(WIDTH, HEIGHT)?;
        let window = Window::open(
            &display,
            Some(broker.data_dir()),
            &["--no-broker", "--theme", "nerv", "--size", "1280x800"],
        )?;
        let revision = broker.status()?["revision"].as_u64();
        window.wait_for("shown", PATIENCE, |report| {
            report["revision"].as_u64() >= revision
        })?;
        display.focus(window.pid())?;
        Ok(Self {
            window,
            display,
            _processes: processes,
            _waiters: waiters,
            _broker: broker,
        })
    }

    /// Presses the key that reloads, and waits for what comes of it.
    fn reload(&self) -> Result<Value> {
        self.window.forget();
        self.display.press("ctrl+alt+r")?;
        self.window.wait_for_reload(PATIENCE)
    }

    /// Reloads code that must be refused or taken back at `stage`, and looks at what is shown.
    fn fail_at(&self, stage: &str) -> Result<(Value, Picture)> {
        self.window.forget();
        self.display.press("ctrl+alt+r")?;
        // Code that panics was taken first: its generation is reported before its failure.
        let report = self.window.wait_for("reload_failed", PATIENCE, |_| true)?;
        ensure!(
            report["stage"] == stage,
            "it did not fail at {stage}: {report}"
        );
        std::thread::sleep(PULSE);
        Ok((report, self.display.picture_at_rest()?))
    }
}

fn length(list: &Value) -> usize {
    list.as_array().map_or(0, Vec::len)
}

fn client(data_dir: &Path) -> Result<Client> {
    let find = Find {
        addr: None,
        data_dir: Some(data_dir.to_owned()),
        token_file: None,
    };
    Ok(Client::new(find.endpoint()?))
}

fn waiter(number: usize) -> LockBody {
    LockBody {
        client: format!("waiter-{number:02}"),
        request_id: Some(RequestId::from(format!("waiter-{number:02}"))),
        timeout_ms: Some(3_600_000),
        ..LockBody::default()
    }
}

/// The colour that most pixels have.
fn commonest(picture: &Picture) -> [u8; 3] {
    let mut counts = std::collections::HashMap::new();
    for pixel in picture.0.pixels() {
        *counts.entry(pixel.0).or_insert(0) += 1;
    }
    counts
        .into_iter()
        .max_by_key(|(_, count)| *count)
        .map_or([0; 3], |(colour, _)| colour)
}

/// How strongly NERV's red lies over `before` in `after`, asked of each channel.
fn tint(before: [u8; 3], after: [u8; 3]) -> [f64; 3] {
    [0, 1, 2].map(|channel| {
        let (from, to) = (f64::from(before[channel]), f64::from(after[channel]));
        (to - from) / (NERV_RED[channel] - from)
    })
}

fn assert_tinted(before: &Picture, after: &Picture) {
    let (clean, tinted) = (
        commonest(&before.crop(LOWER)),
        commonest(&after.crop(LOWER)),
    );
    let alpha = tint(clean, tinted);
    let spread = alpha
        .iter()
        .fold(0.0_f64, |most, a| most.max((a - alpha[0]).abs()));
    assert!(
        alpha[0] > 0.1 && alpha[0] < 0.4 && spread < 0.04,
        "{clean:?} became {tinted:?}, which is not NERV red over it (α {alpha:?})"
    );
}

fn assert_clean(before: &Picture, after: &Picture) {
    assert_eq!(
        commonest(&after.crop(LOWER)),
        commonest(&before.crop(LOWER))
    );
}

#[test]
fn the_queue_is_shown_and_its_drawing_code_is_edited_broken_and_mended() -> Result<()> {
    let lib = Edit::of("ui_hot/src/lib.rs")?;
    let scene = Scene::open()?;
    // A run that was interrupted may have left a build of its edit behind.
    let report = scene.reload()?;
    ensure!(
        report["event"] != "reload_failed",
        "the code as it stands is refused: {report}"
    );
    shows_who_holds_and_who_waits(&scene)?;
    let at_work = with_something_typed_scrolled_and_selected(&scene)?;
    an_edit_is_on_screen_and_nothing_is_lost(&scene, &lib, &at_work)?;
    a_compile_error_leaves_the_last_good_code(&scene, &lib)?;
    a_truncated_library_is_refused(&scene, &lib)?;
    a_panic_while_drawing_is_taken_back(&scene, &lib)
}

fn shows_who_holds_and_who_waits(scene: &Scene) -> Result<()> {
    let text = scene.display.picture_at_rest()?.read()?;
    for name in ["root-console", "train-lora", "root-mic", "ollama-proxy"] {
        ensure!(
            text.contains(name),
            "{name} cannot be read in the window:\n{text}"
        );
    }
    ensure!(
        text.contains("43"),
        "the queue's depth cannot be read in the window:\n{text}"
    );
    let place = |name| text.find(name).context("checked above");
    ensure!(
        place("root-mic")? < place("ollama-proxy")?,
        "not in order of priority:\n{text}"
    );
    Ok(())
}

/// The names in the queue's rows, as they are read from the picture.
fn rows(picture: &Picture) -> Picture {
    picture.crop(ROWS)
}

fn with_something_typed_scrolled_and_selected(scene: &Scene) -> Result<Picture> {
    let display = &scene.display;
    display.press("slash")?;
    display.type_text("waiter")?;
    display.scroll_down(400, 400, 6)?;
    // A person looks where the rows have come to rest before choosing one; on a busy machine the
    // display may stand still for a while before that, and no event tells that no frame will follow.
    let mut scrolled = rows(&display.picture_at_rest()?);
    until(PATIENCE, "the rows to come to rest", || {
        std::thread::sleep(Duration::from_millis(500));
        let now = rows(&display.picture_at_rest()?);
        let at_rest = now == scrolled;
        scrolled = now;
        Ok(at_rest.then_some(()))
    })?;
    display.click(100, 300)?;
    let changed = |what: &str, from: &Picture| {
        until(PATIENCE, what, || {
            let now = rows(&display.picture_at_rest()?);
            Ok((now != *from).then_some(now))
        })
    };
    let selected = changed("a click on a row to select it", &scrolled)?;
    display.press("slash")?;
    display.press("End")?;
    // The ring that says where the keyboard is leaves the rows.
    let last = changed("the filter to take the keyboard", &selected)?;
    let text = last.read()?;
    ensure!(
        text.contains("waiter-"),
        "the filter shows no waiter:\n{text}"
    );
    ensure!(
        !text.contains("waiter-00"),
        "the rows did not scroll:\n{text}"
    );
    Ok(last)
}

fn an_edit_is_on_screen_and_nothing_is_lost(
    scene: &Scene,
    lib: &Edit,
    at_work: &Picture,
) -> Result<()> {
    let before = scene.display.picture_at_rest()?;
    ensure!(
        before.count(FOREIGN, 0) == 0,
        "the colour of the test is in the window already"
    );
    let [r, g, b] = FOREIGN;
    lib.replace(
        LAST_LINE,
        &format!(
            "{LAST_LINE}    let place = Rect::from_min_size(pos2(500.0, 690.0), vec2(300.0, 60.0));
    ui.painter().rect_filled(place, 0.0, egui::Color32::from_rgb({r}, {g}, {b}));
    ui.painter().text(
        place.center(),
        egui::Align2::CENTER_CENTER,
        {LABEL:?},
        egui::FontId::proportional(32.0),
        egui::Color32::BLACK,
    );\n"
        ),
    )?;
    let report = scene.reload()?;
    ensure!(
        report["event"] == "generation",
        "the edit was not taken: {report}"
    );
    let after = scene.display.picture_at_rest()?;
    ensure!(
        after.count(FOREIGN, 0) > 10_000,
        "the new block is not on screen: {report}"
    );
    let text = after
        .crop(Area {
            x: 500,
            y: 690,
            width: 300,
            height: 60,
        })
        .read()?;
    ensure!(
        text.contains(LABEL),
        "the new label is not on screen: {text:?}"
    );
    ensure!(
        rows(&after) == *at_work,
        "scroll, filter or selection did not survive the reload"
    );

    // The caret is where it was: what is typed goes on.
    scene.display.type_text("-3")?;
    let mut text = String::new();
    let went_on = until(Duration::from_secs(20), "the filter to go on", || {
        text = rows(&scene.display.picture_at_rest()?).read()?;
        Ok((text.contains("waiter-3") && !text.contains("waiter-2")).then_some(()))
    });
    went_on.with_context(|| format!("the rows read:\n{text}"))
}

fn a_compile_error_leaves_the_last_good_code(scene: &Scene, lib: &Edit) -> Result<()> {
    let before = scene.display.picture_at_rest()?;
    lib.replace(
        LAST_LINE,
        &format!("{LAST_LINE}    let waited: u32 = \"a minute\";\n"),
    )?;
    let (report, after) = scene.fail_at("build")?;
    let message = report["message"].as_str().unwrap_or_default();
    ensure!(
        message.contains("E0308"),
        "the compiler's own message is missing: {report}"
    );
    assert_tinted(&before, &after);
    let text = after.read()?;
    ensure!(
        text.contains("E0308"),
        "the window does not show the compiler's message:\n{text}"
    );
    let text = rows_below_the_banner(&after).read()?;
    ensure!(
        text.contains("waiter-3"),
        "the last good code is not on screen:\n{text}"
    );
    recovers(scene, lib, &before)
}

fn a_truncated_library_is_refused(scene: &Scene, lib: &Edit) -> Result<()> {
    let before = scene.display.picture_at_rest()?;
    // A build that has something to do would mend it.
    build_hot("ui_hot")?;
    let artifact = std::fs::OpenOptions::new()
        .write(true)
        .open(programs()?.join("libui_hot.so"))?;
    artifact.set_len(artifact.metadata()?.len() / 2)?;
    let (_, after) = scene.fail_at("load")?;
    assert_tinted(&before, &after);
    recovers(scene, lib, &before)
}

fn a_panic_while_drawing_is_taken_back(scene: &Scene, lib: &Edit) -> Result<()> {
    let before = scene.display.picture_at_rest()?;
    lib.replace(
        LAST_LINE,
        &format!("{LAST_LINE}    panic!(\"the ink ran out\");\n"),
    )?;
    let started = Instant::now();
    let (report, after) = scene.fail_at("rehearse")?;
    let message = report["message"].as_str().unwrap_or_default();
    ensure!(
        message.contains("the ink ran out"),
        "the panic's message is missing: {report}"
    );
    ensure!(started.elapsed() < PATIENCE, "the window stood still");
    assert_tinted(&before, &after);
    let text = rows_below_the_banner(&after).read()?;
    ensure!(
        text.contains("waiter-3"),
        "the last good code is not on screen:\n{text}"
    );
    recovers(scene, lib, &before)
}

/// The next success clears the tint.
fn recovers(scene: &Scene, lib: &Edit, before: &Picture) -> Result<()> {
    lib.undo()?;
    let report = scene.reload()?;
    ensure!(
        report["event"] != "reload_failed",
        "mended code was refused: {report}"
    );
    assert_clean(before, &scene.display.picture_at_rest()?);
    Ok(())
}

/// The banner pushes the rows down.
fn rows_below_the_banner(picture: &Picture) -> Picture {
    picture.crop(Area {
        y: ROWS.y + 110,
        height: ROWS.height - 110,
        ..ROWS
    })
}
