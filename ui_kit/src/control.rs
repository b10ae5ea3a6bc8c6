//! What is pressed: buttons, tabs, chips with a key on them, ids that a click copies. Each has an
//! accessible name and role, and shows where the focus is.

use warden_toolkit::egui::{
    Color32, CursorIcon, Frame, Id, Key, Margin, Modifiers, Pos2, Rect, Response, RichText, Role,
    Sense, StrokeKind, TextEdit, Ui, WidgetInfo, pos2, vec2,
};
use warden_view::Action;

use crate::ink::Ink;
use crate::keys;
use crate::paint::{self, Hand};
use crate::words;

/// How a button strikes the reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// One of several.
    Plain,
    /// What is wanted most.
    Accent,
    /// It ends something of somebody's.
    Alarm,
}

/// A button about to be placed.
#[derive(Clone, Debug)]
pub struct Button<'a> {
    label: &'a str,
    name: String,
    weight: Weight,
    cap: Option<&'a str>,
    turn: bool,
    enabled: bool,
}

const PAD: f32 = 10.0;
const CAP_GAP: f32 = 6.0;
const TURN: f32 = 16.0;

impl<'a> Button<'a> {
    /// With this label, which is also its accessible name.
    pub fn new(label: &'a str) -> Self {
        Self {
            label,
            name: label.to_owned(),
            weight: Weight::Plain,
            cap: None,
            turn: false,
            enabled: true,
        }
    }

    /// The accessible name, where the label alone does not say what it is done to.
    pub fn named(self, name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            ..self
        }
    }

    /// How it strikes the reader.
    pub fn weight(self, weight: Weight) -> Self {
        Self { weight, ..self }
    }

    /// The key that does the same.
    pub fn cap(self, cap: &'a str) -> Self {
        Self {
            cap: Some(cap),
            ..self
        }
    }

    /// With a turning arrow before the label.
    pub fn turn(self) -> Self {
        Self { turn: true, ..self }
    }

    /// Whether it can be pressed.
    pub fn enabled(self, enabled: bool) -> Self {
        Self { enabled, ..self }
    }

    /// How wide it will be.
    pub fn width(&self, ui: &Ui, ink: &Ink<'_>) -> f32 {
        let label = paint::width(ui.painter(), self.label, &Hand::label(ink, ink.text));
        let cap = self
            .cap
            .map_or(0.0, |cap| CAP_GAP + cap_width(ui, ink, cap) - 2.0);
        let turn = if self.turn { TURN } else { 0.0 };
        (2.0 * PAD + turn + label + cap).ceil()
    }

    /// Right of this point, centred on its height.
    pub fn right_of(self, ui: &Ui, ink: &Ink<'_>, at: Pos2, id: Id) -> Response {
        let size = vec2(self.width(ui, ink), ink.theme.spacing.button);
        self.show(
            ui,
            ink,
            Rect::from_min_size(pos2(at.x, at.y - size.y / 2.0), size),
            id,
        )
    }

    /// Left of this point, centred on its height.
    pub fn left_of(self, ui: &Ui, ink: &Ink<'_>, at: Pos2, id: Id) -> Response {
        let x = at.x - self.width(ui, ink);
        self.right_of(ui, ink, pos2(x, at.y), id)
    }

    /// Exactly there.
    pub fn show(self, ui: &Ui, ink: &Ink<'_>, rect: Rect, id: Id) -> Response {
        let sense = if self.enabled {
            Sense::click()
        } else {
            Sense::hover()
        };
        let response = ui.interact(rect, id, sense);
        response.widget_info(|| WidgetInfo::labeled(Role::Button, self.enabled, &self.name));
        self.paint(ui, ink, rect, &response);
        if self.enabled {
            response.on_hover_cursor(CursorIcon::PointingHand)
        } else {
            response
        }
    }

    fn paint(&self, ui: &Ui, ink: &Ink<'_>, rect: Rect, response: &Response) {
        let colour = match self.weight {
            _ if !self.enabled => ink.dim,
            Weight::Plain => ink.text,
            Weight::Accent => ink.accent,
            Weight::Alarm => ink.alarm,
        };
        let line = match self.weight {
            _ if !self.enabled => ink.line,
            Weight::Plain => ink.line_strong.gamma_multiply(0.7),
            Weight::Accent | Weight::Alarm => colour,
        };
        let fill = surface(ink, response, self.enabled);
        let painter = ui.painter();
        let corner = ink.theme.shape.rounding;
        painter.rect(rect, corner, fill, ink.outline(line), StrokeKind::Inside);
        focus(ui, ink, rect, response);
        let mut x = rect.left() + PAD;
        if self.turn {
            let centre = pos2(x + 5.0, rect.center().y);
            paint::turn(painter, centre, 4.5, ink.outline(colour));
            x += TURN;
        }
        let hand = Hand::label(ink, colour);
        let at = pos2(x, rect.center().y);
        let label = paint::left(painter, at, self.label, &hand);
        if let Some(cap) = self.cap {
            key_cap(ui, ink, pos2(label.right() + CAP_GAP, rect.center().y), cap);
        }
    }
}

fn surface(ink: &Ink<'_>, response: &Response, enabled: bool) -> Color32 {
    if !enabled {
        ink.panel
    } else if response.is_pointer_button_down_on() {
        ink.pressed
    } else if response.hovered() {
        ink.hovered
    } else {
        ink.raised
    }
}

/// The same within a frame whose corners may be cut.
pub fn focus_within(ui: &Ui, ink: &Ink<'_>, rect: Rect, frame: Rect, response: &Response) {
    if response.has_focus() {
        let ring = ink.strong(ink.text);
        paint::ring(ui.painter(), rect.expand(2.0), frame, ink, ring);
    }
}

/// A ring around what has the keyboard's focus.
pub fn focus(ui: &Ui, ink: &Ink<'_>, rect: Rect, response: &Response) {
    if response.has_focus() {
        let corner = ink.theme.shape.rounding;
        let ring = ink.strong(ink.text);
        ui.painter()
            .rect_stroke(rect.expand(2.0), corner, ring, StrokeKind::Inside);
    }
}

/// A key as a cap. Gives what it took.
pub fn key_cap(ui: &Ui, ink: &Ink<'_>, left_centre: Pos2, key: &str) -> Rect {
    let size = vec2(cap_width(ui, ink, key), 18.0);
    let rect = Rect::from_min_size(pos2(left_centre.x, left_centre.y - 9.0), size);
    let corner = ink.theme.shape.rounding.min(4.0);
    let line = ink.outline(ink.line_strong.gamma_multiply(0.6));
    ui.painter()
        .rect_stroke(rect, corner, line, StrokeKind::Inside);
    let hand = Hand::new(ink.cap(), ink.dim);
    paint::centred(ui.painter(), rect.center(), key, &hand);
    rect
}

/// How wide a key's cap is.
pub fn cap_width(ui: &Ui, ink: &Ink<'_>, key: &str) -> f32 {
    let hand = Hand::new(ink.cap(), ink.dim);
    (paint::width(ui.painter(), key, &hand) + 10.0).ceil()
}

/// A state as a chip: filled, or outlined.
pub fn chip(
    ui: &Ui,
    ink: &Ink<'_>,
    left_centre: Pos2,
    label: &str,
    colour: Color32,
    filled: bool,
) -> Rect {
    let hand = Hand::label(ink, if filled { ink.on_accent } else { colour });
    let size = vec2(
        (paint::width(ui.painter(), label, &hand) + 16.0).ceil(),
        22.0,
    );
    let rect = Rect::from_min_size(pos2(left_centre.x, left_centre.y - 11.0), size);
    let fill = if filled { colour } else { Color32::TRANSPARENT };
    let corner = ink.theme.shape.rounding.min(3.0);
    ui.painter()
        .rect(rect, corner, fill, ink.outline(colour), StrokeKind::Inside);
    paint::centred(ui.painter(), rect.center(), label, &hand);
    rect
}

/// An id: shortened, whole on hover, copied by a click. Gives what it took.
pub fn copyable(
    ui: &Ui,
    ink: &Ink<'_>,
    left_centre: Pos2,
    whole: &str,
    actions: &mut Vec<Action>,
) -> Rect {
    let hand = Hand::new(ink.mono(), ink.text);
    let short = words::id(whole);
    let size = vec2(paint::width(ui.painter(), &short, &hand), 20.0);
    let rect = Rect::from_min_size(pos2(left_centre.x, left_centre.y - 10.0), size);
    let id = ui.scope_id().with(("copy", whole));
    let response = ui
        .interact(rect, id, Sense::click())
        .on_hover_cursor(CursorIcon::PointingHand)
        .on_hover_text(format!("{whole}\nclick to copy"));
    response.widget_info(|| WidgetInfo::labeled(Role::Button, true, format!("Copy {whole}")));
    let hand = if response.hovered() {
        hand.coloured(ink.accent)
    } else {
        hand
    };
    paint::left(ui.painter(), rect.left_center(), &short, &hand);
    focus(ui, ink, rect, &response);
    if response.clicked() {
        actions.push(Action::CopyText {
            text: whole.to_owned(),
        });
    }
    rect
}

/// An id in full, from this corner on as many lines as that takes; copied by a click. Gives what it
/// took.
pub fn copyable_whole(
    ui: &Ui,
    ink: &Ink<'_>,
    corner: Pos2,
    (whole, room): (&str, f32),
    actions: &mut Vec<Action>,
) -> Rect {
    let hand = Hand::new(ink.mono(), ink.text);
    let id = ui.scope_id().with(("copy whole", whole));
    // Where it was in the frame before: it is set in the colour that this tells.
    let hovered = ui.ctx().read_response(id).is_some_and(|was| was.hovered());
    let hand = hand.coloured(if hovered { ink.accent } else { ink.text });
    let rect = paint::unbroken(ui.painter(), corner, whole, &hand, room);
    let response = ui
        .interact(rect, id, Sense::click())
        .on_hover_cursor(CursorIcon::PointingHand)
        .on_hover_text("click to copy");
    response.widget_info(|| WidgetInfo::labeled(Role::Button, true, format!("Copy {whole}")));
    focus(ui, ink, rect, &response);
    if response.clicked() {
        actions.push(Action::CopyText {
            text: whole.to_owned(),
        });
    }
    rect
}

/// A command to copy: a field with the line in it, and a button. Gives what it took.
pub fn command(
    ui: &Ui,
    ink: &Ink<'_>,
    at: Pos2,
    line: &str,
    width: f32,
    actions: &mut Vec<Action>,
) -> Rect {
    let button = Button::new("Copy").named(format!("Copy the line: {line}"));
    let room = width - button.width(ui, ink) - ink.theme.spacing.gap - 24.0;
    let hand = Hand::new(ink.mono(), ink.text);
    let wanted = paint::width(ui.painter(), line, &hand);
    let field = Rect::from_min_size(at, vec2((wanted.min(room.max(40.0)) + 24.0).ceil(), 32.0));
    let corner = ink.theme.shape.rounding;
    ui.painter()
        .rect(field, corner, ink.field, ink.rule(), StrokeKind::Inside);
    let at = pos2(field.left() + 12.0, field.center().y);
    let set = paint::left_within(ui.painter(), at, line, &hand, field.width() - 22.0);
    if set.elided {
        ui.interact(field, ui.scope_id().with(("line", line)), Sense::hover())
            .on_hover_text(line);
    }
    let at = pos2(field.right() + ink.theme.spacing.gap, field.center().y);
    let response = button.right_of(ui, ink, at, ui.scope_id().with(("copy line", line)));
    if response.clicked() {
        actions.push(Action::CopyText {
            text: line.to_owned(),
        });
    }
    field.union(response.rect)
}

/// What takes the focus comes into sight.
pub fn follow(response: Response) -> Response {
    if response.gained_focus() {
        response.scroll_to_me(None);
    }
    response
}

/// A field to type in.
#[derive(Clone, Copy, Debug)]
pub struct Field<'a> {
    /// For the focus.
    pub id: Id,
    /// What an empty one says.
    pub hint: &'a str,
    /// The accessible name.
    pub name: &'a str,
    /// More characters are not taken.
    pub limit: usize,
    /// How it is outlined.
    pub holds: Holds,
}

/// What a field holds, as its outline tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holds {
    /// A filter: lit while there is one.
    Filter,
    /// A value: lit while it is being typed.
    Value,
    /// A value that cannot be.
    Wrong,
}

impl Field<'_> {
    /// More than anybody types; a paste of a log does not slow the window down.
    pub const LIMIT: usize = 256;

    /// Exactly there.
    pub fn show(self, ui: &mut Ui, ink: &Ink<'_>, rect: Rect, text: &mut String) -> Response {
        let focused = ui.ctx().memory(|memory| memory.has_focus(self.id));
        let line = match self.holds {
            Holds::Wrong => ink.strong(ink.alarm),
            Holds::Filter if !text.is_empty() => ink.strong(ink.accent),
            Holds::Filter | Holds::Value if focused => ink.strong(ink.accent),
            Holds::Filter | Holds::Value => ink.outline(ink.line_strong),
        };
        let corner = ink.theme.shape.rounding;
        ui.painter()
            .rect(rect, corner, ink.field, line, StrokeKind::Inside);
        let height = ui.fonts_mut(|fonts| fonts.row_height(&ink.body()));
        let inner = Rect::from_center_size(rect.center(), vec2(rect.width() - 18.0, height));
        let edit = TextEdit::singleline(text)
            .id(self.id)
            .frame(Frame::NONE)
            .margin(Margin::ZERO)
            .desired_width(inner.width())
            .hint_text(RichText::new(self.hint).color(ink.dim))
            .char_limit(self.limit)
            .text_color(ink.text);
        // The palette's key, wherever the focus is; to egui it means "delete to the end".
        let response = keys::without(ui, Modifiers::COMMAND, Key::K, |ui| ui.put(inner, edit));
        response.accessible_name(self.name)
    }
}
