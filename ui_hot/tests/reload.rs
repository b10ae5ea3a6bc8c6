//! The reload panel driven by keyboard and by accessible name: every button and the action that
//! comes out of it.

mod sample;
mod stage;

use stage::Window;
use warden_toolkit::egui::accesskit::Role;
use warden_toolkit::egui::{Key, Modifiers};
use warden_toolkit::egui_kittest::kittest::{NodeT as _, Queryable as _};
use warden_view::{Action, OpenDiagnostic, OpenModule, Picture, Watch};

const CTRL: Modifiers = Modifiers {
    ctrl: true,
    command: true,
    ..Modifiers::NONE
};
const CODE: &str = "render code";

/// The panel in front, with the focus on its first module.
fn panel(picture: Picture) -> Window {
    let mut window = stage::window([1280.0, 1400.0], picture, sample::theme("nerv"));
    press(&mut window, CTRL, Key::Num7);
    window
}

fn press(window: &mut Window, modifiers: Modifiers, key: Key) {
    window.key_press_modifiers(modifiers, key);
    window.run();
}

/// Steps onto a control with Tab and presses Enter, as somebody without a mouse.
fn push(window: &mut Window, label: &str) {
    for _ in 0..80 {
        if window.get_by_label(label).is_focused() {
            press(window, Modifiers::NONE, Key::Enter);
            return;
        }
        press(window, Modifiers::NONE, Key::Tab);
    }
    panic!("Tab never comes to “{label}”");
}

fn taken(window: &mut Window) -> Vec<Action> {
    std::mem::take(&mut window.state_mut().actions)
}

fn is_disabled(window: &Window, label: &str) -> bool {
    window.get_by_label(label).accesskit_node().is_disabled()
}

fn copied(window: &mut Window) -> String {
    match taken(window).as_slice() {
        [Action::CopyText { text }] => text.clone(),
        other => panic!("one text was to be copied: {other:?}"),
    }
}

#[test]
fn ctrl_7_steps_onto_the_first_module_and_enter_folds_it() {
    let mut window = panel(sample::busy());
    let head = "render code, generation 7, live";
    assert!(window.get_by_label(head).is_focused());
    window.get_by_label("Reload render code");
    press(&mut window, Modifiers::NONE, Key::Enter);
    assert_eq!(window.state().memory.reload.module, OpenModule::None);
    assert!(window.query_by_label("Reload render code").is_none());
    press(&mut window, Modifiers::NONE, Key::Enter);
    window.get_by_label("Reload render code");
    push(&mut window, "command palette, generation 3, live");
    window.get_by_label("Reload command palette");
    assert!(window.query_by_label("Reload render code").is_none());
}

#[test]
fn what_needs_the_operator_is_unfolded() {
    let mut picture = sample::failed();
    let mut modules = picture.reload.modules.to_vec();
    modules.swap(0, 1);
    picture.reload.modules = modules.into();
    let window = panel(picture);
    window.get_by_label("Reload render code");
}

#[test]
fn one_module_is_reloaded() {
    let mut window = panel(sample::busy());
    push(&mut window, "Reload render code");
    let module = sample::t(CODE);
    assert_eq!(taken(&mut window), [Action::ReloadModule { module }]);
}

#[test]
fn all_are_reloaded() {
    let mut window = panel(sample::busy());
    push(&mut window, "Reload all modules");
    assert_eq!(taken(&mut window), [Action::Reload]);
}

#[test]
fn a_build_is_cancelled_from_its_first_moment() {
    let mut picture = sample::reload::building();
    let mut modules = picture.reload.modules.to_vec();
    modules[0].progress = None;
    picture.reload.modules = modules.into();
    let mut window = panel(picture);
    window.get_by_label("Cancel the build of render code");
    window.state_mut().picture = sample::reload::building();
    window.run();
    window.get_by_label("crate 12 of 345: egui_tiles v0.18.0");
    window.get_by_label("build: under way, 4 s");
    window.get_by_label("load: not reached");
    assert!(window.query_by_label("Reload render code").is_none());
    assert!(is_disabled(&window, "Reload all modules"));
    push(&mut window, "Cancel the build of render code");
    let module = sample::t(CODE);
    assert_eq!(taken(&mut window), [Action::CancelBuild { module }]);
}

#[test]
fn a_former_generation_is_taken_back() {
    let mut window = panel(sample::busy());
    let running = "Roll back render code to generation 7";
    assert!(window.query_by_label(running).is_none(), "it runs already");
    push(&mut window, "Roll back render code to generation 5");
    assert_eq!(
        taken(&mut window),
        [Action::RollBack {
            module: sample::t(CODE),
            generation: 5,
        }]
    );
}

#[test]
fn the_oldest_generation_is_reached_through_the_whole_history() {
    let mut window = panel(sample::busy());
    let oldest = "Roll back render code to generation 1";
    assert!(window.query_by_label(oldest).is_none());
    push(&mut window, "Show all 8 of the history of render code");
    push(&mut window, oldest);
    assert_eq!(
        taken(&mut window),
        [Action::RollBack {
            module: sample::t(CODE),
            generation: 1,
        }]
    );
    push(&mut window, "Newest 6 only of the history of render code");
    assert!(window.query_by_label(oldest).is_none());
}

#[test]
fn watching_is_chosen() {
    let mut window = panel(sample::busy());
    let chosen = window.get_by_label("Watch render code: light");
    assert_eq!(chosen.accesskit_node().role(), Role::RadioButton);
    for (word, mode) in [("off", Watch::Off), ("reload", Watch::Reload)] {
        push(&mut window, &format!("Watch render code: {word}"));
        let module = sample::t(CODE);
        assert_eq!(taken(&mut window), [Action::Watch { module, mode }]);
    }
    push(&mut window, "Watch render code: light");
    assert!(taken(&mut window).is_empty(), "it is chosen already");
}

#[test]
fn files_have_no_watching_to_choose() {
    let mut window = panel(sample::busy());
    push(&mut window, "themes/nerv.ron, generation 5, live");
    window.get_by_label("Reload themes/nerv.ron");
    assert!(
        window
            .query_by_label("Watch themes/nerv.ron: off")
            .is_none()
    );
    push(&mut window, "Open themes/nerv.ron in the editor");
    let module = sample::t("themes/nerv.ron");
    assert_eq!(taken(&mut window), [Action::EditFile { module }]);
}

#[test]
fn messages_unfold_and_open_in_the_editor() {
    let mut window = panel(sample::failed());
    push(
        &mut window,
        "Open message 2 at ui_hot/src/panels/with/a/long/path/strip.rs:1204 in the editor",
    );
    assert_eq!(
        taken(&mut window),
        [Action::OpenEditor {
            file: sample::t("ui_hot/src/panels/with/a/long/path/strip.rs"),
            line: 1_204,
            column: 33,
        }]
    );
    let folded = |window: &Window| window.state().memory.reload.diagnostic;
    assert_eq!(folded(&window), OpenDiagnostic::FirstError);
    let warning = "warning: unused variable: `ink`, ui_hot/src/footer.rs:17";
    push(&mut window, warning);
    assert_eq!(folded(&window), OpenDiagnostic::At(2));
    push(&mut window, warning);
    assert_eq!(folded(&window), OpenDiagnostic::None);
}

#[test]
fn a_message_is_copied_whole() {
    let mut window = panel(sample::failed());
    push(&mut window, "Copy the message of render code");
    assert!(copied(&mut window).contains("could not compile `ui_hot`"));
}

#[test]
fn a_mismatch_names_type_and_field_and_offers_a_warm_restart() {
    let mut window = panel(sample::reload::mismatch());
    window.get_by_label(
        "UiMemory.palette differs. This window: pub palette: Option<String>,. New build: pub \
         palette: Option<Palette>,",
    );
    push(&mut window, "Warm restart the window");
    assert_eq!(taken(&mut window), [Action::WarmRestart]);
}

#[test]
fn a_warm_restart_is_told_everywhere_and_cancelled() {
    let mut window = panel(sample::reload::restarting());
    assert!(is_disabled(&window, "Warm restart the window"));
    window.get_by_label("crate 287 of 345: warden-app v0.1.0");
    push(&mut window, "Cancel the warm restart");
    assert_eq!(taken(&mut window), [Action::CancelRestart]);
    press(&mut window, CTRL, Key::Num5);
    window.get_by_label_contains("crate 287 of 345; then it begins again in place");
    push(&mut window, "Do not restart the window");
    assert_eq!(taken(&mut window), [Action::CancelRestart]);
}

#[test]
fn what_was_taken_back_tells_why() {
    let mut window = panel(sample::reload::rolled_back());
    window.get_by_label("probation: failed");
    window.get_by_label("swap: 0.3 ms");
    window.get_by_label("migrate: no need");
    let row = window.get_by_label_contains("generation 08, 5d618f0+, quarantined");
    let name = row.accesskit_node().label().expect("it has one");
    assert!(name.contains("panic at frame 30"), "{name}");
    push(&mut window, &name);
    assert_eq!(window.state().memory.reload.attempt, Some(40));
    let back = "Roll back render code to generation 8";
    assert!(window.query_by_label(back).is_none(), "it is quarantined");
}

#[test]
fn arrows_step_through_the_history_and_the_light_shows_beside_a_failure() {
    let mut window = panel(sample::reload::rolled_back());
    window.get_by_label("render code, generation 7 runs, 08 taken back, new build available");
    let row = |window: &Window, name: &str| window.get_by_label_contains(name).is_focused();
    for _ in 0..80 {
        if row(&window, "generation 08, ") {
            break;
        }
        press(&mut window, Modifiers::NONE, Key::Tab);
    }
    press(&mut window, Modifiers::NONE, Key::ArrowDown);
    assert!(row(&window, "generation 07, "));
    press(&mut window, Modifiers::NONE, Key::ArrowUp);
    assert!(row(&window, "generation 08, "));
    press(&mut window, Modifiers::NONE, Key::Enter);
    assert_eq!(window.state().memory.reload.attempt, Some(40));
}

#[test]
fn memory_is_told_key_by_key() {
    let mut window = panel(sample::busy());
    push(&mut window, "command palette, generation 3, live");
    window.get_by_label("Memory 02 → 03: 5 kept, 1 migrated, 2 defaulted, 1 dropped");
    window.get_by_label("defaulted: limit, \"ten\" → 10: \"ten\" is no u32");
    window.get_by_label("dropped: last_theme, was \"nerv\"");
    window.get_by_label("kept: recent, selected, scroll, pinned, closed_at");
}

#[test]
fn the_report_says_all_that_the_panel_shows() {
    let mut window = panel(sample::reload::rolled_back());
    push(&mut window, "Copy the report of render code");
    let report = copied(&mut window);
    for part in [
        "Warden reload report: render code, 2026-11-21 14:32:40 +01:00 Europe/Berlin",
        "running: generation 7",
        "target/debug/libui_hot.so",
        "  rehearse   6.8 ms",
        "failed at probation, 2026-11-21 14:32:31 +01:00 Europe/Berlin: panic at frame 30",
        "at ui_hot/src/queue.rs:112:30",
        "history, the newest first:",
        "  08   quarantined",
        "  –    refused",
        "rehearsed: 3 frames in the window's own process",
        "record: the file is as its build recorded it",
    ] {
        assert!(report.contains(part), "“{part}” is missing in:\n{report}");
    }
    let mut window = panel(sample::busy());
    push(&mut window, "command palette, generation 3, live");
    push(&mut window, "Copy the report of command palette");
    let report = copied(&mut window);
    assert!(
        report.contains("defaulted  limit  \"ten\" → 10 (\"ten\" is no u32)"),
        "{report}"
    );
    let mut window = panel(sample::reload::mismatch());
    push(&mut window, "Copy the report of render code");
    assert!(copied(&mut window).contains("UiMemory.palette"));
}

#[test]
fn it_draws_in_every_state_at_every_size_and_sleeps() {
    let pictures = [
        sample::failed(),
        sample::reload::newer(),
        sample::reload::building(),
        sample::reload::mismatch(),
        sample::reload::restarting(),
        sample::reload::not_restarted(),
        sample::reload::probation(),
        sample::reload::rolled_back(),
        sample::reload::long(),
        sample::reload::untouched(),
        sample::reload::nothing(),
    ];
    for picture in pictures {
        for size in [[320.0, 200.0], [640.0, 700.0], [1920.0, 1080.0]] {
            let mut window = stage::window(size, picture.clone(), sample::theme("light"));
            press(&mut window, CTRL, Key::Num7);
            for viewport in window.output().viewport_output.values() {
                assert_eq!(viewport.repaint_delay, std::time::Duration::MAX);
            }
        }
    }
}
