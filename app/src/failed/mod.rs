//! What the host draws itself, so that it stands whatever the hot code does: the banners of a failed
//! reload and of broken files, the tint under them, and the plain page where there is no good code
//! at all.

mod broken;
mod button;
mod code;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::{Duration, Instant};

use warden_reload::{Stage, Status};
use warden_toolkit::egui::text::{LayoutJob, TextFormat, TextWrapping};
use warden_toolkit::egui::{
    self, Color32, FontFamily, FontId, Galley, Id, LayerId, Order, Rect, RichText, ScrollArea,
    Stroke, StrokeKind, Ui, UiBuilder, pos2,
};
use warden_view::{Action, LinkState, Picture, Rgba, Theme};

use crate::hot::Failed;

/// The tint's edge pulses for so long.
const PULSE: Duration = Duration::from_secs(2);
const HEAD_SIZE: f32 = 19.0;
const TEXT_SIZE: f32 = 13.0;
const LINE_HEIGHT: f32 = 17.0;
/// Over each line under a banner's head.
const TITLE_GAP: f32 = 4.0;
const PAD: f32 = 12.0;

pub use broken::Broken;

/// What it is drawn from.
#[derive(Debug)]
pub struct Shown<'a> {
    /// What is known of the queue.
    pub picture: &'a Picture,
    /// In whose colours.
    pub theme: &'a Theme,
    /// The modules that failed and that no success has cleared, in the order in which they draw.
    pub failed: Vec<Failed>,
    /// How the module stands that all is drawn on; none where the code is linked in.
    pub ground: Option<Status>,
    /// When the failure came up.
    pub failed_at: Option<Instant>,
    /// Files whose newest content is not taken.
    pub broken: &'a Broken,
}

impl Shown<'_> {
    /// The stage of an attempt that is under way: of what failed, else of what draws first.
    fn stage_now(&self) -> Option<Stage> {
        let of_failed = self.failed.iter().find_map(|failed| failed.stage);
        of_failed.or_else(|| self.ground.as_ref()?.stage.map(|(stage, _)| stage))
    }
}

/// Draws the banners along the top edge, if there is anything to tell of, and says how far down they
/// reach. They lie over whatever the hot code draws, menus and dialogs too.
pub fn banners(ui: &mut Ui, shown: &Shown<'_>, actions: &mut Vec<Action>) -> Option<f32> {
    let code = code::banner(ui, shown, actions);
    let top = code.unwrap_or(ui.max_rect().top());
    broken::banner(ui, top, shown, actions).or(code)
}

/// How high a theme's stripes along a banner's top are.
fn stripes_of(theme: &Theme, stripes: f32) -> f32 {
    if theme.ornament.hazard { stripes } else { 0.0 }
}

/// Outlines a banner, with stripes of that height along its top where the theme has such; what is
/// left of it.
fn frame_of(ui: &Ui, frame: Rect, theme: &Theme, stripes: f32, line: f32) -> Rect {
    let painter = ui.painter().with_clip_rect(frame);
    let alarm = colour(theme.colours.alarm);
    painter.rect_filled(frame, 0.0, colour(theme.colours.field));
    let mut inner = frame;
    if theme.ornament.hazard {
        let (top, bottom) = (frame.top(), frame.top() + stripes);
        inner.min.y = bottom;
        let warn = colour(theme.colours.warn);
        let mut x = frame.left() - stripes;
        while x < frame.right() {
            let stripe = vec![
                pos2(x, bottom),
                pos2(x + stripes, top),
                pos2(x + 2.0 * stripes, top),
                pos2(x + stripes, bottom),
            ];
            painter.add(egui::Shape::convex_polygon(stripe, warn, Stroke::NONE));
            x += 2.0 * stripes;
        }
    }
    let line = Stroke::new(line, alarm);
    ui.painter()
        .rect_stroke(frame, theme.shape.rounding, line, StrokeKind::Inside);
    inner
}

/// The theme's face for headings, where the hot code has put it in place.
fn heading_face(ctx: &egui::Context) -> FontFamily {
    let family = FontFamily::Name("heading".into());
    let known = ctx.fonts(|fonts| fonts.definitions().families.contains_key(&family));
    if known {
        family
    } else {
        FontFamily::Proportional
    }
}

fn head_font(ctx: &egui::Context) -> FontId {
    FontId::new(HEAD_SIZE, heading_face(ctx))
}

/// A sentence of two lines at most; the rest of it goes.
fn lines_of(ui: &Ui, sentence: &str, ink: Rgba, width: f32) -> Arc<Galley> {
    let format = TextFormat::simple(FontId::proportional(TEXT_SIZE), colour(ink));
    let mut job = LayoutJob::single_section(sentence.to_owned(), format);
    job.wrap = TextWrapping {
        max_width: width,
        max_rows: 2,
        ..TextWrapping::default()
    };
    ui.painter().layout_job(job)
}

fn message(ui: &mut Ui, theme: &Theme, message: &str, salt: &str) {
    ScrollArea::both()
        .id_salt(salt)
        .auto_shrink(false)
        .show(ui, |ui| {
            let words = RichText::new(message)
                .font(FontId::monospace(TEXT_SIZE))
                .color(colour(theme.colours.text));
            ui.add(egui::Label::new(words).extend().selectable(true));
        });
}

/// Lays the theme's tint over `area`, with an edge that pulses at first; at half its strength where
/// only files are broken, which do not pulse either.
pub fn tint(ctx: &egui::Context, area: Rect, shown: &Shown<'_>) {
    let layer = LayerId::new(Order::Debug, Id::unique("warden tint"));
    let painter = ctx.layer_painter(layer);
    let mut tint = shown.theme.colours.tint;
    if shown.failed.is_empty() {
        tint.a /= 2;
    }
    painter.rect_filled(area, 0.0, colour(tint));
    let since = shown
        .failed_at
        .map(|at| at.elapsed())
        .filter(|since| *since < PULSE);
    if let Some(since) = since.filter(|_| !shown.picture.window.reduced_motion) {
        let wave = (since.as_secs_f32() * std::f32::consts::TAU).sin().abs();
        let edge = Stroke::new(2.0 + 6.0 * wave, colour(shown.theme.colours.alarm));
        painter.rect_stroke(area, 0.0, edge, StrokeKind::Inside);
        ctx.request_repaint_after(Duration::from_millis(33));
    }
}

/// The host's own page: what failed, and the queue as text.
pub fn plain_page(ui: &mut Ui, shown: &Shown<'_>, actions: &mut Vec<Action>) {
    let colours = &shown.theme.colours;
    let page = ui.max_rect();
    ui.painter().rect_filled(page, 0.0, colour(colours.ground));
    let inner = UiBuilder::new().max_rect(page.shrink(2.0 * PAD));
    ui.scope_builder(inner, |ui| {
        match (shown.failed.as_slice(), shown.stage_now()) {
            (failed @ [_, ..], _) => {
                let words = format!("{}  ·  nothing draws", code::heading(failed));
                line(ui, &words, HEAD_SIZE, colours.alarm);
            }
            ([], Some(stage)) => {
                line(
                    ui,
                    &format!("First generation: {stage} …"),
                    HEAD_SIZE,
                    colours.text,
                );
            }
            ([], None) => line(ui, "There is no drawing code", HEAD_SIZE, colours.alarm),
        }
        ui.add_space(PAD);
        if shown.ground.is_some() {
            ui.horizontal(|ui| code::buttons(ui, shown, actions));
        }
        ui.add_space(PAD);
        queue(ui, shown);
        ui.add_space(PAD);
        if let Some(failed) = shown.failed.first() {
            line(ui, &code::headline(failed), TEXT_SIZE, colours.text);
            let rest: Vec<&str> = code::unsaid(&failed.failure).collect();
            message(ui, shown.theme, &rest.join("\n"), "plain message");
        }
    });
}

/// The queue in words, as far as it is known.
fn queue(ui: &mut Ui, shown: &Shown<'_>) {
    let (picture, colours) = (shown.picture, &shown.theme.colours);
    let (broker, link) = (&picture.broker, &picture.broker.link);
    let words = match &*link.detail {
        "" => format!("Broker {}", broker.address),
        detail => format!("Broker {}: {detail}", broker.address),
    };
    line(ui, &words, TEXT_SIZE, colours.dim);
    if link.state != LinkState::Live && link.frozen_at_ms.is_none() {
        let words = "who holds what and who waits is not known";
        line(ui, words, TEXT_SIZE, colours.text);
        return;
    }
    let now_ms = link.frozen_at_ms.unwrap_or(picture.clock.now_ms);
    if let Some(frozen_at_ms) = link.frozen_at_ms {
        let words = format!("figures are from {}", picture.clock.time(frozen_at_ms));
        line(ui, &words, TEXT_SIZE, colours.text);
    }
    line(
        ui,
        &format!("{} waiting", picture.queue.len()),
        HEAD_SIZE,
        colours.text,
    );
    if picture.holders.is_empty() {
        line(ui, "nothing is held", TEXT_SIZE, colours.text);
    }
    for holder in picture.holders.iter() {
        let held_s = (now_ms - holder.granted_ms).max(0) / 1_000;
        let gpus = holder.gpus.join(", ");
        let pid = holder
            .pid
            .map(|pid| format!(", pid {pid}"))
            .unwrap_or_default();
        let words = format!("{} has held {gpus} for {held_s} s{pid}", holder.client);
        line(ui, &words, TEXT_SIZE, colours.text);
    }
}

fn line(ui: &mut Ui, words: &str, size: f32, ink: Rgba) {
    ui.add(egui::Label::new(RichText::new(words).size(size).color(colour(ink))).wrap());
}

/// A token of the theme as egui has it.
#[expect(
    clippy::disallowed_methods,
    reason = "this is where a theme's token becomes a colour"
)]
pub fn colour(token: Rgba) -> Color32 {
    Color32::from_rgba_unmultiplied(token.r, token.g, token.b, token.a)
}
