//! The palette's frame: the field, the list under it, the keys at its foot.

use ui_kit::keys;
use ui_kit::paint::{self, Hand};
use ui_kit::scene::Scene;
use ui_kit::words;
use ui_kit::{control, ink::Ink};
use warden_toolkit::egui::{
    Align2, EventFilter, Frame, Id, Key, Margin, Modal, Modifiers, Rect, RichText, Role, Sense,
    TextEdit, Ui, Vec2, WidgetInfo, pos2, vec2,
};

use crate::choose::choose;
use crate::entry::{Deed, Entry};
use crate::list::{self, Step};
use crate::recall::Remembered;
use crate::search::Found;

const WIDTH: f32 = 760.0;
const FIELD: f32 = 52.0;
const FOOT: f32 = 36.0;
const ROWS: f32 = 11.0;
/// More than anybody types; a paste of a log does not slow the window down.
const LIMIT: usize = 256;

fn id() -> Id {
    Id::unique("warden palette")
}

pub(crate) fn field_id() -> Id {
    id().with("field")
}

/// The keys of this frame that are not the field's. Taken before the field sees them.
struct Presses {
    close: bool,
    choose: bool,
    /// In their order: of a slow frame there may be several.
    steps: Vec<Step>,
}

impl Presses {
    fn take(ui: &Ui) -> Self {
        let plain = Modifiers::NONE;
        let known = [
            (plain, Key::ArrowDown, Step::Down),
            (plain, Key::Tab, Step::Down),
            (plain, Key::ArrowUp, Step::Up),
            (Modifiers::SHIFT, Key::Tab, Step::Up),
            (plain, Key::PageDown, Step::PageDown),
            (plain, Key::PageUp, Step::PageUp),
            (Modifiers::COMMAND, Key::Home, Step::First),
            (Modifiers::COMMAND, Key::End, Step::Last),
        ];
        let mut steps = Vec::new();
        ui.input_mut(|input| {
            input.events.retain(|event| {
                let step = known
                    .iter()
                    .find(|(modifiers, key, _)| keys::is(event, *modifiers, *key));
                steps.extend(step.map(|(.., step)| *step));
                step.is_none()
            });
        });
        let escape = keys::taken(ui, plain, Key::Escape);
        Self {
            close: keys::taken(ui, Modifiers::COMMAND, Key::K) || escape,
            choose: keys::taken(ui, plain, Key::Enter),
            steps,
        }
    }
}

/// What came of a frame.
enum Outcome {
    Open,
    Closed,
    Chosen(Box<Entry>),
}

pub(crate) fn show(ui: &mut Ui, scene: &mut Scene<'_>, memory: &mut Remembered) {
    opened(ui, memory);
    let presses = Presses::take(ui);
    // The host may have put a banner over the window's upper edge: what is left is ours.
    let room = ui.max_rect();
    let drop = (room.height() * 0.11).clamp(12.0, 120.0).round();
    let corner = ui.ctx().content_rect().center_top();
    let offset = room.center_top() - corner + vec2(0.0, drop);
    let area = Modal::default_area(id()).anchor(Align2::CENTER_TOP, offset);
    let modal = Modal::new(id())
        .area(area)
        .frame(Frame::NONE)
        .backdrop_color(scene.live.veil);
    let response = modal.show(ui.ctx(), |ui| {
        let size = size(scene, room.size(), drop);
        body(ui, scene, memory, &presses, size)
    });
    let outcome = match response.inner {
        Outcome::Open if presses.close || response.backdrop_response.clicked() => Outcome::Closed,
        outcome => outcome,
    };
    match outcome {
        Outcome::Open => {}
        Outcome::Closed => close(ui, scene, memory),
        Outcome::Chosen(entry) => {
            close(ui, scene, memory);
            memory.chosen(&entry.key);
            choose(ui.ctx(), scene, &entry);
        }
    }
}

fn former_focus() -> Id {
    id().with("former focus")
}

/// On its first frame it takes the focus, and keeps in mind where that was.
fn opened(ui: &Ui, memory: &mut Remembered) {
    let known = ui
        .ctx()
        .data(|data| data.get_temp::<Option<Id>>(former_focus()).is_some());
    if !known {
        let focused = ui.ctx().memory(|memory| memory.focused());
        ui.ctx()
            .data_mut(|data| data.insert_temp(former_focus(), focused));
        memory.found = Found::default();
    }
    ui.ctx().memory_mut(|memory| {
        if !memory.has_focus(field_id()) {
            memory.request_focus(field_id());
        }
    });
}

fn close(ui: &Ui, scene: &mut Scene<'_>, memory: &mut Remembered) {
    scene.memory.palette = None;
    memory.forget_search();
    ui.ctx().data_mut(|data| {
        let former = data.remove_temp::<Option<Id>>(former_focus());
        data.insert_temp(giving_back(), former.flatten());
    });
    ui.ctx()
        .memory_mut(|memory| memory.surrender_focus(field_id()));
    ui.ctx().request_repaint();
}

fn giving_back() -> Id {
    id().with("giving back")
}

/// Gives the focus back to what had it before. A frame after closing: until then egui keeps it from
/// whatever lies under a modal layer.
pub(crate) fn give_back(ui: &Ui) {
    let former = ui.ctx().data_mut(|data| {
        // Where the window closed it by itself, nobody waits for this any more.
        data.remove_temp::<Option<Id>>(former_focus());
        data.remove_temp::<Option<Id>>(giving_back())
    });
    if let Some(id) = former.flatten() {
        ui.ctx().memory_mut(|memory| memory.request_focus(id));
        ui.ctx().request_repaint();
    }
}

/// Always as tall as its fullest list, so that nothing moves while somebody types.
fn size(scene: &Scene<'_>, room: Vec2, drop: f32) -> Vec2 {
    let row = scene.live.theme.spacing.row;
    let most = ((room.y - drop - 12.0 - FIELD - FOOT) / row).floor();
    let rows = ROWS.min(most).max(1.0);
    vec2(WIDTH.min(room.x - 32.0), FIELD + rows * row + FOOT)
}

fn body(
    ui: &mut Ui,
    scene: &mut Scene<'_>,
    memory: &mut Remembered,
    presses: &Presses,
    size: Vec2,
) -> Outcome {
    let (rect, response) = ui.allocate_exact_size(size, Sense::hover());
    response.widget_info(|| WidgetInfo::labeled(Role::Dialog, true, "Command palette"));
    let ink = scene.live.clone();
    paint::frame(ui.painter(), rect, &ink, ink.panel, ink.strong(ink.accent));
    let mut head = rect;
    head.set_height(FIELD);
    let mut foot = rect;
    foot.min.y = rect.bottom() - FOOT;
    let rows = Rect::from_min_max(head.left_bottom(), foot.right_top());
    let mut typed = scene.memory.palette.clone().unwrap_or_default();
    field(ui, head, &ink, &mut typed);
    if scene.memory.palette.as_ref() != Some(&typed) {
        memory.start_over();
        scene.memory.palette = Some(typed.clone());
    }
    memory.update(scene, &typed);
    let lit = list::light(memory, &presses.steps);
    // Rules end where the outline begins.
    let edge = vec2(ink.theme.shape.strong - ink.theme.shape.line, 0.0);
    let (under_head, over_foot) = (head.shrink2(edge), foot.shrink2(edge));
    paint::head_rule(ui.painter(), under_head, head.bottom() - 0.5, &ink);
    count(ui, head, &ink, memory);
    let clicked = list::show(ui, rows, &ink, memory, &lit, &typed);
    paint::rule(ui.painter(), over_foot, foot.top() + 0.5, &ink);
    let entry = lit.at.and_then(|at| memory.found.entries.get(at));
    hints(ui, foot, &ink, entry);
    point_to(ui, entry);
    let entered = entry.filter(|_| presses.choose && lit.sure).cloned();
    match clicked.or(entered).filter(|entry| entry.off.is_none()) {
        Some(entry) => Outcome::Chosen(Box::new(entry)),
        None => Outcome::Open,
    }
}

/// A chevron, and what is typed.
fn field(ui: &mut Ui, head: Rect, ink: &Ink<'_>, typed: &mut String) {
    let y = head.center().y;
    let x = head.left() + ink.theme.spacing.pad;
    let chevron = [vec2(-3.0, -7.0), vec2(4.0, 0.0), vec2(-3.0, 7.0)];
    let points = chevron.map(|to| pos2(x + 3.0, y) + to).to_vec();
    ui.painter().line(points, ink.strong(ink.accent));
    let hand = Hand::new(ink.title(), ink.text);
    let left = x + 20.0;
    let height = paint::size(ui.painter(), "X", &hand).y;
    let room = vec2(head.right() - COUNT - left, height);
    let inner = Rect::from_min_size(pos2(left, y - height / 2.0), room);
    // The keys that move in the list are ours, and Escape is too.
    let every_key = EventFilter {
        tab: true,
        horizontal_arrows: true,
        vertical_arrows: true,
        escape: true,
    };
    let edit = TextEdit::singleline(typed)
        .id(field_id())
        .frame(Frame::NONE)
        .margin(Margin::ZERO)
        .desired_width(inner.width())
        .font(ink.title())
        .hint_text(
            RichText::new("do something, or find a row…")
                .font(ink.title())
                .color(ink.dim),
        )
        .char_limit(LIMIT)
        .event_filter(every_key)
        .text_color(ink.text);
    ui.put(inner, edit)
        .accessible_name("Search everything that the window can do, and every row");
}

/// Room for the count beside the field.
const COUNT: f32 = 168.0;

/// How many match.
fn count(ui: &Ui, head: Rect, ink: &Ink<'_>, memory: &Remembered) {
    let (matching, total) = (memory.found.matching, memory.found.total);
    let number = |n: usize| words::number(n as u64);
    let text = if matching == total {
        words::counted(total, "entry", "entries")
    } else {
        format!("{} of {}", number(matching), number(total))
    };
    let at = pos2(head.right() - ink.theme.spacing.pad, head.center().y);
    let set = paint::right(ui.painter(), at, &text, &Hand::dim(ink));
    let response = ui.interact(set, id().with("count"), Sense::hover());
    response.widget_info(|| WidgetInfo::labeled(Role::Status, true, format!("Matches: {text}")));
}

/// The keys, and what Enter would do.
fn hints(ui: &Ui, foot: Rect, ink: &Ink<'_>, lit: Option<&Entry>) {
    let y = foot.center().y;
    let hand = Hand::dim(ink);
    let does = match lit {
        None => None,
        Some(entry) if entry.off.is_some() => None,
        Some(entry) if entry.asks() => Some("asks first"),
        Some(entry) if matches!(entry.deed, Deed::Select(_)) => Some("show the row"),
        Some(_) => Some("do it"),
    };
    let mut x = foot.left() + ink.theme.spacing.pad;
    let hints = [
        ("↑ ↓", Some("choose")),
        ("Enter", does),
        ("Esc", Some("close")),
    ];
    for (cap, text) in hints {
        let Some(text) = text else { continue };
        let cap = control::key_cap(ui, ink, pos2(x, y), cap);
        let at = pos2(cap.right() + 6.0, y);
        x = paint::left(ui.painter(), at, text, &hand).right() + 18.0;
    }
}

/// Tells assistive technology which entry Enter would choose while the field keeps the focus.
fn point_to(ui: &Ui, lit: Option<&Entry>) {
    let Some(lit) = lit else { return };
    let row = list::row_id(lit).accesskit_id();
    ui.ctx().accesskit_node_builder(field_id(), |node| {
        node.set_active_descendant(row);
        node.push_controlled(list::list_id().accesskit_id());
    });
}
