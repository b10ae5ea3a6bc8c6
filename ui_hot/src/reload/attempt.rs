//! The last attempt, stage by stage: what is done, what is under way, where it ended.

use std::cmp::Ordering;

use warden_toolkit::egui::{Color32, Rect, Role, pos2, vec2};
use warden_view::{Failure, Module, ModuleKind, ModuleState, Progress, Stage};

use super::{ms, stage_word};
use crate::page::{LINE, Page};
use crate::paint::{self, Hand};
use crate::words;

/// In the order that a generation goes through them. The wait for the watcher is a part of loading
/// that is none of ours, and stands apart where it was measured.
const STAGES: [Stage; 8] = [
    Stage::Build,
    Stage::Check,
    Stage::Wait,
    Stage::Load,
    Stage::Migrate,
    Stage::Rehearse,
    Stage::Swap,
    Stage::Probation,
];
/// A stage in a bar of them is no narrower; otherwise they are listed.
const SEGMENT: f32 = 82.0;

/// How far a stage came.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Mark {
    Done,
    /// The part of it that is done, where that is known.
    Now(Option<f32>),
    Failed,
    /// There was nothing to do.
    Skipped,
    Not,
}

struct Step {
    stage: Stage,
    mark: Mark,
    figure: String,
}

pub(super) fn show(page: &mut Page<'_, '_>, module: &Module) {
    if module.kind != ModuleKind::Code {
        return;
    }
    if module.timings.is_empty() && module.stage.is_none() && module.failure.is_none() {
        let text = "No attempt yet. Save a change in the module's source, then press Reload: each \
                    stage is told here as it happens.";
        page.paragraph(text, &Hand::dim(&page.ink));
        page.y += 8.0;
        return;
    }
    let title = if module.stage.is_some() {
        "Under way"
    } else {
        "Last attempt"
    };
    let steps = steps(page, module);
    page.heading(title, &sum(page, module));
    if page.width() / steps.len() as f32 >= SEGMENT {
        bar(page, &steps);
    } else {
        list(page, &steps);
    }
    if let Some(progress) = &module.progress {
        build(page, progress);
    }
    page.y += 10.0;
}

fn steps(page: &Page<'_, '_>, module: &Module) -> Vec<Step> {
    STAGES
        .into_iter()
        .filter(|stage| *stage != Stage::Wait || took(module, Stage::Wait).is_some())
        .map(|stage| {
            let (mark, figure) = how_far(page, module, stage);
            Step {
                stage,
                mark,
                figure,
            }
        })
        .collect()
}

fn took(module: &Module, stage: Stage) -> Option<f32> {
    let mut timings = module.timings.iter();
    let timing = timings.find(|timing| timing.stage == stage);
    timing.map(|timing| timing.ms)
}

/// How far a stage came, and the figure under it.
fn how_far(page: &Page<'_, '_>, module: &Module, stage: Stage) -> (Mark, String) {
    let not_reached = (Mark::Not, "–".to_owned());
    let at = place(stage);
    if let Some((now_at, since)) = module.stage {
        match at.cmp(&place(now_at)) {
            Ordering::Equal => {
                let part = module.progress.as_ref().and_then(part);
                let span = page.scene.picture.clock.now_ms - since;
                return (Mark::Now(part), words::span(span));
            }
            Ordering::Greater => return not_reached,
            Ordering::Less => {}
        }
    } else if let (Some(failure), ModuleState::Failed | ModuleState::Down) =
        (&module.failure, module.state)
    {
        match at.cmp(&place(failure.stage)) {
            Ordering::Equal => return (Mark::Failed, "failed".to_owned()),
            Ordering::Greater => return not_reached,
            Ordering::Less => {}
        }
    }
    if let Some(probation) = module.probation.filter(|_| stage == Stage::Probation) {
        let part = probation.frames as f32 / probation.of_frames.max(1) as f32;
        let frames = format!("{} of {}", probation.frames, probation.of_frames);
        return (Mark::Now(Some(part)), frames);
    }
    match took(module, stage) {
        Some(took) => (Mark::Done, ms(took)),
        None if stage == Stage::Probation && trusted(module) => (Mark::Done, "passed".to_owned()),
        None if was_passed(module, at) => (Mark::Skipped, "no need".to_owned()),
        None => not_reached,
    }
}

/// A later stage was reached: there was nothing to do at this one, such as to build what lay there
/// ready, or to move the memory of what has none.
fn was_passed(module: &Module, at: usize) -> bool {
    let timed = module.timings.iter().map(|timing| timing.stage);
    let failed = module.failure.as_ref().map(|failure| failure.stage);
    let now = module.stage.map(|(stage, _)| stage);
    timed
        .chain(failed)
        .chain(now)
        .any(|later| place(later) > at)
}

/// Probation is over, and nobody takes its time.
fn trusted(module: &Module) -> bool {
    let failed_before = |failure: &Failure| failure.stage != Stage::Run;
    module
        .timings
        .iter()
        .any(|timing| timing.stage == Stage::Swap)
        && !module.failure.as_ref().is_some_and(failed_before)
}

/// Where a stage comes; what failed while it ran failed after them all.
fn place(stage: Stage) -> usize {
    STAGES
        .iter()
        .position(|other| *other == stage)
        .unwrap_or(STAGES.len())
}

fn part(progress: &Progress) -> Option<f32> {
    (progress.total > 0).then(|| progress.done as f32 / progress.total as f32)
}

/// What it took in all, and what of it the budget of a reload is about.
fn sum(page: &Page<'_, '_>, module: &Module) -> String {
    if let Some((stage, since)) = module.stage {
        let span = words::span(page.scene.picture.clock.now_ms - since);
        return format!("{} for {span}", stage_word(stage));
    }
    if let Some(probation) = module.probation {
        let left = (probation.ends_ms - page.scene.picture.clock.now_ms).max(0);
        let (frames, of) = (probation.frames, probation.of_frames);
        let left = match left {
            0 => String::new(),
            left => format!(", {} left", words::span(left + 999)),
        };
        // Three of them running take it back.
        let slow = match probation.slow {
            0 => String::new(),
            slow => format!(", {slow} slow"),
        };
        return format!("{frames} of {of} frames{slow}{left}");
    }
    let counted = |stage: Stage| !matches!(stage, Stage::Build | Stage::Wait | Stage::Probation);
    let timings = module.timings.iter();
    let all: f32 = timings
        .clone()
        .filter(|timing| timing.stage != Stage::Probation)
        .map(|timing| timing.ms)
        .sum();
    let after: f32 = timings
        .filter(|timing| counted(timing.stage))
        .map(|timing| timing.ms)
        .sum();
    match (all > 0.0, after > 0.0) {
        (false, _) => String::new(),
        (true, false) => ms(all),
        (true, true) => format!("{}, {} check to swap", ms(all), ms(after)),
    }
}

fn colours(page: &Page<'_, '_>, mark: Mark) -> (Color32, Color32) {
    let ink = &page.ink;
    match mark {
        Mark::Done => (ink.dim, ink.text),
        Mark::Now(_) => (ink.accent, ink.accent),
        Mark::Failed => (ink.alarm, ink.alarm),
        Mark::Skipped | Mark::Not => (ink.dim, ink.dim),
    }
}

fn paint_mark(page: &Page<'_, '_>, rect: Rect, mark: Mark) {
    let (painter, ink) = (page.ui.painter(), &page.ink);
    match mark {
        Mark::Done => {
            painter.rect_filled(rect, 0.0, ink.good);
        }
        Mark::Now(part) => {
            // Lit from end to end, and brighter as far as it is done.
            painter.rect_filled(rect, 0.0, ink.accent.gamma_multiply(0.4));
            let done = rect.width() * part.unwrap_or(1.0).clamp(0.0, 1.0);
            let done = Rect::from_min_size(rect.min, vec2(done, rect.height()));
            painter.rect_filled(done, 0.0, ink.accent);
        }
        Mark::Failed => {
            painter.rect_filled(rect, 0.0, ink.track);
            paint::hazard(painter, rect, ink.alarm, ink);
        }
        Mark::Skipped => {
            painter.rect_filled(rect, 0.0, ink.track);
            let line = Rect::from_center_size(rect.center(), vec2(rect.width(), 2.0));
            painter.rect_filled(line, 0.0, ink.good);
        }
        Mark::Not => {
            painter.rect_filled(rect, 0.0, ink.track);
        }
    }
}

fn speak(page: &Page<'_, '_>, rect: Rect, step: &Step) {
    let word = stage_word(step.stage);
    let text = match step.mark {
        Mark::Not => format!("{word}: not reached"),
        Mark::Now(_) => format!("{word}: under way, {}", step.figure),
        Mark::Done | Mark::Skipped | Mark::Failed => format!("{word}: {}", step.figure),
    };
    page.say(rect, word, Role::ListItem, &text);
}

/// Side by side.
fn bar(page: &mut Page<'_, '_>, steps: &[Step]) {
    const GAP: f32 = 4.0;
    let rect = page.line(52.0);
    let step = (rect.width() + GAP) / steps.len() as f32;
    for (at, each) in steps.iter().enumerate() {
        let left = (rect.left() + step * at as f32).round();
        let right = (rect.left() + step * (at + 1) as f32 - GAP).round();
        let (word, figure) = colours(page, each.mark);
        let painter = page.ui.painter();
        let hand = Hand::label(&page.ink, word);
        let y = rect.top() + 12.0;
        paint::left_within(
            painter,
            pos2(left, y),
            stage_word(each.stage),
            &hand,
            right - left,
        );
        let mark = Rect::from_min_max(
            pos2(left, rect.top() + 23.0),
            pos2(right, rect.top() + 29.0),
        );
        paint_mark(page, mark, each.mark);
        let hand = Hand::body(&page.ink).coloured(figure);
        let at = pos2(left, rect.top() + 41.0);
        page.text(at, &each.figure, &hand, right - left);
        let whole = Rect::from_min_max(pos2(left, rect.top()), pos2(right, rect.bottom()));
        speak(page, whole, each);
    }
}

/// One under the other, in two columns.
fn list(page: &mut Page<'_, '_>, steps: &[Step]) {
    const GAP: f32 = 20.0;
    let rows = steps.len().div_ceil(2);
    let rect = page.line(LINE * rows as f32);
    let column = ((rect.width() - GAP) / 2.0).floor();
    for (at, step) in steps.iter().enumerate() {
        let corner = pos2(
            rect.left() + (column + GAP) * (at / rows) as f32,
            rect.top() + LINE * (at % rows) as f32,
        );
        let cell = Rect::from_min_size(corner, vec2(column, LINE));
        let y = cell.center().y;
        let mark = Rect::from_min_size(pos2(cell.left(), y - 5.0), vec2(16.0, 10.0));
        paint_mark(page, mark, step.mark);
        let (word, figure) = colours(page, step.mark);
        let at = pos2(mark.right() + 8.0, y);
        let hand = Hand::label(&page.ink, word);
        let name = paint::left(page.ui.painter(), at, stage_word(step.stage), &hand);
        let hand = Hand::body(&page.ink).coloured(figure);
        let room = cell.right() - name.right() - 6.0;
        page.text_left_of(pos2(cell.right(), y), &step.figure, &hand, room);
        speak(page, cell, step);
    }
}

/// How far a build is.
pub(super) fn build(page: &mut Page<'_, '_>, progress: &Progress) {
    page.y += 4.0;
    let rect = page.line(LINE);
    let text = match (progress.total, progress.current.is_empty()) {
        (0, true) => "cargo begins".to_owned(),
        (0, false) => format!("crate {}: {}", progress.done, progress.current),
        (total, true) => format!("crate {} of {total}", progress.done),
        (total, false) => format!("crate {} of {total}: {}", progress.done, progress.current),
    };
    page.text(
        rect.left_center(),
        &text,
        &Hand::body(&page.ink),
        rect.width(),
    );
    let share = part(progress).unwrap_or(0.0);
    page.y += 2.0;
    let line = page.line(6.0);
    paint::bar(page.ui.painter(), line, share, page.ink.accent, &page.ink);
    page.say(rect, "progress", Role::ProgressIndicator, &text);
}
