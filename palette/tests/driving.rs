//! The palette driven by keyboard and by accessible name, and what comes out of it.

#![allow(
    clippy::expect_used,
    reason = "a test stops at what is not as it should be"
)]

#[allow(unused_imports, reason = "the window's own tests use all of it")]
#[path = "../../ui_hot/tests/sample/mod.rs"]
mod sample;
mod stage;

use std::sync::Arc;

use stage::{CTRL, Window, press, search, write};
use warden_toolkit::egui::accesskit::Role;
use warden_toolkit::egui::{Event, Key, Modifiers};
use warden_toolkit::egui_kittest::kittest::{NodeT as _, Queryable as _};
use warden_view::{Action, Column, Dialog, LinkState, Picture, Selection};

const SIZE: [f32; 2] = [1280.0, 800.0];
const SHIFT: Modifiers = Modifiers {
    shift: true,
    ..Modifiers::NONE
};

fn window(picture: Picture) -> Window {
    stage::window(SIZE, picture, sample::theme("nerv"))
}

fn key(window: &mut Window, key: Key) {
    press(window, Modifiers::NONE, key);
}

fn taken(window: &mut Window) -> Vec<Action> {
    std::mem::take(&mut window.state_mut().actions)
}

fn dialog(window: &Window) -> Option<Dialog> {
    window.state().ui_memory.dialog.clone()
}

/// What assistive technology hears of each line in sight.
fn lines(window: &Window) -> Vec<String> {
    window
        .query_all_by_role(Role::ListBoxOption)
        .filter_map(|line| line.accesskit_node().label())
        .collect()
}

/// The line that Enter would choose.
fn lit(window: &Window) -> String {
    let mut lit = window
        .query_all_by_role(Role::ListBoxOption)
        .filter(|line| line.accesskit_node().is_selected() == Some(true));
    let line = lit.next().expect("one is lit");
    assert!(lit.next().is_none(), "two are lit");
    line.accesskit_node().label().expect("it has a name")
}

/// The field has the keyboard, and points assistive technology to the lit line.
fn keyboard_is_here(window: &Window) -> bool {
    let name = "Search everything that the window can do, and every row";
    let (field, _) = window.get_by_label(name).accesskit_node().locate();
    let focus = window.ctx.memory(|memory| memory.focused());
    let mut lines = window.query_all_by_role(Role::ListBoxOption);
    focus.is_some_and(|id| field == id.accesskit_id()) && lines.any(|line| line.is_focused())
}

fn typed(window: &Window) -> Option<&str> {
    window.state().ui_memory.palette.as_deref()
}

#[test]
fn it_opens_takes_the_keyboard_and_closes() {
    let mut window = window(sample::busy());
    assert_eq!(typed(&window), None);
    press(&mut window, CTRL, Key::K);
    assert_eq!(typed(&window), Some(""));
    window.get_by_label("Command palette");
    assert!(keyboard_is_here(&window));
    write(&mut window, "mic");
    assert_eq!(typed(&window), Some("mic"));
    key(&mut window, Key::Escape);
    assert_eq!(typed(&window), None);
    press(&mut window, CTRL, Key::K);
    assert_eq!(typed(&window), Some(""), "what was typed is gone");
    press(&mut window, CTRL, Key::K);
    assert_eq!(typed(&window), None);
    assert!(taken(&mut window).is_empty());
}

#[test]
fn its_button_stands_in_the_footer() {
    let mut window = window(sample::busy());
    window.get_by_label("Open the palette").click();
    window.run();
    assert_eq!(typed(&window), Some(""));
}

#[test]
fn every_key_is_its_own_while_it_is_open() {
    let mut window = window(sample::busy());
    window.state_mut().ui_memory.selection = Selection::Waiter("mic-4471".to_owned());
    search(&mut window, "?");
    key(&mut window, Key::Delete);
    press(&mut window, CTRL, Key::Num7);
    key(&mut window, Key::ArrowDown);
    assert_eq!(dialog(&window), None);
    let memory = &window.state().ui_memory;
    assert_eq!(memory.selection, Selection::Waiter("mic-4471".to_owned()));
    assert!(memory.layout.nodes.is_empty());
    assert_eq!(typed(&window), Some("?"));
}

#[test]
fn the_focus_goes_back_where_it_was() {
    let mut window = window(sample::busy());
    write(&mut window, "/");
    write(&mut window, "root");
    press(&mut window, CTRL, Key::Home);
    // In egui this key deletes to the end of a field.
    press(&mut window, CTRL, Key::K);
    assert_eq!(window.state().ui_memory.filter, "root");
    key(&mut window, Key::Escape);
    assert!(window.get_by_label("Filter queue and holders").is_focused());
    assert_eq!(window.state().ui_memory.filter, "root");
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
fn it_draws_before_any_style_is_in_place() {
    let mut memory = warden_hot::Memory::new(&palette::palette_memory).expect("it is made");
    let mut ui_memory = warden_view::UiMemory {
        palette: Some("re".to_owned()),
        ..Default::default()
    };
    let theme = sample::theme("light");
    let picture = sample::busy();
    let ctx = warden_toolkit::egui::Context::default();
    for _ in 0..3 {
        let mut output = ctx.run_ui(Default::default(), |ui| {
            let mut actions = Vec::new();
            let drawn = palette::palette_draw(
                ui,
                &picture,
                &theme,
                &mut ui_memory,
                &mut memory,
                &mut actions,
            );
            assert_eq!(drawn, Ok(()));
            assert!(actions.is_empty());
        });
        output.textures_delta.clear();
    }
}

#[test]
fn arrows_and_tab_move_and_wrap() {
    let mut window = window(sample::busy());
    search(&mut window, "sort the queue");
    let shown = lines(&window);
    assert_eq!(shown.len(), 8, "{shown:?}");
    assert_eq!(lit(&window), shown[0]);
    key(&mut window, Key::ArrowDown);
    key(&mut window, Key::Tab);
    assert_eq!(lit(&window), shown[2]);
    press(&mut window, SHIFT, Key::Tab);
    key(&mut window, Key::ArrowUp);
    key(&mut window, Key::ArrowUp);
    assert_eq!(lit(&window), shown[7]);
    key(&mut window, Key::ArrowDown);
    assert_eq!(lit(&window), shown[0]);
    key(&mut window, Key::PageDown);
    assert_eq!(lit(&window), shown[7]);
    write(&mut window, " by");
    assert_eq!(lit(&window), shown[0], "other text, the best match");
    assert!(keyboard_is_here(&window), "the field never loses it");
}

#[test]
fn a_line_is_chosen_by_a_click_and_a_click_beside_closes() {
    let mut window = window(sample::busy());
    search(&mut window, "light");
    window.get_by_label("Light, theme").click();
    window.run();
    let id = sample::t("light");
    assert_eq!(taken(&mut window), [Action::SetTheme { id }]);
    search(&mut window, "");
    let outside = warden_toolkit::egui::pos2(20.0, 700.0);
    window.hover_at(outside);
    window.drag_at(outside);
    window.drop_at(outside);
    window.run();
    assert_eq!(typed(&window), None);
    assert!(taken(&mut window).is_empty());
}

#[test]
fn text_and_enter_in_one_frame_choose_what_was_typed() {
    let mut window = window(sample::busy());
    press(&mut window, CTRL, Key::K);
    window.event(Event::Text("light".to_owned()));
    window.key_press(Key::Enter);
    window.run();
    let id = sample::t("light");
    assert_eq!(taken(&mut window), [Action::SetTheme { id }]);
}

#[test]
fn no_press_is_lost_in_a_slow_frame() {
    let mut window = window(sample::busy());
    search(&mut window, "sort the queue");
    let shown = lines(&window);
    for pressed in [Key::ArrowDown, Key::ArrowDown, Key::ArrowDown, Key::ArrowUp] {
        for held in [true, false] {
            window.event(Event::Key {
                key: pressed,
                physical_key: None,
                pressed: held,
                repeat: false,
                modifiers: Modifiers::NONE,
            });
        }
    }
    window.run();
    assert_eq!(lit(&window), shown[2]);
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
fn what_was_chosen_outlives_a_generation() {
    let mut window = window(sample::busy());
    search(&mut window, "dark");
    key(&mut window, Key::Enter);
    let written = window.state().memory.to_ron().expect("it is written");
    let (memory, migration) =
        warden_hot::Memory::from_ron(&palette::palette_memory, &written).expect("it is read");
    assert!(migration.is_trivial(), "{migration:?}");
    window.state_mut().memory = memory;
    search(&mut window, "");
    assert!(lit(&window).starts_with("Dark, theme"));
}

#[test]
fn it_stays_open_over_a_generation_with_what_is_typed() {
    let mut window = window(sample::busy());
    search(&mut window, "sort the queue");
    key(&mut window, Key::ArrowDown);
    let before = lit(&window);
    let written = window.state().memory.to_ron().expect("it is written");
    let read = warden_hot::Memory::from_ron(&palette::palette_memory, &written);
    window.state_mut().memory = read.expect("it is read").0;
    window.run();
    assert_eq!(typed(&window), Some("sort the queue"));
    assert_eq!(lit(&window), before);
}

#[test]
fn the_lit_row_stays_lit_when_the_queue_moves() {
    let mut window = window(sample::busy());
    search(&mut window, "waiter root-dreamer");
    key(&mut window, Key::ArrowDown);
    assert!(lit(&window).contains("dream-8810"), "{:?}", lines(&window));
    let mut picture = window.state().picture.clone();
    picture.queue = picture.queue.iter().skip(1).cloned().collect();
    picture.serial += 1;
    window.state_mut().picture = picture;
    window.run();
    assert!(lit(&window).contains("dream-8810"));
}

#[test]
fn enter_does_not_hit_the_neighbour_of_what_has_just_gone() {
    let mut window = window(sample::busy());
    search(&mut window, "waiter root-dreamer");
    assert!(lit(&window).contains("dream-7f3a"), "{:?}", lines(&window));
    let mut picture = window.state().picture.clone();
    picture.queue = picture.queue.iter().skip(1).cloned().collect();
    picture.serial += 1;
    window.state_mut().picture = picture;
    window.key_press(Key::Enter);
    window.run();
    assert_eq!(window.state().ui_memory.selection, Selection::None);
    assert!(typed(&window).is_some());
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
fn a_banner_of_the_host_covers_nothing_of_it() {
    let mut window = window(sample::busy());
    search(&mut window, "");
    for banner in [0.0, 150.0, 300.0] {
        window.state_mut().banner = banner;
        window.run();
        let rect = window.get_by_label("Command palette").rect();
        assert!(rect.top() > banner, "{rect:?} under a banner of {banner}");
        assert!(rect.bottom() < SIZE[1], "{rect:?}");
    }
}

#[test]
fn it_opens_anew_after_the_window_closed_it_by_itself() {
    let mut window = window(sample::busy());
    search(&mut window, "");
    let cancel = |window: &Window| {
        let shown = lines(window);
        shown.iter().any(|line| line.starts_with("Cancel"))
    };
    assert!(!cancel(&window));
    let memory = &mut window.state_mut().ui_memory;
    memory.palette = None;
    memory.selection = Selection::Waiter("mic-4471".to_owned());
    window.run();
    search(&mut window, "");
    assert!(cancel(&window), "{:?}", lines(&window));
}

#[test]
fn a_dialog_that_asks_keeps_it_shut() {
    let mut window = window(sample::busy());
    window.state_mut().ui_memory.dialog = Some(Dialog::Reset);
    window.run();
    press(&mut window, CTRL, Key::K);
    assert_eq!(typed(&window), None);
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

#[test]
fn ten_thousand_rows_are_found_at_once() {
    let mut window = window(sample::crowd(10_000));
    search(&mut window, "");
    window.get_by_label_contains("Matches: 10,0");
    assert!(lines(&window).len() < 20, "only those in sight are drawn");
    write(&mut window, "request-009999");
    assert!(
        lit(&window).contains("request-009999"),
        "{:?}",
        lines(&window)
    );
    window.get_by_label_contains("Matches: 1 of 10,0");
    let mut picture = window.state().picture.clone();
    let mut queue: Vec<_> = picture.queue.to_vec();
    queue.insert(0, Arc::clone(&queue[9_999]));
    queue.truncate(10_000);
    picture.queue = queue.into();
    picture.serial += 1;
    window.state_mut().picture = picture;
    window.run();
    assert!(lit(&window).contains("place 1,") || lit(&window).contains("place 1 "));
}
