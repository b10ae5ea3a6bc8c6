//! A column that is filled from the top: what the panels on reload and settings are set in.

use std::hash::{DefaultHasher, Hash, Hasher as _};

use warden_toolkit::egui::epaint::RectShape;
use warden_toolkit::egui::{
    Align, Color32, Id, Pos2, Rect, Response, Role, ScrollArea, Sense, Shape, StrokeKind, Ui,
    UiBuilder, WidgetInfo, pos2, vec2,
};

use crate::board;
use crate::control::{self, Button, Field, follow};
use crate::ink::Ink;
use crate::paint::{self, Hand, Set};
use crate::scene::Scene;

/// Below this width what stands side by side stands one above the other.
const NARROW: f32 = 620.0;
/// What is this far out of sight is not set at all; what is nearer can still take the focus.
const FAR: f32 = 600.0;
pub(crate) const LINE: f32 = 22.0;
/// Where values begin beside their names.
pub(crate) const VALUES: f32 = 92.0;

pub(crate) struct Page<'p, 's> {
    pub ui: &'p mut Ui,
    pub scene: &'p mut Scene<'s>,
    pub ink: Ink<'s>,
    pub id: Id,
    pub left: f32,
    pub right: f32,
    pub y: f32,
    /// The whole panel, whose corners may be cut.
    panel: Rect,
}

/// A panel's body as such a column, which scrolls. `name` tells its widgets from others.
pub(crate) fn scrolled<'s>(
    ui: &mut Ui,
    body: Rect,
    scene: &mut Scene<'s>,
    name: &str,
    fill: impl FnOnce(&mut Page<'_, 's>),
) {
    let mut list = body;
    list.max.y -= scene.ink.theme.shape.line;
    let mut child = ui.new_child(UiBuilder::new().id_salt(name).max_rect(list));
    child.spacing_mut().item_spacing.y = 0.0;
    let area = ScrollArea::vertical()
        .id_salt((name, "rows"))
        .animated(false)
        .auto_shrink(false);
    area.show(&mut child, |ui| {
        let top = ui.max_rect().top();
        let id = ui.scope_id().with(name);
        let mut page = Page {
            ui: &mut *ui,
            ink: scene.live.clone(),
            id,
            left: list.left() + scene.live.theme.spacing.pad,
            right: list.right() - 16.0,
            y: top,
            panel: board::panel_of(&scene.live, body),
            scene,
        };
        fill(&mut page);
        let height = page.y - top;
        ui.allocate_space(vec2(1.0, height));
    });
}

impl<'s> Page<'_, 's> {
    /// The same place, for a part of it: other sides, and names of its own.
    pub fn part(&mut self, left: f32, right: f32, name: &str) -> Page<'_, 's> {
        Page {
            ui: &mut *self.ui,
            scene: &mut *self.scene,
            ink: self.ink.clone(),
            id: self.id.with(name),
            left,
            right,
            y: self.y,
            panel: self.panel,
        }
    }

    /// Scrolls so far that what began at that height, and ends here, begins at the top.
    pub fn reveal(&self, top: f32) {
        let rect = Rect::from_min_max(pos2(self.left, top), pos2(self.right, self.y.max(top)));
        self.ui.scroll_to_rect(rect, Some(Align::TOP));
    }

    /// Which of the rows, of whose faults these tell, has one that was not there when this was asked
    /// last: the first of them.
    pub fn came_up(&self, faults: impl Iterator<Item = Option<u64>>) -> Option<usize> {
        let faults: Vec<Option<u64>> = faults.collect();
        let id = self.id.with("faults");
        let now: Vec<u64> = faults.iter().flatten().copied().collect();
        // As types of std alone: this waits in egui's memory for the next frame, or generation.
        let known = self.ui.ctx().data_mut(|data| {
            let known = data.get_temp::<Vec<u64>>(id).unwrap_or_default();
            data.insert_temp(id, now);
            known
        });
        let is_new = |fault: &Option<u64>| fault.is_some_and(|fault| !known.contains(&fault));
        faults.iter().position(is_new)
    }

    pub fn width(&self) -> f32 {
        self.right - self.left
    }

    pub fn narrow(&self) -> bool {
        self.width() < NARROW
    }

    /// The next line of that height, from side to side.
    pub fn line(&mut self, height: f32) -> Rect {
        let rect = Rect::from_min_max(pos2(self.left, self.y), pos2(self.right, self.y + height));
        self.y += height;
        rect
    }

    /// Nobody could see it, nor step onto it with the next key.
    pub fn is_far(&self, rect: Rect) -> bool {
        !rect.intersects(self.ui.clip_rect().expand(FAR))
    }

    /// Text right of a point; whole on hover where it does not fit.
    pub fn text(&self, at: Pos2, text: &str, hand: &Hand, width: f32) -> Set {
        let set = paint::left_within(self.ui.painter(), at, text, hand, width);
        self.whole_on_hover(set, at, text)
    }

    /// The same left of a point.
    pub fn text_left_of(&self, at: Pos2, text: &str, hand: &Hand, width: f32) -> Set {
        let set = paint::right_within(self.ui.painter(), at, text, hand, width);
        self.whole_on_hover(set, at, text)
    }

    fn whole_on_hover(&self, set: Set, at: Pos2, text: &str) -> Set {
        if set.elided {
            let id = self
                .id
                .with((text, at.x as i32, (at.y - self.ui.max_rect().top()) as i32));
            self.ui
                .interact(set.rect, id, Sense::hover())
                .on_hover_text(text);
        }
        set
    }

    /// Several lines, wrapped.
    pub fn paragraph(&mut self, text: &str, hand: &Hand) {
        let at = pos2(self.left, self.y);
        let rect = paint::paragraph(self.ui.painter(), at, text, hand, self.width());
        self.y = rect.bottom();
    }

    /// What a screen reader hears of a place. What is only painted says nothing.
    pub fn say(&self, rect: Rect, name: &str, role: Role, text: &str) -> Response {
        let response = self.ui.interact(rect, self.id.with(name), Sense::hover());
        response.widget_info(|| WidgetInfo::labeled(role, true, text));
        response
    }

    /// The head of a part, with a remark on its right.
    pub fn heading(&mut self, title: &str, remark: &str) {
        let rect = self.line(24.0);
        let hand = Hand::label(&self.ink, self.ink.accent);
        let set = paint::left(self.ui.painter(), rect.left_center(), title, &hand);
        let room = rect.right() - set.right() - 14.0;
        self.text_left_of(rect.right_center(), remark, &Hand::dim(&self.ink), room);
        let spoken = if remark.is_empty() {
            title.to_owned()
        } else {
            format!("{title}: {remark}")
        };
        self.say(rect, title, Role::Heading, &spoken);
    }

    /// A field to type in.
    pub fn field(&mut self, field: Field<'_>, rect: Rect, text: &mut String) -> Response {
        follow(field.show(self.ui, &self.ink, rect, text))
    }

    pub fn button_right_of(&self, button: Button<'_>, at: Pos2, name: &str) -> Response {
        follow(button.right_of(self.ui, &self.ink, at, self.id.with(name)))
    }

    pub fn button_left_of(&self, button: Button<'_>, at: Pos2, name: &str) -> Response {
        follow(button.left_of(self.ui, &self.ink, at, self.id.with(name)))
    }

    /// A line that unfolds and folds what is under it: the triangle at its left at
    /// that height, its surface, its focus. Gives whether it was pressed.
    pub fn fold(&self, rect: Rect, y: f32, name: &str, spoken: &str, open: bool) -> Response {
        self.fold_on(rect, rect.expand2(vec2(6.0, 0.0)), y, name, (spoken, open))
    }

    /// The same on a surface of another size.
    pub fn fold_on(
        &self,
        rect: Rect,
        surface: Rect,
        y: f32,
        name: &str,
        (spoken, open): (&str, bool),
    ) -> Response {
        let id = self.id.with(name);
        let response = self.ui.interact(rect, id, Sense::click());
        response.widget_info(|| WidgetInfo::labeled(Role::DisclosureTriangle, true, spoken));
        self.ui.ctx().accesskit_node_builder(id, |node| {
            node.set_expanded(open);
        });
        let ink = &self.ink;
        if response.hovered() {
            let painter = self.ui.painter();
            painter.rect_filled(surface, 0.0, ink.row_hovered);
        }
        let colour = if response.hovered() {
            ink.accent
        } else {
            ink.dim
        };
        let centre = pos2(rect.left() + 6.0, y);
        triangle(self.ui, centre, open, colour);
        // The ring keeps clear of what is written, of the next row and of the panel's corners.
        let ring = rect.expand2(vec2(6.0, -4.0));
        control::focus_within(self.ui, ink, ring, self.panel, &response);
        follow(response)
    }

    /// A frame in a colour around what is set in it.
    pub fn block(&mut self, colour: Color32, striped: bool, set: impl FnOnce(&mut Page<'_, 's>)) {
        const PAD: f32 = 10.0;
        let top = self.y;
        let ink = self.ink.clone();
        let behind = self.ui.painter().add(Shape::Noop);
        let (left, right) = (self.left, self.right);
        let mut part = self.part(left + 20.0, right - 12.0, "block");
        part.y += PAD;
        set(&mut part);
        let bottom = part.y + PAD;
        self.y = bottom;
        let rect = Rect::from_min_max(pos2(left, top), pos2(right, bottom));
        let corner = ink.theme.shape.rounding;
        let line = ink.outline(colour);
        let frame = RectShape::new(rect, corner, ink.field, line, StrokeKind::Inside);
        self.ui.painter().set(behind, frame);
        let edge = Rect::from_min_size(rect.min, vec2(8.0, rect.height()));
        if striped {
            paint::hazard(self.ui.painter(), edge, colour, &ink);
        } else {
            let edge = Rect::from_min_size(edge.min, vec2(4.0, edge.height()));
            self.ui.painter().rect_filled(edge, 0.0, colour);
        }
    }

    /// A name and its value, on as many lines as that takes.
    pub fn fact(&mut self, name: &str, value: &str, hand: &Hand) {
        let top = self.y;
        let at = pos2(self.left, top + LINE / 2.0);
        paint::left(self.ui.painter(), at, name, &Hand::dim(&self.ink));
        let mut part = self.part(self.left + VALUES, self.right, name);
        part.y += 3.0;
        part.paragraph(value, hand);
        self.y = (part.y + 3.0).max(top + LINE);
    }

    /// What somebody said in whole sentences, such as a panic: as many lines as that takes.
    pub fn prose(&mut self, text: &str, most: usize) {
        let mono = Hand::new(self.ink.mono(), self.ink.text);
        for line in text.lines().take(most) {
            self.paragraph(line, &mono);
        }
        self.more(text, most);
    }

    /// Lines as the compiler set them: its drawings would not survive being wrapped.
    pub fn listing(&mut self, text: &str, most: usize) {
        const LEADING: f32 = 18.0;
        let mono = Hand::new(self.ink.mono(), self.ink.text);
        for line in text.lines().take(most) {
            let rect = self.line(LEADING);
            self.text(rect.left_center(), line, &mono, rect.width());
        }
        self.more(text, most);
    }

    /// What is beyond so many lines is counted.
    fn more(&mut self, text: &str, most: usize) {
        let more = text.lines().count().saturating_sub(most);
        if more > 0 {
            let rect = self.line(LINE);
            let text = format!("… {more} more lines: copy the report to read them");
            let dim = Hand::dim(&self.ink);
            self.text(rect.left_center(), &text, &dim, rect.width());
        }
    }
}

/// A number for a fault, by which [`Page::came_up`] knows it again.
pub(crate) fn fault_of(said: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    said.hash(&mut hasher);
    hasher.finish()
}

fn triangle(ui: &Ui, centre: Pos2, open: bool, colour: Color32) {
    let points = if open {
        [vec2(-4.5, -2.5), vec2(4.5, -2.5), vec2(0.0, 3.5)]
    } else {
        [vec2(-2.5, -4.5), vec2(3.5, 0.0), vec2(-2.5, 4.5)]
    };
    let points = points.map(|offset| centre + offset).to_vec();
    let stroke = warden_toolkit::egui::Stroke::NONE;
    ui.painter()
        .add(Shape::convex_polygon(points, colour, stroke));
}

/// How wide a line would be.
pub(crate) fn width(page: &Page<'_, '_>, text: &str, hand: &Hand) -> f32 {
    paint::width(page.ui.painter(), text, hand)
}
