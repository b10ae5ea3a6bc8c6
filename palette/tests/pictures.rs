//! Pictures of the palette, compared with those in `snapshots/`. After a change that is meant:
//! `UPDATE_SNAPSHOTS=1`, and look at every one of them.

#[allow(unused_imports, reason = "the window's own tests use all of it")]
#[path = "../../ui_hot/tests/sample/mod.rs"]
mod sample;
mod stage;

use stage::{Window, press, search};
use warden_toolkit::egui::{Key, Modifiers};
use warden_toolkit::egui_kittest::SnapshotResults;
use warden_view::{Picture, Selection};

const SIZE: [f32; 2] = [1280.0, 800.0];

/// The window in both themes, after something was done in it.
fn both(name: &str, size: [f32; 2], picture: &Picture, drive: impl Fn(&mut Window)) {
    each(name, &["nerv", "light"], size, picture, drive);
}

fn each(
    name: &str,
    themes: &[&str],
    size: [f32; 2],
    picture: &Picture,
    drive: impl Fn(&mut Window),
) {
    let mut results = SnapshotResults::new();
    for theme in themes {
        let mut window = stage::drawn(size, picture.clone(), sample::theme(theme));
        drive(&mut window);
        results.add(window.try_snapshot(format!("{name}-{theme}")));
    }
}

#[test]
fn open_and_empty() {
    both("open", SIZE, &sample::busy(), |window| {
        window.state_mut().ui_memory.selection = Selection::Lease("lease-51c0".to_owned());
        // Two were chosen before.
        for text in ["light", "root-mic"] {
            search(window, text);
            press(window, Modifiers::NONE, Key::Enter);
        }
        search(window, "");
        press(window, Modifiers::NONE, Key::ArrowDown);
    });
}

#[test]
fn matches() {
    both("matches", SIZE, &sample::busy(), |window| {
        search(window, "re");
    });
}

#[test]
fn nothing_matches() {
    both("nothing", SIZE, &sample::busy(), |window| {
        search(window, "gpu of my neighbour");
    });
}

#[test]
fn long_names() {
    both("long", SIZE, &sample::long(), |window| {
        search(window, "comfy");
    });
}

#[test]
fn narrow() {
    both("narrow", [640.0, 400.0], &sample::long(), |window| {
        search(window, "request");
    });
}

#[test]
fn a_broker_that_is_gone() {
    let picture = sample::gone(warden_view::LinkState::Gone);
    both("gone", SIZE, &picture, |window| search(window, "all"));
}

#[test]
fn other_themes() {
    let themes = ["dark", "high-contrast"];
    each("open", &themes, SIZE, &sample::busy(), |window| {
        window.state_mut().ui_memory.selection = Selection::Lease("lease-51c0".to_owned());
        search(window, "");
    });
}
