//! The window's host: everything that outlives a generation of drawing code.
//!
//! A frame: what is ready is swapped in before it begins, what the broker told is folded and
//! projected, then the hot code draws under the banner, and what the operator wished is carried
//! out. When the hot code panics, everything it had changed is put back and the pass is discarded:
//! egui runs another one at once, with the last good generation or with the host's own page.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use warden_reload::{Caught, Generation, Outcome, Snapshot, call};
use warden_toolkit::egui::{self, Event, Memory};
use warden_view::{Action, Clock, Link, LinkState, Picture, UiMemory};

use crate::clock::WindowClock;
use crate::cost::ThreadClock;
use crate::failed::{self, Shown};
use crate::feed::{Feed, Wake};
use crate::hot::{Hot, Scene, TakenBack};
use crate::keep::{Keeper, Kept, Resume};
use crate::modules::Modules;
use crate::options::Options;
use crate::orders::Orders;
use crate::report::Reporter;
use crate::restart::Restart;
use crate::themes::Themes;
use crate::{editor, keys, modules};

/// How many passes a frame may take: two as egui has it, and for each of a good and an older
/// generation that panic one more, and one for the plain page.
const MAX_PASSES: NonZeroUsize = NonZeroUsize::new(5).unwrap();
/// Changes are written to the disk at most so often.
const KEEP_EVERY: Duration = Duration::from_secs(2);

/// What is drawn first may not have what had the focus before a restart, and what is drawn over
/// frozen figures may not take it.
const REFOCUS_PASSES: u32 = 3;

/// See the module.
#[derive(Debug)]
pub struct Host {
    clock: WindowClock,
    hot: Hot,
    feed: Feed,
    modules: Modules,
    restart: Restart,
    orders: Orders,
    themes: Themes,
    keeper: Keeper,
    reporter: Reporter,
    wake: Wake,
    picture: Picture,
    memory: UiMemory,
    /// What a window left that was restarted; taken up by the first frame.
    resume: Option<Resume>,
    /// What had the focus then, and in how many passes over live figures it is still given to it.
    refocus: Option<(egui::Id, u32)>,
    /// Fonts and style are to be put in place before the next frame.
    restyle: bool,
    /// What the hot code must be given once more, since the pass that had it was discarded.
    unheard: Vec<Event>,
    /// The banner's pulse began then.
    failed_at: Option<Instant>,
    kept_at: Instant,
    /// Something may have changed since.
    keep_due: bool,
    frames: u64,
    cost: ThreadClock,
    undo_cost: Duration,
    /// What each module's drawing has cost in this frame, while it is on probation.
    costs: Vec<Duration>,
}

/// What hot code may change of the host's state.
#[derive(Clone, Debug)]
struct Changeable {
    memory: UiMemory,
    egui: Memory,
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
            modules: Modules::default(),
            restart: Restart::of_this(),
            orders: Orders::default(),
            themes: parts.themes,
            keeper: parts.keeper,
            reporter: Reporter::new(options.report),
            wake: parts.wake,
            picture,
            memory: parts.kept.memory,
            keep_due: parts.kept.resume.is_some(),
            resume: parts.kept.resume,
            refocus: None,
            restyle: true,
            unheard: Vec::new(),
            failed_at: None,
            kept_at: Instant::now(),
            frames: 0,
            cost: ThreadClock::default(),
            undo_cost: Duration::ZERO,
            costs: Vec::new(),
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
        if let Some(resume) = self.resume.take() {
            resume.apply(ctx);
            self.refocus = resume.focus.map(|focus| (focus, REFOCUS_PASSES));
        }
        self.judge(ctx);
        let memory = &self.memory;
        let capture = || {
            Snapshot::new(Changeable {
                memory: memory.clone(),
                egui: ctx.memory(Memory::clone),
            })
        };
        for (module, generation) in self.hot.swap(capture) {
            self.restyle = true;
            self.reporter.generation(module, &generation);
        }
        // Before the first pass egui has no fonts yet: see `ui`.
        if self.frames > 0 && std::mem::take(&mut self.restyle) {
            self.style(ctx);
        }
    }

    /// Tells what the frame before cost those that must prove themselves.
    fn judge(&mut self, ctx: &egui::Context) {
        for (at, cost) in std::mem::take(&mut self.costs).into_iter().enumerate() {
            if cost.is_zero() {
                continue;
            }
            match self.hot.drew(at, cost) {
                Some(taken_back) => {
                    self.taken_back(ctx, taken_back);
                    self.restyle = true;
                }
                None if self.hot.is_on_probation(at) => {}
                None => self.reporter.trusted(self.hot.name(at)),
            }
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
        self.give_focus_back(&ctx);
        let mut actions = keys::hear(&ctx);
        if keys::roll_back(&ctx)
            && let Some((module, generation)) = self.hot.newest_to_undo()
        {
            let module = module.into();
            actions.push(Action::RollBack { module, generation });
        }
        if keys::next_theme(&ctx) {
            self.themes.next();
            self.themes_changed(&ctx);
        }
        let drawn = if self.hot.can_draw() {
            self.below_banner(ui, &mut actions)
        } else {
            failed::plain_page(ui, &self.shown(), &mut actions);
            true
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
        if self.restart.is_ready() {
            self.restart(&ctx);
        }
    }

    /// The last chance to write what is remembered.
    pub fn close(&mut self) {
        self.flush();
    }

    fn shown(&self) -> Shown<'_> {
        let failure = self.hot.last_error();
        let ground = self.hot.entries().next().map(|entry| entry.name);
        let whose = failure.as_ref().map(|failure| failure.module.as_str());
        Shown {
            picture: &self.picture,
            theme: self.themes.current(),
            status: whose.or(ground).and_then(|name| self.hot.status(name)),
            failure,
            failed_at: self.failed_at,
        }
    }

    /// False when the hot code panicked.
    fn below_banner(&mut self, ui: &mut egui::Ui, actions: &mut Vec<Action>) -> bool {
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
        self.draw(ui, rest, actions)
    }

    /// Has every hot module draw, and undoes everything if one of them panics: false then.
    fn draw(&mut self, ui: &mut egui::Ui, rest: egui::Rect, actions: &mut Vec<Action>) -> bool {
        let ctx = ui.ctx().clone();
        let copying = ThreadClock::start();
        let before = Changeable {
            memory: self.memory.clone(),
            egui: ctx.memory(Memory::clone),
        };
        let memories = self.hot.copy_memories();
        self.undo_cost += copying.elapsed();
        let events = ctx.input(|input| input.events.clone());
        let wished = actions.len();
        let drawn = match memories {
            Ok(memories) => (0..self.hot.len())
                .try_for_each(|at| self.draw_layer(ui, rest, at, actions))
                .inspect_err(|_| self.hot.put_memories_back(memories)),
            Err(failed) => Err(failed),
        };
        let Err((at, caught)) = drawn else {
            return true;
        };
        self.put_back(&ctx, &before);
        actions.truncate(wished);
        self.unheard = events;
        self.costs.clear();
        if let Some(taken_back) = self.hot.panicked(at, &caught) {
            self.taken_back(&ctx, taken_back);
        }
        self.style(&ctx);
        ctx.request_discard("hot code panicked");
        false
    }

    /// Has one module draw. What it changed before it panicked stays changed.
    fn draw_layer(
        &mut self,
        ui: &mut egui::Ui,
        rest: egui::Rect,
        at: usize,
        actions: &mut Vec<Action>,
    ) -> Result<(), (usize, Caught)> {
        let (Some(functions), Some(entry)) = (self.hot.functions(at), self.hot.entries().nth(at))
        else {
            return Ok(());
        };
        let place = egui::UiBuilder::new().id_salt(entry.name).max_rect(rest);
        let measured = self.hot.is_on_probation(at).then(ThreadClock::start);
        let shown = (&self.picture, &**self.themes.current());
        let cell = self.hot.memory(at);
        let mut own = cell.lock();
        let memory = &mut self.memory;
        let drawn = call(|| {
            let draw = |ui: &mut egui::Ui| functions.draw(ui, shown, memory, own.as_mut(), actions);
            ui.scope_builder(place, draw).inner
        });
        if let Some(started) = measured {
            self.costs.resize(self.hot.len(), Duration::ZERO);
            self.costs[at] += started.elapsed();
        }
        drawn.map_err(|caught| (at, caught))
    }

    fn put_back(&mut self, ctx: &egui::Context, state: &Changeable) {
        self.memory = state.memory.clone();
        ctx.memory_mut(|memory| *memory = state.egui.clone());
    }

    /// A module runs an older generation from now on. What it had changed while on probation is
    /// undone.
    fn taken_back(&mut self, ctx: &egui::Context, TakenBack { module, how }: TakenBack) {
        let number = |generation: &Option<Arc<Generation>>| {
            generation.as_ref().map(|generation| generation.number())
        };
        let title = &how.failure.title;
        tracing::error!(module, title, "a generation is taken back");
        self.reporter
            .rolled_back(module, number(&how.from), number(&how.to), title);
        if let Some(state) = how.snapshot.as_ref().and_then(Snapshot::get::<Changeable>) {
            self.put_back(ctx, state);
        }
    }

    /// After a restart, until the operator points somewhere else.
    fn give_focus_back(&mut self, ctx: &egui::Context) {
        let Some((focus, passes)) = self.refocus.take() else {
            return;
        };
        if ctx.input(|input| input.pointer.any_pressed()) {
            return;
        }
        ctx.memory_mut(|memory| memory.request_focus(focus));
        let live = self.picture.broker.link.state == LinkState::Live;
        let left = passes - u32::from(live);
        self.refocus = (left > 0).then_some((focus, left));
    }

    /// Text and keys that came in with a discarded pass are heard by the next one.
    fn hear_again(&mut self, ctx: &egui::Context) {
        let unheard = std::mem::take(&mut self.unheard);
        if !unheard.is_empty() {
            ctx.input_mut(|input| input.events.extend(unheard));
        }
    }

    /// Style is hot code too. A module that panics over it is taken back, until it does not or none
    /// of it is left.
    fn style(&mut self, ctx: &egui::Context) {
        let theme = Arc::clone(self.themes.current());
        for at in 0..self.hot.len() {
            while let Some(style) = self.hot.functions(at).and_then(|functions| functions.style) {
                let Err(caught) = call(|| style(ctx, &theme)) else {
                    break;
                };
                if let Some(taken_back) = self.hot.panicked(at, &caught) {
                    self.taken_back(ctx, taken_back);
                }
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
        self.show_modules(ctx);
        for (module, outcome) in self.hot.outcomes() {
            tracing::info!(module, ?outcome, "reload");
            match outcome {
                Outcome::Unchanged => self.reporter.unchanged(module),
                Outcome::Cancelled => self.reporter.cancelled(module),
                Outcome::Ready(_) | Outcome::Failed(_) | Outcome::Superseded => {}
            }
        }
        let failure = self.hot.last_error();
        self.reporter.failure(failure.as_ref());
        match (failure.is_some(), self.failed_at) {
            (true, None) => self.failed_at = Some(Instant::now()),
            (false, Some(_)) => self.failed_at = None,
            _ => {}
        }
    }

    fn show_modules(&mut self, ctx: &egui::Context) {
        let modules = self.modules.all(&self.hot, &self.themes);
        let restart = self.restart.shown();
        if modules.iter().any(|module| module.stage.is_some()) {
            // Something that changed by itself is rehearsed on what is shown now.
            self.set_stage(ctx);
        }
        for module in modules.iter() {
            self.reporter.newer(&module.name, module.newer);
        }
        let shown = &mut self.picture.reload;
        if *shown.modules != *modules || shown.restart != restart {
            shown.modules = modules;
            shown.restart = restart;
            self.picture.serial += 1;
        }
    }

    /// Leaves a copy of what is shown for the rehearsal of new code.
    fn set_stage(&self, ctx: &egui::Context) {
        self.hot.stage().set(Scene {
            picture: self.picture.clone(),
            theme: Arc::clone(self.themes.current()),
            memory: self.memory.clone(),
            egui: ctx.memory(Memory::clone),
            size: ctx.content_rect().size(),
        });
    }

    fn act(&mut self, ctx: &egui::Context, action: Action) {
        match action {
            Action::Reload => {
                let former = self.themes.generation();
                self.themes.read();
                if self.themes.generation() != former {
                    self.themes_changed(ctx);
                }
                self.set_stage(ctx);
                self.hot.reload_all();
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
            Action::ReloadModule { module } => {
                self.set_stage(ctx);
                self.hot.reload(&module);
                ctx.request_repaint();
            }
            Action::CancelBuild { module } => {
                self.hot.cancel(&module);
                ctx.request_repaint();
            }
            Action::RollBack { module, generation } => self.roll_back(ctx, &module, generation),
            Action::Watch { module, mode } => {
                if let Err(said) = self.hot.watch(&module, modules::watch(mode)) {
                    let title = format!("Watch {module}");
                    let now_ms = self.clock.now_ms();
                    self.orders.tell(title, Err(said), now_ms);
                }
                ctx.request_repaint();
            }
            Action::WarmRestart => {
                self.restart.begin(&self.hot, &self.wake);
                ctx.request_repaint();
            }
            Action::CancelRestart => {
                self.restart.cancel();
                ctx.request_repaint();
            }
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

    fn roll_back(&mut self, ctx: &egui::Context, module: &str, to: u32) {
        let from = self.hot.status(module).and_then(|status| status.running);
        let outcome = self.hot.roll_back(module, to);
        if outcome.is_ok() {
            let from = from.map(|from| from.number());
            self.reporter
                .rolled_back(module, from, Some(to), "the operator went back");
            self.restyle = true;
        }
        let outcome = outcome.map(|()| format!("generation {to} runs"));
        let title = format!("Roll {module} back to generation {to}");
        let now_ms = self.clock.now_ms();
        self.orders.tell(title, outcome, now_ms);
        ctx.request_repaint();
    }

    /// Writes everything down and becomes the program that was built.
    fn restart(&mut self, ctx: &egui::Context) {
        let mut kept = self.kept(ctx, self.hot.captured());
        match Resume::of(ctx) {
            Ok(resume) => kept.resume = Some(resume),
            Err(error) => tracing::warn!(%error, "egui's memory is lost over the restart"),
        }
        self.keeper.latest_is(kept);
        self.keeper.flush();
        self.reporter.restarts();
        self.restart.execute();
        ctx.request_repaint();
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

    /// What is to be remembered, as it is now.
    fn kept(&self, ctx: &egui::Context, modules: BTreeMap<String, String>) -> Kept {
        let zoom = ctx.zoom_factor();
        let size = ctx.input(|input| input.viewport().inner_rect);
        let size = size.map(|rect| (rect.width() * zoom, rect.height() * zoom));
        Kept {
            size: size.unwrap_or(self.keeper.latest().size),
            zoom,
            theme: self.themes.id().to_string(),
            memory: self.memory.clone(),
            modules,
            resume: None,
        }
    }

    fn flush(&mut self) {
        let mut kept = self.keeper.latest().clone();
        kept.modules = self.hot.captured();
        kept.resume = None;
        self.keeper.latest_is(kept);
        self.keeper.flush();
    }

    /// Writes what is remembered, every now and then while something happens.
    fn keep(&mut self, ctx: &egui::Context) {
        let latest = self.keeper.latest();
        let zoom = ctx.zoom_factor();
        let size = ctx.input(|input| input.viewport().inner_rect);
        let same = latest.memory == self.memory
            && latest.zoom.to_bits() == zoom.to_bits()
            && latest.theme == **self.themes.id()
            && size.is_none_or(|size| latest.size == (size.width() * zoom, size.height() * zoom));
        if !same {
            let modules = latest.modules.clone();
            self.keeper.latest_is(self.kept(ctx, modules));
        }
        // A module's own memory can only be compared as text, and changes only when it is used.
        self.keep_due |= !same || ctx.input(|input| !input.events.is_empty());
        if !self.keep_due {
            return;
        }
        match KEEP_EVERY.checked_sub(self.kept_at.elapsed()) {
            Some(wait) => ctx.request_repaint_after(wait),
            None => {
                self.flush();
                self.kept_at = Instant::now();
                self.keep_due = false;
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
        if self.reporter.wants_frame() || self.restyle || self.hot.wants_frames() {
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
