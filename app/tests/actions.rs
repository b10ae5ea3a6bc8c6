//! What the operator can do in the window, done by keyboard in the real drawing code, and what of it
//! reached a real broker.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test says so when it fails"
)]

mod live;
mod stand;

use std::time::Duration;

use live::{Order, Scene, asks};
use serde_json::{Value, json};
use warden::wire::{Granted, Outcome};
use warden_client::{Error, Submitted};
use warden_toolkit as _;
use warden_toolkit::egui::accesskit::Role;
use warden_toolkit::egui::{Key, Modifiers};
use warden_toolkit::egui_kittest::kittest::{NodeT as _, Queryable as _};
use warden_view::{Dialog, ModuleState, Phase};

const PATIENCE: Duration = Duration::from_secs(20);
const CTRL: Modifiers = Modifiers {
    ctrl: true,
    command: true,
    ..Modifiers::NONE
};
const SHIFTED: Modifiers = Modifiers {
    shift: true,
    ..CTRL
};

fn order(line: &str, body: Value) -> Order {
    Order {
        line: line.to_owned(),
        body,
    }
}

/// How the request that became this lease ended, as the broker has it.
fn outcome(scene: &Scene, granted: &Granted) -> Option<Outcome> {
    scene.client.request(&granted.request_id).unwrap().outcome
}

fn refused_with(answer: Result<Granted, Error>) -> Option<Outcome> {
    answer.unwrap_err().refusal().unwrap().outcome()
}

#[test]
fn a_lease_is_released() {
    let mut scene = Scene::open();
    let (trainer, speaker, asker) = scene.busy();
    let button = "Release trainer on GPU-00";
    scene.push(button);
    let whom = ["Ends the lease of trainer", "asker waits for it"];
    scene.step_back("Release GPU-00?", &whom);

    scene.push(button);
    scene.confirm("Confirm: Release", button, "ended by force (forced)");
    let body = json!({ "lease_id": trainer.lease_id });
    assert_eq!(
        scene.wire.orders(),
        [order("POST /v1/gpu/force-release", body)]
    );
    assert_eq!(outcome(&scene, &trainer), Some(Outcome::Forced));
    assert_eq!(outcome(&scene, &speaker), None, "others keep theirs");
    let served = asker.recv_timeout(PATIENCE).unwrap().unwrap();
    assert_eq!(served.gpu_ids, trainer.gpu_ids);
    scene.until_said("Release asker on GPU-00");
}

#[test]
fn a_lease_that_has_ended_meanwhile_is_refused_with_its_code() {
    let mut scene = Scene::open();
    let (trainer, ..) = scene.busy();
    // The key for the selected one, this time.
    scene.press(CTRL, Key::Num3);
    scene.press(Modifiers::NONE, Key::ArrowDown);
    scene.press(Modifiers::NONE, Key::Delete);
    scene.asked("Release GPU-00?", &["Ends the lease of trainer"]);
    scene.wire.hold_news();
    scene
        .client
        .unlock(&trainer.lease_id, trainer.token)
        .unwrap();
    scene.press(CTRL, Key::Enter);
    let title = "Release trainer on GPU-00";
    scene.until_said(&format!("refused: lease_ended: {title}"));
    assert!(matches!(
        &scene.window.state().picture().actions[..],
        [run] if matches!(&run.phase, Phase::Refused { code, .. } if &**code == "lease_ended")
    ));
    assert_eq!(scene.wire.orders().len(), 1);
    assert_eq!(outcome(&scene, &trainer), Some(Outcome::Released));

    scene.wire.let_go();
    scene.until_said("Release asker on GPU-00");
    scene.push(&format!("Dismiss: {title}"));
    scene.until("the refusal to go", |host| {
        host.picture().actions.is_empty()
    });
}

#[test]
fn all_leases_are_forced_and_the_queue_is_served() {
    let mut scene = Scene::open();
    let (trainer, speaker, asker) = scene.busy();
    let title = "Force all leases to end?";
    scene.push("Force all leases to end");
    let whom = [
        "Ends 2 leases by force, without asking the holders. Who waits is served at once. trainer \
         on GPU-00 sim, held ",
        ". speaker on GPU-01 sim, held ",
    ];
    scene.step_back(title, &whom);

    scene.press(SHIFTED, Key::Delete);
    scene.confirm(
        "Confirm: Force all",
        "Force every lease",
        "2 ended, 0 cleared",
    );
    let body = json!({ "clear_queue": false });
    assert_eq!(
        scene.wire.orders(),
        [order("POST /v1/gpu/force-release-all", body)]
    );
    for granted in [&trainer, &speaker] {
        assert_eq!(outcome(&scene, granted), Some(Outcome::Forced));
    }
    asker.recv_timeout(PATIENCE).unwrap().unwrap();
    scene.until("the one who waited to hold", |host| {
        host.picture().queue.is_empty() && host.picture().holders.len() == 1
    });
}

#[test]
fn all_leases_are_forced_and_the_queue_is_cleared() {
    let mut scene = Scene::open();
    let (trainer, speaker, asker) = scene.busy();
    let second = scene.waiter("dreamer");
    scene.until("the second waiter", |host| host.picture().queue.len() == 2);
    scene.push("Force all leases to end");
    scene.push("Refuse 2 waiters too");
    let clearing = Dialog::ForceAll { clear_queue: true };
    assert_eq!(scene.window.state().memory().dialog, Some(clearing));
    let title = "Force all leases to end?";
    scene.step_back(title, &["2 waiters are refused too"]);

    scene.push("Force all leases to end");
    scene.push("Refuse 2 waiters too");
    let named = "Force every lease and clear the queue";
    scene.confirm("Confirm: Force all", named, "2 ended, 2 cleared");
    let body = json!({ "clear_queue": true });
    assert_eq!(
        scene.wire.orders(),
        [order("POST /v1/gpu/force-release-all", body)]
    );
    for granted in [&trainer, &speaker] {
        assert_eq!(outcome(&scene, granted), Some(Outcome::Forced));
    }
    for waiter in [asker, second] {
        let answer = waiter.recv_timeout(PATIENCE).unwrap();
        assert_eq!(refused_with(answer), Some(Outcome::Cleared));
    }
    scene.until("nobody to be left", |host| {
        host.picture().queue.is_empty() && host.picture().holders.is_empty()
    });
}

#[test]
fn a_waiter_is_cancelled() {
    let mut scene = Scene::open();
    let (.., asker) = scene.busy();
    scene.press(Modifiers::NONE, Key::ArrowDown);
    scene.press(Modifiers::NONE, Key::Delete);
    let whom = ["Ends the request of asker", "r-asker."];
    scene.step_back("Cancel waiter 1?", &whom);

    scene.push("Cancel the request of asker");
    scene.confirm("Confirm: Cancel it", "Cancel asker", "cancelled");
    assert_eq!(
        scene.wire.orders(),
        [order("DELETE /v1/gpu/requests/r-asker", Value::Null)]
    );
    let answer = asker.recv_timeout(PATIENCE).unwrap();
    assert_eq!(refused_with(answer), Some(Outcome::Cancelled));
    let state = scene.client.request(&"r-asker".into()).unwrap();
    assert_eq!(state.outcome, Some(Outcome::Cancelled));
    scene.until("the queue to be empty", |host| {
        host.picture().queue.is_empty()
    });
    assert_eq!(scene.status().leases.len(), 2, "leases stay");
}

#[test]
fn what_is_stale_is_reset() {
    let mut scene = Scene::open();
    let trainer = scene.client.lock(asks("trainer")).unwrap();
    let speaker = scene.client.lock(asks("speaker")).unwrap();
    // Whoever does not wait on a connection is granted what it has not heard of.
    let Submitted::Queued(_) = scene.client.submit(asks("asker")).unwrap() else {
        panic!("both GPUs are held");
    };
    scene
        .client
        .unlock(&trainer.lease_id, trainer.token)
        .unwrap();
    scene.until_said("Release asker on GPU-00");
    scene.push("Reset what is stale");
    let whom = ["Ends leases whose owner is gone, whose grant was never delivered"];
    scene.step_back("Reset what is stale?", &whom);

    scene.press(SHIFTED, Key::S);
    scene.confirm("Confirm: Reset", "Reset", "1 ended");
    assert_eq!(
        scene.wire.orders(),
        [order("POST /v1/gpu/reset", json!({}))]
    );
    let state = scene.client.request(&"r-asker".into()).unwrap();
    assert_eq!(state.outcome, Some(Outcome::Reset));
    assert_eq!(outcome(&scene, &speaker), None, "a healthy lease stays");
}

#[test]
fn code_is_reloaded_by_key_and_by_button() {
    let mut scene = Scene::open();
    let _busy = scene.busy();
    scene.write("/");
    scene.write("ask");
    let reloading = |scene: &mut Scene| {
        scene.until("the attempt to begin", |host| {
            host.picture().reload.modules[0].state == ModuleState::Busy
        });
        scene.until("the attempt to end", |host| {
            host.picture().reload.modules[0].state != ModuleState::Busy
        });
        let host = scene.window.state();
        let module = &host.picture().reload.modules[0];
        assert_eq!(module.state, ModuleState::Live, "{module:?}");
        assert_eq!(host.memory().filter, "ask");
        scene.window.get_by_label_contains("1, asker");
    };
    let both = Modifiers { alt: true, ..CTRL };
    scene.window.key_press_modifiers(both, Key::R);
    reloading(&mut scene);
    scene.press(CTRL, Key::Num7);
    scene.tab_to("Reload all modules");
    scene.window.key_press(Key::Enter);
    reloading(&mut scene);
    assert!(
        scene.wire.orders().is_empty(),
        "the broker has no part in it"
    );
}

#[test]
fn themes_change_by_key_and_by_menu() {
    let mut scene = Scene::open();
    assert_eq!(&*scene.window.state().picture().window.theme, "nerv");
    scene.press(SHIFTED, Key::T);
    assert_eq!(&*scene.window.state().picture().window.theme, "light");
    scene.push("Choose a theme");
    scene.push("High contrast");
    assert_eq!(
        &*scene.window.state().picture().window.theme,
        "high-contrast"
    );
    assert!(scene.wire.orders().is_empty());
}

#[test]
fn what_is_selected_is_copied_with_its_command() {
    let mut scene = Scene::open();
    let (trainer, ..) = scene.busy();
    let lease = trainer.lease_id.to_string();
    let release = format!("warden force-release {lease}");
    scene.press(Modifiers::NONE, Key::ArrowDown);
    scene.push("Copy r-asker");
    scene.push("Copy the line: warden cancel r-asker");
    scene.press(CTRL, Key::Num3);
    scene.press(Modifiers::NONE, Key::ArrowDown);
    scene.window.get_by_label(&format!("Copy {lease}"));
    scene.press(CTRL, Key::C);
    scene.press(SHIFTED, Key::C);
    let wanted = ["r-asker", "warden cancel r-asker", &lease, &release];
    assert_eq!(scene.copied, wanted);
    assert!(scene.wire.orders().is_empty());
}

#[test]
fn queue_and_holders_are_filtered() {
    let mut scene = Scene::open();
    let _busy = scene.busy();
    let second = scene.waiter("dreamer");
    scene.until("the second waiter", |host| host.picture().queue.len() == 2);
    let rows = |scene: &Scene| {
        let rows = scene.window.query_all_by_role(Role::Row);
        rows.filter_map(|row| row.accesskit_node().label())
            .collect::<Vec<_>>()
    };
    scene.tab_to("Filter queue and holders");
    scene.write("DREAM");
    let shown = rows(&scene);
    assert!(
        matches!(&shown[..], [row] if row.starts_with("2, dreamer")),
        "{shown:?}"
    );
    assert!(
        scene
            .window
            .query_by_label("Release trainer on GPU-00")
            .is_none()
    );
    scene.press(Modifiers::NONE, Key::Escape);
    assert_eq!(rows(&scene).len(), 2);
    scene.write("/");
    scene.write("train");
    scene.window.get_by_label("Release trainer on GPU-00");
    assert!(
        scene
            .window
            .query_by_label("Release speaker on GPU-01")
            .is_none()
    );
    assert!(second.try_recv().is_err(), "nobody's place is touched");
    assert!(scene.wire.orders().is_empty());
}

#[test]
fn the_brokers_program_is_reloaded_once_new_code_is_allowed() {
    let mut scene = Scene::open();
    scene.until("the broker's program to be known", |host| {
        let modules = &host.picture().reload.modules;
        modules.iter().any(|module| module.allowed == Some(false))
    });
    scene.press(CTRL, Key::Num7);
    scene.push("broker, generation 1, live");
    scene.push("New code for broker: on");
    scene.until_said("done: Allow new program code: new code is on");
    scene.until("the panel to say so", |host| {
        let modules = &host.picture().reload.modules;
        modules.iter().any(|module| module.allowed == Some(true))
    });
    scene.push("Reload broker");
    let title = "Reload the broker's program";
    scene.until_said(&format!(
        "done: {title}: what lies on the disk runs already"
    ));
    let body = json!({ "module": "program" });
    assert_eq!(
        scene.wire.orders(),
        [
            order("PUT /v1/hot-reload/enabled", json!({ "enabled": true })),
            order("POST /v1/hot-reload", body),
        ]
    );
}
