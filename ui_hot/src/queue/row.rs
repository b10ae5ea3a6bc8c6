//! The columns of the queue, and one row.

use warden_toolkit::egui::{
    Align2, Color32, CursorIcon, Rect, Response, Role, Sense, Ui, WidgetInfo, pos2, vec2,
};
use warden_view::{Column, Selection, Waiter, WhyCode};

use super::{ending, select, table_id};
use crate::control;
use crate::paint::{self, Hand};
use crate::scene::Scene;
use crate::words;

/// Where each column stands, from the panel's left edge. What has no room is left out, the least
/// needed first; its value still is in the detail pane.
#[derive(Clone, Debug)]
pub(super) struct Columns {
    shown: Vec<(Column, f32, f32)>,
}

/// A reason names at most so many who come before.
const NAMED_MAX: usize = 8;

/// Room that a column takes, beside client and why, which share what is left.
const FIXED: [(Column, f32, f32); 6] = [
    // column, width, from this panel width on
    (Column::Place, 48.0, 0.0),
    (Column::Priority, 116.0, 0.0),
    (Column::Asks, 82.0, 640.0),
    (Column::Waited, 66.0, 0.0),
    (Column::TimeLeft, 132.0, 0.0),
    (Column::Passed, 64.0, 720.0),
];

impl Columns {
    pub fn fit(width: f32) -> Self {
        let wide = width >= 560.0;
        let size = |column: Column| {
            let fixed = FIXED.iter().find(|(fixed, _, _)| *fixed == column);
            fixed.map_or(0.0, |(_, size, from)| match column {
                _ if width < *from => 0.0,
                Column::TimeLeft if !wide => 76.0,
                Column::Priority if !wide => 92.0,
                _ => *size,
            })
        };
        let fixed: f32 = FIXED.iter().map(|(column, ..)| size(*column)).sum();
        let gaps = if size(Column::Waited) > 0.0 {
            16.0
        } else {
            0.0
        };
        let rest = (width - fixed - gaps - 16.0).max(120.0);
        let client = (rest * 0.485).min(280.0);
        let order = [
            (Column::Place, size(Column::Place)),
            (Column::Client, client),
            (Column::Priority, size(Column::Priority)),
            (Column::Asks, size(Column::Asks)),
            (Column::Waited, size(Column::Waited) + gaps),
            (Column::TimeLeft, size(Column::TimeLeft)),
            (Column::Passed, size(Column::Passed)),
            (Column::Why, rest - client),
        ];
        let mut x = 0.0;
        let mut shown = Vec::with_capacity(order.len());
        for (column, width) in order.into_iter().filter(|(_, width)| *width > 0.0) {
            shown.push((column, f32::round(x), f32::round(width)));
            x += width;
        }
        Self { shown }
    }

    pub fn head(&self, ui: &mut Ui, rect: Rect, scene: &mut Scene<'_>) {
        for (column, x, width) in &self.shown {
            let cell = Rect::from_min_size(
                pos2(rect.left() + x, rect.top()),
                vec2(*width, rect.height()),
            );
            column_head(ui, cell, *column, scene);
        }
    }
}

fn title(column: Column) -> (&'static str, &'static str) {
    match column {
        Column::Place => ("#", "Sort by place"),
        Column::Client => ("Client", "Sort by client"),
        Column::Priority => ("Priority", "Sort by priority"),
        Column::Asks => ("Asks", "Sort by what is asked for"),
        Column::Waited => ("Waited", "Sort by time waited"),
        Column::TimeLeft => ("Time left", "Sort by time left"),
        Column::Passed => ("Passed", "Sort by times passed"),
        Column::Why => ("Why", "Sort by reason"),
    }
}

/// Figures stand at the right of their column.
fn right_aligned(column: Column) -> bool {
    matches!(column, Column::Place | Column::Waited)
}

/// Right-aligned columns end a little before the next one begins.
fn right_edge(cell: Rect, column: Column) -> f32 {
    cell.right() - if column == Column::Place { 8.0 } else { 16.0 }
}

fn column_head(ui: &Ui, cell: Rect, column: Column, scene: &mut Scene<'_>) {
    let (label, name) = title(column);
    let sort = scene.memory.sort;
    let sorted = sort.column == column && sort != warden_view::Sort::default();
    let response = ui
        .interact(cell, ui.scope_id().with(("sort", name)), Sense::click())
        .on_hover_cursor(CursorIcon::PointingHand);
    response.widget_info(|| WidgetInfo::selected(Role::ColumnHeader, true, sorted, name));
    let ink = &scene.ink;
    let colour = if sorted || response.hovered() {
        ink.accent
    } else {
        ink.dim
    };
    let hand = Hand::label(ink, colour);
    let (at, anchor) = if right_aligned(column) {
        (
            pos2(right_edge(cell, column), cell.center().y + 1.0),
            Align2::RIGHT_CENTER,
        )
    } else {
        (
            pos2(cell.left() + 8.0, cell.center().y + 1.0),
            Align2::LEFT_CENTER,
        )
    };
    let text = paint::text(ui.painter(), at, anchor, label, &hand);
    if sorted {
        let x = if right_aligned(column) {
            text.left() - 9.0
        } else {
            text.right() + 9.0
        };
        arrow(ui, pos2(x, cell.center().y + 1.0), sort.descending, colour);
    }
    control::focus(ui, ink, cell.shrink(3.0), &response);
    if response.clicked() {
        scene.sort_by(column);
    }
}

fn arrow(ui: &Ui, at: warden_toolkit::egui::Pos2, down: bool, colour: Color32) {
    let dy = if down { 3.0 } else { -3.0 };
    let points = vec![
        at + vec2(0.0, dy),
        at + vec2(4.0, -dy),
        at + vec2(-4.0, -dy),
    ];
    let stroke = warden_toolkit::egui::Stroke::NONE;
    ui.painter()
        .add(warden_toolkit::egui::Shape::convex_polygon(
            points, colour, stroke,
        ));
}

pub(super) fn show(ui: &Ui, rect: Rect, scene: &mut Scene<'_>, columns: &Columns, place: usize) {
    let Some(waiter) = scene.picture.queue.get(place) else {
        return;
    };
    let selected =
        matches!(&scene.memory.selection, Selection::Waiter(id) if **id == *waiter.request);
    let id = table_id().with(("row", &*waiter.request));
    let response = ui.interact(rect, id, Sense::CLICK);
    response.widget_info(|| {
        WidgetInfo::selected(Role::Row, true, selected, spoken(scene, place, waiter))
    });
    ground(ui, rect, scene, selected, &response, waiter);
    for (column, x, width) in &columns.shown {
        let cell = Rect::from_min_size(
            pos2(rect.left() + x, rect.top()),
            vec2(*width, rect.height()),
        );
        paint_cell(ui, cell, *column, scene, place, waiter, &response);
    }
    if response.clicked() {
        select(scene, place);
        ui.ctx()
            .memory_mut(|memory| memory.request_focus(table_id()));
    }
}

fn spoken(scene: &Scene<'_>, place: usize, waiter: &Waiter) -> String {
    let priority = scene.priority_name(waiter.priority).unwrap_or("priority");
    format!(
        "{}, {}, {priority} {}, waited {}, {} left, {}",
        place + 1,
        waiter.client,
        waiter.priority,
        words::span(scene.now - waiter.arrived_ms),
        words::span(waiter.times_out_ms - scene.now),
        waiter.why.text
    )
}

fn ground(
    ui: &Ui,
    rect: Rect,
    scene: &Scene<'_>,
    selected: bool,
    response: &Response,
    waiter: &Waiter,
) {
    let ink = &scene.ink;
    let painter = ui.painter();
    let inset = ink.theme.shape.line;
    let mut inner = rect;
    inner.min.x += inset;
    inner.max.x -= inset;
    paint::highlight(painter, inner, ink, selected, response.hovered());
    if ending(scene, &waiter.request) {
        let edge = Rect::from_min_max(pos2(inner.right() - 24.0, inner.top()), inner.max);
        paint::hazard(painter, edge, ink.warn.gamma_multiply(0.7), ink);
    }
    paint::rule(painter, rect, rect.bottom() - 0.5, ink);
}

fn paint_cell(
    ui: &Ui,
    cell: Rect,
    column: Column,
    scene: &Scene<'_>,
    place: usize,
    waiter: &Waiter,
    row: &Response,
) {
    let ink = &scene.ink;
    let painter = ui.painter();
    let y = cell.center().y;
    let left = pos2(cell.left() + 8.0, y);
    let right = pos2(right_edge(cell, column), y);
    let room = cell.width() - 16.0;
    let (body, dim) = (Hand::body(ink), Hand::dim(ink));
    match column {
        Column::Place => {
            let text = words::number(place as u64 + 1);
            paint::right(painter, right, &text, &body);
        }
        Column::Client => {
            let set = paint::left_within(painter, left, &waiter.client, &body, room);
            whole_on_hover(ui, cell, row, set.elided, &waiter.client);
        }
        Column::Priority => priority(ui, left, room, scene, waiter.priority),
        Column::Asks => {
            let set = paint::left_within(painter, left, &asks(waiter), &body, room + 8.0);
            whole_on_hover(ui, cell, row, set.elided, &asks_in_full(scene, waiter));
        }
        Column::Waited => {
            let text = words::span_in_column(scene.now - waiter.arrived_ms);
            paint::right(painter, right, &text, &body);
        }
        Column::TimeLeft => time_left(ui, left, room, scene, waiter),
        Column::Passed => {
            let most = scene.picture.rules.max_bypass;
            paint::pips(painter, left, waiter.passed, most, ink.warn, ink);
        }
        Column::Why => {
            let (text, colour) = why(scene, place, waiter);
            let hand = dim.coloured(colour);
            paint::left_within(painter, left, &text, &hand, room + 8.0);
            whole_on_hover(ui, cell, row, true, &waiter.why.text);
        }
    }
}

fn whole_on_hover(ui: &Ui, cell: Rect, row: &Response, elided: bool, whole: &str) {
    if elided && row.hovered() && ui.rect_contains_pointer(cell) {
        row.clone().on_hover_text(whole);
    }
}

fn priority(ui: &Ui, left: warden_toolkit::egui::Pos2, room: f32, scene: &Scene<'_>, priority: u8) {
    let ink = &scene.ink;
    let painter = ui.painter();
    let mark = Rect::from_min_size(pos2(left.x, left.y - 8.0), vec2(4.0, 16.0));
    painter.rect_filled(mark, 0.0, scene.priority_colour(priority));
    let name = scene.priority_name(priority).unwrap_or("other");
    let hand = Hand::label(ink, ink.text);
    let at = pos2(left.x + 10.0, left.y);
    let set = paint::left_within(painter, at, name, &hand, room - 6.0);
    let text = priority.to_string();
    let number = paint::width(painter, &text, &Hand::dim(ink));
    // The numbers stand in a column of their own where there is room for one.
    let x = (left.x + 80.0).max(set.rect.right() + 6.0);
    if x + number <= left.x + room + 6.0 {
        paint::left(painter, pos2(x, left.y), &text, &Hand::dim(ink));
    }
}

/// What it asks for, short: `1`, `2`, `8 GiB`, `2 × 8 GiB`.
pub(crate) fn asks(waiter: &Waiter) -> String {
    match waiter.vram_mib {
        None => waiter.gpus.to_string(),
        Some(mib) if waiter.gpus == 1 => format!("{} GiB", words::gib(mib)),
        Some(mib) => format!("{} × {} GiB", waiter.gpus, words::gib(mib)),
    }
}

/// The same in full: `1 GPU, 8 GiB shared`.
pub(crate) fn asks_in_full(scene: &Scene<'_>, waiter: &Waiter) -> String {
    let what = match &waiter.gpu_ids {
        Some(ids) => scene.gpus_marked(ids),
        None => words::counted(waiter.gpus as usize, "GPU", "GPUs"),
    };
    match waiter.vram_mib {
        None => format!("{what}, alone"),
        Some(mib) => format!("{what}, {} GiB shared", words::gib(mib)),
    }
}

fn time_left(
    ui: &Ui,
    left: warden_toolkit::egui::Pos2,
    room: f32,
    scene: &Scene<'_>,
    waiter: &Waiter,
) {
    let ink = &scene.ink;
    let painter = ui.painter();
    let rest = waiter.times_out_ms - scene.now;
    let whole = waiter.times_out_ms - waiter.arrived_ms;
    let soon = rest < 5_000;
    let mut x = left.x;
    if room > 100.0 {
        let bar = Rect::from_min_size(pos2(left.x, left.y - 3.0), vec2(48.0, 6.0));
        let colour = if soon { ink.alarm } else { ink.accent };
        paint::bar(
            painter,
            bar,
            scene.part_left(waiter.times_out_ms, whole),
            colour,
            ink,
        );
        x += 56.0;
    }
    let hand = Hand::dim(ink).coloured(if soon { ink.alarm } else { ink.dim });
    let text = words::span(rest);
    paint::left_within(
        painter,
        pos2(x, left.y),
        &text,
        &hand,
        left.x + room + 10.0 - x,
    );
}

/// Why it waits, in a few words, and in which colour. The broker's own sentence is too long for a
/// column: it stands in the detail pane and on hover.
fn why(scene: &Scene<'_>, place: usize, waiter: &Waiter) -> (String, Color32) {
    let ink = &scene.ink;
    if ending(scene, &waiter.request) {
        return ("being cancelled".to_owned(), ink.warn);
    }
    if waiter.passed >= scene.picture.rules.max_bypass {
        let next = waiter.why.behind.is_empty();
        let text = if next {
            "overdue: next in turn"
        } else {
            "overdue: soon in turn"
        };
        return (text.to_owned(), ink.warn);
    }
    let before = match waiter.why.behind.len() {
        // A caller who may not see the others' ids still sees its place, and a reason that names
        // as many as it may says no more than that.
        0 | NAMED_MAX.. => place,
        n => n,
    };
    let holder = waiter
        .why
        .holders
        .iter()
        .find_map(|lease| scene.holder(lease));
    let text = match (waiter.why.code, holder) {
        (WhyCode::Held, Some(holder)) => {
            let more = match waiter.why.holders.len() {
                0 | 1 => String::new(),
                n => format!(" +{}", n - 1),
            };
            format!("held by {}{more}", holder.client)
        }
        (WhyCode::Held, None) => "held".to_owned(),
        (WhyCode::Turn, _) => format!("{} before it", words::number(before as u64)),
        (WhyCode::Kept, _) => "kept for one overdue".to_owned(),
        (WhyCode::ModelSlot, Some(holder)) => format!("model slot: {}", holder.client),
        (WhyCode::ModelSlot, None) => "model slot taken".to_owned(),
        (WhyCode::Draining, _) => "GPU draining".to_owned(),
        (WhyCode::Paused, _) => return ("broker grants nothing".to_owned(), ink.warn),
        (WhyCode::Disconnected, _) => return ("disconnected: skipped".to_owned(), ink.warn),
    };
    (text, ink.dim)
}
