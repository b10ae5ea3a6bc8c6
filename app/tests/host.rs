//! The host without a window: what it shows while the broker comes and goes, and what it does when
//! the drawing code fails.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test says so when it fails"
)]

mod stand;

use std::cell::Cell;

use serde_json::json;
use stand::{Broker, host, status, until, waiter, window};
use warden_app::{Draw, Drawing, Functions};
use warden_hot::{Panicked, guard};
use warden_toolkit as _;
use warden_toolkit::egui::{self, Key, Modifiers};
use warden_toolkit::egui_kittest::kittest::Queryable as _;
use warden_view::{Action, LinkState, Phase, Picture, Theme, UiMemory};

/// Nobody listens there.
const NOWHERE: &str = "127.0.0.1:9";

fn style(_: &egui::Context, _: &Theme) -> Result<(), Panicked> {
    Ok(())
}

/// Shows the queue's clients and a field to type in.
fn draw(
    ui: &mut egui::Ui,
    picture: &Picture,
    _: &Theme,
    memory: &mut UiMemory,
    actions: &mut Vec<Action>,
) -> Result<(), Panicked> {
    for waiter in picture.queue.iter() {
        ui.label(&*waiter.client);
    }
    let label = ui.label("Filter");
    ui.text_edit_singleline(&mut memory.filter)
        .labelled_by(label.id);
    if ui.button("Release").clicked() {
        actions.push(Action::Release {
            lease: "l-1".into(),
        });
    }
    Ok(())
}

/// The same, until the letter x is typed.
fn draw_until_x(
    ui: &mut egui::Ui,
    picture: &Picture,
    theme: &Theme,
    memory: &mut UiMemory,
    actions: &mut Vec<Action>,
) -> Result<(), Panicked> {
    guard(|| {
        let _ = draw(ui, picture, theme, memory, actions);
        if memory.filter.contains('x') {
            memory.filter = "half done".to_owned();
            actions.push(Action::Reset);
            panic!("row 7 is gone");
        }
    })
}

const fn functions(draw: Draw) -> Functions {
    Functions {
        draw: Drawing::Plain(draw),
        style: Some(style),
        memory: None,
    }
}

const GOOD: Functions = functions(draw);

#[test]
fn what_the_broker_tells_is_folded_and_shown() {
    let broker = Broker::start();
    let dir = tempfile::tempdir().unwrap();
    let mut window = window(host(Some(GOOD), &broker.address, dir.path()));
    broker.send("snapshot", 7, &status(7, "root-console", &["ollama-proxy"]));
    until(&mut window, "the snapshot", |host| {
        host.picture().broker.revision == 7
    });
    let picture = window.state().picture().clone();
    assert_eq!(picture.broker.link.state, LinkState::Live);
    assert_eq!(&*picture.broker.version, "9.9.9");
    assert_eq!(&*picture.holders[0].client, "root-console");
    assert_eq!(
        picture.holders[0].expires_ms - picture.holders[0].granted_ms,
        60_000
    );
    assert_eq!(picture.timeline.bars.len(), 1);

    broker.send("queued", 8, &waiter(2, "eval-harness"));
    until(&mut window, "the second waiter", |host| {
        host.picture().queue.len() == 2
    });
    window.step();
    window.get_by_label("eval-harness");
    let picture = window.state().picture();
    assert_eq!(
        picture.events.last().map(|event| &*event.client),
        Some("eval-harness")
    );
    assert_eq!(&*picture.queue[1].why.holders, &["l-1".into()]);
}

#[test]
fn a_broker_that_goes_away_leaves_frozen_figures_and_takes_no_orders() {
    let broker = Broker::start();
    let dir = tempfile::tempdir().unwrap();
    let mut window = window(host(Some(GOOD), &broker.address, dir.path()));
    broker.send("snapshot", 7, &status(7, "root-console", &[]));
    until(&mut window, "the snapshot", |host| {
        host.picture().broker.revision == 7
    });

    window.get_by_label("Release").click();
    window.step();
    until(
        &mut window,
        "the refusal",
        |host| matches!(&host.picture().actions[..], [run] if matches!(&run.phase, Phase::Refused { code, .. } if &**code == "unknown_lease")),
    );
    assert!(
        broker
            .orders
            .recv()
            .unwrap()
            .starts_with("POST /v1/gpu/force-release ")
    );
    assert_eq!(
        &*window.state().picture().actions[0].title,
        "Release root-console on GPU-00"
    );

    broker.hang_up();
    drop(broker);
    until(&mut window, "the loss", |host| {
        host.picture().broker.link.state == LinkState::Gone
    });
    let picture = window.state().picture();
    assert!(picture.broker.link.frozen_at_ms.is_some());
    assert_eq!(picture.holders.len(), 1, "the figures stay");
    window.get_by_label("Release").click();
    window.step();
    until(&mut window, "the second refusal", |host| {
        host.picture().actions.len() == 2
    });
    let phase = &window.state().picture().actions[1].phase;
    assert!(
        matches!(phase, Phase::Refused { code, .. } if &**code == "unreachable"),
        "{phase:?}"
    );
}

#[test]
fn after_a_panic_with_nothing_good_left_the_plain_page_stands_in_the_same_frame() {
    let broker = Broker::start();
    let dir = tempfile::tempdir().unwrap();
    let code = functions(draw_until_x);
    let mut window = window(host(Some(code), &broker.address, dir.path()));
    broker.send("snapshot", 7, &status(7, "root-console", &["ollama-proxy"]));
    until(&mut window, "the snapshot", |host| {
        host.picture().broker.revision == 7
    });
    window.step();
    window.get_by_label("Filter");
    window.get_by_role(egui::accesskit::Role::TextInput).focus();
    window.step();
    window
        .get_by_role(egui::accesskit::Role::TextInput)
        .type_text("ab");
    window.step();
    assert_eq!(window.state().memory().filter, "ab");

    window
        .get_by_role(egui::accesskit::Role::TextInput)
        .type_text("x");
    window.step();
    assert_eq!(
        window.state().memory().filter,
        "ab",
        "what the panic left half done is undone"
    );
    assert!(
        window.state().picture().actions.is_empty(),
        "what it wished for is not done"
    );
    assert!(window.state().hot().functions(0).is_none());
    window.get_by_label("1 waiting");
    window.get_by_label_contains("root-console has held GPU-x");
    assert!(
        window.query_by_label("Filter").is_none(),
        "a pass that panicked was shown"
    );
}

#[test]
fn without_drawing_code_the_plain_page_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let mut window = window(host(None, NOWHERE, dir.path()));
    until(&mut window, "the broker's absence", |host| {
        host.picture()
            .broker
            .link
            .detail
            .contains("no broker answers")
    });
    window.step();
    window.get_by_label("There is no drawing code");
    window.get_by_label("who holds what and who waits is not known");
    assert!(window.query_by_label("nothing is held").is_none());
    assert!(window.query_by_label("0 waiting").is_none());
    window.get_by_label_contains("no broker answers at 127.0.0.1:9");
}

#[test]
fn the_theme_key_steps_on_and_the_choice_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let mut first = window(host(Some(GOOD), NOWHERE, dir.path()));
    first.step();
    assert_eq!(&*first.state().picture().window.theme, "nerv");
    first.key_press_modifiers(Modifiers::CTRL | Modifiers::SHIFT, Key::T);
    first.step();
    first.step();
    assert_eq!(&*first.state().picture().window.theme, "light");
    first.state_mut().close();
    let second = window(host(Some(GOOD), NOWHERE, dir.path()));
    assert_eq!(&*second.state().picture().window.theme, "light");
}

thread_local! {
    static DRAWN_ON: Cell<[u8; 4]> = const { Cell::new([0; 4]) };
}

/// Notes on which ground it was to draw.
fn draw_and_note(
    _ui: &mut egui::Ui,
    _picture: &Picture,
    theme: &Theme,
    _memory: &mut UiMemory,
    _actions: &mut Vec<Action>,
) -> Result<(), Panicked> {
    let ground = theme.colours.ground;
    DRAWN_ON.set([ground.r, ground.g, ground.b, ground.a]);
    Ok(())
}

#[test]
fn a_frame_stands_on_the_ground_of_the_theme_that_it_was_drawn_in() {
    let dir = tempfile::tempdir().unwrap();
    let mut window = window(host(Some(functions(draw_and_note)), NOWHERE, dir.path()));
    window.step();
    let before = DRAWN_ON.get();
    assert_eq!(window.state().ground().to_array(), before);
    window.key_press_modifiers(Modifiers::CTRL | Modifiers::SHIFT, Key::T);
    for _ in 0..3 {
        window.step();
        assert_eq!(window.state().ground().to_array(), DRAWN_ON.get());
    }
    assert_ne!(DRAWN_ON.get(), before, "the key changes the theme");
}

#[test]
fn an_event_that_does_not_follow_brings_a_new_snapshot() {
    let broker = Broker::start();
    let dir = tempfile::tempdir().unwrap();
    let mut window = window(host(Some(GOOD), &broker.address, dir.path()));
    broker.send("snapshot", 7, &status(7, "a", &[]));
    until(&mut window, "the snapshot", |host| {
        host.picture().broker.revision == 7
    });
    // Nobody of that name waits, so it cannot have ended.
    let gone = json!({ "outcome": "cancelled", "request_id": "r-b" });
    let mut row = waiter(1, "b");
    row.as_object_mut()
        .unwrap()
        .extend(gone.as_object().unwrap().clone());
    broker.streams.recv().unwrap();
    broker.send("cancelled", 8, &row);
    until(&mut window, "the second stream", |_| {
        broker.streams.try_recv().is_ok()
    });
    broker.send("snapshot", 9, &status(9, "c", &["d"]));
    until(&mut window, "the new snapshot", |host| {
        host.picture().broker.revision == 9
    });
    assert_eq!(&*window.state().picture().holders[0].client, "c");
}
