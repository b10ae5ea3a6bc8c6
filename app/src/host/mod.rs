//! The window's host: everything that outlives a generation of drawing code.
//!
//! A frame: what is ready is swapped in before it begins, what the broker told is folded and
//! projected, then the hot code draws under the banner, and what the operator wished is carried
//! out. When the hot code panics, everything it had changed is put back and the pass is discarded:
//! egui runs another one at once, with the last good generation or with the host's own page.

mod act;
mod config;
mod draw;
mod remember;
mod show;

use std::num::NonZeroUsize;
use std::path::Path;
use std::time::{Duration, Instant};

use warden_reload::Snapshot;
use warden_toolkit::egui::{self, Event, Memory};
use warden_view::{Action, Picture, UiMemory};

use draw::Changeable;

use crate::clock::WindowClock;
use crate::config::{Config, WatchMode};
use crate::cost::ThreadClock;
use crate::failed::{self, Broken};
use crate::feed::{Feed, Wake};
use crate::hot::Hot;
use crate::keep::{Keeper, Kept, Resume};
use crate::keys;
use crate::modules::Modules;
use crate::options::Options;
use crate::orders::Orders;
use crate::program::Program;
use crate::repaint;
use crate::report::Reporter;
use crate::restart::Restart;

/// How many passes a frame may take: two as egui has it, and for each of a good and an older
/// generation that panic one more, and one for the plain page.
const MAX_PASSES: NonZeroUsize = NonZeroUsize::new(5).unwrap();

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
    program: Program,
    config: Config,
    keeper: Keeper,
    reporter: Reporter,
    wake: Wake,
    picture: Picture,
    memory: UiMemory,
    /// What a window left that was restarted; taken up by the first frame.
    resume: Option<Resume>,
    /// What had the focus then, and in how many passes over live figures it is still given to it.
    refocus: Option<(egui::Id, u32)>,
    ground: egui::Color32,
    /// Fonts and style are to be put in place before the next frame.
    restyle: bool,
    /// What the hot code must be given once more, since the pass that had it was discarded.
    unheard: Vec<Event>,
    /// The banner's pulse began then.
    failed_at: Option<Instant>,
    /// Files whose newest content is not taken.
    broken: Broken,
    /// Nothing moves by itself, whatever the settings say.
    still: bool,
    kept_at: Instant,
    /// Something may have changed since.
    keep_due: bool,
    frames: u64,
    cost: ThreadClock,
    undo_cost: Duration,
    /// What each module's drawing has cost in this frame, while it is on probation.
    costs: Vec<Duration>,
}

/// What a host is made of.
#[derive(Debug)]
pub struct Parts {
    /// What draws.
    pub hot: Hot,
    /// What it draws.
    pub feed: Feed,
    /// How this person wants it.
    pub config: Config,
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
        let mut host = Self {
            ground: failed::colour(parts.config.theme().colours.ground),
            clock: WindowClock::start(),
            hot: parts.hot,
            feed: parts.feed,
            modules: Modules::default(),
            restart: Restart::of_this(),
            orders: Orders::default(),
            program: Program::default(),
            config: parts.config,
            keeper: parts.keeper,
            reporter: Reporter::new(options.report),
            wake: parts.wake,
            picture: Picture::default(),
            memory: parts.kept.memory,
            keep_due: parts.kept.resume.is_some(),
            resume: parts.kept.resume,
            refocus: None,
            restyle: true,
            unheard: Vec::new(),
            failed_at: None,
            broken: Broken::default(),
            still: options.reduced_motion,
            kept_at: Instant::now(),
            frames: 0,
            cost: ThreadClock::default(),
            undo_cost: Duration::ZERO,
            costs: Vec::new(),
        };
        // A window that goes on after a restart goes on as it was.
        let wanted = match host.resume {
            Some(_) => Some(parts.kept.theme.as_str()),
            None => options.theme.as_deref(),
        };
        if let Some(wanted) = wanted
            && let Err(error) = host.config.use_theme_called(wanted)
        {
            tracing::warn!(%error, "the theme of the settings is used");
        }
        host.feed.expect(&mut host.picture);
        host.show_themes();
        let watch = host.config.settings().watch;
        if watch != WatchMode::default() {
            host.follow_watch(watch);
        }
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
        self.configure(ctx);
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
            repaint::once(ctx);
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
            let id = self.config.next_theme();
            actions.push(Action::SetTheme { id });
        }
        // An action may bring another theme, which is the next frame's.
        self.ground = failed::colour(self.config.theme().colours.ground);
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
        // Whoever saves the last setting asks for the next frame.
        if self.restart.is_ready() && self.config.is_saved() {
            self.restart(&ctx);
        }
    }

    /// What the frame that was made stands on: its theme's ground, all over the window. To clear a
    /// picture costs nothing beside painting all of it, which in software takes as long as everything
    /// on it.
    #[must_use]
    pub fn ground(&self) -> egui::Color32 {
        self.ground
    }

    /// The last chance to write what is remembered.
    pub fn close(&mut self) {
        self.flush();
    }
}

/// Where a path that was given on the command line leads, whatever directory the window is in.
#[must_use]
pub fn absolute(path: &Path) -> std::path::PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}
