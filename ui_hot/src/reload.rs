//! What can be reloaded: generation, stage, what was said when it failed, what each stage took.

use warden_toolkit::egui::{
    Color32, Rect, Role, ScrollArea, Sense, StrokeKind, Ui, UiBuilder, WidgetInfo, pos2, vec2,
};
use warden_view::{Action, Failure, Module, ModuleKind, ModuleState, Stage};

use crate::control::{self, Button, Weight};
use crate::paint::{self, Hand};
use crate::scene::Scene;
use crate::words;

const ROW: f32 = 64.0;
/// The compiler's lines that are shown; the whole message is a click away on the clipboard.
const MESSAGE_LINES: usize = 24;

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

pub(crate) fn head(ui: &mut Ui, room: Rect, scene: &mut Scene<'_>) {
    let Some(module) = scene.picture.reload.modules.first() else {
        return;
    };
    let possible = !matches!(module.state, ModuleState::Busy | ModuleState::Fixed);
    let button = Button::new("Reload")
        .named("Reload the render code")
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
    let mut list = body;
    list.max.y -= scene.ink.theme.shape.line;
    let modules = scene.picture.reload.modules.clone();
    if modules.is_empty() {
        let at = list.min + vec2(scene.ink.theme.spacing.pad, 16.0);
        let text = "Nothing here can be reloaded.";
        paint::paragraph(
            ui.painter(),
            at,
            text,
            &Hand::dim(&scene.live),
            list.width() - 40.0,
        );
        return;
    }
    let mut child = ui.new_child(UiBuilder::new().id_salt("modules").max_rect(list));
    child.spacing_mut().item_spacing.y = 0.0;
    let area = ScrollArea::vertical()
        .id_salt("module rows")
        .auto_shrink(false);
    area.show(&mut child, |ui| {
        let mut y = ui.max_rect().top();
        let top = y;
        for module in modules.iter() {
            let rect = Rect::from_min_size(pos2(list.left(), y), vec2(list.width(), ROW));
            self::module(ui, rect, scene, module);
            y = rect.bottom();
            if let Some(failure) = &module.failure {
                y = self::failure(ui, list, y, scene, module, failure);
            }
            paint::rule(ui.painter(), rect, y - 0.5, &scene.live);
        }
        ui.allocate_space(vec2(1.0, y - top));
    });
}

fn state(scene: &Scene<'_>, module: &Module) -> (String, Color32, bool) {
    let ink = &scene.live;
    match module.state {
        ModuleState::Live if module.newer => ("new build available".to_owned(), ink.accent, true),
        ModuleState::Live => ("live".to_owned(), ink.good, false),
        ModuleState::Busy => {
            let stage = module
                .stage
                .map_or("starting", |(stage, _)| stage_word(stage));
            (stage.to_owned(), ink.accent, true)
        }
        ModuleState::Failed => ("failed".to_owned(), ink.alarm, true),
        ModuleState::Down => ("down".to_owned(), ink.alarm, true),
        ModuleState::Fixed => ("linked in".to_owned(), ink.dim, false),
    }
}

fn module(ui: &Ui, rect: Rect, scene: &Scene<'_>, module: &Module) {
    let ink = &scene.live;
    let painter = ui.painter();
    let (left, right) = (rect.left() + ink.theme.spacing.pad, rect.right() - 16.0);
    let (top, bottom) = (rect.top() + 20.0, rect.top() + 44.0);
    let (word, colour, filled) = state(scene, module);
    let response = ui.interact(
        rect,
        ui.scope_id().with(("module", &*module.name)),
        Sense::hover(),
    );
    response.widget_info(|| {
        let text = format!("{}, generation {}, {word}", module.name, module.generation);
        WidgetInfo::labeled(Role::ListItem, true, text)
    });
    let at = pos2(left, top);
    let hand = Hand::body(ink);
    let name = paint::left_within(painter, at, &module.name, &hand, 200.0).rect;
    let at = pos2(name.right() + 12.0, top);
    let hand = Hand::label(ink, ink.accent);
    let text = format!("gen {:02}", module.generation);
    let generation = paint::left(painter, at, &text, &hand);
    let at = pos2(generation.right() + 12.0, top);
    let chip = control::chip(ui, ink, at, &word, colour, filled);
    let since = format!(
        "since {}, {} ago{}",
        scene.time(module.since_ms),
        words::span(scene.picture.clock.now_ms - module.since_ms),
        loaded(module)
    );
    let at = pos2(right, top);
    let room = right - chip.right() - 12.0;
    paint::right_within(painter, at, &since, &Hand::dim(ink), room);
    let facts = facts(scene, module);
    let at = pos2(left, bottom);
    let set = paint::left_within(painter, at, &facts, &Hand::dim(ink), right - left);
    let mut hover = format!("{}\n{}", module.artifact, module.sha256);
    if set.elided {
        hover = format!("{facts}\n{hover}");
    }
    response.on_hover_text(hover);
}

/// Old generations stay mapped, and the count of them is no secret.
fn loaded(module: &Module) -> String {
    match (module.kind, module.loaded) {
        (ModuleKind::Code, loaded) if loaded > 1 => format!(", {loaded} mapped"),
        _ => String::new(),
    }
}

/// What each stage took, or where it comes from.
fn facts(scene: &Scene<'_>, module: &Module) -> String {
    if let Some((stage, since)) = module.stage {
        let span = words::span(scene.picture.clock.now_ms - since);
        return format!("{} for {span}", stage_word(stage));
    }
    if module.timings.is_empty() {
        return module.artifact.to_string();
    }
    let total: f32 = module.timings.iter().map(|timing| timing.ms).sum();
    let stages: Vec<String> = module
        .timings
        .iter()
        .map(|timing| format!("{} {}", stage_word(timing.stage), ms(timing.ms)))
        .collect();
    format!("{}: {}", ms(total), stages.join(" · "))
}

fn ms(ms: f32) -> String {
    if ms < 10.0 {
        format!("{ms:.1} ms")
    } else {
        format!("{ms:.0} ms")
    }
}

/// What was said, in the compiler's own words. Gives where it ends.
fn failure(
    ui: &Ui,
    list: Rect,
    y: f32,
    scene: &mut Scene<'_>,
    module: &Module,
    failure: &Failure,
) -> f32 {
    let ink = &scene.live;
    let (left, right) = (list.left() + ink.theme.spacing.pad, list.right() - 16.0);
    let lines: Vec<&str> = failure.message.lines().collect();
    let shown = lines.iter().take(MESSAGE_LINES);
    let more = lines.len().saturating_sub(MESSAGE_LINES);
    let line = 18.0;
    let height = 44.0 + line * (shown.len() as f32 + if more > 0 { 1.0 } else { 0.0 });
    let frame = Rect::from_min_max(pos2(left, y), pos2(right, y + height));
    let painter = ui.painter().with_clip_rect(frame.intersect(ui.clip_rect()));
    painter.rect(
        frame,
        ink.theme.shape.rounding,
        ink.field,
        ink.outline(ink.alarm),
        StrokeKind::Inside,
    );
    let edge = Rect::from_min_size(frame.min, vec2(8.0, frame.height()));
    paint::hazard(&painter, edge, ink.alarm, ink);
    let text = format!("failed at {}: {}", stage_word(failure.stage), failure.title);
    let buttons = buttons(ui, pos2(right - 10.0, y + 20.0), scene, module, failure);
    let ink = &scene.live;
    let at = pos2(left + 20.0, y + 20.0);
    let hand = Hand::body(ink).coloured(ink.alarm);
    paint::left_within(&painter, at, &text, &hand, buttons - at.x - 12.0);
    let mono = Hand::new(ink.mono(), ink.text);
    let mut at = pos2(left + 20.0, y + 46.0);
    for text in shown {
        paint::left_within(&painter, at, text, &mono, right - at.x - 10.0);
        at.y += line;
    }
    if more > 0 {
        let text = format!("… {more} more lines: copy the message to read them");
        paint::left(&painter, at, &text, &Hand::dim(ink));
    }
    frame.bottom() + 10.0
}

/// Copy, and open in the editor. Gives where they begin.
fn buttons(
    ui: &Ui,
    right: warden_toolkit::egui::Pos2,
    scene: &mut Scene<'_>,
    module: &Module,
    failure: &Failure,
) -> f32 {
    let ink = &scene.live;
    let id = ui.scope_id().with(("failure", &*module.name));
    let copy = Button::new("Copy").named(format!("Copy the message of {}", module.name));
    let mut left = right.x - copy.width(ui, ink);
    if let Some((file, line, column)) = &failure.place {
        let at = pos2(left - 8.0, right.y);
        let open = Button::new("Open in editor").named(format!("Open {file}:{line} in the editor"));
        let open = open.left_of(ui, ink, at, id.with("open"));
        left = open.rect.left();
        if open
            .on_hover_text(format!("{file}:{line}:{column}"))
            .clicked()
        {
            let (file, line, column) = (file.clone(), *line, *column);
            scene
                .actions
                .push(Action::OpenEditor { file, line, column });
        }
    }
    if copy
        .left_of(ui, &scene.live, right, id.with("copy"))
        .clicked()
    {
        scene.actions.push(Action::CopyText {
            text: failure.message.to_string(),
        });
    }
    left
}
