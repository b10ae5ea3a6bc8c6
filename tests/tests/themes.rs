//! A theme in the real window on a virtual display: saved in every way that editors save, half
//! written, broken and mended; its colours are read from pictures of the window.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use warden_tests::picture::Area;
use warden_tests::process::until;
use warden_tests::{Display, Picture, Window};

/// A cold start on a busy machine.
const PATIENCE: Duration = Duration::from_secs(90);
const SIZE: (u32, u32) = (1280, 800);

/// The window's left edge, where nothing but the ground is drawn.
const EDGE: Area = Area {
    x: 1,
    y: 300,
    width: 5,
    height: 300,
};
/// The banner of a broken file.
const BANNER: Area = Area {
    x: 8,
    y: 8,
    width: 1264,
    height: 72,
};

/// Its button: read by itself, since the reader of pictures takes a framed word among others for no word.
const BUTTON: Area = Area {
    x: 1157,
    y: 20,
    width: 100,
    height: 22,
};

/// What lies under its left half: at its right somebody counts seconds.
const UNDER: Area = Area {
    width: 700,
    ..BANNER
};

const NERV: &str = include_str!("../../themes/nerv.ron");
const NERV_GROUND: &str = "#0A0706";
const NERV_TINT: [f64; 3] = [255.0, 72.0, 64.0];
/// Grounds that no theme that ships has.
const BLUE: Ground = Ground("#10204A", [0x10, 0x20, 0x4A]);
const GREEN: Ground = Ground("#0B3B16", [0x0B, 0x3B, 0x16]);
const VIOLET: Ground = Ground("#2E1040", [0x2E, 0x10, 0x40]);
const TEAL: Ground = Ground("#06383B", [0x06, 0x38, 0x3B]);

/// As a theme writes it, and as a picture has it.
#[derive(Clone, Copy)]
struct Ground(&'static str, [u8; 3]);

impl Ground {
    fn theme(self) -> String {
        NERV.replacen(NERV_GROUND, self.0, 1)
    }
}

/// A window in a theme of its operator's.
struct Scene {
    window: Window,
    display: Display,
    config: PathBuf,
    _data: tempfile::TempDir,
}

impl Scene {
    fn open(first: Ground) -> Result<Self> {
        let data = tempfile::tempdir()?;
        let config = data.path().join("config");
        fs::create_dir_all(config.join("themes"))?;
        fs::write(config.join("themes/mine.ron"), first.theme())?;
        fs::write(config.join("settings.ron"), "(theme: \"mine\")\n")?;
        let display = Display::start(SIZE.0, SIZE.1)?;
        let arguments = ["--no-broker", "--size", "1280x800", "--reduced-motion"];
        let window = Window::open(&display, Some(data.path()), &arguments)?;
        let scene = Self {
            window,
            display,
            config,
            _data: data,
        };
        scene.told("themes/mine.ron")?;
        Ok(scene)
    }

    fn theme(&self) -> PathBuf {
        self.config.join("themes/mine.ron")
    }

    /// The next news of a file, shown by then.
    fn told(&self, module: &str) -> Result<Value> {
        self.window
            .wait_for("file", PATIENCE, |report| report["module"] == module)
    }

    /// Waits until a file went live, and not as it was before.
    fn live(&self, module: &str) -> Result<()> {
        let told = self.told(module)?;
        ensure!(told["fault"].is_null(), "{module} is refused: {told}");
        Ok(())
    }

    /// A frame that was handed over takes a while to be on a busy machine's display.
    fn shows(&self, ground: Ground) -> Result<Picture> {
        let what = format!("the ground to be {}", ground.0);
        until(PATIENCE, &what, || {
            let picture = self.display.picture_at_rest()?;
            let seen = edge(&picture);
            let same = seen.iter().zip(ground.1).all(|(a, b)| a.abs_diff(b) <= 1);
            Ok(same.then_some(picture))
        })
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the mean of bytes is one"
)]
fn edge(picture: &Picture) -> [u8; 3] {
    picture
        .crop(EDGE)
        .mean()
        .map(|channel| channel.round() as u8)
}

/// Edits a file as a person does in a shell.
fn sed(file: &Path, expression: &str) -> Result<()> {
    let status = Command::new("sed")
        .args(["-i", expression])
        .arg(file)
        .status()
        .context("starting sed")?;
    ensure!(status.success(), "sed failed: {status}");
    Ok(())
}

#[test]
fn a_saved_theme_is_on_screen_and_a_broken_one_is_told_of() -> Result<()> {
    let scene = Scene::open(BLUE)?;
    scene.shows(BLUE)?;
    edited_by_sed(&scene)?;
    renamed_into_place(&scene)?;
    written_slowly_in_place(&scene)?;
    broken_and_mended(&scene)?;
    the_settings_follow_the_key_and_the_window_follows_the_settings(&scene)
}

fn edited_by_sed(scene: &Scene) -> Result<()> {
    scene.window.forget();
    sed(
        &scene.theme(),
        &format!("s/ground: \"{}\"/ground: \"{}\"/", BLUE.0, GREEN.0),
    )?;
    scene.live("themes/mine.ron")?;
    scene.shows(GREEN).map(drop)
}

fn renamed_into_place(scene: &Scene) -> Result<()> {
    scene.window.forget();
    let fresh = scene.config.join("themes/.mine.ron.swp");
    fs::write(&fresh, VIOLET.theme())?;
    fs::rename(fresh, scene.theme())?;
    scene.live("themes/mine.ron")?;
    scene.shows(VIOLET).map(drop)
}

/// A writer that takes seconds is not believed before it is done.
fn written_slowly_in_place(scene: &Scene) -> Result<()> {
    scene.window.forget();
    let theme = TEAL.theme();
    let mut file = File::create(scene.theme())?;
    for part in theme.as_bytes().chunks(theme.len() / 20) {
        file.write_all(part)?;
        file.flush()?;
        // This is how slowly it writes; two seconds in all.
        std::thread::sleep(Duration::from_millis(100));
    }
    // Everything is written, and the writer might go on.
    scene.shows(VIOLET)?;
    ensure!(
        scene
            .window
            .wait_for("file", Duration::from_millis(300), |_| true)
            .is_err(),
        "a writer was believed before it was done"
    );
    drop(file);
    scene.live("themes/mine.ron")?;
    scene.shows(TEAL).map(drop)
}

fn broken_and_mended(scene: &Scene) -> Result<()> {
    let clean = scene.shows(TEAL)?;
    scene.window.forget();
    sed(&scene.theme(), "s/    shape:/    shapes:/")?;
    let told = scene.told("themes/mine.ron")?;
    let line = NERV
        .lines()
        .position(|line| line.starts_with("    shape:"))
        .context("the theme has shapes")?
        + 1;
    let fault = told["fault"].as_str().unwrap_or_default();
    ensure!(
        fault.contains(&format!("mine.ron:{line}:")) && fault.contains("shapes"),
        "it is not told where it is broken: {told}"
    );
    let line = format!("line {line}");
    let broken = until(PATIENCE, "a banner that says what is broken", || {
        let picture = scene.display.picture_at_rest()?;
        let read = picture.crop(BANNER).read()?;
        let said = ["mine.ron", &line, "shapes"];
        let is_said = said.iter().all(|words| read.contains(words));
        let is_offered = picture.crop(BUTTON).read()?.contains("EDITOR");
        Ok((is_said && is_offered).then_some(picture))
    })?;
    half_tinted(edge(&clean), edge(&broken))?;
    scene.window.forget();
    sed(&scene.theme(), "s/    shapes:/    shape:/")?;
    scene.live("themes/mine.ron")?;
    until(PATIENCE, "the banner to be gone", || {
        let mended = scene.shows(TEAL)?;
        Ok((mended.crop(UNDER) == clean.crop(UNDER)).then_some(()))
    })
}

/// The theme's tint, of α 0.22, lies over the ground at half its strength.
fn half_tinted(clean: [u8; 3], tinted: [u8; 3]) -> Result<()> {
    let [before, after] = [clean, tinted].map(|colour| colour.map(f64::from));
    // Red is far from this ground's, so that it tells how strong the tint is.
    let alpha = (after[0] - before[0]) / (NERV_TINT[0] - before[0]);
    let meant = [0, 1, 2].map(|at| before[at] + alpha * (NERV_TINT[at] - before[at]));
    let is_tint = after
        .iter()
        .zip(meant)
        .all(|(seen, meant)| (seen - meant).abs() < 2.0);
    ensure!(
        is_tint && (0.09..0.13).contains(&alpha),
        "{clean:?} became {tinted:?}, which is not half of the tint (α {alpha:.3})"
    );
    Ok(())
}

fn the_settings_follow_the_key_and_the_window_follows_the_settings(scene: &Scene) -> Result<()> {
    let settings = scene.config.join("settings.ron");
    scene.display.focus(scene.window.pid())?;
    scene.window.forget();
    // After one's own come none: the next one is the first that ships.
    scene.display.press("ctrl+shift+t")?;
    scene.live("settings.ron")?;
    let saved = fs::read_to_string(&settings)?;
    ensure!(
        saved.contains("theme: \"nerv\"") && saved.contains("// "),
        "each key stands under what it means:\n{saved}"
    );
    scene.shows(Ground(NERV_GROUND, [0x0A, 0x07, 0x06]))?;
    scene.window.forget();
    sed(&settings, "s/theme: \"nerv\"/theme: \"mine\"/")?;
    scene.live("settings.ron")?;
    scene.shows(TEAL).map(drop)
}
