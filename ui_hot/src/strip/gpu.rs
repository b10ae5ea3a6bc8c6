//! The strip's GPUs: one a cell, or counted where there are many.

use warden_toolkit::egui::{Pos2, Rect, Response, Role, Sense, Ui, WidgetInfo, pos2};
use warden_view::{Gpu, GpuState, Holder, Selection, Waiter};

use super::{PAD, lines, state_colour, state_word};
use crate::control;
use crate::paint::{self, Hand};
use crate::scene::Scene;
use crate::words;

pub(super) fn one(
    ui: &Ui,
    cell: Rect,
    strip: Rect,
    scene: &mut Scene<'_>,
    (at, gpu): (usize, &Gpu),
) {
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
    control::focus_within(ui, &scene.ink, cell.shrink(4.0), strip, &response);
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
        None if gpu.draining.is_some() => format!("{label} {word}: {}", idle(scene, gpu)),
        None if gpu.state == GpuState::Kept => match kept_for(scene) {
            Some(waiter) => format!("{label} kept for {}", waiter.client),
            None => format!("{label} kept"),
        },
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
    let label = paint::left(painter, pos2(left, top), &words::gpu(gpu.index), &label);
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
        let set = paint::left_within(painter, at, text, &hand, room);
        chip = chip.union(set.rect);
    }
    let measured = measured(gpu);
    let room = right - chip.right() - 12.0;
    if paint::width(painter, &measured, &Hand::dim(ink)) <= room {
        paint::right(painter, pos2(right, top), &measured, &Hand::dim(ink));
    }
    let nobody = match &gpu.draining {
        Some(drained) => &*drained.client,
        None if gpu.state == GpuState::Kept => {
            kept_for(scene).map_or("nobody", |waiter| &*waiter.client)
        }
        None => "nobody",
    };
    who(
        ui,
        scene,
        pos2(left, middle),
        right - left,
        gpu,
        holder,
        nobody,
    );
    match holder {
        Some(holder) => held(ui, left, right, bottom, scene, holder),
        None => {
            let text = idle(scene, gpu);
            let at = pos2(left, bottom);
            paint::left_within(painter, at, &text, &Hand::dim(ink), right - left);
        }
    }
}

/// What a GPU that nobody holds is doing, and for how long.
pub(crate) fn idle(scene: &Scene<'_>, gpu: &Gpu) -> String {
    if let Some(drained) = &gpu.draining {
        let most = drained.until_ms.map_or_else(String::new, |until| {
            format!(", {} at most", words::span((until - scene.now).max(0)))
        });
        return format!("waits for pid {} to go{most}", drained.pid);
    }
    let span = gpu.since_ms.map(|since| words::span(scene.now - since));
    let word = state_word(gpu.state, false).0;
    match (gpu.state, span) {
        (GpuState::Kept, None) => "gets it next: it is overdue".to_owned(),
        (GpuState::Kept, Some(span)) => format!("gets it next, kept {span}: it is overdue"),
        (_, Some(span)) => format!("{word} for {span}"),
        (_, None) => String::new(),
    }
}

/// Whom what is kept is kept for: who has been passed as often as may be, and is first of those.
pub(crate) fn kept_for<'a>(scene: &Scene<'a>) -> Option<&'a Waiter> {
    let most = scene.picture.rules.max_bypass;
    let mut queue = scene.picture.queue.iter();
    queue
        .find(|waiter| waiter.passed >= most)
        .map(|waiter| &**waiter)
}

/// The first holder's name as large as names get, and how many share with it.
fn who(
    ui: &Ui,
    scene: &Scene<'_>,
    at: Pos2,
    room: f32,
    gpu: &Gpu,
    holder: Option<&Holder>,
    nobody: &str,
) {
    let ink = &scene.ink;
    let painter = ui.painter();
    let colour = if holder.is_some() { ink.text } else { ink.dim };
    let more = match gpu.leases.len() {
        0 | 1 => String::new(),
        n => format!("+{}", n - 1),
    };
    let hand = Hand::head(ink, ink.dim);
    let room = room - paint::width(painter, &more, &hand) - 8.0;
    let name = Hand::new(ink.name(), colour);
    let who = holder.map_or(nobody, |holder| &*holder.client);
    let set = paint::left_within(painter, at, who, &name, room);
    paint::left(
        painter,
        pos2(set.rect.right() + 8.0, at.y + 3.0),
        &more,
        &hand,
    );
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
    let held = paint::left(painter, pos2(left, y), &text, &Hand::body(ink));
    let left_ms = holder.expires_ms - scene.now;
    let (text, hand) = if left_ms < 0 {
        (
            format!("overdue {}", words::span(-left_ms)),
            Hand::dim(ink).coloured(ink.alarm),
        )
    } else {
        (format!("{} left", words::span(left_ms)), Hand::dim(ink))
    };
    let rest = paint::right(painter, pos2(right, y), &text, &hand);
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
pub(super) fn many(ui: &Ui, cell: Rect, scene: &mut Scene<'_>) {
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
    let mut x = paint::left(painter, pos2(left, top), &title, &label).right();
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
        paint::left_within(painter, at, &text, &Hand::dim(ink), right - at.x);
    }
    let response = ui.interact(cell, ui.scope_id().with("strip gpus"), Sense::click());
    let spoken = format!("{title}: {held} held, {contested} contested, {free} free");
    response.widget_info(|| WidgetInfo::labeled(Role::Button, true, &spoken));
    let Some(holder) = longest else {
        let name = Hand::new(ink.name(), ink.dim);
        paint::left(painter, pos2(left, middle), "nobody", &name);
        return;
    };
    let name = Hand::new(ink.name(), ink.text);
    let room = right - left;
    paint::left_within(painter, pos2(left, middle), &holder.client, &name, room);
    let on = format!("longest, on {}", scene.gpus_marked(&holder.gpus));
    let room = room * 0.45;
    let set = paint::left_within(painter, pos2(left, bottom), &on, &Hand::dim(ink), room);
    self::held(ui, set.rect.right() + 16.0, right, bottom, scene, holder);
    if response.clicked() {
        scene.memory.selection = Selection::Lease(holder.lease.to_string());
    }
}
