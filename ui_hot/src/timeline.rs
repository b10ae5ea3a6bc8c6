//! The last ten minutes: leases as bars per GPU, the queue's depth under them, one time axis.

use warden_toolkit::egui::{
    Color32, Mesh, Pos2, Rect, Role, ScrollArea, Sense, Shape, Stroke, Ui, UiBuilder, WidgetInfo,
    pos2, vec2,
};
use warden_view::{Bar, Gpu, LinkState, Selection};

use crate::paint::{self, Hand};
use crate::scene::Scene;
use crate::words;

const LANE: f32 = 28.0;
const AXIS: f32 = 22.0;
/// The least that the queue's depth takes, with the gap over it.
const DEPTH: f32 = 48.0;
/// Room for designations and for the depth's scale, and how much more a mark takes that one is
/// simulated.
const NAMES: f32 = 86.0;
const MARK: f32 = 22.0;

/// What the axis spans, and whether it is live.
pub(crate) fn head(ui: &mut Ui, room: Rect, scene: &mut Scene<'_>) {
    let ink = &scene.ink;
    let y = room.center().y;
    let live = scene.picture.broker.link.state == LinkState::Live;
    let (word, colour) = if live {
        ("live", ink.good)
    } else {
        ("frozen", ink.dim)
    };
    let hand = Hand::dim(ink);
    let span = format!(
        "last {},",
        words::span_short(scene.picture.timeline.span_ms)
    );
    let needed = paint::width(ui.painter(), &format!("{span} {word}"), &hand) + 24.0;
    if needed > room.width() {
        return;
    }
    let at = pos2(room.right(), y);
    let word = paint::right(ui.painter(), at, word, &hand.clone().coloured(colour));
    let dot = pos2(word.left() - 8.0, y);
    ui.painter().circle_filled(dot, 3.0, colour);
    let at = pos2(dot.x - 9.0, y);
    paint::right(ui.painter(), at, &span, &hand);
}

pub(crate) fn show(ui: &mut Ui, body: Rect, scene: &mut Scene<'_>) {
    let pad = scene.ink.theme.spacing.pad;
    let gpus = &scene.picture.gpus;
    let marked = gpus.iter().any(|gpu| gpu.simulated);
    let names = NAMES + if marked { MARK } else { 0.0 };
    let plot = Rect::from_min_max(
        pos2(body.left() + names, body.top() + 6.0),
        pos2(body.right() - pad, body.bottom() - AXIS),
    );
    if plot.width() < 120.0 || plot.height() < 40.0 {
        return;
    }
    let wanted = LANE * gpus.len().max(1) as f32;
    // The depth keeps a part of a low tile, and gives it up in a very low one; lanes scroll.
    let shows_depth = plot.height() >= LANE + DEPTH;
    let depth_height = if shows_depth { DEPTH } else { 0.0 };
    let mut lanes = plot;
    lanes.set_height(wanted.min(plot.height() - depth_height));
    let mut depth = plot;
    depth.min.y = lanes.bottom() + 12.0;
    let axis = Axis::new(scene, plot);
    if !scene.known() {
        let at = pos2(body.left() + pad, body.top() + 16.0);
        let text = "What holds the GPUs and how many wait is drawn here once a broker answers.";
        let room = body.width() - 2.0 * pad;
        paint::paragraph(ui.painter(), at, text, &Hand::dim(&scene.ink), room);
        return;
    }
    grid(ui, scene, plot, &axis);
    if shows_depth {
        self::depth(ui, scene, depth, body.left() + pad, &axis);
    }
    let mut child = ui.new_child(UiBuilder::new().id_salt("lanes").max_rect({
        let mut rect = lanes;
        rect.min.x = body.left();
        rect.max.x = body.right() - scene.ink.theme.shape.line;
        rect
    }));
    child.spacing_mut().item_spacing.y = 0.0;
    let gpus = gpus.clone();
    let area = ScrollArea::vertical()
        .id_salt("gpu lanes")
        .auto_shrink(false);
    area.show_rows(&mut child, LANE, gpus.len(), |ui, range| {
        let top = ui.max_rect().top();
        for (nth, at) in range.enumerate() {
            let lane = Rect::from_min_size(
                pos2(plot.left(), top + LANE * nth as f32),
                vec2(plot.width(), LANE),
            );
            self::lane(ui, scene, lane, body.left() + pad, &axis, &gpus[at]);
        }
    });
    now(ui, scene, plot);
    labels(ui, scene, plot, body.bottom() - AXIS / 2.0, &axis);
}

/// Time from left to right.
struct Axis {
    from: i64,
    to: i64,
    left: f32,
    right: f32,
    known_from: i64,
}

impl Axis {
    fn new(scene: &Scene<'_>, plot: Rect) -> Self {
        let span = scene.picture.timeline.span_ms.max(1);
        Self {
            from: scene.now - span,
            to: scene.now,
            left: plot.left(),
            right: plot.right(),
            known_from: scene.picture.timeline.known_from_ms,
        }
    }

    fn x(&self, ms: i64) -> f32 {
        let part = (ms - self.from) as f64 / (self.to - self.from) as f64;
        self.left + (part.clamp(0.0, 1.0) as f32) * (self.right - self.left)
    }
}

const MINUTE: i64 = 60_000;

/// A dotted line a minute, the middle one whole.
fn grid(ui: &Ui, scene: &Scene<'_>, plot: Rect, axis: &Axis) {
    let ink = &scene.ink;
    let painter = ui.painter();
    let minutes = (axis.to - axis.from) / MINUTE;
    painter.vline(plot.left().round() + 0.5, plot.y_range(), ink.rule());
    for minute in 1..minutes {
        let x = axis.x(axis.to - minute * MINUTE).round() + 0.5;
        if minute * 2 == minutes {
            painter.vline(x, plot.y_range(), ink.rule());
            continue;
        }
        let line = [pos2(x, plot.top()), pos2(x, plot.bottom())];
        painter.extend(Shape::dashed_line(&line, ink.outline(ink.line), 2.0, 6.0));
    }
    if axis.known_from > axis.from {
        unknown(ui, scene, plot, axis.x(axis.known_from));
    }
}

/// Nothing is known from before this point: it is hatched and says so.
fn unknown(ui: &Ui, scene: &Scene<'_>, plot: Rect, until: f32) {
    let ink = &scene.ink;
    let mut rect = plot;
    rect.max.x = until.round();
    let painter = ui.painter().with_clip_rect(rect.intersect(ui.clip_rect()));
    let mut x = rect.left() - rect.height();
    while x < rect.right() {
        let line = [pos2(x, rect.bottom()), pos2(x + rect.height(), rect.top())];
        painter.line_segment(line, Stroke::new(1.0, ink.line.gamma_multiply(0.6)));
        x += 10.0;
    }
    let text = &format!(
        "known since {}",
        scene.time(scene.picture.timeline.known_from_ms)
    );
    if paint::width(&painter, text, &Hand::dim(ink)) + 24.0 < rect.width() {
        let centre = pos2(rect.center().x, rect.bottom() - 22.0);
        let size = vec2(paint::width(&painter, text, &Hand::dim(ink)) + 12.0, 20.0);
        painter.rect_filled(Rect::from_center_size(centre, size), 0.0, ink.panel);
        paint::centred(&painter, centre, text, &Hand::dim(ink));
    }
}

fn lane(ui: &Ui, scene: &mut Scene<'_>, lane: Rect, name_at: f32, axis: &Axis, gpu: &Gpu) {
    let hand = Hand::label(&scene.ink, scene.ink.accent);
    let at = pos2(name_at, lane.center().y);
    paint::left(ui.painter(), at, &scene.gpu_marked(&gpu.id), &hand);
    let bars = scene.picture.timeline.bars.clone();
    for bar in bars.iter().filter(|bar| bar.gpu == gpu.id) {
        if bar.to_ms.is_some_and(|to| to < axis.from) {
            continue;
        }
        let (from, to) = (axis.x(bar.from_ms), axis.x(bar.to_ms.unwrap_or(axis.to)));
        let rect = Rect::from_min_max(
            pos2(from.round(), lane.top() + 4.0),
            pos2(to.round().max(from.round() + 2.0), lane.bottom() - 4.0),
        );
        self::bar(ui, scene, rect, bar);
    }
}

fn bar(ui: &Ui, scene: &mut Scene<'_>, rect: Rect, bar: &Bar) {
    let ink = &scene.ink;
    let colour = scene.priority_colour(bar.priority);
    let painter = ui.painter();
    let rounding = ink.theme.shape.rounding.min(3.0);
    painter.rect_filled(rect, rounding, colour.gamma_multiply(0.92));
    if matches!(&*bar.outcome, "forced" | "reset" | "expired" | "owner_gone") {
        let mut end = rect;
        end.min.x = end.max.x - end.width().min(8.0);
        let colour = if &*bar.outcome == "forced" {
            ink.alarm
        } else {
            ink.warn
        };
        painter.rect_filled(end, 0.0, ink.panel);
        paint::hazard(painter, end, colour, ink);
    }
    if rect.width() > 36.0 {
        let hand = Hand::body(ink).coloured(ink.on_series);
        let at = pos2(rect.left() + 6.0, rect.center().y);
        let room = rect.width() - 12.0;
        let whole = paint::width(painter, &bar.client, &hand) <= room;
        if whole || room > 60.0 {
            paint::left_within(painter, at, &bar.client, &hand, room);
        }
    }
    if rect.width() < 3.0 {
        return;
    }
    let id = ui.scope_id().with(("bar", &*bar.gpu, &*bar.lease));
    let response = ui.interact(rect, id, Sense::CLICK);
    response.widget_info(|| WidgetInfo::labeled(Role::GraphicsObject, true, told(scene, bar)));
    if response.clicked() && bar.to_ms.is_none() {
        scene.memory.selection = Selection::Lease(bar.lease.to_string());
    }
    if response.hovered() {
        response.on_hover_text(told(scene, bar));
    }
}

fn told(scene: &Scene<'_>, bar: &Bar) -> String {
    let held = words::span(bar.to_ms.unwrap_or(scene.now) - bar.from_ms);
    let from = scene.time(bar.from_ms);
    let on = scene.gpu_label(&bar.gpu);
    match bar.to_ms {
        None => format!("{} holds {on} since {from}, {held}", bar.client),
        Some(to) => {
            let to = scene.time(to);
            format!(
                "{} held {on} from {from} to {to}, {held}, {}",
                bar.client, bar.outcome
            )
        }
    }
}

/// Steps of how many wait, with the area under them.
fn depth(ui: &Ui, scene: &Scene<'_>, plot: Rect, left: f32, axis: &Axis) {
    let ink = &scene.ink;
    let steps = &scene.picture.timeline.depth;
    let start = axis.from.max(axis.known_from);
    let in_sight = steps.iter().skip_while(|step| step.at_ms < start);
    let before = steps.iter().take_while(|step| step.at_ms < start).last();
    let first = before.map_or(0, |step| step.waiting);
    let most = in_sight
        .clone()
        .map(|step| step.waiting)
        .chain([first])
        .max()
        .unwrap_or(0)
        .max(1);
    scale(ui, scene, plot, left, most);
    let y = |waiting: u32| {
        (plot.bottom() - 1.0 - (plot.height() - 2.0) * waiting as f32 / most as f32).round() + 0.5
    };
    let mut points: Vec<Pos2> = vec![pos2(axis.x(start), y(first))];
    for step in in_sight {
        let x = axis.x(step.at_ms);
        let last = points.last().map_or(plot.bottom(), |point| point.y);
        points.push(pos2(x, last));
        points.push(pos2(x, y(step.waiting)));
    }
    let last = points.last().map_or(plot.bottom(), |point| point.y);
    points.push(pos2(plot.right(), last));
    area(ui, &points, plot.bottom(), ink.accent.gamma_multiply(0.16));
    ui.painter()
        .add(Shape::line(points, ink.outline(ink.accent)));
}

fn area(ui: &Ui, points: &[Pos2], bottom: f32, colour: Color32) {
    let mut mesh = Mesh::default();
    for pair in points.windows(2) {
        let rect = Rect::from_min_max(pair[0].min(pair[1]), pos2(pair[1].x, bottom));
        if rect.width() > 0.0 {
            mesh.add_colored_rect(rect, colour);
        }
    }
    ui.painter().add(Shape::mesh(mesh));
}

/// Its scale: none, and the most in sight.
fn scale(ui: &Ui, scene: &Scene<'_>, plot: Rect, left: f32, most: u32) {
    let ink = &scene.ink;
    let painter = ui.painter();
    let at = pos2(left, plot.top() + 2.0);
    let label = Hand::label(ink, ink.dim);
    paint::left(painter, at, "waiting", &label);
    let number = words::number(u64::from(most));
    let right = plot.left() - 8.0;
    let wide = paint::width(painter, &number, &Hand::dim(ink)) > right - left - 46.0;
    // A large number takes a line of its own under the word.
    let y = if wide {
        plot.top() + 18.0
    } else {
        plot.top() + 1.0
    };
    paint::right(painter, pos2(right, y), &number, &Hand::dim(ink));
    let at = pos2(right, plot.bottom() - 5.0);
    paint::right(painter, at, "0", &Hand::dim(ink));
}

fn now(ui: &Ui, scene: &Scene<'_>, plot: Rect) {
    let ink = &scene.ink;
    let x = plot.right() + 1.0;
    ui.painter().vline(x, plot.y_range(), ink.strong(ink.good));
}

fn labels(ui: &Ui, scene: &Scene<'_>, plot: Rect, y: f32, axis: &Axis) {
    let ink = &scene.ink;
    let painter = ui.painter();
    let hand = Hand::dim(ink);
    let minutes = (axis.to - axis.from) / MINUTE;
    for minute in (2..=minutes).step_by(2) {
        let at = pos2(axis.x(axis.to - minute * MINUTE), y);
        let text = format!("−{minute} m");
        let rect = paint::centred(painter, at, &text, &hand);
        let id = ui.scope_id().with(("axis", minute));
        ui.interact(rect, id, Sense::hover())
            .on_hover_text(scene.instant(axis.to - minute * MINUTE));
    }
    let text = if scene.acting {
        "now".to_owned()
    } else {
        scene.time(axis.to)
    };
    paint::right(painter, pos2(plot.right(), y), &text, &hand);
}
