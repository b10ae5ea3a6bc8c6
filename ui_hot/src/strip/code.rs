//! The strip's right end: what code runs, what of it failed, and the button that makes it anew.

use warden_toolkit::egui::{Color32, Rect, Role, Sense, Ui, WidgetInfo, pos2};
use warden_view::{Action, Module, ModuleKind, ModuleState};

use super::lines;
use crate::control::{self, Button, Weight};
use crate::paint::{self, Hand};
use crate::reload::{failed_word, stage_word};
use crate::scene::Scene;
use crate::words;

pub(super) fn show(ui: &Ui, cell: Rect, scene: &mut Scene<'_>, wide: bool) {
    let Some(module) = scene.picture.reload.modules.first() else {
        return;
    };
    let ink = &scene.live;
    let painter = ui.painter();
    let [top, middle, bottom] = lines(cell);
    let (left, right) = (cell.left() + 20.0, cell.right() - 14.0);
    let state = State::of(scene, module);
    let said = ui.interact(cell, ui.scope_id().with("render code"), Sense::hover());
    said.widget_info(|| WidgetInfo::labeled(Role::Status, true, state.spoken(module)));
    let name = Hand::new(ink.name(), state.colour);
    let title = paint::left(
        painter,
        pos2(left, middle - 5.0),
        &state.title(module),
        &name,
    );
    let at = pos2(title.right() + 10.0, middle);
    let room = right - at.x;
    let dim = Hand::dim(ink);
    // A word that has no room beside the number stands over it.
    let word_fits = paint::width(painter, &state.word, &dim) <= room;
    if word_fits {
        paint::left(painter, at, &state.word, &dim);
    }
    let over = match &state.failed {
        Some(failed) => Some((failed.as_str(), ink.alarm)),
        None if module.probation.is_some() && !word_fits => Some((&*state.word, ink.warn)),
        None => None,
    };
    head(ui, scene, (left, right, top - 2.0), over);
    let possible = !matches!(module.state, ModuleState::Busy | ModuleState::Fixed);
    let button = Button::new("Hot reload")
        .weight(Weight::Accent)
        .turn()
        .enabled(possible);
    let at = pos2(left, bottom - 2.0);
    let response = button.right_of(ui, ink, at, ui.scope_id().with("hot reload"));
    if wide {
        let width = control::cap_width(ui, ink, "Ctrl+Alt+R");
        let x = (response.rect.right() + 8.0).min(right - width);
        control::key_cap(ui, ink, pos2(x, bottom - 2.0), "Ctrl+Alt+R");
    }
    if response
        .on_hover_text("Build and load the render code anew (Ctrl+Alt+R)")
        .clicked()
    {
        scene.actions.push(Action::Reload);
    }
    said.on_hover_text(state.spoken(module));
}

/// What this is, or else what is wrong with it: behind a triangle, so that its colour is not all that
/// tells.
fn head(
    ui: &Ui,
    scene: &Scene<'_>,
    (left, right, y): (f32, f32, f32),
    over: Option<(&str, Color32)>,
) {
    let (ink, painter) = (&scene.live, ui.painter());
    match over {
        None => {
            let hand = Hand::label(ink, ink.accent);
            paint::left(painter, pos2(left, y), "render code", &hand);
        }
        Some((word, colour)) => {
            paint::triangle(painter, pos2(left + 5.0, y), 9.0, colour);
            let at = pos2(left + 15.0, y);
            let hand = Hand::label(ink, colour);
            paint::left_within(painter, at, word, &hand, right - at.x);
        }
    }
}

/// How the render code stands.
struct State {
    /// Of the generation that runs.
    word: String,
    colour: Color32,
    /// What did not come to run, of whichever module.
    failed: Option<String>,
}

impl State {
    fn of(scene: &Scene<'_>, module: &Module) -> Self {
        let ink = &scene.live;
        let since = words::span_short(scene.picture.clock.now_ms - module.since_ms);
        let (word, colour) = match module.state {
            ModuleState::Live if module.probation.is_some() => ("probation".to_owned(), ink.warn),
            ModuleState::Live if module.newer => ("new build".to_owned(), ink.good),
            ModuleState::Live => (format!("live {since}"), ink.good),
            ModuleState::Busy => {
                let stage = module
                    .stage
                    .map_or("starting", |(stage, _)| stage_word(stage));
                (format!("{stage}…"), ink.accent)
            }
            // What failed is another: this one runs.
            ModuleState::Failed => ("runs".to_owned(), ink.good),
            ModuleState::Down => ("down".to_owned(), ink.alarm),
            ModuleState::Fixed => ("fixed".to_owned(), ink.text),
        };
        let failed = match module.state {
            ModuleState::Failed | ModuleState::Down => Some(failed_word(module)),
            _ => other(scene),
        };
        Self {
            word,
            colour,
            failed,
        }
    }

    fn title(&self, module: &Module) -> String {
        match module.generation {
            0 => "NO GEN".to_owned(),
            number => format!("GEN {number:02}"),
        }
    }

    fn spoken(&self, module: &Module) -> String {
        let runs = format!(
            "Render code: generation {}, {}",
            module.generation, self.word
        );
        match &self.failed {
            Some(failed) => format!("{runs}; {failed}"),
            None => runs,
        }
    }
}

/// What of the code beside the render code failed.
fn other(scene: &Scene<'_>) -> Option<String> {
    let failed = |module: &&Module| {
        let bad = matches!(module.state, ModuleState::Failed | ModuleState::Down);
        bad && module.kind == ModuleKind::Code
    };
    let mut modules = scene.picture.reload.modules.iter().skip(1);
    let module = modules.find(failed)?;
    Some(format!("{}: {}", module.name, failed_word(module)))
}
