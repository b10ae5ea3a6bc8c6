//! Carrying out what the operator wished.

use warden_toolkit::egui;
use warden_view::Action;

use super::Host;
use crate::keep::Resume;
use crate::{editor, modules, program, repaint};

impl Host {
    pub(super) fn act(&mut self, ctx: &egui::Context, action: Action) {
        match action {
            Action::ReloadModule { ref module }
            | Action::RollBack { ref module, .. }
            | Action::Allow { ref module, .. }
                if **module == *program::NAME =>
            {
                self.order(ctx, &action);
            }
            Action::Reload => {
                self.config.reload();
                self.set_stage(ctx);
                self.hot.reload_all();
                self.failed_at = None;
                repaint::once(ctx);
            }
            Action::SetTheme { id } => {
                if let Err(said) = self.config.choose_theme(&id) {
                    self.complain(format!("Use the theme {id}"), said);
                }
                self.themes_changed(ctx);
            }
            Action::CopyText { text } => ctx.copy_text(text),
            Action::OpenEditor { file, line, column } => editor::open(&file, line, column),
            Action::Dismiss { run } => {
                self.orders.dismiss(run);
                repaint::once(ctx);
            }
            Action::Retry => self.feed.retry(),
            Action::ReloadModule { module } => {
                if !self.config.reload_one(&module) {
                    self.set_stage(ctx);
                    self.hot.reload(&module);
                }
                repaint::once(ctx);
            }
            Action::CheckSetting { file, key, value } => {
                self.config.check(&file, &key, &value);
                repaint::once(ctx);
            }
            Action::SetSetting { file, key, value } => {
                if let Err(said) = self.config.set(&file, &key, &value) {
                    // The panel says the same beside what was typed.
                    tracing::info!(%file, %key, said, "a setting is refused");
                }
                repaint::once(ctx);
            }
            Action::EditFile { module } => match self.config.make(&module) {
                Ok(path) => editor::open(&path.to_string_lossy(), 1, 1),
                Err(said) => self.complain(format!("Open {module}"), said),
            },
            Action::CancelBuild { module } => {
                self.hot.cancel(&module);
                repaint::once(ctx);
            }
            Action::RollBack { module, generation } => self.roll_back(ctx, &module, generation),
            Action::Watch { module, mode } => {
                if let Err(said) = self.hot.watch(&module, modules::watch(mode)) {
                    self.complain(format!("Watch {module}"), said);
                }
                repaint::once(ctx);
            }
            Action::WarmRestart => {
                self.restart.begin(&self.hot, &self.wake);
                repaint::once(ctx);
            }
            Action::CancelRestart => {
                self.restart.cancel();
                repaint::once(ctx);
            }
            Action::Allow { .. }
            | Action::Release { .. }
            | Action::ForceAll { .. }
            | Action::Cancel { .. }
            | Action::Reset => self.order(ctx, &action),
        }
    }

    /// Has the broker carry something out.
    fn order(&mut self, ctx: &egui::Context, action: &Action) {
        let live = self.feed.is_live();
        self.orders
            .send(action, &self.picture, live, self.feed.client(), &self.wake);
        repaint::once(ctx);
    }

    /// Tells the operator of something that could not be done.
    pub(super) fn complain(&mut self, title: String, said: String) {
        let now_ms = self.clock.now_ms();
        self.orders.tell(title, Err(said), now_ms);
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
        repaint::once(ctx);
    }

    /// Writes everything down and becomes the program that was built.
    pub(super) fn restart(&mut self, ctx: &egui::Context) {
        let mut kept = self.kept(ctx, self.hot.captured());
        match Resume::of(ctx) {
            Ok(resume) => kept.resume = Some(resume),
            Err(error) => tracing::warn!(%error, "egui's memory is lost over the restart"),
        }
        self.keeper.latest_is(kept);
        match self.keeper.flush() {
            Ok(()) => {
                self.reporter.restarts();
                self.restart.execute();
            }
            Err(error) => self.restart.fail(&format!(
                "the window's state would be lost, since it cannot be written: {error}"
            )),
        }
        repaint::once(ctx);
    }

    pub(super) fn themes_changed(&mut self, ctx: &egui::Context) {
        self.show_themes();
        self.restyle = true;
        repaint::once(ctx);
    }
}
