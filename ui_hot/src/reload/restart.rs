//! The warm restart: offered where what crosses differs, and its build while it is under way.

use warden_toolkit::egui::{Role, pos2};
use warden_view::{Action, Difference, Mismatch, Module, Restart};

use super::{attempt, said};
use crate::control::{Button, Weight};
use crate::page::{LINE, Page};
use crate::paint::{self, Hand};
use crate::words;

/// What it does, where the button alone would frighten.
const WHAT: &str = "A warm restart builds the window, saves all that is open and typed, and begins \
                    again in place. The broker and its leases notice nothing.";

pub(super) fn offer(page: &mut Page<'_, '_>, module: &Module, mismatch: &Mismatch) {
    let warn = page.ink.warn;
    let under_way = page.scene.picture.reload.restart.as_ref();
    let busy = under_way.is_some_and(|restart| restart.progress.is_some());
    page.block(warn, false, |page| {
        // Said already, where what the attempt failed with begins with it.
        let failure = module.failure.as_ref();
        if failure.is_none_or(|failure| !failure.title.starts_with(&*mismatch.title)) {
            let hand = Hand::body(&page.ink).coloured(warn);
            page.paragraph(&mismatch.title, &hand);
            page.y += 6.0;
        }
        for (at, difference) in mismatch.differences.iter().enumerate() {
            self::difference(page, at, difference);
        }
        page.paragraph(WHAT, &Hand::dim(&page.ink));
        page.y += 8.0;
        let rect = page.line(page.ink.theme.spacing.button);
        let button = Button::new("Warm restart")
            .named("Warm restart the window")
            .weight(Weight::Accent)
            .turn()
            .enabled(!busy);
        if page
            .button_right_of(button, rect.left_center(), "restart")
            .clicked()
        {
            page.scene.actions.push(Action::WarmRestart);
        }
    });
    page.y += 10.0;
}

/// `UiMemory.palette`, or the type alone.
pub(super) fn named(difference: &Difference) -> String {
    if difference.field.is_empty() {
        difference.of.to_string()
    } else {
        format!("{}.{}", difference.of, difference.field)
    }
}

/// What is differently defined, and how.
fn difference(page: &mut Page<'_, '_>, at: usize, difference: &Difference) {
    const LINES: f32 = 90.0;
    let ink = page.ink.clone();
    let name = named(difference);
    if difference.running.is_empty() && difference.offered.is_empty() {
        // Neither has a line of it: what differs is no definition, and the title says what.
        return;
    }
    let mono = Hand::new(ink.mono(), ink.text);
    let rect = page.line(if name.is_empty() { 0.0 } else { LINE });
    page.text(rect.left_center(), &name, &mono, rect.width());
    let sides = [
        ("this window", &difference.running),
        ("new build", &difference.offered),
    ];
    for (side, line) in sides {
        let top = page.y;
        let at = pos2(page.left, top + LINE / 2.0);
        paint::left(page.ui.painter(), at, side, &Hand::dim(&ink));
        let (text, hand) = if line.is_empty() {
            ("has none", Hand::dim(&ink))
        } else {
            (line.trim(), mono.clone())
        };
        let mut part = page.part(page.left + LINES, page.right, side);
        part.y += 2.0;
        part.paragraph(text, &hand);
        page.y = part.y.max(top + LINE);
    }
    let whole = rect.with_max_y(page.y);
    let spoken = format!(
        "{name} differs. This window: {}. New build: {}",
        difference.running, difference.offered
    );
    page.say(whole, &format!("difference {at}"), Role::ListItem, &spoken);
    page.y += 8.0;
}

/// The build that it begins with, or why it did not happen.
pub(super) fn under_way(page: &mut Page<'_, '_>, restart: &Restart) {
    page.y += 10.0;
    let mut part = page.part(page.left, page.right, "restart");
    if let Some(failure) = &restart.failure {
        let alarm = part.ink.alarm;
        part.block(alarm, true, |page| {
            let text = format!("warm restart did not happen: {}", failure.title);
            let place = failure.place.as_ref();
            said::title(page, &text, place, "the warm restart", &failure.message);
            page.y += 4.0;
            page.listing(&failure.message, 12);
        });
    } else if let Some(progress) = &restart.progress {
        let accent = part.ink.accent;
        part.block(accent, false, |page| {
            let rect = page.line(page.ink.theme.spacing.button);
            let cancel = Button::new("Cancel").named("Cancel the warm restart");
            let response = page.button_left_of(cancel, rect.right_center(), "cancel");
            if response.clicked() {
                page.scene.actions.push(Action::CancelRestart);
            }
            let span = words::span(page.scene.picture.clock.now_ms - restart.since_ms);
            let hand = Hand::label(&page.ink, accent);
            let painter = page.ui.painter();
            let title = paint::left(painter, rect.left_center(), "warm restart", &hand);
            let at = pos2(title.right() + 12.0, rect.center().y);
            let room = response.rect.left() - at.x - 10.0;
            let dim = Hand::dim(&page.ink);
            page.text(at, &format!("building for {span}"), &dim, room);
            attempt::build(page, progress);
        });
    }
    page.y = part.y + 10.0;
}
