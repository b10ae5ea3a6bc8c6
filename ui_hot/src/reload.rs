//! What can be reloaded: what runs, how the last attempt went stage by stage, what became of the
//! memory, what ran before, and what can be done about it.

mod attempt;
mod controls;
mod history;
mod memory;
mod report;
mod restart;
mod said;

use warden_toolkit::egui::{Color32, Key, Modifiers, Rect, Response, Ui, pos2, vec2};
use warden_view::{
    Action, GenerationState, Module, ModuleKind, ModuleState, OpenModule, ReloadFolds, Stage,
};

use crate::control::{self, Button, Weight};
use crate::page::{self, Page};
use crate::paint::{self, Hand};
use crate::scene::Scene;
use crate::words;
use ui_kit::keys;

/// From this width on what was said stands beside what ran before.
const TWO_COLUMNS: f32 = 900.0;

/// A stage in a word.
pub(crate) fn stage_word(stage: Stage) -> &'static str {
    match stage {
        Stage::Build => "build",
        Stage::Wait => "wait",
        Stage::Load => "load",
        Stage::Check => "check",
        Stage::Migrate => "migrate",
        Stage::Rehearse => "rehearse",
        Stage::Swap => "swap",
        Stage::Probation => "probation",
        Stage::Run => "run",
    }
}

/// What became of the attempt that failed, in a few words; what runs beside it is another matter.
pub(crate) fn failed_word(module: &Module) -> String {
    let Some(failure) = &module.failure else {
        return "failed".to_owned();
    };
    match (module.kind, failure.stage) {
        (ModuleKind::Theme | ModuleKind::Settings, _) => "not taken".to_owned(),
        (ModuleKind::Code, Stage::Build) => "build failed".to_owned(),
        (_, Stage::Probation | Stage::Run) => match taken_back(module) {
            Some(number) => format!("{number:02} taken back"),
            None => "taken back".to_owned(),
        },
        (_, stage) => format!("refused at {}", stage_word(stage)),
    }
}

/// The generation that was taken back last.
fn taken_back(module: &Module) -> Option<u32> {
    let row = module.history.iter().find(|row| {
        matches!(
            row.state,
            GenerationState::RolledBack | GenerationState::Quarantined
        )
    })?;
    Some(row.number).filter(|number| *number > 0)
}

/// A number for what a module failed with, which another failure does not have.
fn fault(module: &Module) -> Option<u64> {
    let failure = module.failure.as_ref()?;
    let said = (&module.name, failure.at_ms, &failure.message);
    Some(page::fault_of(&said))
}

pub(crate) fn head(ui: &mut Ui, room: Rect, scene: &mut Scene<'_>) {
    let Some(module) = scene.picture.reload.modules.first() else {
        return;
    };
    let possible = !matches!(module.state, ModuleState::Busy | ModuleState::Fixed);
    let button = Button::new("Reload all")
        .named("Reload all modules")
        .weight(Weight::Accent)
        .cap("Ctrl+Alt+R")
        .turn()
        .enabled(possible);
    if button.width(ui, &scene.live) > room.width() {
        return;
    }
    let at = pos2(room.right(), room.center().y);
    if button
        .left_of(ui, &scene.live, at, ui.scope_id().with("reload"))
        .clicked()
    {
        scene.actions.push(Action::Reload);
    }
}

pub(crate) fn show(ui: &mut Ui, body: Rect, scene: &mut Scene<'_>) {
    page::scrolled(ui, body, scene, "reload", modules);
}

fn modules(page: &mut Page<'_, '_>) {
    let reload = &page.scene.picture.reload;
    if let Some(run) = &reload.restart {
        restart::under_way(page, run);
    }
    if reload.modules.is_empty() {
        page.y += 12.0;
        let text = "Nothing here can be reloaded. Started from its source tree, the window lists \
                    its render code here, and its themes once they are copied to the folder of \
                    settings.";
        page.paragraph(text, &Hand::dim(&page.ink));
        return;
    }
    let open = open_module(&page.scene.memory.reload, &reload.modules);
    let came_up = page.came_up(reload.modules.iter().map(fault));
    // Of several that failed in a row, the one that is unfolded for it stays in sight.
    let came_up = came_up.map(|at| match open {
        Some(open)
            if page.scene.memory.reload.module == OpenModule::Needy
                && reload.modules[open].failure.is_some() =>
        {
            open
        }
        _ => at,
    });
    for (at, module) in reload.modules.iter().enumerate() {
        let top = page.y;
        let mut part = page.part(page.left, page.right, &module.name);
        self::module(&mut part, module, open == Some(at), at == 0);
        page.y = part.y;
        if came_up == Some(at) {
            page.reveal(top);
        }
    }
}

/// The place of the one that is unfolded.
fn open_module(folds: &ReloadFolds, modules: &[Module]) -> Option<usize> {
    let need = |module: &Module| match module.state {
        _ if module.restart_offered.is_some() => 5,
        ModuleState::Failed | ModuleState::Down => 4,
        ModuleState::Busy => 3,
        _ if module.newer => 2,
        _ if module.probation.is_some() => 1,
        ModuleState::Live | ModuleState::Fixed => 0,
    };
    match &folds.module {
        OpenModule::None => None,
        OpenModule::Named(name) => modules.iter().position(|module| *module.name == **name),
        // The first of those that need it most.
        OpenModule::Needy => (0..modules.len())
            .rev()
            .max_by_key(|at| need(&modules[*at])),
    }
}

fn module(page: &mut Page<'_, '_>, module: &Module, open: bool, first: bool) {
    let head = row(page, module, open);
    if first && keys::pressed(page.ui, Modifiers::COMMAND, Key::Num7) {
        head.request_focus();
    }
    if head.clicked() {
        page.scene.memory.reload = ReloadFolds {
            module: if open {
                OpenModule::None
            } else {
                OpenModule::Named(module.name.to_string())
            },
            ..ReloadFolds::default()
        };
    }
    if open {
        page.y += 8.0;
        controls::show(page, module);
        page.y += 8.0;
        parts(page, module);
        page.y += 8.0;
    }
    let rect = Rect::from_min_max(
        pos2(page.left - page.ink.theme.spacing.pad, page.y),
        pos2(page.right + 16.0, page.y),
    );
    paint::rule(page.ui.painter(), rect, page.y - 0.5, &page.ink);
}

fn parts(page: &mut Page<'_, '_>, module: &Module) {
    if module.state == ModuleState::Fixed {
        let text = "Linked into the window: it cannot be reloaded. A window that is built without \
                    the feature `static` reloads it.";
        page.paragraph(text, &Hand::dim(&page.ink));
        page.y += 4.0;
        return;
    }
    if let Some(failure) = &module.failure {
        said::failure(page, module, failure);
    }
    if let Some(mismatch) = &module.restart_offered {
        restart::offer(page, module, mismatch);
    }
    if module.kind == ModuleKind::Broker {
        controls::of_broker(page, module);
    }
    if module.kind.is_file() && module.failure.is_none() {
        let text = "It goes live when it is saved. Reload reads it again at once.";
        page.paragraph(text, &Hand::dim(&page.ink));
        page.y += 4.0;
    }
    if !module.noticed.is_empty() {
        let warn = Hand::body(&page.ink).coloured(page.ink.warn);
        page.paragraph(&module.noticed, &warn);
        page.y += 4.0;
    }
    attempt::show(page, module);
    let told = !module.diagnostics.is_empty() || module.migration.is_some();
    if page.width() < TWO_COLUMNS || !told {
        said::diagnostics(page, module);
        memory::show(page, module);
        history::show(page, module);
        return;
    }
    let gap = 28.0;
    let middle = (page.left + page.width() * 0.5).round();
    let mut part = page.part(page.left, middle - gap / 2.0, "told");
    said::diagnostics(&mut part, module);
    memory::show(&mut part, module);
    let bottom = part.y;
    let mut part = page.part(middle + gap / 2.0, page.right, "history");
    history::show(&mut part, module);
    page.y = part.y.max(bottom);
}

fn state(page: &Page<'_, '_>, module: &Module) -> (String, Color32, bool) {
    let ink = &page.ink;
    match module.state {
        ModuleState::Live if module.newer => (NEWER.to_owned(), ink.accent, true),
        ModuleState::Live if module.probation.is_some() => {
            ("on probation".to_owned(), ink.warn, false)
        }
        ModuleState::Live => ("live".to_owned(), ink.good, false),
        ModuleState::Busy => {
            let stage = module
                .stage
                .map_or("starting", |(stage, _)| stage_word(stage));
            (stage.to_owned(), ink.accent, true)
        }
        ModuleState::Failed => (failed_word(module), ink.alarm, true),
        ModuleState::Down => ("down".to_owned(), ink.alarm, true),
        ModuleState::Fixed => ("linked in".to_owned(), ink.dim, false),
    }
}

/// A module in a line: what it is called, what runs, how it stands.
fn row(page: &mut Page<'_, '_>, module: &Module, open: bool) -> Response {
    let (word, colour, filled) = state(page, module);
    let ink = page.ink.clone();
    let narrow = page.narrow();
    let rect = page.line(if narrow { 58.0 } else { 40.0 });
    let pad = ink.theme.spacing.pad;
    let band = Rect::from_min_max(
        rect.min - vec2(pad - ink.theme.shape.line, 0.0),
        rect.max + vec2(16.0 - ink.theme.shape.line, 0.0),
    );
    if open {
        page.ui.painter().rect_filled(band, 0.0, ink.raised);
    }
    let runs = if runs_on(module) { " runs" } else { "" };
    let mut spoken = format!(
        "{}, generation {}{runs}, {word}",
        module.name, module.generation
    );
    if module.newer && word != NEWER {
        spoken = format!("{spoken}, {NEWER}");
    }
    let y = rect.top() + 20.0;
    let response = page.fold_on(rect, band, y, "fold", (&spoken, open));
    let left = rect.left() + 20.0;
    let since = since(page, module);
    let generation = generation_word(module);
    let hand = Hand::label(&ink, ink.accent);
    let label = page::width(page, &generation, &hand);
    let chip = page::width(page, &word, &hand) + 16.0;
    let room = rect.right() - left - label - chip - 24.0;
    let name = page.text(pos2(left, y), &module.name, &Hand::body(&ink), room);
    let at = pos2(name.rect.right() + 12.0, y);
    let set = paint::left(page.ui.painter(), at, &generation, &hand);
    let chip_at = if narrow {
        pos2(rect.right() - chip.ceil(), y)
    } else {
        pos2(set.right() + 12.0, y)
    };
    let mut end = control::chip(page.ui, &ink, chip_at, &word, colour, filled).right();
    let light = module.newer && module.state != ModuleState::Live;
    let dim = Hand::dim(&ink);
    if narrow {
        let at = pos2(left, rect.top() + 42.0);
        let right = pos2(rect.right(), at.y);
        let room = if light {
            paint::right(page.ui.painter(), right, NEWER, &hand).left() - at.x - 12.0
        } else {
            right.x - at.x
        };
        page.text(at, &since, &dim, room);
    } else {
        if light {
            let at = pos2(end + 8.0, y);
            end = control::chip(page.ui, &ink, at, NEWER, ink.accent, true).right();
        }
        let room = rect.right() - end - 16.0;
        page.text_left_of(pos2(rect.right(), y), &since, &dim, room);
    }
    response
}

/// The light that is on while a newer file lies there.
const NEWER: &str = "new build available";

fn generation_word(module: &Module) -> String {
    if module.generation == 0 && module.kind.is_file() {
        "defaults".to_owned()
    } else if module.generation == 0 {
        "no gen".to_owned()
    } else if runs_on(module) {
        format!("gen {:02} runs", module.generation)
    } else {
        format!("gen {:02}", module.generation)
    }
}

/// A newer one failed, and this one runs on.
fn runs_on(module: &Module) -> bool {
    module.state == ModuleState::Failed && module.generation > 0 && !module.kind.is_file()
}

/// Since when it runs, and that old generations stay mapped: the count of them is no secret.
fn since(page: &Page<'_, '_>, module: &Module) -> String {
    let mut text = if module.since_ms > 0 && page.narrow() {
        let span = words::span(page.scene.picture.clock.now_ms - module.since_ms);
        format!("for {span}")
    } else if module.since_ms > 0 {
        let span = words::span(page.scene.picture.clock.now_ms - module.since_ms);
        format!("since {}, {span} ago", page.scene.time(module.since_ms))
    } else if module.generation == 0 && module.kind == ModuleKind::Code {
        "nothing runs".to_owned()
    } else {
        String::new()
    };
    if module.kind == ModuleKind::Code && module.loaded > 1 {
        let mapped: u64 = module.history.iter().map(|row| row.mapped_bytes).sum();
        text = match text.as_str() {
            "" => format!("{} mapped", module.loaded),
            text => format!("{text}, {} mapped", module.loaded),
        };
        if mapped > 0 {
            text = format!("{text} in {}", mib(mapped));
        }
    }
    text
}

/// Bytes as MiB: `2.4 MiB`.
fn mib(bytes: u64) -> String {
    let tenths = (bytes * 10).div_ceil(1 << 20);
    format!("{}.{} MiB", words::number(tenths / 10), tenths % 10)
}

/// Milliseconds with a figure behind the point while they are few.
fn ms(ms: f32) -> String {
    if ms < 0.05 {
        "< 0.1 ms".to_owned()
    } else if ms < 9.95 {
        format!("{ms:.1} ms")
    } else if ms < 9_999.5 {
        format!("{ms:.0} ms")
    } else {
        format!("{:.1} s", ms / 1e3)
    }
}
