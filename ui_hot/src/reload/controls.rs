//! What can be done to a module, and the file that it is read from.

use warden_toolkit::egui::{Pos2, Rect, Role, pos2};
use warden_view::{Action, Module, ModuleKind, ModuleState, Stage, Watch};

use super::report;
use crate::choice::Choice;
use crate::control::{Button, Weight};
use crate::page::{self, Page};
use crate::paint::{self, Hand};

/// What can be done to it, and the file that it is read from.
pub(super) fn show(page: &mut Page<'_, '_>, module: &Module) {
    let mut rect = page.line(page.ink.theme.spacing.button);
    let mut x = rect.left();
    let fixed = module.state == ModuleState::Fixed;
    if matches!(module.stage, Some((Stage::Build, _))) {
        let cancel = Button::new("Cancel").named(format!("Cancel the build of {}", module.name));
        let response = page.button_right_of(cancel, pos2(x, rect.center().y), "cancel");
        x = response.rect.right() + 8.0;
        if response.clicked() {
            let module = module.name.clone();
            page.scene.actions.push(Action::CancelBuild { module });
        }
    } else {
        // Where the window itself is of yesterday, what helps is offered under what failed.
        let weight = match module.restart_offered {
            Some(_) => Weight::Plain,
            None => Weight::Accent,
        };
        let reload = Button::new("Reload")
            .named(format!("Reload {}", module.name))
            .weight(weight)
            .enabled(!fixed && module.state != ModuleState::Busy && module.allowed != Some(false));
        let response = page.button_right_of(reload, pos2(x, rect.center().y), "reload");
        x = response.rect.right() + 8.0;
        if response.clicked() {
            let module = module.name.clone();
            page.scene.actions.push(Action::ReloadModule { module });
        }
    }
    if module.kind.is_file() {
        let open =
            Button::new("Open in editor").named(format!("Open {} in the editor", module.name));
        let response = page.button_right_of(open, pos2(x, rect.center().y), "open");
        x = response.rect.right() + 8.0;
        if response.clicked() {
            let module = module.name.clone();
            page.scene.actions.push(Action::EditFile { module });
        }
    }
    let before = module.history.iter().find(|row| row.can_return);
    if module.kind == ModuleKind::Broker
        && let Some(row) = before
    {
        let name = format!("Roll {} back to {}", module.name, row.label);
        let back = Button::new("Roll back")
            .named(name)
            .enabled(module.allowed != Some(false));
        let response = page.button_right_of(back, pos2(x, rect.center().y), "back");
        x = response.rect.right() + 8.0;
        if response.clicked() {
            page.scene.actions.push(Action::RollBack {
                module: module.name.clone(),
                generation: row.number,
            });
        }
    }
    let copy = Button::new("Copy report").named(format!("Copy the report of {}", module.name));
    let response = page.button_right_of(copy, pos2(x, rect.center().y), "report");
    x = response.rect.right() + 24.0;
    if response.clicked() {
        let text = report::text(page.scene, module);
        page.scene.actions.push(Action::CopyText { text });
    }
    let watched = module.watch.filter(|_| !fixed);
    let choice = match (watched, module.allowed) {
        (None, None) => 0.0,
        (None, Some(_)) => ALLOW,
        (Some(_), _) => WATCH,
    };
    if x + choice > rect.right() {
        page.y += 8.0;
        rect = page.line(page.ink.theme.spacing.button);
        x = rect.left();
    }
    if let Some(mode) = watched {
        x = watch(page, pos2(x, rect.center().y), module, mode) + 24.0;
    }
    if let Some(allowed) = module.allowed {
        x = allow(page, pos2(x, rect.center().y), module, allowed) + 24.0;
    }
    artifact(page, rect, x, module);
}

/// What runs, what ran before and can be returned to, and what a reload does.
pub(super) fn of_broker(page: &mut Page<'_, '_>, module: &Module) {
    let text = if module.allowed == Some(false) {
        "New program code is off in this broker, so that nobody has another program run in its place. \
         Switch it on here, or start the broker with --dev."
    } else {
        "The broker becomes the program that lies on the disk, in place: the same process and \
         sockets, and every lease and waiter stays. A program that does not start is not taken."
    };
    page.paragraph(text, &Hand::dim(&page.ink));
    page.y += 6.0;
    let mono = Hand::new(page.ink.mono(), page.ink.text);
    for row in module.history.iter() {
        let name = if row.can_return { "before" } else { "runs" };
        let value = format!("{} {}", row.label, row.revision);
        page.fact(name, value.trim(), &mono);
    }
    page.y += 4.0;
}

/// Whether new code may be taken. Gives where the choice ends.
fn allow(page: &mut Page<'_, '_>, at: Pos2, module: &Module, allowed: bool) -> f32 {
    const MODES: [(bool, &str, &str); 2] = [
        (
            false,
            "Off",
            "no other program is run in the broker's place",
        ),
        (
            true,
            "On",
            "the program on the disk can take the broker's place",
        ),
    ];
    let ink = &page.ink;
    let label = paint::left(
        page.ui.painter(),
        at,
        "new code",
        &Hand::label(ink, ink.dim),
    );
    let choice = Choice {
        id: page.id.with("allow"),
        name: &format!("New code for {}", module.name),
        of: &MODES.map(|(_, word, hint)| (word, hint)),
        chosen: MODES.iter().position(|(choice, ..)| *choice == allowed),
        enabled: true,
    };
    let at = pos2(label.right() + 10.0, at.y);
    let (rect, pressed) = choice.show(page.ui, ink, at);
    if let Some(pressed) = pressed {
        let module = module.name.clone();
        let allowed = MODES[pressed].0;
        page.scene.actions.push(Action::Allow { module, allowed });
    }
    rect.right()
}

/// The most that each choice takes.
const WATCH: f32 = 240.0;
const ALLOW: f32 = 150.0;

/// What happens when the file changes. Gives where the choice ends.
fn watch(page: &mut Page<'_, '_>, at: Pos2, module: &Module, mode: Watch) -> f32 {
    const MODES: [(Watch, &str, &str); 3] = [
        (Watch::Off, "Off", "nothing happens when its file changes"),
        (Watch::Light, "Light", "a new build is told, not taken"),
        (Watch::Reload, "Reload", "a new build is taken at once"),
    ];
    let ink = &page.ink;
    let label = paint::left(page.ui.painter(), at, "watch", &Hand::label(ink, ink.dim));
    let choice = Choice {
        id: page.id.with("watch"),
        name: &format!("Watch {}", module.name),
        of: &MODES.map(|(_, word, hint)| (word, hint)),
        chosen: MODES.iter().position(|(choice, ..)| *choice == mode),
        enabled: true,
    };
    let at = pos2(label.right() + 10.0, at.y);
    let (rect, pressed) = choice.show(page.ui, ink, at);
    if let Some(pressed) = pressed {
        let module = module.name.clone();
        let mode = MODES[pressed].0;
        page.scene.actions.push(Action::Watch { module, mode });
    }
    rect.right()
}

fn artifact(page: &mut Page<'_, '_>, rect: Rect, x: f32, module: &Module) {
    if module.artifact.is_empty() {
        return;
    }
    let hand = Hand::new(page.ink.mono(), page.ink.dim);
    let set = if rect.right() - x < 200.0 {
        page.y += 4.0;
        let rect = page.line(page::LINE);
        paint::left_within(
            page.ui.painter(),
            rect.left_center(),
            &module.artifact,
            &hand,
            rect.width(),
        )
    } else {
        let room = rect.right() - x;
        let painter = page.ui.painter();
        paint::right_within(painter, rect.right_center(), &module.artifact, &hand, room)
    };
    let mut whole = module.artifact.to_string();
    if !module.sha256.is_empty() {
        whole = format!("{whole}\nSHA-256 {}", module.sha256);
    }
    page.say(set.rect, "artifact", Role::Label, &module.artifact)
        .on_hover_text(whole);
}
