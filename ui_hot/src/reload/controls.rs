//! What can be done to a module, and the file that it is read from.

use warden_toolkit::egui::{Pos2, Rect, Role, Sense, StrokeKind, WidgetInfo, pos2, vec2};
use warden_view::{Action, Module, ModuleState, Stage, Watch};

use super::page::{self, Page};
use super::report;
use crate::control::{self, Button, Weight};
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
        let reload = Button::new("Reload")
            .named(format!("Reload {}", module.name))
            .weight(Weight::Accent)
            .enabled(!fixed && module.state != ModuleState::Busy);
        let response = page.button_right_of(reload, pos2(x, rect.center().y), "reload");
        x = response.rect.right() + 8.0;
        if response.clicked() {
            let module = module.name.clone();
            page.scene.actions.push(Action::ReloadModule { module });
        }
    }
    let copy = Button::new("Copy report").named(format!("Copy the report of {}", module.name));
    let response = page.button_right_of(copy, pos2(x, rect.center().y), "report");
    x = response.rect.right() + 24.0;
    if response.clicked() {
        let text = report::text(page.scene, module);
        page.scene.actions.push(Action::CopyText { text });
    }
    if let Some(mode) = module.watch.filter(|_| !fixed) {
        if x + WATCH > rect.right() {
            page.y += 8.0;
            rect = page.line(page.ink.theme.spacing.button);
            x = rect.left();
        }
        x = watch(page, pos2(x, rect.center().y), module, mode) + 24.0;
    }
    artifact(page, rect, x, module);
}

/// The most that the choice takes.
const WATCH: f32 = 240.0;

/// What happens when the file changes. Gives where the choice ends.
fn watch(page: &mut Page<'_, '_>, at: Pos2, module: &Module, mode: Watch) -> f32 {
    const MODES: [(Watch, &str, &str); 3] = [
        (Watch::Off, "Off", "nothing happens when its file changes"),
        (Watch::Light, "Light", "a new build is told, not taken"),
        (Watch::Reload, "Reload", "a new build is taken at once"),
    ];
    let ink = page.ink.clone();
    let painter = page.ui.painter();
    let label = paint::left(painter, at, "watch", &Hand::label(&ink, ink.dim));
    let mut x = label.right() + 10.0;
    let height = ink.theme.spacing.button;
    for (choice, word, hint) in MODES {
        let chosen = choice == mode;
        let colour = if chosen { ink.accent } else { ink.text };
        let hand = Hand::label(&ink, colour);
        let width = (page::width(page, word, &hand) + 18.0).ceil();
        let rect = Rect::from_min_size(pos2(x, at.y - height / 2.0), vec2(width, height));
        let id = page.id.with(("watch", word));
        let response = page.ui.interact(rect, id, Sense::click());
        let name = format!("Watch {}: {}", module.name, word.to_lowercase());
        response.widget_info(|| WidgetInfo::selected(Role::RadioButton, true, chosen, &name));
        let painter = page.ui.painter();
        let fill = match () {
            () if response.hovered() => ink.hovered,
            () if chosen => ink.raised,
            () => ink.panel,
        };
        let line = ink.outline(ink.line_strong.gamma_multiply(0.7));
        let corner = ink.theme.shape.rounding;
        painter.rect(rect, corner, fill, line, StrokeKind::Inside);
        if chosen {
            let mark = Rect::from_min_max(rect.left_bottom() - vec2(0.0, 3.0), rect.max);
            painter.rect_filled(mark, 0.0, ink.accent);
        }
        page::centred(page, rect.center(), word, &hand);
        control::focus(page.ui, &ink, rect, &response);
        if response.clicked() && !chosen {
            let module = module.name.clone();
            page.scene.actions.push(Action::Watch {
                module,
                mode: choice,
            });
        }
        page::follow(response).on_hover_text(hint);
        x = rect.right() - ink.theme.shape.line;
    }
    x
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
