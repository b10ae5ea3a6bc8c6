//! The window driven by keyboard and by accessible name, and the actions that come out of it.

mod sample;
mod stage;

use stage::{Stage, Window};
use warden_toolkit::egui::accesskit::Role;
use warden_toolkit::egui::{Key, Modifiers};
use warden_toolkit::egui_kittest::Harness;
use warden_toolkit::egui_kittest::kittest::{NodeT as _, Queryable as _};
use warden_view::{Action, Column, Dialog, LinkState, NodeKind, Picture, SHIPPED, Selection};

const SIZE: [f32; 2] = [1280.0, 800.0];
const SHIFTED: Modifiers = Modifiers {
    ctrl: true,
    shift: true,
    command: true,
    ..Modifiers::NONE
};
const CTRL: Modifiers = Modifiers {
    ctrl: true,
    command: true,
    ..Modifiers::NONE
};

fn window(picture: Picture) -> Window {
    stage::window(SIZE, picture, sample::theme("nerv"))
}

fn press(window: &mut Window, modifiers: Modifiers, key: Key) {
    window.key_press_modifiers(modifiers, key);
    window.run();
}

fn write(window: &mut Window, text: &str) {
    window.event(warden_toolkit::egui::Event::Text(text.to_owned()));
    window.run();
}

fn click(window: &mut Window, label: &str) {
    window.get_by_label(label).click();
    window.run();
}

fn selected(window: &Window) -> Selection {
    window.state().memory.selection.clone()
}

fn taken(window: &mut Window) -> Vec<Action> {
    std::mem::take(&mut window.state_mut().actions)
}

fn waiter(request: &str) -> Selection {
    Selection::Waiter(request.to_owned())
}

fn rows(window: &Window) -> Vec<String> {
    window
        .query_all_by_role(Role::Row)
        .filter_map(|row| row.accesskit_node().label())
        .collect()
}

#[test]
fn arrows_move_the_selection() {
    let mut window = window(sample::busy());
    assert_eq!(selected(&window), Selection::None);
    press(&mut window, Modifiers::NONE, Key::ArrowDown);
    assert_eq!(selected(&window), waiter("dream-7f3a09b1c41e"));
    press(&mut window, Modifiers::NONE, Key::ArrowDown);
    press(&mut window, Modifiers::NONE, Key::ArrowDown);
    assert_eq!(selected(&window), waiter("console-81aa"));
    press(&mut window, Modifiers::NONE, Key::ArrowUp);
    assert_eq!(selected(&window), waiter("mic-4471"));
    press(&mut window, Modifiers::NONE, Key::End);
    press(&mut window, Modifiers::NONE, Key::ArrowDown);
    assert_eq!(selected(&window), waiter("dream-8810"));
    press(&mut window, Modifiers::NONE, Key::Home);
    assert_eq!(selected(&window), waiter("dream-7f3a09b1c41e"));
    assert!(taken(&mut window).is_empty());
}

#[test]
fn no_arrow_is_lost_in_a_slow_frame() {
    let mut window = window(sample::busy());
    for key in [Key::ArrowDown, Key::ArrowDown, Key::ArrowDown, Key::ArrowUp] {
        window.event(warden_toolkit::egui::Event::Key {
            key,
            physical_key: None,
            pressed: true,
            repeat: true,
            modifiers: Modifiers::NONE,
        });
    }
    window.run();
    assert_eq!(selected(&window), waiter("mic-4471"));
}

#[test]
fn delete_asks_and_escape_steps_back() {
    let mut window = window(sample::busy());
    press(&mut window, Modifiers::NONE, Key::ArrowDown);
    press(&mut window, Modifiers::NONE, Key::Delete);
    assert_eq!(
        window.state().memory.dialog,
        Some(Dialog::Cancel("dream-7f3a09b1c41e".to_owned()))
    );
    window.get_by_label("Cancel waiter 1?");
    press(&mut window, Modifiers::NONE, Key::Escape);
    assert_eq!(window.state().memory.dialog, None);
    assert_eq!(selected(&window), waiter("dream-7f3a09b1c41e"));
    assert!(taken(&mut window).is_empty());
}

#[test]
fn enter_in_a_dialog_takes_the_way_back() {
    let mut window = window(sample::busy());
    press(&mut window, Modifiers::NONE, Key::ArrowDown);
    press(&mut window, Modifiers::NONE, Key::Delete);
    press(&mut window, Modifiers::NONE, Key::Enter);
    assert_eq!(window.state().memory.dialog, None);
    assert!(taken(&mut window).is_empty());
}

#[test]
fn a_waiter_is_cancelled_by_keyboard() {
    let mut window = window(sample::busy());
    press(&mut window, Modifiers::NONE, Key::ArrowDown);
    press(&mut window, Modifiers::NONE, Key::ArrowDown);
    press(&mut window, Modifiers::NONE, Key::Delete);
    press(&mut window, CTRL, Key::Enter);
    assert_eq!(
        taken(&mut window),
        [Action::Cancel {
            request: sample::t("mic-4471")
        }]
    );
    assert_eq!(window.state().memory.dialog, None);
}

#[test]
fn a_lease_is_released_by_keyboard() {
    let mut window = window(sample::busy());
    press(&mut window, CTRL, Key::Num3);
    press(&mut window, Modifiers::NONE, Key::ArrowDown);
    assert_eq!(selected(&window), Selection::Lease("lease-51c0".to_owned()));
    press(&mut window, Modifiers::NONE, Key::Delete);
    press(&mut window, CTRL, Key::Enter);
    assert_eq!(
        taken(&mut window),
        [Action::Release {
            lease: sample::t("lease-51c0")
        }]
    );
}

#[test]
fn a_lease_is_released_by_its_button() {
    let mut window = window(sample::busy());
    click(&mut window, "Release train-lora-nightly on GPU-01");
    window.get_by_label("Release GPU-01?");
    assert!(taken(&mut window).is_empty());
    click(&mut window, "Confirm: Release");
    assert_eq!(
        taken(&mut window),
        [Action::Release {
            lease: sample::t("lease-2b7e")
        }]
    );
}

#[test]
fn all_are_forced_only_after_the_question() {
    let mut window = window(sample::busy());
    press(&mut window, SHIFTED, Key::Delete);
    window.get_by_label("Force all leases to end?");
    click(&mut window, "Refuse 7 waiters too");
    assert_eq!(
        window.state().memory.dialog,
        Some(Dialog::ForceAll { clear_queue: true })
    );
    click(&mut window, "Confirm: Force all");
    assert_eq!(taken(&mut window), [Action::ForceAll { clear_queue: true }]);
    click(&mut window, "Force all leases to end");
    press(&mut window, CTRL, Key::Enter);
    assert_eq!(
        taken(&mut window),
        [Action::ForceAll { clear_queue: false }]
    );
}

#[test]
fn reset_asks_too() {
    let mut window = window(sample::busy());
    press(&mut window, SHIFTED, Key::S);
    click(&mut window, "Confirm: Reset");
    assert_eq!(taken(&mut window), [Action::Reset]);
    click(&mut window, "Reset what is stale");
    press(&mut window, Modifiers::NONE, Key::Escape);
    assert!(taken(&mut window).is_empty());
}

#[test]
fn a_dialog_outlives_what_it_asks_about_and_then_does_nothing() {
    let mut window = window(sample::busy());
    window.state_mut().memory.dialog = Some(Dialog::Release("lease-51c0".to_owned()));
    window.run();
    window.state_mut().picture = sample::empty();
    window.run();
    window.get_by_label("This lease has ended");
    press(&mut window, CTRL, Key::Enter);
    assert!(taken(&mut window).is_empty());
}

#[test]
fn slash_filters_queue_and_holders() {
    let mut window = window(sample::busy());
    write(&mut window, "/");
    assert!(window.get_by_label("Filter queue and holders").is_focused());
    write(&mut window, "DREAM");
    assert_eq!(window.state().memory.filter, "DREAM");
    let shown = rows(&window);
    assert_eq!(shown.len(), 2, "{shown:?}");
    assert!(
        shown.iter().all(|row| row.contains("root-dreamer")),
        "{shown:?}"
    );
    assert!(
        window
            .query_by_label("Release root-console on GPU-00")
            .is_none()
    );
    window.get_by_label("Release train-lora-nightly on GPU-01");
    press(&mut window, Modifiers::NONE, Key::Escape);
    assert_eq!(window.state().memory.filter, "");
    assert_eq!(rows(&window).len(), 7);
}

#[test]
fn keys_that_are_typed_act_on_nothing() {
    let mut window = window(sample::busy());
    press(&mut window, Modifiers::NONE, Key::ArrowDown);
    write(&mut window, "/");
    write(&mut window, "?");
    press(&mut window, Modifiers::NONE, Key::Delete);
    assert_eq!(window.state().memory.dialog, None);
    assert_eq!(window.state().memory.filter, "?");
}

#[test]
fn columns_sort_both_ways() {
    let mut window = window(sample::busy());
    click(&mut window, "Sort by time waited");
    assert_eq!(window.state().memory.sort.column, Column::Waited);
    assert!(
        rows(&window)[0].starts_with("7, root-dreamer"),
        "{:?}",
        rows(&window)
    );
    click(&mut window, "Sort by time waited");
    assert!(
        rows(&window)[0].starts_with("1, root-dreamer"),
        "{:?}",
        rows(&window)
    );
    press(&mut window, Modifiers::NONE, Key::ArrowDown);
    press(&mut window, Modifiers::NONE, Key::ArrowDown);
    assert_eq!(selected(&window), waiter("console-81aa"));
    press(&mut window, Modifiers::NONE, Key::Escape);
    assert_eq!(window.state().memory.sort.column, Column::Place);
}

#[test]
fn a_row_shows_itself_in_full_and_is_copied() {
    let mut window = window(sample::busy());
    let row = rows(&window)[0].clone();
    click(&mut window, &row);
    assert_eq!(selected(&window), waiter("dream-7f3a09b1c41e"));
    click(&mut window, "Copy dream-7f3a09b1c41e");
    let copy = |text: &str| Action::CopyText {
        text: text.to_owned(),
    };
    assert_eq!(taken(&mut window), [copy("dream-7f3a09b1c41e")]);
    press(&mut window, CTRL, Key::C);
    assert_eq!(taken(&mut window), [copy("dream-7f3a09b1c41e")]);
    press(&mut window, SHIFTED, Key::C);
    assert_eq!(
        taken(&mut window),
        [copy("warden cancel dream-7f3a09b1c41e")]
    );
}

#[test]
fn enter_brings_the_detail_to_the_front() {
    let mut window = stage::window([900.0, 600.0], sample::busy(), sample::theme("nerv"));
    press(&mut window, Modifiers::NONE, Key::ArrowDown);
    assert!(window.query_by_label("Copy dream-7f3a09b1c41e").is_none());
    press(&mut window, Modifiers::NONE, Key::Enter);
    window.get_by_label("Copy dream-7f3a09b1c41e");
}

#[test]
fn panels_come_to_the_front_by_key_and_by_tab() {
    let mut window = window(sample::busy());
    click(&mut window, "Events");
    window.get_by_label("Filter events");
    press(&mut window, CTRL, Key::Num7);
    window.get_by_label("Reload all modules");
    let layout = &window.state().memory.layout;
    assert_eq!(layout.root, 0, "the layout still fits itself to the window");
    assert!(
        layout
            .nodes
            .iter()
            .all(|node| matches!(node.kind, NodeKind::Tabs { .. }))
    );
    press(&mut window, CTRL, Key::Num5);
    assert!(window.query_by_label("Reload all modules").is_none());
}

#[test]
fn code_is_reloaded_by_the_button() {
    let mut window = window(sample::busy());
    click(&mut window, "Hot reload");
    assert_eq!(taken(&mut window), [Action::Reload]);
}

#[test]
fn a_failure_opens_in_the_editor() {
    let mut window = window(sample::failed());
    press(&mut window, CTRL, Key::Num7);
    click(&mut window, "Open ui_hot/src/queue.rs:41 in the editor");
    let file = sample::t("ui_hot/src/queue.rs");
    assert_eq!(
        taken(&mut window),
        [Action::OpenEditor {
            file,
            line: 41,
            column: 17
        }]
    );
}

#[test]
fn themes_change_by_key_and_by_menu() {
    let mut window = window(sample::busy());
    press(&mut window, SHIFTED, Key::T);
    assert_eq!(
        taken(&mut window),
        [Action::SetTheme {
            id: sample::t("light")
        }]
    );
    click(&mut window, "Choose a theme");
    click(&mut window, "High contrast");
    assert_eq!(
        taken(&mut window),
        [Action::SetTheme {
            id: sample::t("high-contrast")
        }]
    );
}

#[test]
fn the_question_mark_shows_the_keys() {
    let mut window = window(sample::busy());
    write(&mut window, "?");
    assert_eq!(window.state().memory.dialog, Some(Dialog::Keys));
    press(&mut window, Modifiers::NONE, Key::Escape);
    assert_eq!(window.state().memory.dialog, None);
    click(&mut window, "Show the keys");
    window.get_by_label("Keys");
    click(&mut window, "Close");
    assert_eq!(window.state().memory.dialog, None);
}

#[test]
fn a_broker_that_is_gone_is_offered_no_action() {
    for state in [LinkState::Gone, LinkState::Replaying, LinkState::Refused] {
        let mut window = window(sample::gone(state));
        press(&mut window, Modifiers::NONE, Key::ArrowDown);
        press(&mut window, Modifiers::NONE, Key::Delete);
        press(&mut window, SHIFTED, Key::Delete);
        press(&mut window, SHIFTED, Key::S);
        assert_eq!(window.state().memory.dialog, None);
        for label in ["Reset what is stale", "Force all leases to end"] {
            assert!(
                window.get_by_label(label).accesskit_node().is_disabled(),
                "{label}"
            );
        }
        assert!(taken(&mut window).is_empty());
    }
}

#[test]
fn a_broker_that_is_gone_can_be_tried_again() {
    let mut window = window(sample::gone(LinkState::Gone));
    window.get_by_label_contains("figures are from 14:32:37");
    click(&mut window, "Try the broker again now");
    assert_eq!(taken(&mut window), [Action::Retry]);
}

#[test]
fn a_stranger_is_named() {
    let window = window(sample::stranger());
    window.get_by_label_contains("127.0.0.1:8080 is no Warden; it was sent no token");
}

#[test]
fn results_are_told_with_their_code_and_dismissed() {
    let mut window = window(sample::acted());
    window.get_by_label_contains("refused: request_ended: Cancel root-mic");
    window.get_by_label_contains("pending: Release train-lora-nightly on GPU-01");
    let button = window.get_by_label("Release train-lora-nightly on GPU-01");
    assert!(
        button.accesskit_node().is_disabled(),
        "it is being released already"
    );
    click(&mut window, "Dismiss: Reset");
    assert_eq!(taken(&mut window), [Action::Dismiss { run: 1 }]);
}

#[test]
fn nobody_waiting_has_a_line_to_copy() {
    let mut window = window(sample::empty());
    assert!(rows(&window).is_empty());
    let line = "warden run --priority mic -- python infer.py";
    click(&mut window, &format!("Copy the line: {line}"));
    assert_eq!(
        taken(&mut window),
        [Action::CopyText {
            text: line.to_owned()
        }]
    );
}

#[test]
fn a_palette_that_nobody_draws_keeps_no_key() {
    let mut window = window(sample::busy());
    window.state_mut().memory.palette = Some("res".to_owned());
    press(&mut window, Modifiers::NONE, Key::ArrowDown);
    assert_eq!(selected(&window), waiter("dream-7f3a09b1c41e"));
    press(&mut window, Modifiers::NONE, Key::Escape);
    assert_eq!(window.state().memory.palette, None);
    assert_eq!(selected(&window), waiter("dream-7f3a09b1c41e"));
}

#[test]
fn ten_thousand_rows_are_a_few_on_screen() {
    let mut window = window(sample::crowd(10_000));
    window.get_by_label("Queue, 10,000 waiters");
    assert!(rows(&window).len() < 20);
    press(&mut window, Modifiers::NONE, Key::End);
    assert_eq!(selected(&window), waiter("request-009999"));
    window.get_by_label_contains("10000, eval-harness");
    press(&mut window, Modifiers::NONE, Key::PageUp);
    window.get_by_label_contains("9990, root-mic");
    write(&mut window, "/");
    write(&mut window, "request-0042");
    assert!(
        rows(&window)[0].starts_with("4201, "),
        "{:?}",
        rows(&window)[0]
    );
}

#[test]
fn a_tile_can_be_resized_and_the_standard_layout_comes_back() {
    use warden_toolkit::egui::pos2;
    let mut window = window(sample::busy());
    let gap = pos2(871.0, 300.0);
    window.hover_at(gap);
    window.run();
    window.drag_at(gap);
    window.run();
    window.hover_at(pos2(771.0, 300.0));
    window.run();
    window.drop_at(pos2(771.0, 300.0));
    window.run();
    assert_ne!(window.state().memory.layout.root, 0);
    press(&mut window, SHIFTED, Key::L);
    assert_eq!(window.state().memory.layout.root, 0);
}

#[test]
fn every_theme_draws_at_every_size() {
    for (id, _) in SHIPPED {
        for size in [[320.0, 200.0], [900.0, 600.0], [2560.0, 1440.0]] {
            for picture in [sample::empty(), sample::long(), sample::stranger()] {
                stage::window(size, picture, sample::theme(id));
            }
        }
    }
}

#[test]
fn it_sleeps_when_nothing_changes() {
    let window = window(sample::busy());
    for viewport in window.output().viewport_output.values() {
        assert_eq!(viewport.repaint_delay, std::time::Duration::MAX);
    }
}

#[test]
fn it_draws_before_its_style_is_in_place() {
    let stage = Stage {
        picture: sample::busy(),
        theme: sample::theme("nerv"),
        memory: Default::default(),
        actions: Vec::new(),
    };
    let draw = |ui: &mut warden_toolkit::egui::Ui, stage: &mut Stage| {
        let Stage {
            picture,
            theme,
            memory,
            actions,
        } = stage;
        ui_hot::ui_hot_draw(ui, picture, theme, memory, actions).unwrap();
        ui_hot::ui_hot_style(ui.ctx(), theme).unwrap();
    };
    let mut window = Harness::builder()
        .with_size(SIZE)
        .build_ui_state(draw, stage);
    window.run();
}
