//! The settings panel driven by keyboard and by accessible name, and the actions that come out of it.

mod sample;
mod stage;

use sample::settings::{POLICY, WINDOW};
use sample::t;
use stage::Window;
use warden_toolkit::egui::accesskit::Role;
use warden_toolkit::egui::{Event, Key, Modifiers};
use warden_toolkit::egui_kittest::kittest::Queryable as _;
use warden_view::{Action, Draft, Picture, Verdict};

const CTRL: Modifiers = Modifiers {
    ctrl: true,
    command: true,
    ..Modifiers::NONE
};

/// The panel in front, with the focus on its first setting.
fn panel(picture: Picture) -> Window {
    let mut window = stage::window([1280.0, 2400.0], picture, sample::theme("nerv"));
    press(&mut window, CTRL, Key::Num8);
    window
}

fn press(window: &mut Window, modifiers: Modifiers, key: Key) {
    window.key_press_modifiers(modifiers, key);
    window.run();
}

fn write(window: &mut Window, text: &str) {
    window.event(Event::Text(text.to_owned()));
    window.run();
}

/// Steps onto a control with Tab, as somebody without a mouse.
fn step_to(window: &mut Window, label: &str) {
    for _ in 0..120 {
        if window.get_by_label(label).is_focused() {
            return;
        }
        press(window, Modifiers::NONE, Key::Tab);
    }
    panic!("Tab never comes to “{label}”");
}

fn push(window: &mut Window, label: &str) {
    step_to(window, label);
    press(window, Modifiers::NONE, Key::Enter);
}

/// Puts another text into a field that has the focus.
fn overwrite(window: &mut Window, text: &str) {
    press(window, CTRL, Key::A);
    write(window, text);
}

fn taken(window: &mut Window) -> Vec<Action> {
    std::mem::take(&mut window.state_mut().actions)
}

fn set(file: &str, key: &str, value: &str) -> Action {
    Action::SetSetting {
        file: t(file),
        key: t(key),
        value: t(value),
    }
}

fn check(file: &str, key: &str, value: &str) -> Action {
    Action::CheckSetting {
        file: t(file),
        key: t(key),
        value: t(value),
    }
}

/// What the host says about what was typed last.
fn say(window: &mut Window, file: &str, key: &str, text: &str, verdict: Verdict) {
    window.state_mut().picture = sample::settings::checked(file, key, text, verdict);
    window.run();
}

#[test]
fn ctrl_8_steps_onto_the_first_setting() {
    let window = panel(sample::busy());
    assert!(window.get_by_label("Window theme: nerv").is_focused());
}

#[test]
fn every_setting_is_there_with_its_meaning_and_is_reached_by_tab() {
    let mut window = panel(sample::busy());
    let files = window.state().picture.settings.files.clone();
    for setting in files.iter().flat_map(|file| file.keys.iter()) {
        window.get_by_role_and_label(
            Role::Row,
            &format!(
                "{}, {}. {}",
                setting.key,
                setting.value,
                setting.meaning.replace('`', "")
            ),
        );
    }
    step_to(&mut window, "Policy vram_reserve_mib");
    step_to(&mut window, "Policy yield.mode: take");
}

#[test]
fn a_choice_is_saved_at_once() {
    let mut window = panel(sample::busy());
    push(&mut window, "Window rows: compact");
    assert_eq!(taken(&mut window), [set(WINDOW, "rows", "compact")]);
    push(&mut window, "Window reduced_motion: off");
    assert_eq!(taken(&mut window), [set(WINDOW, "reduced_motion", "false")]);
    push(&mut window, "Window rows: roomy");
    assert!(taken(&mut window).is_empty(), "it is that already");
}

#[test]
fn what_is_typed_is_checked_at_once_and_saved_by_enter() {
    let mut window = panel(sample::busy());
    step_to(&mut window, "Policy max_bypass");
    overwrite(&mut window, "4");
    assert_eq!(taken(&mut window), [check(POLICY, "max_bypass", "4")]);
    say(&mut window, POLICY, "max_bypass", "4", Verdict::Fine);
    window.get_by_label("max_bypass: Enter saves it, Esc gives it up");
    press(&mut window, Modifiers::NONE, Key::Enter);
    assert_eq!(taken(&mut window), [set(POLICY, "max_bypass", "4")]);
    say(&mut window, POLICY, "max_bypass", "4", Verdict::Saving);
    window.get_by_label("max_bypass: is being saved …");
    say(&mut window, POLICY, "max_bypass", "4", Verdict::Saved);
    assert_eq!(window.state().memory.draft, None);
}

#[test]
fn what_is_typed_is_saved_when_the_focus_goes_on() {
    let mut window = panel(sample::busy());
    step_to(&mut window, "Policy max_queue");
    overwrite(&mut window, "500");
    taken(&mut window);
    press(&mut window, Modifiers::NONE, Key::Tab);
    assert_eq!(taken(&mut window), [set(POLICY, "max_queue", "500")]);
}

#[test]
fn what_cannot_be_says_why_and_stays_to_be_mended() {
    let mut window = panel(sample::busy());
    step_to(&mut window, "Window zoom");
    overwrite(&mut window, "11");
    let wrong = || Verdict::Wrong(t("must be 0.2 to 5"));
    say(&mut window, WINDOW, "zoom", "11", wrong());
    window.get_by_label("zoom: must be 0.2 to 5");
    taken(&mut window);
    press(&mut window, Modifiers::NONE, Key::Enter);
    assert!(window.get_by_label("Window zoom").is_focused());
    assert_eq!(
        window.state().memory.draft,
        Some(Draft {
            file: WINDOW.to_owned(),
            key: "zoom".to_owned(),
            text: "11".to_owned(),
            entered: false,
        })
    );
}

#[test]
fn escape_gives_up_what_was_typed_and_never_acts() {
    let mut window = panel(sample::busy());
    step_to(&mut window, "Window zoom");
    overwrite(&mut window, "2");
    taken(&mut window);
    press(&mut window, Modifiers::NONE, Key::Escape);
    assert!(taken(&mut window).is_empty());
    assert_eq!(window.state().memory.draft, None);
    assert!(!window.get_by_label("Window zoom").is_focused());
}

#[test]
fn keys_that_act_are_letters_while_a_value_is_typed() {
    let mut window = panel(sample::busy());
    step_to(&mut window, "Policy priorities");
    write(&mut window, "?");
    write(&mut window, "/");
    press(&mut window, Modifiers::NONE, Key::Delete);
    assert_eq!(window.state().memory.dialog, None);
    let draft = window.state().memory.draft.clone();
    assert!(draft.is_some_and(|draft| draft.text.contains("?/")));
}

#[test]
fn a_value_goes_back_to_its_default() {
    let mut window = panel(sample::busy());
    push(&mut window, "Set Window zoom back to its default, 1.0");
    assert_eq!(taken(&mut window), [set(WINDOW, "zoom", "1.0")]);
    let row = window.query_by_label_contains("Set Policy max_bypass back");
    assert!(row.is_none(), "it is its default");
}

#[test]
fn what_is_saved_and_not_live_says_what_holds() {
    let window = panel(sample::settings::setting(1, "max_bypass", |setting| {
        setting.value = t("4");
    }));
    window.get_by_label("max_bypass: not live");
    window.get_by_label("max_bypass: not live: 8 holds now");
}

#[test]
fn a_broken_file_cannot_be_changed_here_and_is_opened_in_the_editor() {
    let mut window = panel(sample::settings::broken());
    assert!(window.query_by_label("Policy max_bypass").is_none());
    push(&mut window, "Open policy.ron in the editor");
    let module = t(POLICY);
    assert_eq!(taken(&mut window), [Action::EditFile { module }]);
}

#[test]
fn it_draws_in_every_state_at_every_size_and_sleeps() {
    let pictures = [
        sample::settings::broken(),
        sample::settings::long(),
        sample::settings::nowhere(),
    ];
    for picture in pictures {
        for size in [[320.0, 200.0], [640.0, 700.0], [1920.0, 1080.0]] {
            let mut window = stage::window(size, picture.clone(), sample::theme("light"));
            press(&mut window, CTRL, Key::Num8);
            for viewport in window.output().viewport_output.values() {
                assert_eq!(viewport.repaint_delay, std::time::Duration::MAX);
            }
        }
    }
}
