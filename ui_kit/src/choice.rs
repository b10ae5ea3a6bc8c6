//! One of several, side by side: a row of parts of which one is chosen.

use warden_toolkit::egui::{
    CornerRadius, Id, Pos2, Rect, Response, Role, Sense, StrokeKind, Ui, WidgetInfo, pos2, vec2,
};

use crate::control::{focus, follow};
use crate::ink::Ink;
use crate::paint::{self, Hand};
use crate::style;

/// One of several, side by side.
#[derive(Clone, Copy, Debug)]
pub struct Choice<'a> {
    /// For the focus; see [`Self::id_of`].
    pub id: Id,
    /// The accessible name of the whole, which those of its parts begin with.
    pub name: &'a str,
    /// Each in a word, and what it means; that may be empty.
    pub of: &'a [(&'a str, &'a str)],
    /// Which one it is now.
    pub chosen: Option<usize>,
    /// Whether another can be chosen.
    pub enabled: bool,
}

impl Choice<'_> {
    /// The part of that place.
    #[must_use]
    pub fn id_of(id: Id, place: usize) -> Id {
        id.with(place)
    }

    /// How wide it will be.
    pub fn width(&self, ui: &Ui, ink: &Ink<'_>) -> f32 {
        let parts = self.of.iter().map(|(word, _)| Self::part(ui, ink, word));
        parts.sum::<f32>() - ink.theme.shape.line * self.of.len().saturating_sub(1) as f32
    }

    fn part(ui: &Ui, ink: &Ink<'_>, word: &str) -> f32 {
        (paint::width(ui.painter(), word, &Hand::label(ink, ink.text)) + 18.0).ceil()
    }

    /// Right of this point, centred on its height. Gives what it took, and which other one was
    /// pressed.
    pub fn show(self, ui: &Ui, ink: &Ink<'_>, at: Pos2) -> (Rect, Option<usize>) {
        let mut pressed = None;
        let height = ink.theme.spacing.button;
        let mut whole = Rect::from_min_size(pos2(at.x, at.y - height / 2.0), vec2(0.0, height));
        let mut x = at.x;
        let mut focused = None;
        for (place, (word, hint)) in self.of.iter().enumerate() {
            let size = vec2(Self::part(ui, ink, word), height);
            let rect = Rect::from_min_size(pos2(x, whole.top()), size);
            let response = self.show_part(ui, ink, rect, place, word);
            if response.has_focus() {
                focused = Some((rect, response.clone()));
            }
            if response.clicked() && self.chosen != Some(place) {
                pressed = Some(place);
            }
            let response = follow(response);
            if !hint.is_empty() {
                response.on_hover_text(*hint);
            }
            whole.max.x = rect.right();
            x = rect.right() - ink.theme.shape.line;
        }
        // Over the parts, or the next one would hide a side of it.
        if let Some((rect, response)) = focused {
            focus(ui, ink, rect, &response);
        }
        (whole, pressed)
    }

    /// The theme's corners at both ends, none where parts meet.
    fn corners(&self, ink: &Ink<'_>, place: usize) -> CornerRadius {
        let whole = style::corner(ink);
        let (first, last) = (place == 0, place + 1 == self.of.len());
        CornerRadius {
            nw: if first { whole.nw } else { 0 },
            sw: if first { whole.sw } else { 0 },
            ne: if last { whole.ne } else { 0 },
            se: if last { whole.se } else { 0 },
        }
    }

    fn show_part(&self, ui: &Ui, ink: &Ink<'_>, rect: Rect, place: usize, word: &str) -> Response {
        let chosen = self.chosen == Some(place);
        let sense = if self.enabled {
            Sense::click()
        } else {
            Sense::hover()
        };
        let response = ui.interact(rect, Self::id_of(self.id, place), sense);
        let name = format!("{}: {}", self.name, word.to_lowercase());
        response
            .widget_info(|| WidgetInfo::selected(Role::RadioButton, self.enabled, chosen, &name));
        let colour = match (self.enabled, chosen) {
            (false, _) => ink.dim,
            (true, true) => ink.accent,
            (true, false) => ink.text,
        };
        let fill = match () {
            () if self.enabled && response.hovered() => ink.hovered,
            () if chosen => ink.raised,
            () => ink.panel,
        };
        let painter = ui.painter();
        let line = ink.outline(ink.line_strong.gamma_multiply(0.7));
        let corners = self.corners(ink, place);
        painter.rect(rect, corners, fill, line, StrokeKind::Inside);
        if chosen {
            let mark = Rect::from_min_max(rect.left_bottom() - vec2(0.0, 3.0), rect.max);
            let below = CornerRadius {
                nw: 0,
                ne: 0,
                ..corners
            };
            painter.rect_filled(mark, below, colour);
        }
        paint::centred(painter, rect.center(), word, &Hand::label(ink, colour));
        response
    }
}
