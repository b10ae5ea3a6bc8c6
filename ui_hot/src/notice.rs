//! Lines between strip and panels: a broker that does not answer, a window that is about to begin
//! again, and what came of the operator's actions. They push the panels down and hide nothing.

use warden_toolkit::egui::{Color32, Rect, Role, Sense, StrokeKind, Ui, WidgetInfo, pos2, vec2};
use warden_view::{Action, ActionRun, LinkState, Phase, Progress};

use crate::control::Button;
use crate::ink::Ink;
use crate::paint::{self, Hand};
use crate::scene::Scene;
use crate::words;

const LINK: f32 = 44.0;
const RESULT: f32 = 28.0;
/// More results than this are counted.
const SHOWN: usize = 3;

/// How much height the lines take.
pub(crate) fn height(scene: &Scene<'_>) -> f32 {
    let gap = scene.ink.theme.spacing.gap;
    let link = if scene.acting { 0.0 } else { LINK + gap };
    let restart = usize::from(restarting(scene).is_some());
    let results = (scene.picture.actions.len().min(SHOWN) + restart) as f32;
    let results = if results > 0.0 {
        results * RESULT + gap
    } else {
        0.0
    };
    link + results
}

pub(crate) fn show(ui: &mut Ui, rect: Rect, scene: &mut Scene<'_>) {
    // The broker's state is news, not a figure from before: it keeps its colours.
    let ink = scene.live.clone();
    let mut y = rect.top();
    if !scene.acting {
        let line = Rect::from_min_size(pos2(rect.left(), y), vec2(rect.width(), LINK));
        link(ui, line, scene, &ink);
        y = line.bottom() + ink.theme.spacing.gap;
    }
    if let Some((progress, since_ms)) = restarting(scene) {
        let line = Rect::from_min_size(pos2(rect.left(), y), vec2(rect.width(), RESULT));
        restart(ui, line, scene, &ink, progress, since_ms);
        y = line.bottom();
    }
    let runs = scene.picture.actions.clone();
    let hidden = runs.len().saturating_sub(SHOWN);
    for (nth, run) in runs.iter().skip(hidden).enumerate() {
        let line = Rect::from_min_size(pos2(rect.left(), y), vec2(rect.width(), RESULT));
        let more = if nth == 0 { hidden } else { 0 };
        result(ui, line, scene, &ink, run, more);
        y = line.bottom();
    }
}

fn link_title(state: LinkState) -> &'static str {
    match state {
        LinkState::Connecting => "Connecting",
        LinkState::Live => "Connected",
        LinkState::Replaying => "Broker is replaying its journal",
        LinkState::Gone => "Broker gone",
        LinkState::Stranger => "A stranger answers",
        LinkState::Refused => "Not let in",
    }
}

fn link_text(scene: &Scene<'_>) -> String {
    let broker = &scene.picture.broker;
    let mut parts = Vec::new();
    if broker.link.detail.is_empty() {
        parts.push(match broker.link.state {
            LinkState::Connecting => format!("to {}", broker.address),
            LinkState::Replaying => "nothing is granted until it is done".to_owned(),
            LinkState::Stranger => {
                format!("{} is no Warden; it was sent no token", broker.address)
            }
            LinkState::Gone | LinkState::Refused | LinkState::Live => broker.address.to_string(),
        });
    } else {
        parts.push(broker.link.detail.to_string());
    }
    if let Some(frozen) = broker.link.frozen_at_ms {
        parts.push(format!("figures are from {}", scene.time(frozen)));
    }
    if let Some(retry) = broker.link.retry_at_ms {
        let rest = retry - scene.picture.clock.now_ms;
        parts.push(if rest > 0 {
            format!("trying again in {}", words::span(rest + 999))
        } else {
            "trying again".to_owned()
        });
    }
    parts.join(" · ")
}

fn link(ui: &Ui, rect: Rect, scene: &mut Scene<'_>, ink: &Ink<'_>) {
    let state = scene.picture.broker.link.state;
    let colour = match state {
        LinkState::Gone | LinkState::Stranger | LinkState::Refused => ink.alarm,
        LinkState::Replaying => ink.warn,
        LinkState::Connecting | LinkState::Live => ink.accent,
    };
    let painter = ui.painter();
    let corner = ink.theme.shape.rounding;
    painter.rect(
        rect,
        corner,
        ink.raised,
        ink.outline(colour),
        StrokeKind::Inside,
    );
    let mut x = rect.left() + 16.0;
    if colour == ink.alarm {
        let edge = Rect::from_min_size(rect.min, vec2(28.0, rect.height()));
        paint::hazard(painter, edge, colour, ink);
        x += 26.0;
    }
    let y = rect.center().y;
    let hand = Hand::head(ink, colour);
    let title = link_title(state);
    let set = paint::left(painter, pos2(x, y), title, &hand);
    let text = link_text(scene);
    let mut right = rect.right() - 12.0;
    let retry = Button::new("Try now").named("Try the broker again now");
    if matches!(
        state,
        LinkState::Gone | LinkState::Stranger | LinkState::Refused
    ) {
        let response = retry.left_of(ui, ink, pos2(right, y), ui.scope_id().with("retry"));
        right = response.rect.left() - 12.0;
        if response.clicked() {
            scene.actions.push(Action::Retry);
        }
    }
    let at = pos2(set.right() + 16.0, y);
    let body = Hand::body(ink);
    let said = paint::left_within(painter, at, &text, &body, right - at.x);
    let area = Rect::from_min_max(rect.min, pos2(right, rect.bottom()));
    let response = ui.interact(area, ui.scope_id().with("link"), Sense::hover());
    response.widget_info(|| WidgetInfo::labeled(Role::Alert, true, format!("{title}: {text}")));
    if said.elided {
        response.on_hover_text(text);
    }
}

/// How far the build of a warm restart is, and since when.
fn restarting<'a>(scene: &Scene<'a>) -> Option<(&'a Progress, i64)> {
    let restart = scene.picture.reload.restart.as_ref()?;
    let progress = restart.progress.as_ref()?;
    Some((progress, restart.since_ms))
}

/// The window begins again as soon as it is built: whoever types here is told.
fn restart(
    ui: &Ui,
    rect: Rect,
    scene: &mut Scene<'_>,
    ink: &Ink<'_>,
    progress: &Progress,
    since_ms: i64,
) {
    let painter = ui.painter();
    painter.rect_filled(rect, 0.0, ink.raised);
    let edge = Rect::from_min_size(rect.min, vec2(4.0, rect.height()));
    painter.rect_filled(edge, 0.0, ink.accent);
    paint::rule(painter, rect, rect.bottom() - 0.5, ink);
    let y = rect.center().y;
    let button = Button::new("Cancel").named("Do not restart the window");
    let size = vec2(button.width(ui, ink), 20.0);
    let at = Rect::from_min_size(pos2(rect.right() - 8.0 - size.x, y - 10.0), size);
    let response = button.show(ui, ink, at, ui.scope_id().with("restart"));
    if response.clicked() {
        scene.actions.push(Action::CancelRestart);
    }
    let right = response.rect.left() - 12.0;
    let at = pos2(rect.left() + 16.0, y);
    let set = paint::left(painter, at, "warm restart", &Hand::label(ink, ink.accent));
    let span = words::span(scene.picture.clock.now_ms - since_ms);
    let crates = match progress.total {
        0 => String::new(),
        total => format!(", crate {} of {total}", progress.done),
    };
    let text =
        format!("the window is being built for {span}{crates}; then it begins again in place");
    let at = pos2(set.right() + 14.0, y);
    let fit = paint::left_within(painter, at, &text, &Hand::body(ink), right - at.x);
    let area = Rect::from_min_max(rect.min, pos2(right, rect.bottom()));
    let response = ui.interact(area, ui.scope_id().with("restarting"), Sense::hover());
    response
        .widget_info(|| WidgetInfo::labeled(Role::Status, true, format!("warm restart: {text}")));
    if fit.elided {
        response.on_hover_text(text);
    }
}

/// What came of an action: word, colour, what was said.
fn outcome(run: &ActionRun, ink: &Ink<'_>) -> (String, Color32, String) {
    match &run.phase {
        Phase::Pending => ("pending".to_owned(), ink.warn, String::new()),
        Phase::Done { said, .. } => ("done".to_owned(), ink.good, said.to_string()),
        Phase::Refused { code, said, .. } => {
            (format!("refused: {code}"), ink.alarm, said.to_string())
        }
    }
}

fn result(ui: &Ui, rect: Rect, scene: &mut Scene<'_>, ink: &Ink<'_>, run: &ActionRun, more: usize) {
    let (word, colour, said) = outcome(run, ink);
    let painter = ui.painter();
    painter.rect_filled(rect, 0.0, ink.raised);
    let edge = Rect::from_min_size(rect.min, vec2(4.0, rect.height()));
    painter.rect_filled(edge, 0.0, colour);
    paint::rule(painter, rect, rect.bottom() - 0.5, ink);
    let y = rect.center().y;
    let mut right = rect.right() - 8.0;
    if run.phase != Phase::Pending {
        let button = Button::new("OK").named(format!("Dismiss: {}", run.title));
        let size = vec2(button.width(ui, ink), 20.0);
        let at = Rect::from_min_size(pos2(right - size.x, y - 10.0), size);
        let response = button.show(ui, ink, at, ui.scope_id().with(("dismiss", run.id)));
        right = response.rect.left() - 12.0;
        if response.clicked() {
            scene.actions.push(Action::Dismiss { run: run.id });
        }
    }
    let hand = Hand::label(ink, colour);
    let at = pos2(rect.left() + 16.0, y);
    // A code is compared letter by letter: it keeps its case.
    let code = word.strip_prefix("refused: ");
    let head = if code.is_some() { "refused" } else { &word };
    let mut set = paint::left(painter, at, head, &hand);
    if let Some(code) = code {
        let mono = Hand::new(ink.mono(), colour);
        let at = pos2(set.right() + 10.0, y);
        set = paint::left(painter, at, code, &mono);
    }
    let mut text = run.title.to_string();
    if !said.is_empty() {
        text = format!("{text}: {said}");
    }
    if more > 0 {
        text = format!("{text} (and {more} before it)");
    }
    let at = pos2(set.right() + 14.0, y);
    let body = Hand::body(ink);
    let fit = paint::left_within(painter, at, &text, &body, right - at.x);
    let area = Rect::from_min_max(rect.min, pos2(right, rect.bottom()));
    let response = ui.interact(area, ui.scope_id().with(("result", run.id)), Sense::hover());
    response.widget_info(|| WidgetInfo::labeled(Role::Status, true, format!("{word}: {text}")));
    if fit.elided {
        response.on_hover_text(text);
    }
}
