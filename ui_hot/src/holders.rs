//! The holders: a card a lease, with the buttons that end it.

use warden_toolkit::egui::{
    Id, Rect, Role, ScrollArea, Sense, Ui, UiBuilder, WidgetInfo, pos2, vec2,
};
use warden_view::{Dialog, Holder, LinkState, Selection, Target};

use crate::board;
use crate::control::{self, Button, Weight};
use crate::keys;
use crate::paint::{self, Hand};
use crate::queue;
use crate::scene::{Scene, Selected};
use crate::words;

/// A card's height: name, facts, deadline, how it stands.
pub(crate) const CARD: f32 = 116.0;

/// The list as a whole: what has the focus while the arrow keys move the selection.
pub(crate) fn list_id() -> Id {
    Id::unique("warden holders")
}

/// How many there are, where that is known.
pub(crate) fn count(scene: &Scene<'_>) -> String {
    if scene.known() {
        words::number(scene.picture.holders.len() as u64)
    } else {
        String::new()
    }
}

/// What is done to all of them; before it their count, where the panel has its head to itself.
pub(crate) fn head(ui: &mut Ui, room: Rect, scene: &mut Scene<'_>, alone: bool) {
    let y = room.center().y;
    let ink = &scene.ink;
    let acting = scene.acting;
    let force = Button::new("Force all")
        .named("Force all leases to end")
        .weight(Weight::Alarm)
        .enabled(acting && !scene.picture.holders.is_empty());
    let reset = Button::new("Reset")
        .named("Reset what is stale")
        .enabled(acting);
    let at = pos2(room.right(), y);
    let id = ui.scope_id();
    // Placed from the right, made from the left: the focus goes in reading order.
    let left_of_force = pos2(room.right() - force.width(ui, ink) - 12.0, y);
    let was_reset = reset.left_of(ui, ink, left_of_force, id.with("reset"));
    let forced = force.left_of(ui, ink, at, id.with("force all"));
    let hand = Hand::new(ink.title(), ink.text);
    let text = count(scene);
    if alone && paint::width(ui.painter(), &text, &hand) < was_reset.rect.left() - room.left() {
        paint::left(ui.painter(), pos2(room.left(), y), &text, &hand);
    }
    if forced
        .on_hover_text("End every lease (Ctrl+Shift+Del)")
        .clicked()
    {
        scene.memory.dialog = Some(Dialog::ForceAll { clear_queue: false });
    }
    let hover = "End what is stale: owner gone, undelivered, expired (Ctrl+Shift+S)";
    if was_reset.on_hover_text(hover).clicked() {
        scene.memory.dialog = Some(Dialog::Reset);
    }
}

pub(crate) fn show(ui: &mut Ui, body: Rect, scene: &mut Scene<'_>) {
    if scene.picture.holders.is_empty() {
        empty(ui, body, scene);
        return;
    }
    let shown = shown(scene);
    let mut list = body;
    list.max.y -= scene.ink.theme.shape.line;
    let response = ui.interact(list, list_id(), Sense::CLICK | Sense::FOCUSABLE);
    response.widget_info(|| {
        let text = words::counted(shown.len(), "lease", "leases");
        WidgetInfo::labeled(Role::List, true, format!("Holders, {text}"))
    });
    if response.has_focus() {
        ui_kit::keys::keep_arrows(ui, list_id());
    }
    if shown.is_empty() {
        let at = list.min + vec2(scene.ink.theme.spacing.pad, 28.0);
        let text = format!("No holder matches “{}”.", scene.memory.filter);
        let hand = Hand::dim(&scene.ink);
        let room = list.width() - 2.0 * scene.ink.theme.spacing.pad;
        paint::left_within(ui.painter(), at, &text, &hand, room);
        return;
    }
    let mut child = ui.new_child(UiBuilder::new().id_salt("cards").max_rect(list));
    child.spacing_mut().item_spacing.y = 0.0;
    let mut area = ScrollArea::vertical()
        .id_salt("holder cards")
        .auto_shrink(false);
    if let Some(to) = keys::take_jump(ui, list_id()) {
        area = area.vertical_scroll_offset(keys::offset_for(&child, list_id(), to, CARD, list));
    }
    let output = area.show_rows(&mut child, CARD, shown.len(), |ui, range| {
        let top = ui.max_rect().top();
        for (nth, at) in range.enumerate() {
            let rect = Rect::from_min_size(
                pos2(list.left(), top + CARD * nth as f32),
                vec2(list.width(), CARD),
            );
            card(ui, rect, scene, shown[at]);
        }
    });
    keys::remember_offset(ui, list_id(), output.state.clamped_offset().y);
    if response.has_focus() {
        let panel = board::panel_of(&scene.ink, body);
        control::focus_within(ui, &scene.ink, list.shrink(4.0), panel, &response);
    }
}

/// Those that the filter leaves.
fn shown<'a>(scene: &Scene<'a>) -> Vec<&'a Holder> {
    let needle = scene.memory.filter.trim().to_lowercase();
    let mut shown = in_order(scene);
    shown.retain(|holder| matches(scene, holder, &needle));
    shown
}

/// Where a lease is among the cards that are shown; `None` where the filter hides it.
pub(crate) fn shown_at(scene: &Scene<'_>, holder: &Holder) -> Option<usize> {
    shown(scene)
        .iter()
        .position(|shown| shown.lease == holder.lease)
}

/// In the strip's order: by the first GPU that each holds.
pub(crate) fn in_order<'a>(scene: &Scene<'a>) -> Vec<&'a Holder> {
    let mut holders: Vec<&Holder> = scene.picture.holders.iter().collect();
    let first = |holder: &Holder| {
        let gpu = holder.gpus.first().and_then(|gpu| scene.gpu(gpu));
        gpu.map_or(u32::MAX, |gpu| gpu.index)
    };
    holders.sort_by_key(|holder| first(holder));
    holders
}

fn matches(scene: &Scene<'_>, holder: &Holder, needle: &str) -> bool {
    if needle.is_empty() {
        return true;
    }
    let gpus = scene.gpu_labels(&holder.gpus);
    let texts = [&*holder.client, &*holder.operation, &*holder.lease, &*gpus];
    texts.into_iter().any(|text| queue::contains(text, needle))
        || scene
            .priority_name(holder.priority)
            .is_some_and(|name| queue::contains(name, needle))
}

/// Arrow keys, while the list has the focus.
pub(crate) fn move_selection(ui: &Ui, scene: &mut Scene<'_>) {
    let holders = shown(scene);
    let from = match scene.selected() {
        Selected::Holder(selected) => holders
            .iter()
            .position(|holder| holder.lease == selected.lease),
        _ => None,
    };
    if let Some(to) = ui_kit::keys::moved(ui, from, holders.len()) {
        scene.memory.selection = Selection::Lease(holders[to].lease.to_string());
        keys::jump(ui, list_id(), to);
    }
}

fn empty(ui: &Ui, body: Rect, scene: &Scene<'_>) {
    let ink = &scene.ink;
    let pad = ink.theme.spacing.pad;
    let room = body.width() - 2.0 * pad;
    let at = body.min + vec2(pad, 48.0);
    let live = scene.picture.broker.link.state == LinkState::Live;
    let text = if live {
        "Nobody holds a GPU."
    } else {
        "No holder is known."
    };
    let hand = Hand::new(ink.title(), ink.text);
    paint::left_within(ui.painter(), at, text, &hand, room);
    let text = "Who gets one appears here with its process, deadline and buttons.";
    paint::paragraph(
        ui.painter(),
        at + vec2(0.0, 18.0),
        text,
        &Hand::dim(ink),
        room,
    );
}

fn card(ui: &Ui, rect: Rect, scene: &mut Scene<'_>, holder: &Holder) {
    let selected =
        matches!(&scene.memory.selection, Selection::Lease(lease) if **lease == *holder.lease);
    let response = ui.interact(rect, list_id().with(("card", &*holder.lease)), Sense::CLICK);
    response.widget_info(|| {
        let on = scene.gpu_labels(&holder.gpus);
        let held = words::span(scene.now - holder.granted_ms);
        let text = format!("{} on {on}, held {held}", holder.client);
        WidgetInfo::selected(Role::ListItem, true, selected, text)
    });
    let forcing = scene
        .pending(&Target::Lease(holder.lease.clone()))
        .is_some();
    ground(
        ui,
        rect,
        scene,
        selected,
        response.hovered(),
        forcing,
        holder,
    );
    let ink = &scene.ink;
    let button = Button::new("Release")
        .named(format!(
            "Release {} on {}",
            holder.client,
            scene.gpu_labels(&holder.gpus)
        ))
        .enabled(scene.acting && !forcing);
    let at = pos2(rect.right() - 16.0, rect.top() + 22.0);
    let id = list_id().with(("release", &*holder.lease));
    let release = button.left_of(ui, ink, at, id);
    facts(
        ui,
        rect,
        scene,
        holder,
        release.rect.left() - 12.0,
        forcing,
        &response,
    );
    if release
        .on_hover_text("End this lease by force (Del)")
        .clicked()
    {
        scene.memory.dialog = Some(Dialog::Release(holder.lease.to_string()));
    } else if response.clicked() {
        scene.memory.selection = Selection::Lease(holder.lease.to_string());
        ui.ctx()
            .memory_mut(|memory| memory.request_focus(list_id()));
    }
}

fn ground(
    ui: &Ui,
    rect: Rect,
    scene: &Scene<'_>,
    selected: bool,
    hovered: bool,
    forcing: bool,
    holder: &Holder,
) {
    let ink = &scene.ink;
    let painter = ui.painter();
    let inset = ink.theme.shape.line;
    let inner = Rect::from_min_max(
        pos2(rect.left() + inset, rect.top()),
        pos2(rect.right() - inset, rect.bottom() - inset),
    );
    if selected {
        painter.rect_filled(inner, 0.0, ink.selected);
    } else if hovered {
        painter.rect_filled(inner, 0.0, ink.row_hovered);
    }
    flash(ui, inner, scene, holder);
    if forcing {
        let edge = Rect::from_min_size(inner.min, vec2(12.0, inner.height()));
        paint::hazard(painter, edge, ink.alarm, ink);
    } else if selected {
        paint::edge(painter, inner, ink.accent);
    }
    paint::rule(painter, rect, rect.bottom() - 0.5, ink);
}

/// A grant lights its card up once and goes out in steps; under reduced motion not at all.
fn flash(ui: &Ui, rect: Rect, scene: &Scene<'_>, holder: &Holder) {
    const LASTS_MS: i64 = 800;
    const STEP_MS: i64 = 80;
    let age = scene.now - holder.granted_ms;
    if scene.picture.window.reduced_motion || !(0..LASTS_MS).contains(&age) || !scene.acting {
        return;
    }
    let part = 1.0 - age as f32 / LASTS_MS as f32;
    ui.painter()
        .rect_filled(rect, 0.0, scene.ink.good.gamma_multiply(0.35 * part));
    ui.ctx()
        .request_repaint_after(std::time::Duration::from_millis(STEP_MS as u64));
}

fn facts(
    ui: &Ui,
    rect: Rect,
    scene: &Scene<'_>,
    holder: &Holder,
    name_ends: f32,
    forcing: bool,
    response: &warden_toolkit::egui::Response,
) {
    let ink = &scene.ink;
    let painter = ui.painter();
    let (left, right) = (rect.left() + ink.theme.spacing.pad, rect.right() - 16.0);
    let y = |dy: f32| rect.top() + dy;
    let on = scene.gpus_marked(&holder.gpus);
    let label = Hand::label(ink, ink.accent);
    let on_width = paint::width(painter, &on, &label).min(160.0);
    let name = Hand::new(ink.title(), ink.text);
    let room = name_ends - left - on_width - 10.0;
    let set = paint::left_within(painter, pos2(left, y(22.0)), &holder.client, &name, room);
    let at = pos2(set.rect.right() + 10.0, y(23.0));
    paint::left_within(painter, at, &on, &label, on_width + 1.0);
    if set.elided && response.hovered() && ui.rect_contains_pointer(set.rect) {
        response.clone().on_hover_text(&*holder.client);
    }
    let priority = match scene.priority_name(holder.priority) {
        Some(name) => format!("{name} {}", holder.priority),
        None => format!("priority {}", holder.priority),
    };
    let hand = Hand::label(ink, scene.priority_colour(holder.priority));
    let mut x = paint::left(painter, pos2(left, y(50.0)), &priority, &hand).right();
    for fact in small_facts(holder) {
        let at = pos2(x + 16.0, y(50.0));
        let set = paint::left_within(painter, at, &fact, &Hand::dim(ink), right - at.x);
        x = set.rect.right();
    }
    deadline(ui, scene, holder, left, right, y(74.0));
    let (text, colour) = standing(scene, holder, forcing);
    let hand = Hand::dim(ink).coloured(colour);
    paint::left_within(painter, pos2(left, y(98.0)), &text, &hand, right - left);
}

fn small_facts(holder: &Holder) -> Vec<String> {
    let mut facts = vec![holder.operation.to_string()];
    if let Some(mib) = holder.vram_mib {
        facts.push(format!("{} GiB shared", words::gib(mib)));
    }
    if let Some(pid) = holder.pid {
        facts.push(format!("pid {pid}"));
    }
    facts
}

/// Held for so long, the bar of its deadline, and what is left of it.
fn deadline(ui: &Ui, scene: &Scene<'_>, holder: &Holder, left: f32, right: f32, y: f32) {
    let ink = &scene.ink;
    let painter = ui.painter();
    let rest = holder.expires_ms - scene.now;
    let body = Hand::body(ink);
    let held = words::span(scene.now - holder.granted_ms);
    let held = paint::left(painter, pos2(left, y), &held, &body);
    let (text, colour) = if rest < 0 {
        (format!("{} over", words::span(-rest)), ink.alarm)
    } else {
        (words::span(rest), ink.text)
    };
    let text = paint::right(painter, pos2(right, y), &text, &body.coloured(colour));
    // The bar's ends do not follow the figures, so that it does not jump as they tick.
    let start = (left + 72.0).max(held.right() + 10.0);
    let end = (right - 36.0).min(text.left() - 10.0);
    let bar = Rect::from_min_max(pos2(start.round(), y - 3.0), pos2(end.round(), y + 3.0));
    if bar.width() > 24.0 {
        let part = scene.part_left(holder.expires_ms, holder.ttl_ms as i64);
        let colour = if rest < 0 { ink.alarm } else { ink.accent };
        paint::bar(painter, bar, part, colour, ink);
    }
}

/// How it stands, in a few words.
fn standing(
    scene: &Scene<'_>,
    holder: &Holder,
    forcing: bool,
) -> (String, warden_toolkit::egui::Color32) {
    let ink = &scene.ink;
    if forcing {
        return ("being ended by force".to_owned(), ink.alarm);
    }
    if holder.expires_ms < scene.now {
        return ("past its deadline, not renewed".to_owned(), ink.alarm);
    }
    if holder.yield_asked {
        let ago = holder.yield_asked_ms.map_or_else(String::new, |asked| {
            format!(" {} ago", words::span(scene.now - asked))
        });
        return (format!("asked to yield{ago}"), ink.warn);
    }
    let renewed = holder.expires_ms - i64::try_from(holder.ttl_ms).unwrap_or(i64::MAX);
    if renewed <= holder.granted_ms {
        return ("granted, not renewed yet".to_owned(), ink.dim);
    }
    (
        format!("renewed {} ago", words::span(scene.now - renewed)),
        ink.dim,
    )
}
