//! The last line: which broker this is, and the keys that lead to everything else.

use warden_toolkit::egui::{
    Color32, CursorIcon, Popup, PopupCloseBehavior, Pos2, Rect, Role, Sense, Ui, WidgetInfo, pos2,
    vec2,
};
use warden_view::{Action, Dialog, LinkState};

use crate::control;
use crate::paint::{self, Hand};
use crate::scene::Scene;
use crate::words;

pub(crate) fn show(ui: &mut Ui, rect: Rect, scene: &mut Scene<'_>) {
    let keys = keys(ui, rect, scene);
    identity(ui, rect, keys - 16.0, scene);
}

/// How the link stands: its word, its colour, and whether its mark is filled.
pub(crate) fn link_word(scene: &Scene<'_>) -> (&'static str, Color32, bool) {
    let ink = &scene.ink;
    match scene.picture.broker.link.state {
        LinkState::Connecting => ("connecting", ink.dim, false),
        LinkState::Live => ("connected", ink.good, true),
        LinkState::Replaying => ("replaying", ink.warn, false),
        LinkState::Gone => ("gone", ink.dim, false),
        LinkState::Stranger => ("a stranger", ink.dim, false),
        LinkState::Refused => ("not let in", ink.dim, false),
    }
}

fn identity(ui: &Ui, rect: Rect, right: f32, scene: &Scene<'_>) {
    let ink = &scene.ink;
    let painter = ui.painter();
    let broker = &scene.picture.broker;
    let y = rect.center().y;
    let (word, colour, filled) = link_word(scene);
    let dot = pos2(rect.left() + 10.0, y);
    if filled {
        painter.circle_filled(dot, 3.0, colour);
    } else {
        painter.circle_stroke(dot, 3.0, ink.outline(colour));
    }
    let mut x = rect.left() + 30.0;
    let mut part = |text: &str, hand: &Hand| {
        let set = paint::left_within(painter, pos2(x, y), text, hand, right - x);
        x = set.rect.right() + 16.0;
    };
    part(&broker.address, &Hand::body(ink));
    let dim = Hand::dim(ink);
    let mut facts = Vec::new();
    if scene.picture.broker.link.state != LinkState::Live {
        facts.push(word.to_owned());
    }
    if !broker.version.is_empty() {
        facts.push(format!("warden {}", broker.version));
    }
    if let Some(started) = broker.started_ms {
        facts.push(format!("up {}", words::span(scene.now - started)));
    }
    if broker.started_by_window {
        facts.push("started by this window".to_owned());
    }
    part(&facts.join(", "), &dim);
    if scene.known() {
        part(&format!("rev {}", words::number(broker.revision)), &dim);
    }
    if !broker.data_dir.is_empty() {
        part(&broker.data_dir, &dim);
    }
    let area = Rect::from_min_max(rect.min, pos2(right, rect.bottom()));
    let response = ui.interact(area, ui.scope_id().with("broker"), Sense::hover());
    let whole = whole(scene, word);
    response.widget_info(|| WidgetInfo::labeled(Role::Status, true, whole.replace('\n', ", ")));
    response.on_hover_text(whole);
}

fn whole(scene: &Scene<'_>, word: &str) -> String {
    let broker = &scene.picture.broker;
    let mut lines = vec![format!("{}: {word}", broker.address)];
    if let Some(pid) = broker.pid {
        lines.push(format!("warden {}, pid {pid}", broker.version));
    }
    if !broker.data_dir.is_empty() {
        lines.push(format!("data in {}", broker.data_dir));
    }
    if let Some(started) = broker.started_ms {
        lines.push(format!("since {}", scene.instant(started)));
    }
    lines.join("\n")
}

/// Keys, from the right. Gives where they begin.
fn keys(ui: &Ui, rect: Rect, scene: &mut Scene<'_>) -> f32 {
    let name = scene.theme().map_or("theme", |theme| &*theme.name);
    let right = pos2(rect.right() - 8.0, rect.center().y);
    // Placed from the right, made from the left: the focus goes in reading order.
    let before = |at: Pos2, cap, label| pos2(at.x - key_width(ui, scene, cap, label) - 16.0, at.y);
    let at = before(right, THEME_KEYS, name);
    let first = before(at, PALETTE_KEYS, "palette");
    let (left, response) = key(ui, scene, first, "?", "keys", "Show the keys");
    if response.clicked() {
        scene.memory.dialog = Some(Dialog::Keys);
    }
    let (_, response) = key(ui, scene, at, PALETTE_KEYS, "palette", "Open the palette");
    if response.clicked() {
        scene.memory.palette = Some(String::new());
    }
    let (_, response) = key(ui, scene, right, THEME_KEYS, name, "Choose a theme");
    themes(&response, scene);
    left
}

const PALETTE_KEYS: &str = "Ctrl+K";
const THEME_KEYS: &str = "Ctrl+Shift+T";

fn key_width(ui: &Ui, scene: &Scene<'_>, cap: &str, label: &str) -> f32 {
    let ink = &scene.live;
    let label = paint::width(ui.painter(), label, &Hand::dim(ink));
    control::cap_width(ui, ink, cap) + 5.0 + label
}

fn key(
    ui: &Ui,
    scene: &Scene<'_>,
    right: warden_toolkit::egui::Pos2,
    cap: &str,
    label: &str,
    name: &str,
) -> (f32, warden_toolkit::egui::Response) {
    let ink = &scene.live;
    let width = key_width(ui, scene, cap, label);
    let rect = Rect::from_min_size(pos2(right.x - width, right.y - 11.0), vec2(width, 22.0));
    let response = ui
        .interact(rect, ui.scope_id().with(("footer", name)), Sense::click())
        .on_hover_cursor(CursorIcon::PointingHand);
    response.widget_info(|| WidgetInfo::labeled(Role::Button, true, name));
    control::key_cap(ui, ink, rect.left_center(), cap);
    let colour = if response.hovered() {
        ink.accent
    } else {
        ink.dim
    };
    let at = rect.right_center();
    let hand = Hand::dim(ink).coloured(colour);
    paint::right(ui.painter(), at, label, &hand);
    control::focus(ui, ink, rect, &response);
    (rect.left(), response)
}

/// The menu of themes.
fn themes(response: &warden_toolkit::egui::Response, scene: &mut Scene<'_>) {
    let window = &scene.picture.window;
    let actions = &mut *scene.actions;
    Popup::menu(response)
        .close_behavior(PopupCloseBehavior::CloseOnClick)
        .show(|ui| {
            ui.set_min_width(160.0);
            for theme in window.themes.iter() {
                let chosen = theme.id == window.theme;
                if ui.selectable_label(chosen, &*theme.name).clicked() {
                    actions.push(Action::SetTheme {
                        id: theme.id.clone(),
                    });
                }
            }
        });
}
