//! The list of matches, and which of them is lit.

use ui_kit::control;
use ui_kit::ink::Ink;
use ui_kit::paint::{self, Hand};
use warden_toolkit::egui::{
    CursorIcon, Id, Rect, Role, ScrollArea, Sense, Ui, UiBuilder, WidgetInfo, pos2, vec2,
};

use crate::entry::Entry;
use crate::recall::Remembered;

/// The list as a whole.
pub(crate) fn list_id() -> Id {
    Id::unique("warden palette list")
}

/// One line of it.
pub(crate) fn row_id(entry: &Entry) -> Id {
    list_id().with(&*entry.key)
}

/// A step that a key makes in the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Down,
    Up,
    PageDown,
    PageUp,
    First,
    Last,
}

impl Step {
    /// From a place in a list that is not empty. One step wraps round, a page does not.
    fn from(self, at: usize, count: usize) -> usize {
        const PAGE: usize = 10;
        let last = count.saturating_sub(1);
        match self {
            Self::Down if at == last => 0,
            Self::Down => at + 1,
            Self::Up => at.checked_sub(1).unwrap_or(last),
            Self::PageDown => (at + PAGE).min(last),
            Self::PageUp => at.saturating_sub(PAGE),
            Self::First => 0,
            Self::Last => last,
        }
    }
}

/// The entry that Enter would choose.
pub(crate) struct Lit {
    /// Its place; `None` in an empty list.
    pub at: Option<usize>,
    /// It is the one that was lit before this frame, or the best match of another text. Otherwise
    /// that one has just gone, and an Enter of this frame was not meant for its neighbour.
    pub sure: bool,
    /// It must come into sight.
    reveal: bool,
}

/// Finds the lit entry again, and moves on from it.
pub(crate) fn light(memory: &mut Remembered, steps: &[Step]) -> Lit {
    let entries = &memory.found.entries;
    let Some(last) = entries.len().checked_sub(1) else {
        return Lit {
            at: None,
            sure: false,
            reveal: false,
        };
    };
    let place = |key: &String| entries.iter().position(|entry| entry.key == *key);
    let found = memory.lit.as_ref().and_then(place);
    let sure = memory.lit.is_none() || found.is_some();
    let from = found.unwrap_or(memory.found.lit_at.min(last));
    let at = steps
        .iter()
        .fold(from, |at, step| step.from(at, entries.len()));
    let reveal = !steps.is_empty() || memory.lit.is_none();
    memory.lit = Some(entries[at].key.clone());
    memory.found.lit_at = at;
    Lit {
        at: Some(at),
        sure,
        reveal,
    }
}

/// Draws it, and gives what was clicked.
pub(crate) fn show(
    ui: &mut Ui,
    rect: Rect,
    ink: &Ink<'_>,
    memory: &mut Remembered,
    lit: &Lit,
    typed: &str,
) -> Option<Entry> {
    let found = &memory.found;
    let response = ui.interact(rect, list_id(), Sense::hover());
    response.widget_info(|| {
        let text = format!("Matches, {} shown", found.entries.len());
        WidgetInfo::labeled(Role::ListBox, true, text)
    });
    let Some(lit_at) = lit.at else {
        nothing(ui, rect, ink, typed);
        return None;
    };
    let height = ink.theme.spacing.row;
    let edge = ink.theme.shape.strong;
    let inner = rect.shrink2(vec2(edge, 0.0));
    let mut child = ui.new_child(UiBuilder::new().id_salt("palette rows").max_rect(inner));
    child.spacing_mut().item_spacing.y = 0.0;
    let mut area = ScrollArea::vertical()
        .id_salt("palette list")
        .auto_shrink(false);
    if lit.reveal {
        let top = lit_at as f32 * height;
        let offset = found.offset.min(top).max(top + height - rect.height());
        area = area.vertical_scroll_offset(offset.max(0.0));
    }
    let mut clicked = None;
    let output = area.show_rows(&mut child, height, found.entries.len(), |ui, range| {
        let top = ui.max_rect().top();
        for (nth, at) in range.enumerate() {
            let at_y = top + height * nth as f32;
            let line = Rect::from_min_size(pos2(inner.left(), at_y), vec2(inner.width(), height));
            let entry = &found.entries[at];
            let is_lit = at == lit_at;
            let clicked_here = row(ui, line, ink, entry, is_lit);
            ui.ctx().accesskit_node_builder(row_id(entry), |node| {
                node.set_selected(is_lit);
                node.set_position_in_set(at + 1);
                node.set_size_of_set(found.entries.len());
            });
            if clicked_here {
                clicked = Some(entry.clone());
            }
        }
    });
    let offset = output.state.clamped_offset().y;
    memory.found.offset = offset;
    clicked
}

fn nothing(ui: &Ui, rect: Rect, ink: &Ink<'_>, typed: &str) {
    let pad = ink.theme.spacing.pad;
    let room = rect.width() - 2.0 * pad;
    let at = rect.min + vec2(pad, 36.0);
    let text = format!("Nothing matches “{}”.", typed.trim());
    let hand = Hand::new(ink.title(), ink.text);
    paint::left_within(ui.painter(), at, &text, &hand, room);
    let text = "What can be found: everything that the window does, panels and themes, what can be \
                reloaded, and each waiter, holder and GPU by its name and its id.";
    let at = at + vec2(0.0, 24.0);
    paint::paragraph(ui.painter(), at, text, &Hand::dim(ink), room.min(520.0));
}

/// Where the titles begin: right of the widest word for a kind.
const TITLES: f32 = 92.0;

/// One line: what it is about, its name, what is said beside it, its key. True where it was clicked.
fn row(ui: &Ui, rect: Rect, ink: &Ink<'_>, entry: &Entry, lit: bool) -> bool {
    let enabled = entry.off.is_none();
    let response = ui.interact(rect, row_id(entry), Sense::CLICK);
    response.widget_info(|| WidgetInfo::selected(Role::ListBoxOption, enabled, lit, spoken(entry)));
    let painter = ui.painter();
    paint::highlight(painter, rect, ink, lit, response.hovered());
    let y = rect.center().y;
    let left = rect.left() + ink.theme.spacing.pad - ink.theme.shape.strong;
    let mut right = rect.right() - ink.theme.spacing.pad;
    let kind = if !enabled {
        ink.dim
    } else if entry.ends() {
        ink.alarm
    } else if lit {
        ink.accent
    } else {
        ink.dim
    };
    let hand = Hand::label(ink, kind);
    paint::left(painter, pos2(left, y + 1.0), entry.kind.word(), &hand);
    if !entry.cap.is_empty() {
        right -= control::cap_width(ui, ink, entry.cap);
        control::key_cap(ui, ink, pos2(right, y), entry.cap);
        right -= 12.0;
    }
    if entry.recent {
        right = paint::right(painter, pos2(right, y), "recent", &Hand::dim(ink)).left() - 12.0;
    }
    let at = pos2(left + TITLES, y);
    let body = Hand::new(ink.body(), if enabled { ink.text } else { ink.dim });
    let about = entry.off.unwrap_or(&entry.about);
    // A long name leaves what is said beside it a third of the room.
    let room = right - at.x;
    let share = if about.is_empty() { room } else { room * 0.64 };
    let (in_title, in_about) = &entry.marks;
    let marks = (&**in_title, ink.accent);
    let title = paint::left_marked(painter, at, &entry.title, &body, marks, share);
    let beside = pos2(title.rect.right() + 14.0, y);
    let in_about = if enabled { &**in_about } else { &[] };
    let marks = (in_about, ink.accent);
    let hand = Hand::dim(ink);
    let set = paint::left_marked(painter, beside, about, &hand, marks, right - beside.x);
    let response = response.on_hover_cursor(CursorIcon::PointingHand);
    let elided = title.elided || set.elided;
    let clicked = response.clicked();
    if elided {
        response.on_hover_text(format!("{}\n{about}", entry.title));
    }
    clicked
}

/// All of it, as a screen reader says it.
fn spoken(entry: &Entry) -> String {
    let about = entry.off.unwrap_or(&entry.about).trim();
    let parts = [&*entry.title, entry.kind.word(), about, entry.cap];
    let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    parts.join(", ")
}
