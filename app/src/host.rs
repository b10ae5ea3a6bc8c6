//! The window's host: everything that outlives a generation of drawing code.
//!
//! A frame: what is ready is swapped in before it begins, what the broker told is folded and
//! projected, then the hot code draws under the banner, and what the operator wished is carried
//! out. When the hot code panics, everything it had changed is put back and the pass is discarded:
//! egui runs another one at once, with the last good generation or with the host's own page.

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use warden_reload::{Caught, Outcome, catch};
use warden_toolkit::egui::{self, Event, Memory};
use warden_view::{Action, Clock, Link, LinkState, Picture, UiMemory};

use crate::clock::WindowClock;
use crate::cost::ThreadClock;
use crate::failed::{self, Shown};
use crate::feed::{Feed, Wake};
use crate::hot::{Functions, Hot};
use crate::keep::{Keeper, Kept};
use crate::modules;
use crate::options::Options;
use crate::orders::Orders;
use crate::report::Reporter;
use crate::themes::Themes;
use crate::{editor, keys};

/// How many passes a frame may take: two as egui has it, and for each of a good and an older
/// generation that panic one more, and one for the plain page.
const MAX_PASSES: NonZeroUsize = NonZeroUsize::new(5).unwrap();
/// Changes are written to the disk at most so often.
const KEEP_EVERY: Duration = Duration::from_secs(2);

/// See the module.
#[derive(Debug)]
pub struct Host {
    clock: WindowClock,
    hot: Hot,
    feed: Feed,
    orders: Orders,
    themes: Themes,
    keeper: Keeper,
    reporter: Reporter,
    wake: Wake,
    picture: Picture,
    memory: UiMemory,
    /// Fonts and style are to be put in place before the next frame.
    restyle: bool,
    /// What the hot code must be given once more, since the pass that had it was discarded.
    unheard: Vec<Event>,
    /// The banner's pulse began then.
    failed_at: Option<Instant>,
    kept_at: Instant,
    frames: u64,
    cost: ThreadClock,
    undo_cost: Duration,
}

/// What a host is made of.
#[derive(Debug)]
pub struct Parts {
    /// What draws.
    pub hot: Hot,
    /// What it draws.
    pub feed: Feed,
    /// In which colours.
    pub themes: Themes,
    /// What is remembered, and where.
    pub kept: Kept,
    /// Whose data directory the window remembers in.
    pub keeper: Keeper,
    /// Asks for a frame from any thread.
    pub wake: Wake,
}

impl Host {
    /// Puts it together. Nothing is drawn yet.
    #[must_use]
    pub fn new(parts: Parts, options: &Options) -> Self {
        let mut picture = Picture::default();
        picture.window.reduced_motion = options.reduced_motion;
        let mut host = Self {
            clock: WindowClock::start(),
            hot: parts.hot,
            feed: parts.feed,
            orders: Orders::default(),
            themes: parts.themes,
            keeper: parts.keeper,
            reporter: Reporter::new(options.report),
            wake: parts.wake,
            picture,
            memory: parts.kept.memory,
            restyle: true,
            unheard: Vec::new(),
            failed_at: None,
            kept_at: Instant::now(),
            frames: 0,
            cost: ThreadClock::default(),
            undo_cost: Duration::ZERO,
        };
        let wanted = options.theme.as_deref().unwrap_or(&parts.kept.theme);
        if !host.themes.choose(wanted) {
            tracing::warn!(
                theme = wanted,
                "there is no such theme; using the first one"
            );
        }
        host.feed.expect(&mut host.picture);
        host.show_themes();
        host
    }

    /// The picture as it stands; for tests.
    #[must_use]
    pub fn picture(&self) -> &Picture {
        &self.picture
    }

    /// What the window remembers; for tests.
    #[must_use]
    pub fn memory(&self) -> &UiMemory {
        &self.memory
    }

    /// What draws; for tests.
    #[must_use]
    pub fn hot(&self) -> &Hot {
        &self.hot
    }

    /// Between two frames: the one before was shown, and what is ready takes over.
    pub fn before_frame(&mut self, ctx: &egui::Context) {
        self.reporter.frame_begins();
        self.cost = ThreadClock::start();
        self.undo_cost = Duration::ZERO;
        self.unheard.clear();
        ctx.options_mut(|options| {
            options.max_passes = MAX_PASSES;
        });
        if let Some(generation) = self.hot.swap() {
            self.restyle = true;
            self.reporter.generation(&generation);
        }
        // Before the first pass egui has no fonts yet: see `ui`.
        if self.frames > 0 && std::mem::take(&mut self.restyle) {
            self.style(ctx);
        }
    }

    /// Takes in what has come. Also called while the window is hidden.
    pub fn logic(&mut self, ctx: &egui::Context) {
        if self.feed.take(&self.clock, &mut self.picture) {
            ctx.request_repaint();
        }
    }

    /// Makes one pass over the window.
    pub fn ui(&mut self, ui: &mut egui::Ui) {
        let ctx = ui.ctx().clone();
        if self.frames == 0 && std::mem::take(&mut self.restyle) {
            self.style(&ctx);
            // Fonts are in place from the next pass on.
            ctx.request_discard("the first fonts");
            return;
        }
        self.hear_again(&ctx);
        self.bring_up_to_date(&ctx);
        let mut actions = keys::hear(&ctx);
        if keys::next_theme(&ctx) {
            self.themes.next();
            self.themes_changed(&ctx);
        }
        let drawn = match self.hot.functions() {
            Some(functions) => self.below_banner(ui, functions, &mut actions),
            None => {
                failed::plain_page(ui, &self.shown(), &mut actions);
                true
            }
        };
        for action in actions {
            self.act(&ctx, action);
        }
        if !drawn {
            // The next pass of this frame is the one that is shown.
            return;
        }
        self.keep(&ctx);
        self.ask_for_next(&ctx);
        self.tell();
    }

    /// The last chance to write what is remembered.
    pub fn close(&mut self) {
        self.keeper.flush();
    }

    fn shown(&self) -> Shown<'_> {
        Shown {
            picture: &self.picture,
            theme: self.themes.current(),
            status: self.hot.status(),
            failed_at: self.failed_at,
        }
    }

    /// False when the hot code panicked.
    fn below_banner(
        &mut self,
        ui: &mut egui::Ui,
        functions: Functions,
        actions: &mut Vec<Action>,
    ) -> bool {
        let shown = self.shown();
        let banner = failed::banner(ui, &shown, actions);
        let rest = egui::Rect::from_min_max(
            egui::pos2(
                ui.max_rect().left(),
                banner.map_or(ui.max_rect().top(), |b| b.bottom()),
            ),
            ui.max_rect().max,
        );
        if banner.is_some() {
            failed::tint(ui.ctx(), rest, &shown);
        }
        self.draw(ui, rest, functions, actions)
    }

    /// Calls the hot code, and undoes everything if it panics: false then.
    fn draw(
        &mut self,
        ui: &mut egui::Ui,
        rest: egui::Rect,
        functions: Functions,
        actions: &mut Vec<Action>,
    ) -> bool {
        let ctx = ui.ctx().clone();
        let copying = ThreadClock::start();
        let (memory, egui_memory) = (self.memory.clone(), ctx.memory(Memory::clone));
        self.undo_cost += copying.elapsed();
        let events = ctx.input(|input| input.events.clone());
        let wished = actions.len();
        let theme = Arc::clone(self.themes.current());
        let result = catch(|| {
            let place = egui::UiBuilder::new().id_salt("hot").max_rect(rest);
            ui.scope_builder(place, |ui| {
                (functions.draw)(ui, &self.picture, &theme, &mut self.memory, actions);
            });
        });
        let drawn = result.is_ok();
        if let Err(caught) = result {
            self.memory = memory;
            ctx.memory_mut(|memory| *memory = egui_memory);
            actions.truncate(wished);
            self.unheard = events;
            self.fall_back(&ctx, &caught);
            ctx.request_discard("the hot code panicked");
        }
        drawn
    }

    /// Text and keys that came in with a discarded pass are heard by the next one.
    fn hear_again(&mut self, ctx: &egui::Context) {
        let unheard = std::mem::take(&mut self.unheard);
        if !unheard.is_empty() {
            ctx.input_mut(|input| input.events.extend(unheard));
        }
    }

    fn fall_back(&mut self, ctx: &egui::Context, caught: &Caught) {
        tracing::error!(
            message = caught.message,
            "the hot code panicked; it is taken back"
        );
        self.hot.panicked(caught);
        self.style(ctx);
    }

    /// Style is hot code too. One that panics is taken back, until one does not or none is left.
    fn style(&mut self, ctx: &egui::Context) {
        let theme = Arc::clone(self.themes.current());
        while let Some(functions) = self.hot.functions() {
            match catch(|| (functions.style)(ctx, &theme)) {
                Ok(()) => break,
                Err(caught) => self.hot.panicked(&caught),
            }
        }
    }

    fn bring_up_to_date(&mut self, ctx: &egui::Context) {
        if self.feed.show(&mut self.clock, &mut self.picture) {
            ctx.request_repaint();
        }
        let now_ms = self.clock.now_ms();
        if self.picture.clock.now_ms / 1_000 != now_ms / 1_000 || self.picture.clock.zone.is_empty()
        {
            self.picture.clock = local_clock(now_ms);
        }
        self.picture.clock.now_ms = now_ms;
        self.orders.update(&mut self.picture);
        let modules = modules::all(&self.hot, &self.themes);
        if *self.picture.reload.modules != *modules {
            self.picture.reload.modules = modules;
            self.picture.serial += 1;
        }
        for outcome in self.hot.outcomes() {
            tracing::info!(?outcome, "reload");
            if matches!(outcome, Outcome::Unchanged) {
                self.reporter.unchanged();
            }
        }
        let failure = self.hot.status().and_then(|status| status.failure);
        self.reporter.failure(failure.as_ref());
        match (failure.is_some(), self.failed_at) {
            (true, None) => self.failed_at = Some(Instant::now()),
            (false, Some(_)) => self.failed_at = None,
            _ => {}
        }
    }

    fn act(&mut self, ctx: &egui::Context, action: Action) {
        match action {
            Action::Reload => {
                let former = self.themes.generation();
                self.themes.read();
                if self.themes.generation() != former {
                    self.themes_changed(ctx);
                }
                self.hot.reload();
                self.failed_at = None;
                ctx.request_repaint();
            }
            Action::SetTheme { id } => {
                self.themes.choose(&id);
                self.themes_changed(ctx);
            }
            Action::CopyText { text } => ctx.copy_text(text),
            Action::OpenEditor { file, line, column } => editor::open(&file, line, column),
            Action::Dismiss { run } => {
                self.orders.dismiss(run);
                ctx.request_repaint();
            }
            Action::Retry => self.feed.retry(),
            // Carried out with the registry of modules.
            Action::ReloadModule { .. }
            | Action::CancelBuild { .. }
            | Action::RollBack { .. }
            | Action::Watch { .. }
            | Action::WarmRestart
            | Action::CancelRestart => {}
            Action::Release { .. }
            | Action::ForceAll { .. }
            | Action::Cancel { .. }
            | Action::Reset => {
                let live = self.feed.is_live();
                self.orders
                    .send(&action, &self.picture, live, self.feed.client(), &self.wake);
                ctx.request_repaint();
            }
        }
    }

    fn themes_changed(&mut self, ctx: &egui::Context) {
        self.show_themes();
        self.restyle = true;
        ctx.request_repaint();
    }

    fn show_themes(&mut self) {
        self.picture.window.themes = self.themes.names();
        self.picture.window.theme = self.themes.id().clone();
        self.picture.serial += 1;
    }

    fn keep(&mut self, ctx: &egui::Context) {
        let size = ctx
            .input(|input| input.viewport().inner_rect)
            .map(|rect| rect.size());
        let zoom = ctx.zoom_factor();
        let former = self.keeper.latest();
        let same = former.memory == self.memory
            && former.zoom.to_bits() == zoom.to_bits()
            && former.theme == **self.themes.id()
            && size.is_none_or(|size| former.size == (size.x * zoom, size.y * zoom));
        if !same {
            let size = size.map_or(former.size, |size| (size.x * zoom, size.y * zoom));
            let theme = self.themes.id().to_string();
            self.keeper.latest_is(Kept {
                size,
                zoom,
                theme,
                memory: self.memory.clone(),
            });
        }
        if self.keeper.is_due() {
            match KEEP_EVERY.checked_sub(self.kept_at.elapsed()) {
                Some(wait) => ctx.request_repaint_after(wait),
                None => {
                    self.keeper.flush();
                    self.kept_at = Instant::now();
                }
            }
        }
    }

    /// Sleeps until something comes in, unless something that is shown counts.
    fn ask_for_next(&self, ctx: &egui::Context) {
        let picture = &self.picture;
        let now_ms = picture.clock.now_ms;
        let counting = !picture.holders.is_empty() || !picture.queue.is_empty();
        let live = picture.broker.link.state == LinkState::Live;
        let to_second = u64::try_from(1_000 - now_ms.rem_euclid(1_000)).unwrap_or(1_000);
        if counting && live {
            ctx.request_repaint_after(Duration::from_millis(to_second + 1));
        }
        if let Some(end_ms) = self.orders.next_end_ms() {
            let wait_ms = u64::try_from(end_ms - now_ms).unwrap_or(0);
            ctx.request_repaint_after(Duration::from_millis(wait_ms + 1));
        }
        if self.reporter.wants_frame() || self.restyle {
            ctx.request_repaint();
        }
    }

    fn tell(&mut self) {
        let Link { state, .. } = self.picture.broker.link;
        if state == LinkState::Live {
            self.reporter.frame_shows(self.picture.broker.revision);
        } else {
            self.reporter
                .frame_shows_link(&format!("{state:?}").to_lowercase());
        }
        self.frames += 1;
        self.reporter
            .frame(self.frames, self.cost.elapsed(), self.undo_cost);
    }
}

fn local_clock(now_ms: i64) -> Clock {
    let zone = jiff::tz::TimeZone::system();
    let at = jiff::Timestamp::from_millisecond(now_ms).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    Clock {
        now_ms,
        utc_offset_s: zone.to_offset(at).seconds(),
        zone: zone.iana_name().unwrap_or("UTC").into(),
    }
}

/// Where a path that was given on the command line leads, whatever directory the window is in.
#[must_use]
pub fn absolute(path: &Path) -> std::path::PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}
