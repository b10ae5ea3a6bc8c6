//! The state strip: who holds each GPU and since when, who waits, what is stuck, what code runs.
//! Readable at three metres; it never scrolls away.

use warden_toolkit::egui::{Align2, Rect, Response, Role, Sense, Ui, WidgetInfo, pos2, vec2};
use warden_view::{Gpu, GpuState, Holder, Module, ModuleState, Selection};

use crate::control::{self, Button, Weight};
use crate::paint::{self, Hand};
use crate::scene::Scene;
use crate::words;

/// More GPUs than this are counted instead of named.
const NAMED: usize = 4;
const PAD: f32 = 24.0;

pub(crate) fn show(ui: &mut Ui, rect: Rect, scene: &mut Scene<'_>) {
    let ink = &scene.ink;
    paint::frame(ui.painter(), rect, ink, ink.panel, ink.rule());
    let wide = rect.width() >= 1_100.0;
    let (queue, reload) = if wide { (236.0, 232.0) } else { (184.0, 156.0) };
    let gpus = rect.width() - queue - reload;
    let cells = match scene.picture.gpus.len() {
        0 => 1,
        n if n <= NAMED => n,
        _ => 1,
    };
    let mut x = rect.left();
    let mut cell = |width: f32| {
        let cell = Rect::from_min_size(pos2(x.round(), rect.top()), vec2(width, rect.height()));
        x += width;
        cell
    };
    for at in 0..cells {
        let cell = cell(gpus / cells as f32);
        match scene.picture.gpus.get(at) {
            None => no_gpu(ui, cell, scene),
            Some(_) if scene.picture.gpus.len() > NAMED => many(ui, cell, scene),
            Some(gpu) => one(ui, cell, scene, at, gpu),
        }
        divide(ui, cell, scene);
    }
    let waiting = cell(queue);
    self::waiting(ui, waiting, scene);
    divide(ui, waiting, scene);
    code(ui, cell(reload), scene, wide);
}

fn divide(ui: &Ui, cell: Rect, scene: &Scene<'_>) {
    let inset = scene.ink.theme.shape.line;
    let y = (cell.top() + inset)..=(cell.bottom() - inset);
    ui.painter().vline(cell.right(), y, scene.ink.rule());
}

/// The three lines of a cell: heights of their centres.
fn lines(cell: Rect) -> [f32; 3] {
    [22.0, 56.0, 85.0].map(|y| cell.top() + y)
}

fn no_gpu(ui: &Ui, cell: Rect, scene: &Scene<'_>) {
    let ink = &scene.ink;
    let [top, middle, bottom] = lines(cell);
    let left = cell.left() + PAD;
    let painter = ui.painter();
    paint::text(
        painter,
        pos2(left, top),
        Align2::LEFT_CENTER,
        "GPU",
        &Hand::label(ink, ink.accent),
    );
    let name = Hand::new(ink.name(), ink.dim);
    paint::text(
        painter,
        pos2(left, middle),
        Align2::LEFT_CENTER,
        "none known",
        &name,
    );
    let text = "the broker has not said what there is";
    paint::text(
        painter,
        pos2(left, bottom),
        Align2::LEFT_CENTER,
        text,
        &Hand::dim(ink),
    );
}

/// What a GPU is doing, in a word, and whether the word is filled in.
pub(crate) fn state_word(state: GpuState, contested: bool) -> (&'static str, bool) {
    match state {
        GpuState::Free => ("free", false),
        GpuState::Held if contested => ("contested", true),
        GpuState::Held => ("held", false),
        GpuState::Kept => ("kept", false),
        GpuState::Draining => ("draining", false),
        GpuState::Cordoned => ("cordoned", false),
        GpuState::Gone => ("gone", true),
    }
}

pub(crate) fn state_colour(scene: &Scene<'_>, state: GpuState) -> warden_toolkit::egui::Color32 {
    let ink = &scene.ink;
    match state {
        GpuState::Free => ink.good,
        GpuState::Held => ink.accent,
        GpuState::Kept | GpuState::Draining => ink.warn,
        GpuState::Cordoned => ink.dim,
        GpuState::Gone => ink.alarm,
    }
}

fn one(ui: &Ui, cell: Rect, scene: &mut Scene<'_>, at: usize, gpu: &Gpu) {
    let contested = scene
        .picture
        .summary
        .contested
        .get(at)
        .copied()
        .unwrap_or(false);
    let (word, filled) = state_word(gpu.state, contested);
    let holder = gpu.leases.first().and_then(|lease| scene.holder(lease));
    let response = ui.interact(
        cell,
        ui.scope_id().with(("strip", &*gpu.id)),
        Sense::click(),
    );
    response
        .widget_info(|| WidgetInfo::labeled(Role::Button, true, spoken(scene, gpu, word, holder)));
    paint_one(ui, cell, scene, gpu, (word, filled), holder);
    control::focus(ui, &scene.ink, cell.shrink(4.0), &response);
    if response.clicked() {
        scene.memory.selection = match holder {
            Some(holder) => Selection::Lease(holder.lease.to_string()),
            None => Selection::Gpu(gpu.id.to_string()),
        };
    }
    hover(response, scene, gpu);
}

fn spoken(scene: &Scene<'_>, gpu: &Gpu, word: &str, holder: Option<&Holder>) -> String {
    let label = words::gpu(gpu.index);
    match holder {
        None => format!("{label} {word}"),
        Some(holder) => format!(
            "{label} {word} by {} for {}",
            holder.client,
            words::span(scene.now - holder.granted_ms)
        ),
    }
}

fn hover(response: Response, scene: &Scene<'_>, gpu: &Gpu) {
    let mut text = format!("{} · {}", gpu.name, gpu.id);
    if gpu.simulated {
        text.push_str("\nsimulated: nothing real stands behind it");
    }
    for lease in gpu.leases.iter() {
        if let Some(holder) = scene.holder(lease) {
            text.push_str(&format!("\n{}", holder.client));
        }
    }
    response.on_hover_text(text);
}

fn paint_one(
    ui: &Ui,
    cell: Rect,
    scene: &Scene<'_>,
    gpu: &Gpu,
    (word, filled): (&str, bool),
    holder: Option<&Holder>,
) {
    let ink = &scene.ink;
    let painter = ui.painter();
    let [top, middle, bottom] = lines(cell);
    let (left, right) = (cell.left() + PAD, cell.right() - 16.0);
    let label = Hand::label(ink, ink.accent);
    let label = paint::text(
        painter,
        pos2(left, top),
        Align2::LEFT_CENTER,
        &words::gpu(gpu.index),
        &label,
    );
    let colour = state_colour(scene, gpu.state);
    let mut chip = control::chip(
        ui,
        ink,
        pos2(label.right() + 10.0, top),
        word,
        colour,
        filled,
    );
    if gpu.simulated {
        let at = pos2(chip.right() + 8.0, top);
        let room = right - at.x;
        let text = if room > 76.0 { "simulated" } else { "sim" };
        let hand = Hand::dim(ink);
        let set = paint::fit(painter, at, Align2::LEFT_CENTER, text, &hand, room);
        chip = chip.union(set.rect);
    }
    let measured = measured(gpu);
    let room = right - chip.right() - 12.0;
    if paint::width(painter, &measured, &Hand::dim(ink)) <= room {
        paint::text(
            painter,
            pos2(right, top),
            Align2::RIGHT_CENTER,
            &measured,
            &Hand::dim(ink),
        );
    }
    let name = Hand::new(
        ink.name(),
        if holder.is_some() { ink.text } else { ink.dim },
    );
    let more = gpu.leases.len().saturating_sub(1);
    let more = if more > 0 {
        format!("+{more}")
    } else {
        String::new()
    };
    let more_width = paint::width(painter, &more, &Hand::head(ink, ink.dim));
    let nobody = if gpu.state == GpuState::Free {
        "nobody"
    } else {
        word
    };
    let who = holder.map_or(nobody, |holder| &*holder.client);
    let set = paint::fit(
        painter,
        pos2(left, middle),
        Align2::LEFT_CENTER,
        who,
        &name,
        right - left - more_width - 8.0,
    );
    let at = pos2(set.rect.right() + 8.0, middle + 3.0);
    paint::text(
        painter,
        at,
        Align2::LEFT_CENTER,
        &more,
        &Hand::head(ink, ink.dim),
    );
    match holder {
        Some(holder) => held(ui, left, right, bottom, scene, holder),
        None => {
            let since = gpu.since_ms.map_or_else(String::new, |since| {
                format!(
                    "{} for {}",
                    state_word(gpu.state, false).0,
                    words::span(scene.now - since)
                )
            });
            paint::text(
                painter,
                pos2(left, bottom),
                Align2::LEFT_CENTER,
                &since,
                &Hand::dim(ink),
            );
        }
    }
}

/// Memory and load, as far as they are known.
pub(crate) fn measured(gpu: &Gpu) -> String {
    let memory = match (gpu.vram_used_mib, gpu.vram_total_mib) {
        (Some(used), Some(total)) => format!("{} / {} GiB", words::gib(used), words::gib(total)),
        (None, Some(total)) => format!("{} GiB", words::gib(total)),
        (Some(used), None) => format!("{} GiB used", words::gib(used)),
        (None, None) => String::new(),
    };
    match gpu.load_percent {
        Some(load) if memory.is_empty() => format!("{load} %"),
        Some(load) => format!("{memory}, {load} %"),
        None => memory,
    }
}

/// How long it is held, and what is left of its deadline.
fn held(ui: &Ui, left: f32, right: f32, y: f32, scene: &Scene<'_>, holder: &Holder) {
    let ink = &scene.ink;
    let painter = ui.painter();
    let text = format!("held {}", words::span(scene.now - holder.granted_ms));
    let held = paint::text(
        painter,
        pos2(left, y),
        Align2::LEFT_CENTER,
        &text,
        &Hand::body(ink),
    );
    let left_ms = holder.expires_ms - scene.now;
    let (text, hand) = if left_ms < 0 {
        (
            format!("overdue {}", words::span(-left_ms)),
            Hand::dim(ink).coloured(ink.alarm),
        )
    } else {
        (format!("{} left", words::span(left_ms)), Hand::dim(ink))
    };
    let rest = paint::text(painter, pos2(right, y), Align2::RIGHT_CENTER, &text, &hand);
    let bar = Rect::from_min_max(
        pos2(held.right().ceil() + 10.0, y - 3.0),
        pos2(rest.left().floor() - 10.0, y + 3.0),
    );
    if bar.width() > 24.0 {
        let part = scene.part_left(holder.expires_ms, holder.ttl_ms as i64);
        let colour = if left_ms < 0 { ink.alarm } else { ink.accent };
        paint::bar(painter, bar, part, colour, ink);
    }
}

/// Counts, and the lease that is held longest by name.
fn many(ui: &Ui, cell: Rect, scene: &mut Scene<'_>) {
    let picture = scene.picture;
    let count = |state: GpuState| picture.gpus.iter().filter(|gpu| gpu.state == state).count();
    let contested = picture
        .summary
        .contested
        .iter()
        .filter(|contested| **contested)
        .count();
    let (free, held) = (count(GpuState::Free), count(GpuState::Held));
    let rest = picture.gpus.len() - free - held;
    let longest = picture
        .holders
        .iter()
        .min_by_key(|holder| holder.granted_ms);
    let ink = &scene.ink;
    let painter = ui.painter();
    let [top, middle, bottom] = lines(cell);
    let (left, right) = (cell.left() + PAD, cell.right() - 16.0);
    let title = format!("{} GPUs", picture.gpus.len());
    let label = Hand::label(ink, ink.accent);
    let mut x = paint::text(
        painter,
        pos2(left, top),
        Align2::LEFT_CENTER,
        &title,
        &label,
    )
    .right();
    let chips = [
        (contested, "contested", ink.accent, true),
        (held - contested.min(held), "held", ink.accent, false),
        (free, "free", ink.good, false),
        (rest, "out of use", ink.warn, false),
    ];
    for (count, word, colour, filled) in chips.into_iter().filter(|(count, ..)| *count > 0) {
        let text = format!("{count} {word}");
        x = control::chip(ui, ink, pos2(x + 10.0, top), &text, colour, filled).right();
    }
    let simulated = picture.gpus.iter().filter(|gpu| gpu.simulated).count();
    if simulated > 0 {
        let text = format!("{simulated} simulated");
        let at = pos2(x + 12.0, top);
        paint::fit(
            painter,
            at,
            Align2::LEFT_CENTER,
            &text,
            &Hand::dim(ink),
            right - at.x,
        );
    }
    let response = ui.interact(cell, ui.scope_id().with("strip gpus"), Sense::click());
    let spoken = format!("{title}: {held} held, {contested} contested, {free} free");
    response.widget_info(|| WidgetInfo::labeled(Role::Button, true, &spoken));
    let Some(holder) = longest else {
        let name = Hand::new(ink.name(), ink.dim);
        paint::text(
            painter,
            pos2(left, middle),
            Align2::LEFT_CENTER,
            "nobody",
            &name,
        );
        return;
    };
    let name = Hand::new(ink.name(), ink.text);
    let room = right - left;
    paint::fit(
        painter,
        pos2(left, middle),
        Align2::LEFT_CENTER,
        &holder.client,
        &name,
        room,
    );
    let on = format!("longest, on {}", scene.gpus_marked(&holder.gpus));
    let room = room * 0.45;
    let set = paint::fit(
        painter,
        pos2(left, bottom),
        Align2::LEFT_CENTER,
        &on,
        &Hand::dim(ink),
        room,
    );
    self::held(ui, set.rect.right() + 16.0, right, bottom, scene, holder);
    if response.clicked() {
        scene.memory.selection = Selection::Lease(holder.lease.to_string());
    }
}

fn waiting(ui: &Ui, cell: Rect, scene: &Scene<'_>) {
    let ink = &scene.ink;
    let painter = ui.painter();
    let summary = &scene.picture.summary;
    let [top, middle, bottom] = lines(cell);
    let (left, right) = (cell.left() + 20.0, cell.right() - 16.0);
    let label = Hand::label(ink, ink.accent);
    let label = paint::text(
        painter,
        pos2(left, top),
        Align2::LEFT_CENTER,
        "queue",
        &label,
    );
    if let Some(since) = summary.longest_since_ms {
        let text = format!("longest {}", words::span(scene.now - since));
        let room = right - label.right() - 8.0;
        let at = pos2(right, top);
        let short = words::span(scene.now - since);
        let fits = paint::width(painter, &text, &Hand::dim(ink)) <= room;
        let text = if fits { text } else { short };
        paint::text(painter, at, Align2::RIGHT_CENTER, &text, &Hand::dim(ink));
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
    let count = paint::text(
        painter,
        pos2(left + 1.0, middle - 2.0),
        Align2::LEFT_CENTER,
        &n,
        &count,
    );
    let word = Hand::head(ink, ink.dim);
    let at = pos2(count.right() + 12.0, middle + 5.0);
    paint::text(painter, at, Align2::LEFT_CENTER, "waiting", &word);
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
        paint::fit(painter, at, Align2::LEFT_CENTER, &text, &hand, room - 15.0);
        response.on_hover_text(text);
    } else {
        paint::fit(
            painter,
            at,
            Align2::LEFT_CENTER,
            &text,
            &Hand::dim(ink),
            room,
        );
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

fn code(ui: &Ui, cell: Rect, scene: &mut Scene<'_>, wide: bool) {
    let Some(module) = scene.picture.reload.modules.first() else {
        return;
    };
    let ink = &scene.live;
    let painter = ui.painter();
    let [top, middle, bottom] = lines(cell);
    let (left, right) = (cell.left() + 20.0, cell.right() - 14.0);
    let label = Hand::label(ink, ink.accent);
    paint::text(
        painter,
        pos2(left, top - 2.0),
        Align2::LEFT_CENTER,
        "render code",
        &label,
    );
    let (word, colour) = code_word(scene, module);
    let name = Hand::new(ink.name(), colour);
    let title = format!("GEN {:02}", module.generation);
    let title = paint::text(
        painter,
        pos2(left, middle - 5.0),
        Align2::LEFT_CENTER,
        &title,
        &name,
    );
    let at = pos2(title.right() + 10.0, middle);
    paint::fit(
        painter,
        at,
        Align2::LEFT_CENTER,
        &word,
        &Hand::dim(ink),
        right - at.x,
    );
    let busy = module.state == ModuleState::Busy;
    let button = Button::new("Hot reload")
        .weight(Weight::Accent)
        .turn()
        .enabled(!busy && module.state != ModuleState::Fixed);
    let at = pos2(left, bottom - 2.0);
    let response = button.right_of(ui, ink, at, ui.scope_id().with("hot reload"));
    if wide {
        let width = control::cap_width(ui, ink, "Ctrl+Alt+R");
        let at = pos2(
            (response.rect.right() + 8.0).min(right - width),
            bottom - 2.0,
        );
        control::key_cap(ui, ink, at, "Ctrl+Alt+R");
    }
    if response
        .on_hover_text("Build and load the render code anew (Ctrl+Alt+R)")
        .clicked()
    {
        scene.actions.push(warden_view::Action::Reload);
    }
}

fn code_word(scene: &Scene<'_>, module: &Module) -> (String, warden_toolkit::egui::Color32) {
    let ink = &scene.live;
    let since = words::span_short(scene.picture.clock.now_ms - module.since_ms);
    match module.state {
        ModuleState::Live if module.newer => ("new build".to_owned(), ink.good),
        ModuleState::Live => (format!("live {since}"), ink.good),
        ModuleState::Busy => {
            let stage = module
                .stage
                .map_or("starting", |(stage, _)| crate::reload::stage_word(stage));
            (format!("{stage}…"), ink.accent)
        }
        ModuleState::Failed => ("failed".to_owned(), ink.alarm),
        ModuleState::Down => ("down".to_owned(), ink.alarm),
        ModuleState::Fixed => ("fixed".to_owned(), ink.text),
    }
}
