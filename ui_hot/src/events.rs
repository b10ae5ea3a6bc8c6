//! The event stream, the newest first.

use warden_toolkit::egui::{
    Color32, Id, Rect, Role, ScrollArea, Sense, Ui, UiBuilder, WidgetInfo, pos2, vec2,
};
use warden_view::{EventRow, Selection, Tone};

use crate::control::{self, Field, Holds};
use crate::paint::{self, Hand};
use crate::queue;
use crate::scene::Scene;
use crate::words;

const ROW: f32 = 26.0;

/// The field that filters the events.
pub(crate) fn filter_id() -> Id {
    Id::unique("warden events filter")
}

pub(crate) fn head(ui: &mut Ui, room: Rect, scene: &mut Scene<'_>) {
    let width = room.width().min(180.0);
    if width < 80.0 {
        return;
    }
    let at = pos2(room.right() - width, room.center().y - 12.0);
    let rect = Rect::from_min_size(at, vec2(width, 24.0));
    let field = Field {
        id: filter_id(),
        hint: "filter events…",
        name: "Filter events",
        limit: Field::LIMIT,
        holds: Holds::Filter,
    };
    field.show(ui, &scene.ink, rect, &mut scene.memory.events_filter);
}

pub(crate) fn show(ui: &mut Ui, body: Rect, scene: &mut Scene<'_>) {
    let mut list = body;
    list.max.y -= scene.ink.theme.shape.line;
    let needle = scene.memory.events_filter.trim().to_lowercase();
    let events = scene.picture.events.clone();
    let shown: Vec<&EventRow> = events
        .iter()
        .rev()
        .filter(|event| matches(event, &needle))
        .collect();
    if shown.is_empty() {
        let at = list.min + vec2(scene.ink.theme.spacing.pad, 16.0);
        let text = if events.is_empty() {
            "What happens from now on appears here: who queues, gets a GPU, gives it back."
        } else {
            "No event matches. Escape in the field clears it."
        };
        let room = list.width() - 2.0 * scene.ink.theme.spacing.pad;
        paint::paragraph(ui.painter(), at, text, &Hand::dim(&scene.ink), room);
        return;
    }
    let mut child = ui.new_child(UiBuilder::new().id_salt("events").max_rect(list));
    child.spacing_mut().item_spacing.y = 0.0;
    let area = ScrollArea::vertical()
        .id_salt("event rows")
        .auto_shrink(false);
    area.show_rows(&mut child, ROW, shown.len(), |ui, range| {
        let top = ui.max_rect().top();
        for (nth, at) in range.enumerate() {
            let min = pos2(list.left(), top + ROW * nth as f32);
            row(
                ui,
                Rect::from_min_size(min, vec2(list.width(), ROW)),
                scene,
                shown[at],
            );
        }
    });
}

fn matches(event: &EventRow, needle: &str) -> bool {
    let texts = [&event.kind, &event.client, &event.what, &event.subject];
    needle.is_empty() || texts.into_iter().any(|text| queue::contains(text, needle))
}

fn tone(scene: &Scene<'_>, tone: Tone) -> Color32 {
    let ink = &scene.ink;
    match tone {
        Tone::Plain => ink.text,
        Tone::Good => ink.good,
        Tone::Warn => ink.warn,
        Tone::Alarm => ink.alarm,
    }
}

fn row(ui: &Ui, rect: Rect, scene: &mut Scene<'_>, event: &EventRow) {
    let id = ui.scope_id().with(("event", event.id));
    let response = ui.interact(rect, id, Sense::CLICK);
    let time = scene.time(event.at_ms);
    response.widget_info(|| {
        let text = format!("{time} {} {} {}", event.kind, event.client, event.what);
        WidgetInfo::labeled(Role::Row, true, text)
    });
    let ink = &scene.ink;
    let painter = ui.painter();
    if response.hovered() {
        let inner = rect.shrink2(vec2(ink.theme.shape.line, 0.0));
        painter.rect_filled(inner, 0.0, ink.row_hovered);
    }
    let y = rect.center().y;
    let (dim, body) = (Hand::dim(ink), Hand::body(ink));
    let left = rect.left() + ink.theme.spacing.pad;
    let set = paint::left(painter, pos2(left, y), &time, &dim);
    let hover_time = set;
    let x = left + 72.0;
    let kind = Hand::label(ink, tone(scene, event.tone));
    let words_of_kind = event.kind.replace('_', " ");
    paint::left_within(painter, pos2(x, y), &words_of_kind, &kind, 92.0);
    let x = x + 100.0;
    let client = ((rect.width() - x + rect.left()) * 0.36).clamp(80.0, 200.0);
    let named = paint::left_within(painter, pos2(x, y), &event.client, &body, client);
    let x = x + client + 12.0;
    let number = words::number(event.id);
    let right = rect.right() - 16.0;
    let number = paint::right(painter, pos2(right, y), &number, &dim);
    let room = number.left() - 12.0 - x;
    let what = paint::left_within(painter, pos2(x, y), &event.what, &dim, room);
    if response.clicked()
        && let Some(selection) = subject(scene, event)
    {
        scene.memory.selection = selection;
    }
    if response.hovered() && ui.rect_contains_pointer(hover_time) {
        response.on_hover_text(scene.instant(event.at_ms));
    } else if named.elided || what.elided {
        response.on_hover_text(format!("{}\n{}", event.client, event.what));
    } else {
        control::focus(ui, &scene.ink, rect, &response);
    }
}

/// What a click selects: what the event is about, while it is there.
fn subject(scene: &Scene<'_>, event: &EventRow) -> Option<Selection> {
    if scene.waiter(&event.subject).is_some() {
        return Some(Selection::Waiter(event.subject.to_string()));
    }
    scene
        .holder(&event.subject)
        .map(|holder| Selection::Lease(holder.lease.to_string()))
}
