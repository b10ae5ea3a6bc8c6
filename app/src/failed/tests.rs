//! The host's own drawing, driven by accessible name; and its pictures, compared with those in
//! `tests/snapshots/`. After a change that is meant: `UPDATE_SNAPSHOTS=1`, and look at every one.

use std::sync::Arc;
use std::time::SystemTime;

use warden_reload::files::{Fault, FaultKind};
use warden_reload::{Failure, Place};
use warden_toolkit::egui::{FontData, FontDefinitions};
use warden_toolkit::egui_kittest::kittest::Queryable as _;
use warden_toolkit::egui_kittest::{Harness, HarnessBuilder, SnapshotResults};
use warden_view::{Face, Fonts, Holder};

use super::*;
use crate::hot::Remedy;

/// What is drawn, and what came of it.
struct Scene {
    picture: Picture,
    failed: Vec<Failed>,
    broken: Broken,
    theme: Theme,
    plain: bool,
    height: Option<f32>,
    actions: Vec<Action>,
}

type Window = Harness<'static, Scene>;
/// Makes what one picture shows.
type State = fn() -> Scene;

fn scene(failed: Vec<Failed>) -> Scene {
    Scene {
        picture: Picture::default(),
        failed,
        broken: Broken::default(),
        theme: theme("nerv"),
        plain: false,
        height: None,
        actions: Vec::new(),
    }
}

fn theme(id: &str) -> Theme {
    let (_, source) = warden_view::SHIPPED
        .iter()
        .find(|(name, _)| *name == id)
        .expect("it ships");
    Theme::parse(source).expect("it is a theme")
}

fn failed(module: &str, stage: Stage, title: &str, message: &str) -> Failed {
    Failed {
        failure: Failure {
            module: module.to_owned(),
            stage,
            title: title.to_owned(),
            message: message.to_owned(),
            place: None,
            at: SystemTime::UNIX_EPOCH,
            needs_restart: false,
            differences: Vec::new(),
        },
        running: Some(1),
        stage: None,
        remedy: Remedy::Reload,
    }
}

fn mismatch(module: &str, remedy: Remedy) -> Failed {
    let title = "the types that cross differ at `Waiter.age`";
    let message = format!(
        "{title}\n\nWaiter, hash 0d6aa43fbd91 in the host, a8c21db8ae1f in the library\n\
         +     pub age: u32,\n"
    );
    Failed {
        remedy,
        ..failed(module, Stage::Check, title, &message)
    }
}

fn panicked() -> Failed {
    let mut failed = failed(
        "ui_hot",
        Stage::Probation,
        "generation 2 panicked: boom after eight frames",
        "boom after eight frames\n  at ui_hot/src/strip/queue.rs:43:137",
    );
    failed.failure.place = Some(Place {
        file: "ui_hot/src/strip/queue.rs".to_owned(),
        line: 43,
        column: 137,
    });
    failed
}

fn long() -> Failed {
    let title = "error[E0277]: the trait bound `warden_view::settings::SettingsFile: \
                 std::convert::From<warden_reload::files::configuration::Sheet<warden_app::config::Settings>>` \
                 is not satisfied, and neither is that of any other of the types that this module shows \
                 to whoever looks at it";
    failed("ui_hot", Stage::Build, title, title)
}

/// A broker that was heard of once and has gone.
fn gone() -> Picture {
    let mut picture = Picture::default();
    picture.broker.address = "127.0.0.1:8080".into();
    picture.broker.link.state = LinkState::Gone;
    picture.broker.link.detail = "no broker answers".into();
    picture.broker.link.frozen_at_ms = Some(60_000);
    picture.clock.now_ms = 7_200_000;
    let holder = Holder {
        client: "train-lora-nightly".into(),
        gpus: ["GPU-0".into()].into(),
        pid: Some(4_242),
        granted_ms: 18_000,
        ..Holder::default()
    };
    picture.holders = [holder].into();
    picture
}

fn broken(names: &[&str]) -> Broken {
    let fault = |name: &&str| Fault {
        path: format!("/home/operator/.config/warden/{name}").into(),
        kind: FaultKind::Syntax,
        line: Some(12),
        column: Some(9),
        message: "a `,` or a `)` was expected here".to_owned(),
    };
    let mut broken = Broken::default();
    broken.now(
        names
            .iter()
            .map(|name| ((*name).into(), fault(name)))
            .collect(),
    );
    broken
}

/// Without a renderer: for driving.
fn window(size: [f32; 2], scene: Scene) -> Window {
    built(Harness::builder(), size, scene)
}

/// With one: for pictures.
fn drawn(size: [f32; 2], scene: Scene) -> Window {
    built(Harness::builder().wgpu(), size, scene)
}

fn built(builder: HarnessBuilder<Scene>, size: [f32; 2], scene: Scene) -> Window {
    let fonts = scene.theme.fonts;
    let mut window = builder
        .with_size(size)
        .with_context_setup(move |ctx| install(ctx, fonts))
        .build_ui_state(draw, scene);
    window.run();
    window
}

/// As the hot code leaves them.
fn install(ctx: &egui::Context, fonts: Fonts) {
    let mut definitions = FontDefinitions::default();
    for face in Face::ALL {
        let data = Arc::new(FontData::from_static(face.bytes()));
        definitions.font_data.insert(face.name().to_owned(), data);
    }
    for (family, face) in [
        (FontFamily::Proportional, fonts.text),
        (FontFamily::Monospace, fonts.mono),
        (FontFamily::Name("heading".into()), fonts.heading),
    ] {
        definitions
            .families
            .insert(family, vec![face.name().to_owned()]);
    }
    ctx.set_fonts(definitions);
}

fn draw(ui: &mut Ui, scene: &mut Scene) {
    let whole = ui.ctx().content_rect();
    let mut ui = ui.new_child(UiBuilder::new().id_salt("window").max_rect(whole));
    ui.set_clip_rect(whole);
    let shown = Shown {
        picture: &scene.picture,
        theme: &scene.theme,
        failed: scene.failed.clone(),
        ground: Some(Status::default()),
        failed_at: None,
        broken: &scene.broken,
    };
    if scene.plain {
        plain_page(&mut ui, &shown, &mut scene.actions);
    } else {
        scene.height = banners(&mut ui, &shown, &mut scene.actions);
    }
}

const SMALL: [f32; 2] = [1280.0, 320.0];
const LARGE: [f32; 2] = [1920.0, 320.0];

#[test]
fn pictures_of_the_banners() {
    let mut results = SnapshotResults::new();
    let states: [(&str, State); 5] = [
        ("panic", || scene(vec![panicked()])),
        ("long", || scene(vec![long()])),
        ("mismatch", || {
            let both = ["ui_hot", "palette"].map(|module| mismatch(module, Remedy::Restart));
            scene(both.to_vec())
        }),
        ("several", || {
            let palette = failed(
                "palette",
                Stage::Rehearse,
                "the new code panicked: no row",
                "",
            );
            scene(vec![panicked(), palette])
        }),
        ("files", || Scene {
            broken: broken(&["settings.ron", "policy.ron"]),
            ..scene(Vec::new())
        }),
    ];
    for (name, state) in states {
        for id in ["nerv", "light"] {
            for (width, size) in [("1280", SMALL), ("1920", LARGE)] {
                let mut window = drawn(
                    size,
                    Scene {
                        theme: theme(id),
                        ..state()
                    },
                );
                results.add(window.try_snapshot(format!("banner-{name}-{width}-{id}")));
            }
        }
    }
}

#[test]
fn pictures_of_the_plain_page() {
    let mut results = SnapshotResults::new();
    for id in ["nerv", "light"] {
        let older = Failed {
            running: None,
            ..mismatch("ui_hot", Remedy::Rebuild)
        };
        let mut window = drawn(
            [1280.0, 400.0],
            Scene {
                picture: gone(),
                theme: theme(id),
                plain: true,
                ..scene(vec![older])
            },
        );
        results.add(window.try_snapshot(format!("plain-1280-{id}")));
    }
}

#[test]
fn the_plain_page_tells_what_is_known_and_from_when() {
    let plain = |picture| Scene {
        picture,
        plain: true,
        ..scene(Vec::new())
    };
    let window = window([1280.0, 400.0], plain(gone()));
    window.get_by_label("figures are from 00:01:00");
    window.get_by_label("train-lora-nightly has held GPU-0 for 42 s, pid 4242");
    let window = self::window([1280.0, 400.0], plain(Picture::default()));
    window.get_by_label("who holds what and who waits is not known");
    assert!(window.query_by_label("nothing is held").is_none());
}

#[test]
fn every_module_that_failed_is_named() {
    let both = ["ui_hot", "palette"].map(|module| mismatch(module, Remedy::Restart));
    let window = window(SMALL, scene(both.to_vec()));
    window.get_by_label("2 MODULES FAILED: ui_hot, palette");
    window.get_by_label("what goes on: ui_hot 01, palette 01");
    // Both failed with the same, which is said once.
    window.get_by_label_contains("the types that cross differ at `Waiter.age`");
}

#[test]
fn modules_that_failed_each_in_its_way_say_each_what() {
    let palette = failed("palette", Stage::Build, "error: expected `;`", "");
    let window = window(SMALL, scene(vec![panicked(), palette]));
    window.get_by_label_contains(
        "ui_hot, at probation: ui_hot/src/strip/queue.rs:43:137  generation 2",
    );
    window.get_by_label("palette, at build: error: expected `;`");
}

#[test]
fn a_panic_is_told_once() {
    let window = window(SMALL, scene(vec![panicked()]));
    window.get_by_label_contains("panicked: boom after eight frames");
    assert_eq!(window.query_all_by_label_contains("boom").count(), 1);
    assert_eq!(
        window.query_all_by_label_contains("at ui_hot/src").count(),
        0
    );
}

#[test]
fn a_long_title_takes_a_second_line_and_pushes_the_rest_down() {
    let short = window(
        SMALL,
        scene(vec![failed("ui_hot", Stage::Build, "error: short", "")]),
    );
    let long = window(SMALL, scene(vec![long()]));
    let [short, long] = [short, long].map(|window| window.state().height.expect("a banner"));
    assert!((10.0..30.0).contains(&(long - short)), "{short}, {long}");
}

#[test]
fn only_what_can_help_is_offered() {
    const RELOAD: &str = "Reload all modules";
    const RESTART: &str = "Warm restart the window";
    for (remedy, reload, restart) in [
        (Remedy::Reload, true, false),
        (Remedy::Rebuild, true, false),
        (Remedy::Reinstall, true, false),
        (Remedy::Restart, false, true),
    ] {
        for plain in [false, true] {
            let shown = Scene {
                plain,
                ..scene(vec![mismatch("ui_hot", remedy)])
            };
            let window = window([1280.0, 400.0], shown);
            let offered = [RELOAD, RESTART].map(|label| window.query_by_label(label).is_some());
            assert_eq!(
                offered,
                [reload, restart],
                "{remedy:?}, plain page: {plain}"
            );
        }
    }
    // One that a restart helps and one that is to be mended in its source.
    let mixed = vec![
        mismatch("ui_hot", Remedy::Restart),
        failed("palette", Stage::Build, "error: expected `;`", ""),
    ];
    let mut window = window(SMALL, scene(mixed));
    window.get_by_label(RELOAD).click();
    window.run();
    window.get_by_label(RESTART).click();
    window.run();
    assert_eq!(
        window.state().actions,
        [Action::Reload, Action::WarmRestart]
    );
}

#[test]
fn the_plain_page_says_what_helps_where_the_library_is_the_older_one() {
    let shown = Scene {
        plain: true,
        ..scene(vec![mismatch("ui_hot", Remedy::Rebuild)])
    };
    let window = window([1280.0, 400.0], shown);
    window.get_by_label_contains("the library is older than this window: Reload builds it anew");
    assert!(
        window
            .query_by_label_contains("restart the window")
            .is_none()
    );
}

#[test]
fn every_file_that_is_not_taken_is_named() {
    let shown = Scene {
        broken: broken(&["settings.ron", "policy.ron"]),
        ..scene(Vec::new())
    };
    let window = window(SMALL, shown);
    window.get_by_label("2 FILES NOT TAKEN: policy.ron, settings.ron");
    window.get_by_label_contains("policy.ron, line 12, column 9: a `,`");
}
