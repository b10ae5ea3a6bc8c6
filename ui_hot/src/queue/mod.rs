//! The queue: one row a waiter, in order of turn unless sorted otherwise.

mod order;
mod row;

use std::sync::Arc;

use warden_toolkit::egui::{
    Id, Rect, Role, ScrollArea, Sense, Ui, UiBuilder, WidgetInfo, pos2, vec2,
};
use warden_view::{LinkState, Selection, Target};

use crate::control::{self, Field, Holds};
use crate::paint::{self, Hand};
use crate::scene::Scene;
use crate::words;
use row::Columns;

pub(crate) use order::contains;
pub(crate) use row::asks_in_full;

/// The field that filters queue and holders.
pub(crate) fn filter_id() -> Id {
    Id::unique("warden filter")
}

/// The table as a whole: what has the focus while the arrow keys move the selection.
pub(crate) fn table_id() -> Id {
    Id::unique("warden queue")
}

/// The count and the filter.
pub(crate) fn head(ui: &mut Ui, room: Rect, scene: &mut Scene<'_>) {
    let ink = &scene.ink;
    let y = room.center().y;
    let whole = scene.picture.queue.len();
    let shown = rows(ui, scene).map_or(whole, |order| order.len());
    let count = if !scene.known() {
        String::new()
    } else if scene.memory.filter.is_empty() {
        words::number(whole as u64)
    } else {
        format!(
            "{} of {}",
            words::number(shown as u64),
            words::number(whole as u64)
        )
    };
    let hand = Hand::new(ink.title(), ink.text);
    let at = pos2(room.left(), y);
    let count = paint::left(ui.painter(), at, &count, &hand);
    let cap = control::cap_width(ui, ink, "/");
    control::key_cap(ui, ink, pos2(room.right() - cap, y), "/");
    let width = (room.right() - cap - 12.0 - count.right() - 16.0).min(180.0);
    if width < 60.0 {
        return;
    }
    let field = Rect::from_min_size(
        pos2(room.right() - cap - 12.0 - width, y - 12.0),
        vec2(width, 24.0),
    );
    filter(ui, field, scene);
}

fn filter(ui: &mut Ui, rect: Rect, scene: &mut Scene<'_>) {
    let text = &mut scene.memory.filter;
    let field = Field {
        id: filter_id(),
        hint: "filter client, why, id…",
        name: "Filter queue and holders",
        limit: Field::LIMIT,
        holds: Holds::Filter,
    };
    if field.show(ui, &scene.ink, rect, text).changed() {
        // What matches best stands at the top, wherever the table was scrolled to.
        crate::keys::jump(ui, table_id(), 0);
    }
}

/// The rows to show as places in the queue; `None` for all of them in order of turn.
pub(crate) fn rows(ui: &Ui, scene: &Scene<'_>) -> Option<Arc<Vec<u32>>> {
    order::rows(ui.ctx(), scene)
}

/// Where a place in the queue, from 0, is among the rows that are shown; `None` where a filter hides
/// it.
pub(crate) fn shown_at(ui: &Ui, scene: &Scene<'_>, place: usize) -> Option<usize> {
    match rows(ui, scene) {
        None => Some(place),
        Some(order) => order.iter().position(|at| *at as usize == place),
    }
}

pub(crate) fn show(ui: &mut Ui, body: Rect, scene: &mut Scene<'_>) {
    let columns = Columns::fit(body.width());
    if scene.picture.queue.is_empty() {
        empty(ui, body, scene);
        return;
    }
    let order = rows(ui, scene);
    let head = Rect::from_min_size(body.min, vec2(body.width(), 30.0));
    columns.head(ui, head, scene);
    paint::rule(ui.painter(), head, head.bottom() - 0.5, &scene.ink);
    let mut table = body;
    table.min.y = head.bottom();
    table.max.y -= scene.ink.theme.shape.line;
    let count = order
        .as_ref()
        .map_or(scene.picture.queue.len(), |order| order.len());
    let response = ui.interact(table, table_id(), Sense::CLICK | Sense::FOCUSABLE);
    response.widget_info(|| {
        let text = words::counted(count, "waiter", "waiters");
        WidgetInfo::labeled(Role::Table, true, format!("Queue, {text}"))
    });
    if response.has_focus() {
        ui_kit::keys::keep_arrows(ui, table_id());
    }
    if count == 0 {
        nothing_matches(ui, table, scene);
        return;
    }
    let jump = crate::keys::take_jump(ui, table_id());
    let mut child = ui.new_child(UiBuilder::new().id_salt("rows").max_rect(table));
    let height = scene.ink.theme.spacing.row;
    child.spacing_mut().item_spacing.y = 0.0;
    let mut area = ScrollArea::vertical()
        .id_salt("queue rows")
        .auto_shrink(false);
    if let Some(to) = jump {
        area = area.vertical_scroll_offset(crate::keys::offset_for(
            &child,
            table_id(),
            to,
            height,
            table,
        ));
    }
    let output = area.show_rows(&mut child, height, count, |ui, range| {
        let top = ui.max_rect().top();
        for (nth, at) in range.enumerate() {
            let rect = Rect::from_min_size(
                pos2(table.left(), top + height * nth as f32),
                vec2(table.width(), height),
            );
            let place = order.as_ref().map_or(at, |order| order[at] as usize);
            row::show(ui, rect, scene, &columns, place);
        }
    });
    crate::keys::remember_offset(ui, table_id(), output.state.clamped_offset().y);
    if response.has_focus() {
        let panel = crate::board::panel_of(&scene.ink, body);
        control::focus_within(ui, &scene.ink, table.shrink(4.0), panel, &response);
    }
}

fn nothing_matches(ui: &Ui, table: Rect, scene: &Scene<'_>) {
    let ink = &scene.ink;
    let at = table.min + vec2(ink.theme.spacing.pad, 28.0);
    let text = format!("No waiter matches “{}”.", scene.memory.filter);
    let room = table.width() - 2.0 * ink.theme.spacing.pad;
    let hand = Hand::new(ink.title(), ink.text);
    paint::left_within(ui.painter(), at, &text, &hand, room);
    let at = at + vec2(0.0, 28.0);
    let text = "Escape in the field clears it.";
    paint::left(ui.painter(), at, text, &Hand::dim(ink));
}

fn empty(ui: &mut Ui, body: Rect, scene: &mut Scene<'_>) {
    let ink = &scene.ink;
    let pad = ink.theme.spacing.pad;
    let at = body.min + vec2(pad, 48.0);
    let painter = ui.painter();
    let room = body.width() - 2.0 * pad;
    let link = scene.picture.broker.link.state;
    let live = link == LinkState::Live;
    let text = if live {
        "Nobody waits."
    } else {
        "The queue is not known."
    };
    let hand = Hand::new(ink.title(), ink.text);
    paint::left_within(painter, at, text, &hand, room);
    let text = if live {
        "A command that queues here, with the voice front end’s priority:"
    } else {
        "It appears here as soon as a broker answers."
    };
    let at = at + vec2(0.0, 18.0);
    let rect = paint::paragraph(painter, at, text, &Hand::dim(ink), room);
    if live {
        let line = "warden run --priority mic -- python infer.py";
        let at = pos2(rect.left(), rect.bottom() + 16.0);
        control::command(ui, ink, at, line, room, scene.actions);
    }
}

/// Selects the waiter at a place in the queue, from 0.
pub(crate) fn select(scene: &mut Scene<'_>, place: usize) {
    if let Some(waiter) = scene.picture.queue.get(place) {
        scene.memory.selection = Selection::Waiter(waiter.request.to_string());
    }
}

/// Something is being done to this waiter.
fn ending(scene: &Scene<'_>, request: &warden_view::Text) -> bool {
    scene.pending(&Target::Request(request.clone())).is_some()
}
