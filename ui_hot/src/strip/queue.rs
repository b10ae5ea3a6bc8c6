//! The strip's count: who waits and what is stuck.

use warden_toolkit::egui::{Rect, Role, Sense, Ui, WidgetInfo, pos2};

use super::lines;
use crate::paint::{self, Hand};
use crate::scene::Scene;
use crate::words;

pub(super) fn waiting(ui: &Ui, cell: Rect, scene: &Scene<'_>) {
    let ink = &scene.ink;
    let painter = ui.painter();
    let summary = &scene.picture.summary;
    let [top, middle, bottom] = lines(cell);
    let (left, right) = (cell.left() + 20.0, cell.right() - 16.0);
    let label = Hand::label(ink, ink.accent);
    let label = paint::left(painter, pos2(left, top), "queue", &label);
    if let Some(since) = summary.longest_since_ms {
        let text = format!("longest {}", words::span(scene.now - since));
        let room = right - label.right() - 8.0;
        let at = pos2(right, top);
        let short = words::span(scene.now - since);
        let fits = paint::width(painter, &text, &Hand::dim(ink)) <= room;
        let text = if fits { text } else { short };
        paint::right(painter, at, &text, &Hand::dim(ink));
    }
    let n = if scene.known() {
        words::number(u64::from(summary.waiting))
    } else {
        "–".to_owned()
    };
    let colour = if summary.waiting > 0 {
        ink.text
    } else {
        ink.dim
    };
    let count = Hand::new(if n.len() > 4 { ink.name() } else { ink.count() }, colour);
    let count = paint::left(painter, pos2(left + 1.0, middle - 2.0), &n, &count);
    let word = Hand::head(ink, ink.dim);
    let at = pos2(count.right() + 12.0, middle + 5.0);
    paint::left(painter, at, "waiting", &word);
    let text = stuck(scene);
    let at = pos2(left, bottom);
    let room = right - left;
    let response = ui.interact(cell, ui.scope_id().with("strip queue"), Sense::hover());
    response
        .widget_info(|| WidgetInfo::labeled(Role::Status, true, format!("{n} waiting. {text}")));
    if summary.overdue > 0 || summary.asked_to_yield > 0 || late(scene) > 0 {
        paint::triangle(painter, pos2(left + 7.0, bottom), 7.0, ink.warn);
        let hand = Hand::body(ink).coloured(ink.warn);
        let at = pos2(left + 19.0, bottom);
        paint::left_within(painter, at, &text, &hand, room - 15.0);
        response.on_hover_text(text);
    } else {
        paint::left_within(painter, at, &text, &Hand::dim(ink), room);
    }
}

/// Holders whose deadline has passed.
fn late(scene: &Scene<'_>) -> usize {
    scene
        .picture
        .holders
        .iter()
        .filter(|holder| holder.expires_ms < scene.now)
        .count()
}

/// What is stuck, or else the last wait.
fn stuck(scene: &Scene<'_>) -> String {
    let summary = &scene.picture.summary;
    if !scene.known() {
        return "not known".to_owned();
    }
    let mut parts = Vec::new();
    if late(scene) > 0 {
        parts.push(format!("{} past deadline", late(scene)));
    }
    if summary.overdue > 0 {
        parts.push(format!(
            "{} overdue",
            words::number(u64::from(summary.overdue))
        ));
    }
    if summary.asked_to_yield > 0 {
        parts.push(format!("{} asked to yield", summary.asked_to_yield));
    }
    match (parts.is_empty(), summary.last_wait) {
        (false, _) => parts.join(", "),
        (true, Some((waited, at))) if summary.waiting == 0 => {
            format!(
                "last wait {}, {} ago",
                words::span(waited),
                words::span_short(scene.now - at)
            )
        }
        (true, _) if summary.waiting == 0 => "nobody has waited yet".to_owned(),
        (true, _) => "nothing is stuck".to_owned(),
    }
}
