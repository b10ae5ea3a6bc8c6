//! What the host draws itself, so that it stands whatever the hot code does: the banners of a failed
//! reload and of broken files, the tint under them, and the plain page where there is no good code
//! at all.

mod broken;

use std::time::{Duration, Instant};

use warden_reload::{Failure, Stage, Status};
use warden_toolkit::egui::{
    self, Align, Color32, FontFamily, FontId, Id, LayerId, Layout, Order, Rect, RichText,
    ScrollArea, Stroke, StrokeKind, Ui, UiBuilder, pos2, vec2,
};
use warden_view::{Action, Picture, Rgba, Theme};

/// The tint's edge pulses for so long.
const PULSE: Duration = Duration::from_secs(2);
/// Lines of the message that the banner shows without scrolling; the reload panel has all of it.
const LINES: usize = 6;
const HEAD_SIZE: f32 = 19.0;
const TEXT_SIZE: f32 = 13.0;
const HEAD_HEIGHT: f32 = 34.0;
const LINE_HEIGHT: f32 = 17.0;
const PAD: f32 = 12.0;
/// The height of the stripes, and half their distance.
const HAZARD: f32 = 8.0;

pub use broken::Broken;

/// What it is drawn from.
#[derive(Debug)]
pub struct Shown<'a> {
    /// What is known of the queue.
    pub picture: &'a Picture,
    /// In whose colours.
    pub theme: &'a Theme,
    /// The newest failure that no success has cleared.
    pub failure: Option<Failure>,
    /// How that module stands, or else the first one; none where the code is linked in.
    pub status: Option<Status>,
    /// When the failure came up.
    pub failed_at: Option<Instant>,
    /// Files whose newest content is not taken.
    pub broken: &'a Broken,
}

impl Shown<'_> {
    fn stage_now(&self) -> Option<Stage> {
        self.status.as_ref()?.stage.map(|(stage, _)| stage)
    }
}

/// Draws the banners along the top edge, if there is anything to tell of, and says how far down they
/// reach. They lie over whatever the hot code draws, menus and dialogs too.
pub fn banners(ui: &mut Ui, shown: &Shown<'_>, actions: &mut Vec<Action>) -> Option<f32> {
    let code = code_banner(ui, shown, actions);
    let top = code.unwrap_or(ui.max_rect().top());
    broken::banner(ui, top, shown, actions).or(code)
}

fn code_banner(ui: &mut Ui, shown: &Shown<'_>, actions: &mut Vec<Action>) -> Option<f32> {
    let failure = shown.failure.as_ref()?;
    let lines = excerpt(failure).lines().count();
    let more = match lines {
        0 => 0.0,
        lines => lines as f32 * LINE_HEIGHT + PAD / 2.0,
    };
    let window = ui.max_rect();
    let gap = shown.theme.spacing.gap;
    let height = HAZARD + HEAD_HEIGHT + LINE_HEIGHT + more + PAD / 2.0 + gap;
    let height = height.min(window.height() / 2.0);
    let place = Rect::from_min_size(window.min, vec2(window.width(), height));
    // An area's first pass only finds its size and paints nothing: one frame without the banner, which
    // shall not be one with a hole.
    ui.painter()
        .rect_filled(place, 0.0, colour(shown.theme.colours.ground));
    egui::Area::new(Id::unique("warden reload banner"))
        .order(Order::Debug)
        .fixed_pos(place.min)
        .constrain(false)
        .show(ui.ctx(), |ui| {
            ui.set_min_size(place.size());
            ui.painter()
                .rect_filled(place, 0.0, colour(shown.theme.colours.ground));
            let mut frame = place.shrink(gap);
            frame.max.y = place.bottom();
            let inner = frame_of(ui, frame, shown.theme, HAZARD, shown.theme.shape.strong);
            let inner = inner.shrink2(vec2(PAD, PAD / 2.0));
            ui.scope_builder(UiBuilder::new().max_rect(inner), |ui| {
                told(ui, shown, failure, actions);
            });
        });
    Some(place.bottom())
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

fn told(ui: &mut Ui, shown: &Shown<'_>, failure: &Failure, actions: &mut Vec<Action>) {
    let colours = &shown.theme.colours;
    ui.horizontal(|ui| {
        ui.set_height(HEAD_HEIGHT - PAD);
        let words = format!("{}  {}", heading(failure.stage), failure.module);
        let words = RichText::new(words).font(head_font(ui.ctx()));
        ui.label(words.color(colour(colours.alarm)));
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            buttons(ui, shown, failure, actions);
            let words = RichText::new(runs_on(shown)).size(TEXT_SIZE);
            ui.add(egui::Label::new(words.color(colour(colours.dim))).truncate());
        });
    });
    let title = RichText::new(headline(failure))
        .size(TEXT_SIZE)
        .color(colour(colours.text));
    ui.add(egui::Label::new(title).truncate());
    let excerpt = excerpt(failure);
    if !excerpt.is_empty() {
        message(ui, shown.theme, &excerpt, "banner message");
    }
}

/// What failed and where, in one line: the compiler's own where the message begins with it.
fn headline(failure: &Failure) -> String {
    let first = failure.message.lines().next().unwrap_or_default();
    let title = match first.contains(&failure.title) {
        true => first,
        false => &failure.title,
    };
    match &failure.place {
        Some(place) => format!("{place}  {title}"),
        None => title.to_owned(),
    }
}

/// The lines of a message that the banner has room for, without those that its headline has said.
fn excerpt(failure: &Failure) -> String {
    let said = |line: &&str| line.contains(&failure.title) || line.trim_start().starts_with("-->");
    let lines = failure.message.lines().skip_while(said);
    lines.take(LINES).collect::<Vec<_>>().join("\n")
}

/// The theme's face for headings, where the hot code has put it in place.
fn head_font(ctx: &egui::Context) -> FontId {
    let family = FontFamily::Name("heading".into());
    let known = ctx.fonts(|fonts| fonts.definitions().families.contains_key(&family));
    FontId::new(
        HEAD_SIZE,
        if known {
            family
        } else {
            FontFamily::Proportional
        },
    )
}

fn buttons(ui: &mut Ui, shown: &Shown<'_>, failure: &Failure, actions: &mut Vec<Action>) {
    reload_button(ui, shown, actions);
    if failure.needs_restart
        && shown.picture.reload.restart.is_none()
        && button(ui, shown.theme, "WARM RESTART  Ctrl+Alt+W").clicked()
    {
        actions.push(Action::WarmRestart);
    }
    if let Some(place) = &failure.place
        && button(ui, shown.theme, "OPEN IN EDITOR").clicked()
    {
        let (line, column) = (place.line, place.column);
        let file = place.file.as_str().into();
        actions.push(Action::OpenEditor { file, line, column });
    }
}

fn reload_button(ui: &mut Ui, shown: &Shown<'_>, actions: &mut Vec<Action>) {
    let words = match shown.stage_now() {
        Some(stage) => format!("RELOAD AGAIN  {stage} …"),
        None => "RELOAD  Ctrl+Alt+R".to_owned(),
    };
    if button(ui, shown.theme, &words).clicked() {
        actions.push(Action::Reload);
    }
}

fn button(ui: &mut Ui, theme: &Theme, words: &str) -> egui::Response {
    let colours = &theme.colours;
    let words = RichText::new(words)
        .size(TEXT_SIZE)
        .color(colour(colours.text));
    let line = Stroke::new(theme.shape.line, colour(colours.line_strong));
    ui.add(
        egui::Button::new(words)
            .fill(colour(colours.raised))
            .stroke(line),
    )
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

fn heading(stage: Stage) -> &'static str {
    match stage {
        Stage::Build => "RELOAD FAILED AT BUILD",
        Stage::Load => "RELOAD FAILED AT LOAD",
        Stage::Check => "RELOAD FAILED AT CHECK",
        Stage::Migrate => "RELOAD FAILED AT MIGRATE",
        Stage::Rehearse => "RELOAD FAILED AT REHEARSE",
        Stage::Swap => "RELOAD FAILED AT SWAP",
        Stage::Probation => "RELOAD FAILED AT PROBATION",
        Stage::Trusted => "PANIC WHILE DRAWING",
    }
}

fn runs_on(shown: &Shown<'_>) -> String {
    match shown
        .status
        .as_ref()
        .and_then(|status| status.running.as_ref())
    {
        Some(running) => format!(
            "generation {:02} goes on, nothing was lost",
            running.number()
        ),
        None => "no generation runs".to_owned(),
    }
}

/// Lays the theme's tint over `area`, with an edge that pulses at first; at half its strength where
/// only files are broken, which do not pulse either.
pub fn tint(ctx: &egui::Context, area: Rect, shown: &Shown<'_>) {
    let layer = LayerId::new(Order::Debug, Id::unique("warden tint"));
    let painter = ctx.layer_painter(layer);
    let mut tint = shown.theme.colours.tint;
    if shown.failure.is_none() {
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
        match (&shown.failure, shown.stage_now()) {
            (Some(failure), _) => {
                let words = format!("{}  ·  no generation runs", heading(failure.stage));
                line(ui, &words, HEAD_SIZE, colours.alarm);
            }
            (None, Some(stage)) => {
                line(
                    ui,
                    &format!("First generation: {stage} …"),
                    HEAD_SIZE,
                    colours.text,
                );
            }
            (None, None) => line(ui, "There is no drawing code", HEAD_SIZE, colours.alarm),
        }
        ui.add_space(PAD);
        if shown.status.is_some() {
            ui.horizontal(|ui| match &shown.failure {
                Some(failure) => buttons(ui, shown, failure, actions),
                None => reload_button(ui, shown, actions),
            });
        }
        ui.add_space(PAD);
        queue(ui, shown);
        ui.add_space(PAD);
        if let Some(failure) = &shown.failure {
            line(ui, &headline(failure), TEXT_SIZE, colours.text);
            message(ui, shown.theme, &failure.message, "plain message");
        }
    });
}

/// The queue in words, as far as it is known.
fn queue(ui: &mut Ui, shown: &Shown<'_>) {
    let (picture, colours) = (shown.picture, &shown.theme.colours);
    let broker = &picture.broker;
    let link = match broker.link.frozen_at_ms {
        _ if broker.link.detail.is_empty() => format!("Broker {}", broker.address),
        _ => format!("Broker {}: {}", broker.address, broker.link.detail),
    };
    line(ui, &link, TEXT_SIZE, colours.dim);
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
        let held_s = (picture.clock.now_ms - holder.granted_ms).max(0) / 1_000;
        let gpus = holder.gpus.join(", ");
        let pid = holder
            .pid
            .map(|pid| format!(", pid {pid}"))
            .unwrap_or_default();
        let words = format!("{} holds {gpus} since {held_s} s{pid}", holder.client);
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
fn colour(token: Rgba) -> Color32 {
    Color32::from_rgba_unmultiplied(token.r, token.g, token.b, token.a)
}
