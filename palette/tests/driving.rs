//! The palette driven by keyboard and by accessible name: opening, moving, closing, and what it holds
//! on to.

#![allow(
    clippy::expect_used,
    reason = "a test stops at what is not as it should be"
)]

#[allow(unused_imports, reason = "the window's own tests use all of it")]
#[path = "../../ui_hot/tests/sample/mod.rs"]
mod sample;
mod stage;

use std::sync::Arc;

use stage::{
    CTRL, Window, dialog, key, keyboard_is_here, lines, lit, press, search, taken, typed, write,
};
use warden_toolkit::egui::{Event, Key, Modifiers};
use warden_toolkit::egui_kittest::kittest::Queryable as _;
use warden_view::{Action, Dialog, Picture, Selection};

const SIZE: [f32; 2] = [1280.0, 800.0];
const SHIFT: Modifiers = Modifiers {
    shift: true,
    ..Modifiers::NONE
};

fn window(picture: Picture) -> Window {
    stage::window(SIZE, picture, sample::theme("nerv"))
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
