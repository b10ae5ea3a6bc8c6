//! What was said: why an attempt failed, and the compiler's messages.

use warden_toolkit::egui::{Color32, Pos2, Rect, pos2, vec2};
use warden_view::{Action, Diagnostic, Failure, Level, Module, OpenDiagnostic, Stage, Text};

use super::stage_word;
use crate::control::Button;
use crate::page::{LINE, Page};
use crate::paint::{self, Hand};

/// Lines that are shown; the whole is a click away on the clipboard.
const MESSAGE_LINES: usize = 24;
/// More messages than this are counted.
const MESSAGES: usize = 40;

/// File, line and column.
type Place = (Text, u32, u32);

/// Why the last attempt left the running generation in place, in the compiler's own words where it
/// has no list of its own for them.
pub(super) fn failure(page: &mut Page<'_, '_>, module: &Module, failure: &Failure) {
    let alarm = page.ink.alarm;
    let listed = !module.diagnostics.is_empty() || module.restart_offered.is_some();
    page.block(alarm, true, |page| {
        let text = format!("failed at {}: {}", stage_word(failure.stage), failure.title);
        let place = failure.place.as_ref();
        title(page, &text, place, &module.name, &failure.message);
        if !listed {
            page.y += 4.0;
            // Only a compiler draws.
            if failure.stage == Stage::Build {
                page.listing(&failure.message, MESSAGE_LINES);
            } else {
                page.prose(unsaid(failure), MESSAGE_LINES);
            }
        }
    });
    page.y += 8.0;
}

/// The message, less a first line that the title has said.
fn unsaid(failure: &Failure) -> &str {
    match failure.message.split_once('\n') {
        Some((first, rest)) if failure.title.ends_with(first) => rest,
        _ => &failure.message,
    }
}

/// What happened, with the buttons to read on: beside it, or under it where there is no room for
/// both of them.
pub(super) fn title(
    page: &mut Page<'_, '_>,
    text: &str,
    place: Option<&Place>,
    of: &str,
    message: &str,
) {
    let hand = Hand::body(&page.ink).coloured(page.ink.alarm);
    let height = page.ink.theme.spacing.button;
    let copy = Button::new("Copy").named(format!("Copy the message of {of}"));
    let top = page.y;
    let below = page.narrow() && place.is_some();
    if below {
        page.paragraph(text, &hand);
        page.y += 6.0;
    }
    let rect = page.line(height);
    let size = copy.width(page.ui, &page.ink);
    let mut left = rect.right() - size - 8.0;
    if let Some(place) = place {
        left = open_in_editor(page, "Open", place, pos2(left, rect.center().y)).left() - 8.0;
    }
    copy_message(page, copy, rect.right_center(), message);
    if !below {
        let mut part = page.part(rect.left(), left - 4.0, "title");
        part.y = top + 5.0;
        part.paragraph(text, &hand);
        page.y = part.y.max(rect.bottom());
    }
}

fn copy_message(page: &mut Page<'_, '_>, copy: Button<'_>, at: Pos2, message: &str) {
    if page.button_left_of(copy, at, "copy").clicked() {
        let text = message.to_owned();
        page.scene.actions.push(Action::CopyText { text });
    }
}

/// A button that shows the place in the operator's editor; `what` begins its accessible name. Gives
/// what it took.
fn open_in_editor(page: &mut Page<'_, '_>, what: &str, place: &Place, at: Pos2) -> Rect {
    let (file, line, column) = place;
    let open = Button::new("Open in editor").named(format!("{what} {file}:{line} in the editor"));
    let response = page.button_left_of(open, at, "open");
    let rect = response.rect;
    if response.clicked() {
        page.scene.actions.push(Action::OpenEditor {
            file: file.clone(),
            line: *line,
            column: *column,
        });
    }
    response.on_hover_text(format!("{file}:{line}:{column}"));
    rect
}

/// The compiler's messages of the last attempt.
pub(super) fn diagnostics(page: &mut Page<'_, '_>, module: &Module) {
    let all = &module.diagnostics;
    if all.is_empty() {
        return;
    }
    page.heading("Messages", &counts(all));
    let open = open(page.scene.memory.reload.diagnostic, all);
    for (at, diagnostic) in all.iter().enumerate().take(MESSAGES) {
        let is_open = open == Some(at);
        if self::diagnostic(page, at, diagnostic, is_open) {
            page.scene.memory.reload.diagnostic = if is_open {
                OpenDiagnostic::None
            } else {
                OpenDiagnostic::At(u32::try_from(at).unwrap_or(u32::MAX))
            };
        }
    }
    if all.len() > MESSAGES {
        let rect = page.line(LINE);
        let text = format!(
            "… {} more: copy the report to read them",
            all.len() - MESSAGES
        );
        page.text(
            rect.left_center(),
            &text,
            &Hand::dim(&page.ink),
            rect.width(),
        );
    }
    page.y += 10.0;
}

fn open(folds: OpenDiagnostic, all: &[Diagnostic]) -> Option<usize> {
    match folds {
        OpenDiagnostic::None => None,
        OpenDiagnostic::At(at) => Some(at as usize).filter(|at| *at < all.len()),
        OpenDiagnostic::FirstError => all.iter().position(|each| each.level == Level::Error),
    }
}

/// `1 error, 3 warnings`.
pub(super) fn counts(all: &[Diagnostic]) -> String {
    let count = |level| all.iter().filter(|each| each.level == level).count();
    let mut parts = Vec::new();
    for level in [Level::Error, Level::Warning, Level::Note] {
        match count(level) {
            0 => {}
            1 => parts.push(format!("1 {}", level_word(level))),
            n => parts.push(format!("{n} {}s", level_word(level))),
        }
    }
    parts.join(", ")
}

pub(super) fn level_word(level: Level) -> &'static str {
    match level {
        Level::Error => "error",
        Level::Warning => "warning",
        Level::Note => "note",
    }
}

fn level_colour(page: &Page<'_, '_>, level: Level) -> Color32 {
    match level {
        Level::Error => page.ink.alarm,
        Level::Warning => page.ink.warn,
        Level::Note => page.ink.dim,
    }
}

/// Its file's name with line and column; the folder is on hover and in the message.
fn short(place: &Place) -> String {
    let (file, line, column) = place;
    let name = file.rsplit(['/', '\\']).next().unwrap_or(file);
    format!("{name}:{line}:{column}")
}

/// One message; its whole text under it while it is unfolded. Gives whether it was pressed.
fn diagnostic(page: &mut Page<'_, '_>, at: usize, said: &Diagnostic, open: bool) -> bool {
    let narrow = page.narrow();
    let rect = page.line(if narrow { 56.0 } else { 30.0 });
    let ink = page.ink.clone();
    let (word, colour) = (level_word(said.level), level_colour(page, said.level));
    let place = said.place.as_ref();
    let spoken = match place {
        Some((file, line, _)) => format!("{word}: {}, {file}:{line}", said.title),
        None => format!("{word}: {}", said.title),
    };
    // The line at the bottom of a narrow one has the button: what is pressed ends above it.
    let top = Rect::from_min_size(rect.min, vec2(rect.width(), 30.0));
    let y = top.center().y;
    let mut right = rect.right();
    let mut pressed = top;
    let y_below = rect.top() + 39.0;
    let button = place.map(|_| Button::new("Open in editor").width(page.ui, &ink));
    if let (false, Some(width)) = (narrow, button) {
        right -= width + 8.0;
        pressed.max.x = right;
    }
    let response = page.fold(pressed, y, &format!("message {at}"), &spoken, open);
    let left = rect.left() + 20.0;
    let level = paint::left(
        page.ui.painter(),
        pos2(left, y),
        word,
        &Hand::label(&ink, colour),
    );
    let mono = Hand::new(ink.mono(), ink.dim);
    if let Some(place) = place {
        let text = if said.code.is_empty() {
            short(place)
        } else {
            format!("{}  {}", said.code, short(place))
        };
        if narrow {
            page.text(
                pos2(left, y_below),
                &text,
                &mono,
                rect.right() - left - 116.0,
            );
        } else {
            let room = (right - level.right()) * 0.5;
            right = page
                .text_left_of(pos2(right - 4.0, y), &text, &mono, room)
                .rect
                .left();
        }
    }
    let x = level.right() + 10.0;
    page.text(pos2(x, y), &said.title, &Hand::body(&ink), right - x - 12.0);
    if let Some(place) = place {
        let y = if narrow { y_below } else { y };
        let mut part = page.part(rect.left(), rect.right(), &format!("place {at}"));
        let what = format!("Open message {} at", at + 1);
        open_in_editor(&mut part, &what, place, pos2(rect.right(), y));
    }
    if open {
        page.y += 2.0;
        page.block(colour, false, |page| {
            page.listing(said.rendered.trim_end(), MESSAGE_LINES)
        });
        page.y += 6.0;
    }
    response.clicked()
}
