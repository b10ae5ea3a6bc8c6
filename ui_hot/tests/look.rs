//! What a newcomer looks for: what is read has room, what has failed is in sight, what runs is not
//! called failed, and what is asked for whole is whole.

mod sample;
mod stage;

use stage::Window;
use warden_toolkit::egui::accesskit::Role;
use warden_toolkit::egui::{
    Event, Key, Modifiers, MouseWheelSource, MouseWheelUnit, TouchPhase, Vec2, pos2, vec2,
};
use warden_toolkit::egui_kittest::kittest::{NodeT as _, Queryable as _};
use warden_view::{OpenModule, Picture, Selection};

const SMALL: [f32; 2] = [1280.0, 800.0];
const CTRL: Modifiers = Modifiers {
    ctrl: true,
    command: true,
    ..Modifiers::NONE
};
const RELOAD: Key = Key::Num7;
const SETTINGS: Key = Key::Num8;

fn window(size: impl Into<Vec2>, picture: Picture) -> Window {
    stage::window(size, picture, sample::theme("nerv"))
}

fn press(window: &mut Window, modifiers: Modifiers, key: Key) {
    window.key_press_modifiers(modifiers, key);
    window.run();
}

/// Where a widget begins, from the window's upper edge.
fn top(window: &Window, label: &str) -> f32 {
    window.get_by_label_contains(label).rect().top()
}

/// Where the panel at the foot begins, under its head.
fn body(window: &Window) -> f32 {
    let tab = window.get_by_role_and_label(Role::Tab, "Timeline");
    tab.rect().bottom()
}

#[test]
fn what_is_read_is_given_height_and_gives_it_back() {
    let mut window = window(SMALL, sample::busy());
    let low = body(&window);
    for key in [RELOAD, SETTINGS] {
        press(&mut window, CTRL, key);
        let high = body(&window);
        assert!(low - high > 150.0, "{low} and {high}");
        // The queue keeps four rows over it.
        window.get_by_label_contains("4, ollama-proxy");
    }
    press(&mut window, CTRL, Key::Num5);
    assert_eq!(body(&window), low);
}

#[test]
fn a_module_that_fails_comes_into_sight_once() {
    let mut window = window(SMALL, sample::busy());
    press(&mut window, CTRL, RELOAD);
    window.state_mut().memory.reload.module = OpenModule::Named("render code".to_owned());
    window.run();
    let folded = top(&window, "policy.ron, generation 4");
    assert!(folded > 760.0, "it is out of sight: {folded}");
    window.state_mut().picture = sample::reload::policy_broken();
    window.run();
    let shown = top(&window, "policy.ron, generation 4, not taken");
    assert!(shown < 700.0, "{shown}");
    // Who scrolls away from it is left alone.
    window.event(Event::PointerMoved(pos2(600.0, 650.0)));
    window.event(Event::MouseWheel {
        unit: MouseWheelUnit::Point,
        delta: vec2(0.0, 3_000.0),
        phase: TouchPhase::Move,
        source: MouseWheelSource::Wheel,
        modifiers: Modifiers::NONE,
    });
    // The wheel's way is spread over some frames.
    window.run_steps(20);
    assert_eq!(top(&window, "policy.ron, generation 4"), folded);
}

#[test]
fn of_two_that_fail_in_a_row_the_unfolded_one_stays_in_sight() {
    let mut window = window(SMALL, sample::busy());
    press(&mut window, CTRL, RELOAD);
    let mut picture = sample::failed();
    window.state_mut().picture = picture.clone();
    window.run();
    let head = "render code, generation 7 runs, build failed";
    let first = top(&window, head);
    let mut modules = picture.reload.modules.to_vec();
    modules[1] = sample::reload::palette_failed().reload.modules[1].clone();
    picture.reload.modules = modules.into();
    window.state_mut().picture = picture;
    window.run();
    assert_eq!(top(&window, head), first);
    assert!((body(&window)..600.0).contains(&first), "{first}");
}

#[test]
fn a_failure_is_in_sight_when_its_panel_is_opened() {
    let mut window = window(SMALL, sample::reload::policy_broken());
    press(&mut window, CTRL, RELOAD);
    let shown = top(&window, "policy.ron, generation 4, not taken");
    assert!((body(&window)..700.0).contains(&shown), "{shown}");
}

#[test]
fn a_settings_file_that_breaks_comes_into_sight() {
    let mut window = window([1280.0, 720.0], sample::busy());
    press(&mut window, CTRL, SETTINGS);
    let hidden = top(&window, "Open policy.ron in the editor");
    assert!(hidden > 680.0, "it is out of sight: {hidden}");
    window.state_mut().picture = sample::settings::broken();
    window.run();
    let shown = top(&window, "Open policy.ron in the editor");
    assert!((body(&window)..600.0).contains(&shown), "{shown}");
}

#[test]
fn the_strip_says_what_runs_and_what_failed() {
    for (picture, said) in [
        (sample::busy(), "Render code: generation 7, live 6 m"),
        (
            sample::failed(),
            "Render code: generation 7, runs; build failed",
        ),
        (
            sample::reload::mismatch(),
            "Render code: generation 7, runs; refused at check",
        ),
        (
            sample::reload::rolled_back(),
            "Render code: generation 7, runs; 08 taken back",
        ),
        (
            sample::reload::probation(),
            "Render code: generation 8, probation",
        ),
        (
            sample::reload::palette_failed(),
            "Render code: generation 7, live 6 m; command palette: build failed",
        ),
    ] {
        window(SMALL, picture).get_by_label(said);
    }
}

#[test]
fn the_panel_says_what_runs_beside_what_failed() {
    let mut window = window(SMALL, sample::failed());
    press(&mut window, CTRL, RELOAD);
    window.get_by_label("render code, generation 7 runs, build failed");
}

#[test]
fn an_id_is_whole_however_long_it_is() {
    let mut window = window(SMALL, sample::long());
    let request = window.state().picture.queue[0].request.to_string();
    assert!(request.len() > 80);
    window.state_mut().memory.selection = Selection::Waiter(request.clone());
    window.run();
    let rect = window.get_by_label(&format!("Copy {request}")).rect();
    assert!(rect.height() > 30.0, "it takes several lines: {rect}");
    assert!(rect.right() < 1_272.0, "{rect}");
}

#[test]
fn what_is_kept_says_for_whom() {
    window(SMALL, sample::kept()).get_by_label("GPU-01 kept for root-dreamer");
}

#[test]
fn a_simulated_gpu_says_so_beside_the_longest_name() {
    let mut window = window(SMALL, sample::long());
    press(&mut window, CTRL, Key::Num1);
    let name = "NVIDIA RTX 6000 Ada Generation with a rather long marketing name";
    let begin = format!("GPU-00, {name}");
    let card = window.get_by_label_contains(&begin);
    let label = card.accesskit_node().label().expect("it has one");
    assert!(label.ends_with(", simulated"), "{label}");
}
