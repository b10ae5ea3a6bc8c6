//! What is found in the palette, and what choosing it does.

#![allow(
    clippy::expect_used,
    reason = "a test stops at what is not as it should be"
)]

#[allow(unused_imports, reason = "the window's own tests use all of it")]
#[path = "../../ui_hot/tests/sample/mod.rs"]
mod sample;
mod stage;

use stage::{CTRL, Window, dialog, key, lines, lit, press, search, taken, typed, write};
use warden_toolkit::egui::accesskit::Role;
use warden_toolkit::egui::{Key, Modifiers};
use warden_toolkit::egui_kittest::kittest::{NodeT as _, Queryable as _};
use warden_view::{Action, Column, Dialog, LinkState, Picture, Selection};

const SIZE: [f32; 2] = [1280.0, 800.0];

fn window(picture: Picture) -> Window {
    stage::window(SIZE, picture, sample::theme("nerv"))
}

#[test]
fn a_theme_is_chosen_by_name() {
    let mut window = window(sample::busy());
    search(&mut window, "high con");
    assert_eq!(lit(&window), "High contrast, theme");
    key(&mut window, Key::Enter);
    let id = sample::t("high-contrast");
    assert_eq!(taken(&mut window), [Action::SetTheme { id }]);
    assert_eq!(typed(&window), None);
}

#[test]
fn kinds_are_found_by_their_word() {
    let mut window = window(sample::busy());
    search(&mut window, "theme");
    let shown = lines(&window);
    for name in ["NERV", "Light", "Dark", "High contrast"] {
        let begins = |line: &String| line.starts_with(&format!("{name}, theme"));
        assert!(shown.iter().any(begins), "{name} in {shown:?}");
    }
}

#[test]
fn what_ends_something_asks_first() {
    let mut window = window(sample::busy());
    let cases = [
        ("force all", Dialog::ForceAll { clear_queue: false }),
        ("reset", Dialog::Reset),
    ];
    for (text, asked) in cases {
        search(&mut window, text);
        key(&mut window, Key::Enter);
        assert_eq!(dialog(&window), Some(asked));
        assert!(taken(&mut window).is_empty(), "{text} acted at once");
        key(&mut window, Key::Escape);
        assert_eq!(dialog(&window), None);
    }
    window.state_mut().ui_memory.selection = Selection::Waiter("mic-4471".to_owned());
    search(&mut window, "cancel");
    key(&mut window, Key::Enter);
    assert_eq!(dialog(&window), Some(Dialog::Cancel("mic-4471".to_owned())));
    key(&mut window, Key::Escape);
    window.state_mut().ui_memory.selection = Selection::Lease("lease-51c0".to_owned());
    search(&mut window, "release sel");
    key(&mut window, Key::Enter);
    let asked = Dialog::Release("lease-51c0".to_owned());
    assert_eq!(dialog(&window), Some(asked));
    assert!(taken(&mut window).is_empty());
    press(&mut window, CTRL, Key::Enter);
    let lease = sample::t("lease-51c0");
    assert_eq!(taken(&mut window), [Action::Release { lease }]);
}

#[test]
fn a_row_is_selected_by_name_and_by_id() {
    let mut window = window(sample::busy());
    search(&mut window, "mic-4471");
    key(&mut window, Key::Enter);
    let selection = |window: &Window| window.state().ui_memory.selection.clone();
    assert_eq!(selection(&window), Selection::Waiter("mic-4471".to_owned()));
    assert_eq!(typed(&window), None);
    search(&mut window, "holder nightly");
    key(&mut window, Key::Enter);
    assert_eq!(
        selection(&window),
        Selection::Lease("lease-2b7e".to_owned())
    );
    search(&mut window, "gpu-01");
    key(&mut window, Key::Enter);
    assert!(matches!(selection(&window), Selection::Gpu(_)));
    assert!(taken(&mut window).is_empty());
}

#[test]
fn a_chosen_row_comes_into_sight_and_takes_the_arrows() {
    let mut window = window(sample::crowd(10_000));
    window.state_mut().ui_memory.filter = "nobody".to_owned();
    window.run();
    search(&mut window, "request-004321");
    key(&mut window, Key::Enter);
    window.run();
    let memory = &window.state().ui_memory;
    assert_eq!(memory.filter, "", "a filter that hides it is cleared");
    let is_it = |label: String| label.starts_with("4322, ");
    let in_sight = window
        .query_all_by_role(Role::Row)
        .any(|row| row.accesskit_node().label().is_some_and(is_it));
    assert!(in_sight);
    key(&mut window, Key::ArrowDown);
    assert_eq!(
        window.state().ui_memory.selection,
        Selection::Waiter("request-004322".to_owned())
    );
}

#[test]
fn panels_filter_layout_and_sorting() {
    let mut window = window(sample::busy());
    search(&mut window, "panel events");
    key(&mut window, Key::Enter);
    window.run();
    window.get_by_label("Filter events");
    search(&mut window, "filter queue");
    key(&mut window, Key::Enter);
    window.run();
    assert!(window.get_by_label("Filter queue and holders").is_focused());
    key(&mut window, Key::Escape);
    search(&mut window, "sort time waited");
    key(&mut window, Key::Enter);
    let sort = window.state().ui_memory.sort;
    assert_eq!((sort.column, sort.descending), (Column::Waited, false));
    search(&mut window, "clear filter");
    key(&mut window, Key::Enter);
    assert_eq!(window.state().ui_memory.sort.column, Column::Place);
    search(&mut window, "standard layout");
    key(&mut window, Key::Enter);
    assert_eq!(window.state().ui_memory.layout, Default::default());
    search(&mut window, "show the keys");
    key(&mut window, Key::Enter);
    assert_eq!(dialog(&window), Some(Dialog::Keys));
}

#[test]
fn code_is_reloaded_rolled_back_and_restarted() {
    let mut window = window(sample::busy());
    search(&mut window, "reload all");
    key(&mut window, Key::Enter);
    search(&mut window, "warm");
    key(&mut window, Key::Enter);
    assert_eq!(taken(&mut window), [Action::Reload, Action::WarmRestart]);
    let module = window.state().picture.reload.modules[0].clone();
    search(&mut window, &format!("reload {}", module.name));
    key(&mut window, Key::Enter);
    let named = module.name.clone();
    assert_eq!(taken(&mut window), [Action::ReloadModule { module: named }]);
    let back = module.history.iter().find(|row| row.can_return);
    let generation = back.expect("one can be returned to").number;
    search(&mut window, &format!("back {} {generation}", module.name));
    key(&mut window, Key::Enter);
    let module = module.name;
    let rolled = Action::RollBack { module, generation };
    assert_eq!(taken(&mut window), [rolled]);
}

#[test]
fn the_selected_id_and_command_are_copied() {
    let mut window = window(sample::busy());
    window.state_mut().ui_memory.selection = Selection::Waiter("mic-4471".to_owned());
    search(&mut window, "copy id");
    key(&mut window, Key::Enter);
    search(&mut window, "copy command");
    key(&mut window, Key::Enter);
    let copy = |text: &str| Action::CopyText {
        text: text.to_owned(),
    };
    assert_eq!(
        taken(&mut window),
        [copy("mic-4471"), copy("warden cancel mic-4471")]
    );
}

#[test]
fn words_match_in_any_order_and_in_any_script() {
    let mut window = window(sample::long());
    search(&mut window, "sort passed queue");
    assert!(lit(&window).starts_with("Sort the queue by times passed"));
    key(&mut window, Key::Escape);
    for text in ["ÜNÏCÖDÉ request-3", "unicode request-3"] {
        search(&mut window, text);
        assert!(lit(&window).contains("request-3"), "{:?}", lines(&window));
        key(&mut window, Key::Escape);
    }
    search(&mut window, "чужой \\ λόγος");
    window.get_by_label_contains("Matches: 0 of");
}

#[test]
fn everything_is_drawn_larger_and_smaller() {
    let mut window = window(sample::busy());
    for (text, larger) in [("larger", true), ("standard size", false)] {
        search(&mut window, text);
        key(&mut window, Key::Enter);
        window.run();
        assert_eq!(window.ctx.zoom_factor() > 1.0, larger, "{text}");
    }
}

#[test]
fn recent_choices_come_first() {
    let mut window = window(sample::busy());
    for text in ["sort the queue by reason", "dark", "mic-4471"] {
        search(&mut window, text);
        key(&mut window, Key::Enter);
    }
    assert_eq!(
        window.state_mut().recent(),
        [
            "waiter/mic-4471",
            "theme/dark",
            "window/Sort the queue by reason"
        ]
    );
    search(&mut window, "");
    let shown = lines(&window);
    assert!(shown[0].starts_with("root-mic, waiter"), "{shown:?}");
    assert!(shown[1].starts_with("Dark, theme"), "{shown:?}");
    assert!(
        shown[2].starts_with("Sort the queue by reason"),
        "{shown:?}"
    );
    write(&mut window, "sort");
    assert!(lit(&window).starts_with("Sort the queue by reason"));
}

#[test]
fn what_cannot_be_done_says_why_and_does_nothing() {
    let mut window = window(sample::gone(LinkState::Gone));
    search(&mut window, "reset what is stale");
    assert!(lit(&window).contains("the broker does not answer"));
    key(&mut window, Key::Enter);
    assert_eq!(dialog(&window), None);
    assert!(typed(&window).is_some());
    key(&mut window, Key::Escape);
    search(&mut window, "try the broker");
    key(&mut window, Key::Enter);
    assert_eq!(taken(&mut window), [Action::Retry]);
}

#[test]
fn the_keys_list_it() {
    let mut window = window(sample::busy());
    for (label, key) in [
        ("Reset what is stale…", "Ctrl+Shift+S"),
        ("Force all leases to end…", "Ctrl+Shift+Del"),
        ("Reload all code and files", "Ctrl+Alt+R"),
        ("Next theme", "Ctrl+Shift+T"),
        ("Queue, panel", "Ctrl+2"),
    ] {
        let text = label.trim_end_matches("…").replace(',', "");
        search(&mut window, &text);
        let line = lit(&window);
        assert!(line.starts_with(label) && line.ends_with(key), "{line}");
        press(&mut window, Modifiers::NONE, Key::Escape);
    }
}
