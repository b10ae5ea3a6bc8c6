//! The GPUs: what each is, what it does, and what is known of it.

use warden_toolkit::egui::{Rect, Role, ScrollArea, Sense, Ui, UiBuilder, WidgetInfo, pos2, vec2};
use warden_view::{Gpu, GpuState, Selection};

use crate::board;
use crate::control;
use crate::paint::{self, Hand};
use crate::scene::Scene;
use crate::strip::{idle, kept_for, state_colour, state_word};
use crate::words;

const CARD: f32 = 96.0;
/// Nothing real stands behind it: said in full wherever there is a card for it.
const SIMULATED: &str = "simulated";
const MARK_GAP: f32 = 10.0;

pub(crate) fn show(ui: &mut Ui, body: Rect, scene: &mut Scene<'_>) {
    let mut list = body;
    list.max.y -= scene.ink.theme.shape.line;
    let panel = board::panel_of(&scene.ink, body);
    let gpus = scene.picture.gpus.clone();
    if gpus.is_empty() {
        let at = list.min + vec2(scene.ink.theme.spacing.pad, 28.0);
        let text = "No GPU is known yet: the broker names them when it answers.";
        let room = list.width() - 2.0 * scene.ink.theme.spacing.pad;
        paint::paragraph(ui.painter(), at, text, &Hand::dim(&scene.ink), room);
        return;
    }
    // Side by side where the tile is wide, so that a low one shows them all.
    let across = ((list.width() / 340.0).floor() as usize).clamp(1, gpus.len());
    let down = gpus.len().div_ceil(across);
    let width = list.width() / across as f32;
    let mut child = ui.new_child(UiBuilder::new().id_salt("gpus").max_rect(list));
    child.spacing_mut().item_spacing.y = 0.0;
    let area = ScrollArea::vertical()
        .id_salt("gpu cards")
        .auto_shrink(false);
    area.show_rows(&mut child, CARD, down, |ui, range| {
        let top = ui.max_rect().top();
        for (nth, row) in range.enumerate() {
            for column in 0..across {
                let Some(gpu) = gpus.get(row * across + column) else {
                    continue;
                };
                let min = pos2(list.left() + width * column as f32, top + CARD * nth as f32);
                let rect = Rect::from_min_size(min, vec2(width, CARD));
                card(ui, rect, panel, scene, (row * across + column, gpu));
            }
        }
    });
}

fn card(ui: &Ui, rect: Rect, panel: Rect, scene: &mut Scene<'_>, (at, gpu): (usize, &Gpu)) {
    let contested = scene
        .picture
        .summary
        .contested
        .get(at)
        .copied()
        .unwrap_or(false);
    let (word, filled) = state_word(gpu.state, contested);
    let selected = matches!(&scene.memory.selection, Selection::Gpu(id) if **id == *gpu.id);
    let response = ui.interact(rect, ui.scope_id().with(("gpu", &*gpu.id)), Sense::click());
    response.widget_info(|| {
        let mut text = format!("{}, {}, {word}", words::gpu(gpu.index), gpu.name);
        if gpu.simulated {
            text = format!("{text}, {SIMULATED}");
        }
        WidgetInfo::selected(Role::ListItem, true, selected, text)
    });
    let ink = &scene.ink;
    let painter = ui.painter();
    let inner = rect.shrink2(vec2(ink.theme.shape.line, 0.0));
    paint::highlight(painter, inner, ink, selected, response.hovered());
    let (left, right) = (rect.left() + ink.theme.spacing.pad, rect.right() - 16.0);
    let y = |dy: f32| rect.top() + dy;
    let label = Hand::head(ink, ink.accent);
    let text = words::gpu(gpu.index);
    let set = paint::left(painter, pos2(left, y(22.0)), &text, &label);
    let colour = state_colour(scene, gpu.state);
    let chip = control::chip(
        ui,
        ink,
        pos2(set.right() + 10.0, y(22.0)),
        word,
        colour,
        filled,
    );
    let at = pos2(chip.right() + 10.0, y(22.0));
    // The name gives way to the mark, never the mark to the name.
    let dim = Hand::dim(ink);
    let mark = match gpu.simulated {
        true => MARK_GAP + paint::width(painter, SIMULATED, &dim),
        false => 0.0,
    };
    let named = paint::left_within(
        painter,
        at,
        &gpu.name,
        &Hand::body(ink),
        right - at.x - mark,
    );
    if gpu.simulated {
        let at = pos2(
            (named.rect.right() + MARK_GAP).min(right - mark + MARK_GAP),
            at.y,
        );
        paint::left(painter, at, SIMULATED, &dim);
    }
    meters(ui, scene, gpu, left, right, y(48.0));
    let who = holders(scene, gpu);
    let at = pos2(left, y(72.0));
    paint::left_within(painter, at, &who, &Hand::dim(ink), right - left);
    painter.hline(rect.x_range(), rect.bottom() - 0.5, ink.rule());
    control::focus_within(ui, ink, rect.shrink(4.0), panel, &response);
    if response.clicked() {
        scene.memory.selection = Selection::Gpu(gpu.id.to_string());
    }
    if named.elided {
        response.on_hover_text(&*gpu.name);
    }
}

/// Memory and load as bars, each only where it is known.
fn meters(ui: &Ui, scene: &Scene<'_>, gpu: &Gpu, left: f32, right: f32, y: f32) {
    let ink = &scene.ink;
    let painter = ui.painter();
    let mut x = left;
    let half = ((right - left - 16.0) / 2.0).floor();
    let mut meter = |text: String, part: f32| {
        let at = pos2(x, y);
        let set = paint::left(painter, at, &text, &Hand::dim(ink));
        let bar = Rect::from_min_max(
            pos2(set.right().ceil() + 8.0, y - 3.0),
            pos2(x + half, y + 3.0),
        );
        if bar.width() > 16.0 {
            paint::bar(painter, bar, part, ink.accent, ink);
        }
        x += half + 16.0;
    };
    if let (Some(used), Some(total)) = (gpu.vram_used_mib, gpu.vram_total_mib) {
        let text = format!("{} / {} GiB", words::gib(used), words::gib(total));
        meter(text, used as f32 / total.max(1) as f32);
    } else if let Some(total) = gpu.vram_total_mib {
        let text = format!("{} GiB", words::gib(total));
        paint::left(painter, pos2(left, y), &text, &Hand::dim(ink));
        return;
    }
    if let Some(load) = gpu.load_percent {
        meter(format!("load {load:>3} %"), f32::from(load) / 100.0);
    } else if gpu.vram_total_mib.is_none() {
        let text = "memory and load are not known";
        paint::left(painter, pos2(left, y), text, &Hand::dim(ink));
    }
}

fn holders(scene: &Scene<'_>, gpu: &Gpu) -> String {
    let names: Vec<&str> = gpu
        .leases
        .iter()
        .filter_map(|lease| scene.holder(lease))
        .map(|holder| &*holder.client)
        .collect();
    if !names.is_empty() {
        return format!("held by {}", names.join(", "));
    }
    let text = idle(scene, gpu);
    if text.is_empty() {
        return state_word(gpu.state, false).0.to_owned();
    }
    match kept_for(scene).filter(|_| gpu.state == GpuState::Kept) {
        Some(waiter) => format!("{} {text}", waiter.client),
        None => text,
    }
}
