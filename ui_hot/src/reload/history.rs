//! What ran before and what was refused, the newest first, with the way back.

use warden_toolkit::egui::{Color32, Pos2, Rect, pos2, vec2};
use warden_view::{Action, GenerationRow, GenerationState, Module, ModuleKind};

use super::{mib, said, stage_word};
use crate::control::{self, Button};
use crate::page::{self, LINE, Page};
use crate::paint::{self, Hand};
use crate::words;

/// The newest that are shown until all are asked for.
const NEWEST: usize = 6;
const ROW: f32 = 32.0;

pub(super) fn show(page: &mut Page<'_, '_>, module: &Module) {
    if module.kind != ModuleKind::Code {
        return;
    }
    let rows = &module.history;
    page.heading("History", &sum(rows));
    if rows.is_empty() {
        let text = "Each generation is listed here, with its revision and the way back to it.";
        page.paragraph(text, &Hand::dim(&page.ink));
        page.y += 8.0;
        return;
    }
    let whole = page.scene.memory.reload.whole_history;
    let shown = if whole { rows.len() } else { NEWEST };
    // The newest number is the widest.
    let widest = rows.iter().map(|row| row.number).max().unwrap_or(0);
    let mono = Hand::new(page.ink.mono(), page.ink.text);
    let numbers = page::width(page, &format!("{widest:02}"), &mono) + 14.0;
    for row in rows.iter().take(shown) {
        self::row(page, module, row, numbers);
    }
    if rows.len() > NEWEST {
        page.y += 6.0;
        more(page, module, rows.len(), whole);
    }
    page.y += 8.0;
}

fn more(page: &mut Page<'_, '_>, module: &Module, all: usize, whole: bool) {
    let rect = page.line(page.ink.theme.spacing.button);
    let label = if whole {
        format!("Newest {NEWEST} only")
    } else {
        format!("Show all {}", words::number(all as u64))
    };
    let name = format!("{label} of the history of {}", module.name);
    let button = Button::new(&label).named(name);
    let response = page.button_right_of(button, rect.left_center(), "more");
    if response.clicked() {
        page.scene.memory.reload.whole_history = !whole;
    }
}

/// `42 attempts, 3 failed`.
fn sum(rows: &[GenerationRow]) -> String {
    let bad = rows.iter().filter(|row| {
        !matches!(
            row.state,
            GenerationState::Running | GenerationState::Former
        )
    });
    let attempts = match rows.len() {
        0 => "nothing yet".to_owned(),
        1 => "1 attempt".to_owned(),
        n => format!("{} attempts", words::number(n as u64)),
    };
    match bad.count() {
        0 => attempts,
        n => format!("{attempts}, {} failed", words::number(n as u64)),
    }
}

pub(super) fn state_word(row: &GenerationRow) -> &'static str {
    match row.state {
        GenerationState::Running => "running",
        GenerationState::Former => "former",
        GenerationState::RolledBack => "rolled back",
        GenerationState::Quarantined => "quarantined",
        GenerationState::Refused => "refused",
    }
}

fn state_colour(page: &Page<'_, '_>, row: &GenerationRow) -> Color32 {
    match row.state {
        GenerationState::Running => page.ink.good,
        GenerationState::Former => page.ink.dim,
        GenerationState::RolledBack => page.ink.warn,
        GenerationState::Quarantined | GenerationState::Refused => page.ink.alarm,
    }
}

/// `07`, or a dash where it never got a number.
pub(super) fn number(row: &GenerationRow) -> String {
    match row.number {
        0 => "–".to_owned(),
        number => format!("{number:02}"),
    }
}

/// What tells it from the others: its label, else its revision, else its file's hash.
fn called(row: &GenerationRow) -> String {
    if !row.label.is_empty() {
        row.label.to_string()
    } else if !row.revision.is_empty() {
        row.revision.to_string()
    } else {
        row.sha256.chars().take(12).collect()
    }
}

fn row(page: &mut Page<'_, '_>, module: &Module, row: &GenerationRow, numbers: f32) {
    let narrow = page.width() < 560.0;
    let rect = page.line(if narrow { 50.0 } else { ROW });
    let open = page.scene.memory.reload.attempt == Some(row.attempt);
    if page.is_far(rect) && !open {
        return;
    }
    let back = Button::new("Roll back");
    let width = back.width(page.ui, &page.ink);
    let mut pressed = rect;
    if row.can_return {
        pressed.max.x -= width + 8.0;
    }
    let y = rect.top() + if narrow { 14.0 } else { ROW / 2.0 };
    let name = format!("attempt {}", row.attempt);
    let response = page.fold(pressed, y, &name, &spoken(page, row), open);
    let left = rect.left() + 20.0;
    let ink = page.ink.clone();
    let mono = Hand::new(ink.mono(), ink.text);
    paint::left(page.ui.painter(), pos2(left, y), &number(row), &mono);
    let at = pos2(left + numbers, y);
    if narrow {
        words_narrow(page, row, at, pressed.right());
    } else {
        words_wide(page, row, at, rect.right() - width - 20.0);
    }
    if row.can_return {
        let name = format!("Roll back {} to generation {}", module.name, row.number);
        let at = pos2(rect.right(), rect.center().y);
        let key = format!("back {}", row.attempt);
        if page.button_left_of(back.named(name), at, &key).clicked() {
            page.scene.actions.push(Action::RollBack {
                module: module.name.clone(),
                generation: row.number,
            });
        }
    }
    if response.clicked() {
        page.scene.memory.reload.attempt = (!open).then_some(row.attempt);
    }
    if open {
        details(page, row, state_colour(page, row));
    }
    let line = Rect::from_min_max(rect.min, pos2(rect.right(), page.y));
    paint::rule(page.ui.painter(), line, page.y - 0.5, &ink);
}

fn spoken(page: &Page<'_, '_>, row: &GenerationRow) -> String {
    let (number, word) = (number(row), state_word(row));
    let text = format!(
        "generation {number}, {}, {word}, {}",
        called(row),
        page.scene.time(row.at_ms)
    );
    match &row.failure {
        Some(failure) => format!("{text}, {}", failure.title),
        None => text,
    }
}

/// Why it is not there any more, or else what it is called: its revision, then its label.
fn told(page: &Page<'_, '_>, row: &GenerationRow, at: Pos2, right: f32) {
    let ink = &page.ink;
    let dim = Hand::new(ink.mono(), ink.dim);
    if let Some(failure) = &row.failure {
        page.text(at, &failure.title, &Hand::dim(ink), right - at.x);
    } else if row.label.is_empty() {
        page.text(at, &called(row), &dim, right - at.x);
    } else {
        let set = page.text(at, &row.revision, &dim, right - at.x);
        let gap = if row.revision.is_empty() { 0.0 } else { 10.0 };
        let at = pos2(set.rect.right() + gap, at.y);
        page.text(at, &row.label, &Hand::body(ink), right - at.x);
    }
}

fn state_label(page: &Page<'_, '_>, row: &GenerationRow, at: Pos2) -> Rect {
    let hand = Hand::label(&page.ink, state_colour(page, row));
    paint::left(page.ui.painter(), at, state_word(row), &hand)
}

/// On two lines.
fn words_narrow(page: &Page<'_, '_>, row: &GenerationRow, at: Pos2, right: f32) {
    let state = state_label(page, row, at);
    told(page, row, pos2(state.right() + 10.0, at.y), right);
    let mut when = page.scene.time(row.at_ms);
    if row.built_ms.is_some() {
        when = format!("{when}, {}", built(page, row));
    }
    let below = at + vec2(0.0, 21.0);
    page.text(below, &when, &Hand::dim(&page.ink), right - below.x);
}

/// On one line, in columns.
fn words_wide(page: &Page<'_, '_>, row: &GenerationRow, at: Pos2, right: f32) {
    state_label(page, row, at);
    let dim = Hand::dim(&page.ink);
    page.text_left_of(pos2(right, at.y), &built(page, row), &dim, BUILDS - 8.0);
    let time = page.scene.time(row.at_ms);
    let when = page.text_left_of(pos2(right - BUILDS, at.y), &time, &dim, 80.0);
    told(page, row, at + vec2(STATES, 0.0), when.rect.left() - 14.0);
}

/// What the state takes beside the number, and what the build's time takes at the right.
const STATES: f32 = 92.0;
const BUILDS: f32 = 124.0;

/// `built 14:26:39`; empty where there is no file.
fn built(page: &Page<'_, '_>, row: &GenerationRow) -> String {
    row.built_ms
        .map_or_else(String::new, |at| format!("built {}", page.scene.time(at)))
}

/// Everything that is known of it.
fn details(page: &mut Page<'_, '_>, row: &GenerationRow, colour: Color32) {
    page.y += 2.0;
    page.block(colour, false, |page| {
        let text = Hand::body(&page.ink);
        let mono = Hand::new(page.ink.mono(), page.ink.text);
        for (name, value, hand) in [
            ("label", &row.label, &text),
            ("revision", &row.revision, &mono),
        ] {
            if !value.is_empty() {
                page.fact(name, value, hand);
            }
        }
        let instant = page.scene.instant(row.at_ms);
        page.fact("when", &instant, &text);
        if let Some(built) = row.built_ms {
            let instant = page.scene.instant(built);
            page.fact("built", &instant, &text);
        }
        if !row.sha256.is_empty() {
            sha(page, row);
            page.fact("record", record(row), &text);
        }
        if !row.rehearsed.is_empty() {
            page.fact("rehearsed", &row.rehearsed, &text);
        }
        if row.mapped_bytes > 0 {
            page.fact("mapped", &mib(row.mapped_bytes), &text);
        }
        if !row.diagnostics.is_empty() {
            page.fact("compiler", &said::counts(&row.diagnostics), &text);
            for diagnostic in row.diagnostics.iter() {
                let word = said::level_word(diagnostic.level);
                page.fact("", &format!("{word}: {}", diagnostic.title), &text);
            }
        }
        if let Some(failure) = &row.failure {
            page.y += 4.0;
            let alarm = Hand::body(&page.ink).coloured(page.ink.alarm);
            let text = format!("failed at {}: {}", stage_word(failure.stage), failure.title);
            page.paragraph(&text, &alarm);
            page.y += 4.0;
            page.prose(&failure.message, 12);
        }
    });
    page.y += 8.0;
}

fn sha(page: &mut Page<'_, '_>, row: &GenerationRow) {
    let rect = page.line(LINE);
    let dim = Hand::dim(&page.ink);
    paint::left(page.ui.painter(), rect.left_center(), "SHA-256", &dim);
    let at = pos2(rect.left() + page::VALUES, rect.center().y);
    let ink = page.ink.clone();
    control::copyable(page.ui, &ink, at, &row.sha256, page.scene.actions);
}

pub(super) fn record(row: &GenerationRow) -> &'static str {
    if row.recorded {
        "the file is as its build recorded it"
    } else {
        "none: it was built elsewhere"
    }
}
