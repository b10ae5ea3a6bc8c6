//! Pictures of the window and of each panel, compared with those in `snapshots/`. After a change
//! that is meant: `UPDATE_SNAPSHOTS=1`, and look at every one of them.

mod sample;
mod stage;

use warden_toolkit::egui::{Key, Modifiers};
use warden_toolkit::egui_kittest::SnapshotResults;
use warden_view::{
    Dialog, Draft, Layout, LinkState, Node, NodeKind, OpenModule, Panel, Picture, ReloadFolds,
    Selection, UiMemory, Verdict,
};

const THEMES: [&str; 2] = ["nerv", "light"];

/// The window at that size, in both themes.
fn both(name: &str, size: [f32; 2], picture: &Picture, memory: &UiMemory) {
    each(name, &THEMES, size, picture, memory);
}

fn each(name: &str, themes: &[&str], size: [f32; 2], picture: &Picture, memory: &UiMemory) {
    let mut results = SnapshotResults::new();
    add(&mut results, name, themes, size, picture, memory);
}

fn add(
    results: &mut SnapshotResults,
    name: &str,
    themes: &[&str],
    size: [f32; 2],
    picture: &Picture,
    memory: &UiMemory,
) {
    for theme in themes {
        let mut window = stage::drawn(size, picture.clone(), sample::theme(theme), memory.clone());
        results.add(window.try_snapshot(format!("{name}-{theme}")));
    }
}

const SMALL: [f32; 2] = [1280.0, 800.0];
const LARGE: [f32; 2] = [1920.0, 1080.0];
const NARROW: [f32; 2] = [900.0, 600.0];
const WIDE: [f32; 2] = [1280.0, 900.0];
const DOCKED: [f32; 2] = [760.0, 900.0];

fn selected() -> UiMemory {
    UiMemory {
        selection: Selection::Waiter("dream-7f3a09b1c41e".to_owned()),
        ..UiMemory::default()
    }
}

fn in_front(panel: Panel) -> UiMemory {
    let tabs = NodeKind::Tabs {
        children: Vec::new(),
        active: panel as u64 + 1,
    };
    let nodes = vec![Node { id: 13, kind: tabs }];
    UiMemory {
        layout: Layout { root: 0, nodes },
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
fn draining() {
    let memory = UiMemory {
        selection: Selection::Gpu(sample::gpu_id(1).to_string()),
        ..in_front(Panel::Gpus)
    };
    let (mut results, picture) = (SnapshotResults::new(), sample::draining());
    add(
        &mut results,
        "draining-1280",
        &THEMES,
        SMALL,
        &picture,
        &memory,
    );
    add(
        &mut results,
        "draining-1920",
        &THEMES,
        LARGE,
        &picture,
        &memory,
    );
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
    let mut results = SnapshotResults::new();
    let memory = in_front(Panel::Reload);
    for (name, size) in [("reload-1280", SMALL), ("reload-1920", LARGE)] {
        let picture = sample::reload::failed();
        add(&mut results, name, &THEMES, size, &picture, &memory);
    }
}

#[test]
fn render_code_on_probation() {
    let (mut results, memory) = (SnapshotResults::new(), UiMemory::default());
    for (name, size) in [("probation-1280", SMALL), ("probation-900", NARROW)] {
        let picture = sample::reload::probation();
        add(&mut results, name, &THEMES, size, &picture, &memory);
    }
}

/// What has the keyboard is ringed, and the ring follows the corners.
#[test]
fn focus() {
    const CTRL: Modifiers = Modifiers {
        ctrl: true,
        command: true,
        ..Modifiers::NONE
    };
    let mut results = SnapshotResults::new();
    for (name, modifiers, key) in [
        ("strip", Modifiers::NONE, Key::Tab),
        ("queue", CTRL, Key::Num2),
        ("holders", CTRL, Key::Num3),
        ("reload", CTRL, Key::Num7),
    ] {
        for theme in THEMES {
            let memory = UiMemory::default();
            let mut window = stage::drawn(SMALL, sample::busy(), sample::theme(theme), memory);
            window.key_press_modifiers(modifiers, key);
            window.run();
            results.add(window.try_snapshot(format!("focus-{name}-1280-{theme}")));
        }
    }
}

#[test]
fn kept_and_simulated() {
    let (mut results, kept) = (SnapshotResults::new(), sample::kept());
    let gpus = in_front(Panel::Gpus);
    add(&mut results, "kept-1280", &THEMES, SMALL, &kept, &gpus);
    let mut long = sample::long();
    long.gpus = long.gpus.iter().take(2).cloned().collect();
    for (name, size) in [("simulated-1280", SMALL), ("simulated-1920", LARGE)] {
        add(&mut results, name, &THEMES, size, &long, &gpus);
    }
}

/// The window with the settings in front.
fn settings_in_front(draft: Option<Draft>) -> UiMemory {
    UiMemory {
        draft,
        ..in_front(Panel::Settings)
    }
}

fn draft(file: &str, key: &str, text: &str) -> Option<Draft> {
    Some(Draft {
        file: file.to_owned(),
        key: key.to_owned(),
        text: text.to_owned(),
        entered: false,
    })
}

#[test]
fn settings() {
    let mut results = SnapshotResults::new();
    let memory = settings_in_front(None);
    for (name, size) in [("settings-1280", SMALL), ("settings-1920", LARGE)] {
        add(&mut results, name, &THEMES, size, &sample::busy(), &memory);
    }
}

#[test]
fn settings_whole() {
    let mut results = SnapshotResults::new();
    let wrong = Verdict::Wrong(sample::t("must be 0.2 to 5"));
    let states = [
        ("live", sample::busy(), None),
        (
            "wrong",
            sample::settings::checked(sample::settings::WINDOW, "zoom", "11", wrong),
            draft(sample::settings::WINDOW, "zoom", "11"),
        ),
        ("broken", sample::settings::broken(), None),
        ("long", sample::settings::long(), None),
        ("nowhere", sample::settings::nowhere(), None),
    ];
    for (state, picture, draft) in states {
        for (place, size) in [("wide", WIDE), ("docked", DOCKED)] {
            let memory = UiMemory {
                draft: draft.clone(),
                ..panel_alone(Panel::Settings, place == "docked")
            };
            let name = format!("settings-{state}-{place}");
            add(&mut results, &name, &THEMES, size, &picture, &memory);
        }
    }
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

fn reload_panel(docked: bool, reload: ReloadFolds) -> UiMemory {
    UiMemory {
        reload,
        ..panel_alone(Panel::Reload, docked)
    }
}

/// The window with a panel at its side, 360 px wide, or under the queue, as wide as it is.
fn panel_alone(alone: Panel, docked: bool) -> UiMemory {
    let pane = |panel: Panel| panel as u64 + 1;
    let mut nodes: Vec<Node> = Panel::ALL
        .iter()
        .map(|panel| Node {
            id: pane(*panel),
            kind: NodeKind::Pane(*panel),
        })
        .collect();
    let others: Vec<u64> = Panel::ALL
        .into_iter()
        .filter(|panel| *panel != Panel::Queue && *panel != alone)
        .map(pane)
        .collect();
    let active = pane(Panel::Timeline);
    let rest = NodeKind::Tabs {
        children: others,
        active,
    };
    let (queue, panel) = (pane(Panel::Queue), pane(alone));
    let (main, root) = if docked {
        (
            NodeKind::Stack(vec![(queue, 420.0), (20, 200.0)]),
            NodeKind::Row(vec![(21, 376.0), (panel, 360.0)]),
        )
    } else {
        (
            NodeKind::Row(vec![(queue, 800.0), (20, 450.0)]),
            NodeKind::Stack(vec![(21, 190.0), (panel, 560.0)]),
        )
    };
    nodes.extend([(20, rest), (21, main), (22, root)].map(|(id, kind)| Node { id, kind }));
    UiMemory {
        layout: Layout { root: 22, nodes },
        ..UiMemory::default()
    }
}

/// A state of the reload panel, docked and wide.
fn reload_state(name: &str, picture: &Picture, folds: &ReloadFolds) {
    let mut results = SnapshotResults::new();
    for (place, docked, size) in [("wide", false, WIDE), ("docked", true, DOCKED)] {
        let name = format!("reload-{name}-{place}");
        let memory = reload_panel(docked, folds.clone());
        add(&mut results, &name, &THEMES, size, picture, &memory);
    }
}

#[test]
fn reload_success() {
    let folds = ReloadFolds {
        module: OpenModule::Named("command palette".to_owned()),
        ..ReloadFolds::default()
    };
    reload_state("success", &sample::busy(), &folds);
}

#[test]
fn reload_broker() {
    let folds = ReloadFolds {
        module: OpenModule::Named("broker".to_owned()),
        ..ReloadFolds::default()
    };
    let mut results = SnapshotResults::new();
    for (name, picture) in [
        ("newer", sample::reload::program_newer()),
        ("off", sample::reload::program_off()),
        ("refused", sample::reload::program_refused()),
    ] {
        for (place, docked, size) in [("wide", false, WIDE), ("docked", true, DOCKED)] {
            let name = format!("reload-broker-{name}-{place}");
            let memory = reload_panel(docked, folds.clone());
            add(&mut results, &name, &THEMES, size, &picture, &memory);
        }
    }
}

#[test]
fn reload_building() {
    reload_state(
        "building",
        &sample::reload::building(),
        &ReloadFolds::default(),
    );
}

#[test]
fn reload_compile_error() {
    reload_state("error", &sample::failed(), &ReloadFolds::default());
}

#[test]
fn reload_mismatch() {
    reload_state(
        "mismatch",
        &sample::reload::mismatch(),
        &ReloadFolds::default(),
    );
}

#[test]
fn reload_rolled_back() {
    let folds = ReloadFolds {
        attempt: Some(40),
        ..ReloadFolds::default()
    };
    reload_state("rolled-back", &sample::reload::rolled_back(), &folds);
}

#[test]
fn reload_long_history() {
    let folds = ReloadFolds {
        whole_history: true,
        ..ReloadFolds::default()
    };
    reload_state("long", &sample::reload::long(), &folds);
}

#[test]
fn reload_lesser_states() {
    let mut results = SnapshotResults::new();
    let memory = reload_panel(true, ReloadFolds::default());
    for (name, picture) in [
        ("newer", sample::reload::newer()),
        ("probation", sample::reload::probation()),
        ("restart", sample::reload::restarting()),
        ("not-restarted", sample::reload::not_restarted()),
        ("untouched", sample::reload::untouched()),
        ("nothing", sample::reload::nothing()),
    ] {
        let name = format!("reload-{name}-docked");
        add(&mut results, &name, &THEMES, DOCKED, &picture, &memory);
    }
}
