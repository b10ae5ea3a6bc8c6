//! Pictures of the window and of each panel, compared with those in `snapshots/`. After a change
//! that is meant: `UPDATE_SNAPSHOTS=1`, and look at every one of them.

mod sample;
mod stage;

use warden_toolkit::egui_kittest::SnapshotResults;
use warden_view::{Dialog, LinkState, Panel, Picture, Selection, UiMemory};

const THEMES: [&str; 2] = ["nerv", "light"];

/// The window at that size, in both themes.
fn both(name: &str, size: [f32; 2], picture: &Picture, memory: &UiMemory) {
    each(name, &THEMES, size, picture, memory);
}

fn each(name: &str, themes: &[&str], size: [f32; 2], picture: &Picture, memory: &UiMemory) {
    let mut results = SnapshotResults::new();
    for theme in themes {
        let mut window = stage::drawn(size, picture.clone(), sample::theme(theme), memory.clone());
        results.add(window.try_snapshot(format!("{name}-{theme}")));
    }
}

const SMALL: [f32; 2] = [1280.0, 800.0];
const LARGE: [f32; 2] = [1920.0, 1080.0];
const NARROW: [f32; 2] = [900.0, 600.0];

fn selected() -> UiMemory {
    UiMemory {
        selection: Selection::Waiter("dream-7f3a09b1c41e".to_owned()),
        ..UiMemory::default()
    }
}

fn in_front(panel: Panel) -> UiMemory {
    let tabs = warden_view::NodeKind::Tabs {
        children: Vec::new(),
        active: panel as u64 + 1,
    };
    let nodes = vec![warden_view::Node { id: 13, kind: tabs }];
    UiMemory {
        layout: warden_view::Layout { root: 0, nodes },
        ..selected()
    }
}

fn asking(dialog: Dialog) -> UiMemory {
    UiMemory {
        dialog: Some(dialog),
        ..selected()
    }
}

#[test]
fn busy() {
    both("busy-1280", SMALL, &sample::busy(), &selected());
}

#[test]
fn busy_large() {
    both("busy-1920", LARGE, &sample::busy(), &selected());
}

#[test]
fn busy_narrow() {
    both("busy-900", NARROW, &sample::busy(), &selected());
}

#[test]
fn empty() {
    both("empty-1280", SMALL, &sample::empty(), &UiMemory::default());
}

#[test]
fn fresh() {
    both(
        "fresh-1280",
        SMALL,
        &sample::fresh(),
        &in_front(Panel::Timeline),
    );
}

#[test]
fn long_names() {
    both(
        "long-1280",
        SMALL,
        &sample::long(),
        &UiMemory {
            selection: Selection::Lease("lease-51c0".to_owned()),
            ..UiMemory::default()
        },
    );
}

#[test]
fn events() {
    both(
        "events-1280",
        SMALL,
        &sample::busy(),
        &in_front(Panel::Events),
    );
}

#[test]
fn reload() {
    both(
        "reload-1280",
        SMALL,
        &sample::failed(),
        &in_front(Panel::Reload),
    );
}

#[test]
fn gpus() {
    both("gpus-1280", SMALL, &sample::busy(), &in_front(Panel::Gpus));
}

#[test]
fn gone() {
    both(
        "gone-1280",
        SMALL,
        &sample::gone(LinkState::Gone),
        &selected(),
    );
}

#[test]
fn stranger() {
    each(
        "stranger-1280",
        &["nerv"],
        SMALL,
        &sample::stranger(),
        &UiMemory::default(),
    );
}

#[test]
fn results_of_actions() {
    both("acted-1280", SMALL, &sample::acted(), &selected());
}

#[test]
fn asks_before_it_forces() {
    let dialog = Dialog::ForceAll { clear_queue: false };
    both("force-all-1280", SMALL, &sample::busy(), &asking(dialog));
}

#[test]
fn asks_before_it_cancels() {
    let dialog = Dialog::Cancel("dream-7f3a09b1c41e".to_owned());
    each(
        "cancel-1280",
        &["nerv"],
        SMALL,
        &sample::busy(),
        &asking(dialog),
    );
}

#[test]
fn keys() {
    both("keys-1280", SMALL, &sample::busy(), &asking(Dialog::Keys));
}

#[test]
fn ten_thousand() {
    each(
        "crowd-1280",
        &["nerv"],
        SMALL,
        &sample::crowd(10_000),
        &UiMemory::default(),
    );
}

#[test]
fn other_themes() {
    each(
        "busy-1280",
        &["dark", "high-contrast"],
        SMALL,
        &sample::busy(),
        &selected(),
    );
}
