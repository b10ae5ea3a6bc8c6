//! What the panels are painted with: text that ends in an ellipsis, frames with cut corners, bars,
//! pips, hazard stripes.

use warden_toolkit::egui::text::{LayoutJob, TextFormat, TextWrapping};
use warden_toolkit::egui::{
    Align2, Color32, FontFamily, FontId, Painter, Pos2, Rect, Shape, Stroke, StrokeKind, Vec2,
    pos2, vec2,
};

use crate::ink::Ink;

/// What a line of text looks like.
#[derive(Clone, Debug)]
pub struct Hand {
    font: FontId,
    colour: Color32,
    letter_spacing: f32,
    capitals: bool,
}

impl Hand {
    /// Plain.
    pub fn new(font: FontId, colour: Color32) -> Self {
        Self {
            font,
            colour,
            letter_spacing: 0.0,
            capitals: false,
        }
    }

    /// Headings and states: capitals, a little apart.
    pub fn capitals(font: FontId, colour: Color32) -> Self {
        Self {
            font,
            colour,
            letter_spacing: 0.6,
            capitals: true,
        }
    }

    /// Text and figures.
    pub fn body(ink: &Ink<'_>) -> Self {
        Self::new(ink.body(), ink.text)
    }

    /// What is read second.
    pub fn dim(ink: &Ink<'_>) -> Self {
        Self::new(ink.body(), ink.dim)
    }

    /// Heads of tables, states.
    pub fn label(ink: &Ink<'_>, colour: Color32) -> Self {
        Self::capitals(ink.label(), colour)
    }

    /// Heads of panels.
    pub fn head(ink: &Ink<'_>, colour: Color32) -> Self {
        Self::capitals(ink.head(), colour)
    }

    /// The same in another colour.
    pub fn coloured(self, colour: Color32) -> Self {
        Self { colour, ..self }
    }

    fn format(&self) -> TextFormat {
        TextFormat {
            font_id: self.font.clone(),
            color: self.colour,
            extra_letter_spacing: self.letter_spacing,
            ..TextFormat::default()
        }
    }

    fn job(&self, text: &str, width: f32) -> LayoutJob {
        let text = if self.capitals {
            text.to_uppercase()
        } else {
            text.to_owned()
        };
        let mut job = LayoutJob::single_section(text, self.format());
        job.break_on_newline = false;
        if width.is_finite() {
            job.wrap = TextWrapping::truncate_at_width(width);
        }
        job
    }
}

/// What a text took.
#[derive(Clone, Copy, Debug)]
pub struct Set {
    /// Where it stands.
    pub rect: Rect,
    /// It ends in an ellipsis.
    pub elided: bool,
}

/// Sets a line of text at a point.
pub fn text(painter: &Painter, at: Pos2, anchor: Align2, text: &str, hand: &Hand) -> Rect {
    fit(painter, at, anchor, text, hand, f32::INFINITY).rect
}

/// The same, no wider than that; what does not fit ends in an ellipsis.
fn fit(painter: &Painter, at: Pos2, anchor: Align2, text: &str, hand: &Hand, width: f32) -> Set {
    if width < 4.0 {
        return Set {
            rect: Rect::from_min_size(at, vec2(0.0, 0.0)),
            elided: !text.is_empty(),
        };
    }
    lay(painter, at, anchor, hand.job(text, width), hand.colour)
}

fn lay(painter: &Painter, at: Pos2, anchor: Align2, job: LayoutJob, colour: Color32) -> Set {
    let galley = painter.layout_job(job);
    let rect = anchor.anchor_size(at, galley.size());
    let set = Set {
        rect,
        elided: galley.elided,
    };
    painter.galley(rect.min, galley, colour);
    set
}

/// Sets a line of text right of a point, centred on its height.
pub fn left(painter: &Painter, at: Pos2, line: &str, hand: &Hand) -> Rect {
    text(painter, at, Align2::LEFT_CENTER, line, hand)
}

/// Sets a line of text left of a point, centred on its height.
pub fn right(painter: &Painter, at: Pos2, line: &str, hand: &Hand) -> Rect {
    text(painter, at, Align2::RIGHT_CENTER, line, hand)
}

/// Sets a line of text around a point.
pub fn centred(painter: &Painter, at: Pos2, line: &str, hand: &Hand) -> Rect {
    text(painter, at, Align2::CENTER_CENTER, line, hand)
}

/// As [`left`], no wider than that.
pub fn left_within(painter: &Painter, at: Pos2, line: &str, hand: &Hand, width: f32) -> Set {
    fit(painter, at, Align2::LEFT_CENTER, line, hand, width)
}

/// As [`left_within`], with the characters at these places, from 0, in another colour and underlined:
/// what of a name matched. The places are in order.
pub fn left_marked(
    painter: &Painter,
    at: Pos2,
    line: &str,
    hand: &Hand,
    (marks, colour): (&[u32], Color32),
    width: f32,
) -> Set {
    if marks.is_empty() || width < 4.0 {
        return left_within(painter, at, line, hand, width);
    }
    let plain = hand.format();
    let marked = TextFormat {
        color: colour,
        underline: Stroke::new(1.0, colour),
        ..plain.clone()
    };
    let mut job = LayoutJob {
        wrap: TextWrapping::truncate_at_width(width),
        break_on_newline: false,
        ..LayoutJob::default()
    };
    let mut marks = marks.iter().peekable();
    let mut run = String::new();
    let mut run_is_marked = false;
    for (place, character) in (0_u32..).zip(line.chars()) {
        let is_marked = marks.next_if_eq(&&place).is_some();
        if is_marked != run_is_marked && !run.is_empty() {
            let format = if run_is_marked { &marked } else { &plain };
            job.append(&run, 0.0, format.clone());
            run.clear();
        }
        run_is_marked = is_marked;
        run.push(character);
    }
    job.append(&run, 0.0, if run_is_marked { marked } else { plain });
    lay(painter, at, Align2::LEFT_CENTER, job, hand.colour)
}

/// As [`right`], no wider than that.
pub fn right_within(painter: &Painter, at: Pos2, line: &str, hand: &Hand, width: f32) -> Set {
    fit(painter, at, Align2::RIGHT_CENTER, line, hand, width)
}

/// Several lines of text, wrapped; what stands between backticks is set as code, without them. Gives
/// what they took.
pub fn paragraph(painter: &Painter, at: Pos2, text: &str, hand: &Hand, width: f32) -> Rect {
    let mut job = prose(text, hand);
    job.wrap.max_width = width.max(20.0);
    let galley = painter.layout_job(job);
    let rect = Rect::from_min_size(at, galley.size());
    painter.galley(at, galley, hand.colour);
    rect
}

/// Text with its code. What is code as a whole keeps its backticks, and so does a text in which they
/// are no pairs.
fn prose(text: &str, hand: &Hand) -> LayoutJob {
    let plain = hand.format();
    let ticks = text.matches('`').count();
    if ticks % 2 == 1 || plain.font_id.family == FontFamily::Monospace {
        return LayoutJob::single_section(text.to_owned(), plain);
    }
    let code = TextFormat {
        font_id: FontId::new(plain.font_id.size, FontFamily::Monospace),
        ..plain.clone()
    };
    let mut job = LayoutJob::default();
    for (at, part) in text.split('`').enumerate() {
        if !part.is_empty() {
            let format = if at % 2 == 1 { &code } else { &plain };
            job.append(part, 0.0, format.clone());
        }
    }
    job
}

/// A word of any length, broken wherever a line ends. Gives what it took.
pub fn unbroken(painter: &Painter, at: Pos2, word: &str, hand: &Hand, width: f32) -> Rect {
    let mut job = LayoutJob::single_section(word.to_owned(), hand.format());
    job.wrap.max_width = width.max(20.0);
    job.wrap.break_anywhere = true;
    let galley = painter.layout_job(job);
    let rect = Rect::from_min_size(at, galley.size());
    painter.galley(at, galley, hand.colour);
    rect
}

/// How wide a line of text would be.
pub fn width(painter: &Painter, text: &str, hand: &Hand) -> f32 {
    size(painter, text, hand).x
}

/// How wide and how high a line of text would be.
pub fn size(painter: &Painter, text: &str, hand: &Hand) -> Vec2 {
    painter.layout_job(hand.job(text, f32::INFINITY)).size()
}

/// A frame: the theme's cut corners (top left and bottom right) or its round ones.
pub fn frame(painter: &Painter, rect: Rect, ink: &Ink<'_>, fill: Color32, line: Stroke) {
    let shape = ink.theme.shape;
    if shape.cut <= 0.0 {
        painter.rect(rect, shape.rounding, fill, line, StrokeKind::Inside);
        return;
    }
    let inside = rect.shrink(line.width / 2.0);
    painter.add(Shape::convex_polygon(
        cut_corners(inside, shape.cut),
        fill,
        line,
    ));
}

/// Draws a frame's lower cut corner once more, over what filled the panel.
pub fn mend_corner(painter: &Painter, rect: Rect, ink: &Ink<'_>) {
    let cut = ink.theme.shape.cut;
    if cut <= 0.0 {
        return;
    }
    let corner = rect.right_bottom();
    let points = vec![corner, corner - vec2(cut, 0.0), corner - vec2(0.0, cut)];
    painter.add(Shape::convex_polygon(points, ink.ground, Stroke::NONE));
    let inside = rect.shrink(ink.theme.shape.line / 2.0).right_bottom();
    painter.line_segment(
        [inside - vec2(cut, 0.0), inside - vec2(0.0, cut)],
        ink.rule(),
    );
}

fn cut_corners(rect: Rect, cut: f32) -> Vec<Pos2> {
    let cut = cut.min(rect.width() / 2.0).min(rect.height() / 2.0);
    corners(rect, cut, cut)
}

/// Clockwise, with so much cut off at the top left and at the bottom right.
fn corners(rect: Rect, top_left: f32, bottom_right: f32) -> Vec<Pos2> {
    vec![
        pos2(rect.left() + top_left, rect.top()),
        pos2(rect.right(), rect.top()),
        pos2(rect.right(), rect.bottom() - bottom_right),
        pos2(rect.right() - bottom_right, rect.bottom()),
        pos2(rect.left(), rect.bottom()),
        pos2(rect.left(), rect.top() + top_left),
    ]
}

/// A ring in a frame that [`frame`] drew: where the frame's corners are cut, it follows them.
pub fn ring(painter: &Painter, rect: Rect, frame: Rect, ink: &Ink<'_>, line: Stroke) {
    let inside = rect.shrink(line.width / 2.0);
    let (top_left, bottom_right) = ring_cuts(inside, frame, ink.theme.shape.cut, line.width);
    if top_left <= 0.0 && bottom_right <= 0.0 {
        let corner = ink.theme.shape.rounding;
        painter.rect_stroke(rect, corner, line, StrokeKind::Inside);
        return;
    }
    let most = (inside.width() / 2.0).min(inside.height() / 2.0).max(0.0);
    let [top_left, bottom_right] = [top_left, bottom_right].map(|cut| cut.clamp(0.0, most));
    painter.add(Shape::closed_line(
        corners(inside, top_left, bottom_right),
        line,
    ));
}

/// How much of a ring's corners must go for it to stay clear of the frame's cuts; none where they are
/// not above zero.
fn ring_cuts(ring: Rect, frame: Rect, cut: f32, line: f32) -> (f32, f32) {
    if cut <= 0.0 {
        return (0.0, 0.0);
    }
    // A cut at 45 degrees is where the distances from both sides add up to it.
    let clear = cut + (2.0 + line / 2.0) * std::f32::consts::SQRT_2;
    let from_top_left = ring.min - frame.min;
    let from_bottom_right = frame.max - ring.max;
    (
        clear - from_top_left.x - from_top_left.y,
        clear - from_bottom_right.x - from_bottom_right.y,
    )
}

/// The rule under a head; double where the theme has double rules.
pub fn head_rule(painter: &Painter, rect: Rect, y: f32, ink: &Ink<'_>) {
    let inset = ink.theme.shape.line;
    let x = (rect.left() + inset)..=(rect.right() - inset);
    painter.hline(x.clone(), y, ink.rule());
    if ink.theme.ornament.double_rules {
        painter.hline(x, y - 3.0, Stroke::new(1.0, ink.line.gamma_multiply(0.5)));
    }
}

/// A rule across.
pub fn rule(painter: &Painter, rect: Rect, y: f32, ink: &Ink<'_>) {
    let inset = ink.theme.shape.line;
    painter.hline(
        (rect.left() + inset)..=(rect.right() - inset),
        y,
        ink.rule(),
    );
}

/// How wide the edge is that marks what is selected.
pub const EDGE: f32 = 4.0;

/// What lies behind a row: that it is selected, with an edge on its left, so that the colour alone
/// does not say it; or that it is under the pointer.
pub fn highlight(painter: &Painter, rect: Rect, ink: &Ink<'_>, selected: bool, hovered: bool) {
    if selected {
        painter.rect_filled(rect, 0.0, ink.selected);
        edge(painter, rect, ink.accent);
    } else if hovered {
        painter.rect_filled(rect, 0.0, ink.row_hovered);
    }
}

/// An edge on the left of a row.
pub fn edge(painter: &Painter, rect: Rect, colour: Color32) {
    let edge = Rect::from_min_size(rect.min, vec2(EDGE, rect.height()));
    painter.rect_filled(edge, 0.0, colour);
}

/// What is left of something, as a bar that shrinks.
pub fn bar(painter: &Painter, rect: Rect, part: f32, colour: Color32, ink: &Ink<'_>) {
    let rounding = ink.theme.shape.rounding.min(rect.height() / 2.0);
    painter.rect_filled(rect, rounding, ink.track);
    let part = if part.is_finite() {
        part.clamp(0.0, 1.0)
    } else {
        0.0
    };
    // A little stays to the end: an empty bar and a missing one look alike.
    let width = (rect.width() * part)
        .round()
        .max(rect.height().min(rect.width()));
    painter.rect_filled(
        Rect::from_min_size(rect.min, vec2(width, rect.height())),
        rounding,
        colour,
    );
}

/// So many of so many, as pips.
pub fn pips(painter: &Painter, at: Pos2, lit: u32, of: u32, colour: Color32, ink: &Ink<'_>) {
    for pip in 0..of.min(MAX_PIPS) {
        let x = at.x + PIP.x * pip as f32;
        let rect = Rect::from_min_size(
            pos2(x, at.y - PIP_HEIGHT / 2.0),
            vec2(PIP.x - 2.0, PIP_HEIGHT),
        );
        painter.rect_filled(rect, 0.0, if pip < lit { colour } else { ink.track });
    }
}

/// How wide that many pips are.
pub fn pips_width(of: u32) -> f32 {
    PIP.x * of.min(MAX_PIPS) as f32 - 2.0
}

const PIP: warden_toolkit::egui::Vec2 = vec2(7.0, 0.0);
const PIP_HEIGHT: f32 = 10.0;
/// More would not fit a column; the number beside them says the rest.
const MAX_PIPS: u32 = 12;

/// Hazard stripes: something here is being forced or has failed. A plain fill of the colour where
/// the theme has no ornament.
pub fn hazard(painter: &Painter, rect: Rect, colour: Color32, ink: &Ink<'_>) {
    if !ink.theme.ornament.hazard {
        painter.rect_filled(rect, 0.0, colour);
        return;
    }
    let painter = painter.with_clip_rect(rect.intersect(painter.clip_rect()));
    let (step, height) = (16.0, rect.height());
    let mut x = rect.left() - height - step;
    while x < rect.right() + step {
        let band = vec![
            pos2(x, rect.bottom()),
            pos2(x + height, rect.top()),
            pos2(x + height + step / 2.0, rect.top()),
            pos2(x + step / 2.0, rect.bottom()),
        ];
        painter.add(Shape::convex_polygon(band, colour, Stroke::NONE));
        x += step;
    }
}

/// A warning triangle, point up, around a centre.
pub fn triangle(painter: &Painter, centre: Pos2, size: f32, colour: Color32) {
    let half = size / 2.0;
    let points = vec![
        pos2(centre.x, centre.y - half),
        pos2(centre.x + half, centre.y + half),
        pos2(centre.x - half, centre.y + half),
    ];
    painter.add(Shape::convex_polygon(points, colour, Stroke::NONE));
}

/// A turning arrow, around a centre.
pub fn turn(painter: &Painter, centre: Pos2, radius: f32, stroke: Stroke) {
    use std::f32::consts::TAU;
    let point = |turn: f32| centre + radius * vec2((TAU * turn).cos(), (TAU * turn).sin());
    // From two o'clock round to noon; the head points on along the circle.
    let arc: Vec<Pos2> = (0..=20)
        .map(|at| point(-0.03 + 0.75 * at as f32 / 20.0))
        .collect();
    painter.add(Shape::line(
        arc,
        Stroke::new(stroke.width * 1.4, stroke.color),
    ));
    let tip = point(0.72);
    let head = vec![
        tip + vec2(4.2, 0.4),
        tip + vec2(-0.6, -3.4),
        tip + vec2(-0.6, 3.6),
    ];
    painter.add(Shape::convex_polygon(head, stroke.color, Stroke::NONE));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "any colour will do")]
    fn code_is_set_as_code_and_loses_its_backticks() {
        let body = FontId::new(13.0, FontFamily::Proportional);
        let hand = Hand::new(body, Color32::from_gray(200));
        let job = prose("a file of `themes/` by its name", &hand);
        assert_eq!(job.text, "a file of themes/ by its name");
        let mono: Vec<&str> = job
            .sections
            .iter()
            .filter(|section| section.format.font_id.family == FontFamily::Monospace)
            .map(|section| &job.text[section.byte_range.start.0..section.byte_range.end.0])
            .collect();
        assert_eq!(mono, ["themes/"]);
        assert_eq!(prose("an odd ` stays", &hand).text, "an odd ` stays");
        let code = Hand::new(FontId::new(13.0, FontFamily::Monospace), Color32::WHITE);
        assert_eq!(prose("let `x`", &code).text, "let `x`");
    }

    #[test]
    fn a_ring_is_cut_where_its_frame_is() {
        let frame = Rect::from_min_max(pos2(0.0, 0.0), pos2(400.0, 200.0));
        let (top_left, bottom_right) = ring_cuts(frame.shrink(3.0), frame, 14.0, 2.0);
        assert!(top_left > 8.0 && bottom_right > 8.0);
        let below_the_head = Rect::from_min_max(pos2(3.0, 39.0), pos2(397.0, 197.0));
        let (top_left, bottom_right) = ring_cuts(below_the_head, frame, 14.0, 2.0);
        assert!(top_left <= 0.0 && bottom_right > 8.0);
        assert_eq!(ring_cuts(frame, frame, 0.0, 2.0), (0.0, 0.0));
    }
}
