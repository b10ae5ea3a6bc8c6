//! Drawing through the hot code, and undoing what a generation did that panicked.

use std::sync::Arc;
use std::time::Duration;

use warden_reload::{Caught, Generation, Snapshot, call};
use warden_toolkit::egui::{self, Memory};
use warden_view::{Action, UiMemory};

use super::Host;
use crate::cost::ThreadClock;
use crate::failed::{self, Shown};
use crate::hot::TakenBack;

/// What hot code may change of the host's state.
#[derive(Clone, Debug)]
pub(super) struct Changeable {
    pub memory: UiMemory,
    pub egui: Memory,
}

impl Host {
    pub(super) fn shown(&self) -> Shown<'_> {
        let ground = self.hot.entries().next().map(|entry| entry.name);
        Shown {
            picture: &self.picture,
            theme: self.config.theme(),
            broken: &self.broken,
            ground: ground.and_then(|name| self.hot.status(name)),
            failed: self.hot.failed(),
            failed_at: self.failed_at,
        }
    }

    /// False when the hot code panicked.
    pub(super) fn below_banner(&mut self, ui: &mut egui::Ui, actions: &mut Vec<Action>) -> bool {
        let shown = self.shown();
        let banners = failed::banners(ui, &shown, actions);
        let mut rest = ui.max_rect();
        rest.min.y = banners.unwrap_or(rest.top());
        if banners.is_some() {
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
        let shown = (&self.picture, &**self.config.theme());
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
    pub(super) fn taken_back(&mut self, ctx: &egui::Context, TakenBack { module, how }: TakenBack) {
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

    /// Text and keys that came in with a discarded pass are heard by the next one.
    pub(super) fn hear_again(&mut self, ctx: &egui::Context) {
        let unheard = std::mem::take(&mut self.unheard);
        if !unheard.is_empty() {
            ctx.input_mut(|input| input.events.extend(unheard));
        }
    }

    /// Style is hot code too. A module that panics over it is taken back, until it does not or none
    /// of it is left.
    pub(super) fn style(&mut self, ctx: &egui::Context) {
        let theme = Arc::clone(self.config.theme());
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
}
