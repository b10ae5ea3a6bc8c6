//! What the window remembers over its runs, and where it goes on after a restart.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use warden_toolkit::egui;
use warden_view::LinkState;

use super::Host;
use crate::keep::Kept;

/// Changes are written to the disk at most so often.
const KEEP_EVERY: Duration = Duration::from_secs(2);

impl Host {
    /// What is to be remembered, as it is now.
    pub(super) fn kept(&self, ctx: &egui::Context, modules: BTreeMap<String, String>) -> Kept {
        let zoom = ctx.zoom_factor();
        let size = ctx.input(|input| input.viewport().inner_rect);
        let size = size.map(|rect| (rect.width() * zoom, rect.height() * zoom));
        Kept {
            size: size.unwrap_or(self.keeper.latest().size),
            zoom,
            theme: self.config.theme_id().to_string(),
            memory: self.memory.clone(),
            modules,
            resume: None,
        }
    }

    pub(super) fn flush(&mut self) {
        let mut kept = self.keeper.latest().clone();
        kept.modules = self.hot.captured();
        kept.resume = None;
        self.keeper.latest_is(kept);
        // It is in the log, and there is nothing else to be done about it.
        let _ = self.keeper.flush();
    }

    /// Writes what is remembered, every now and then while something happens.
    pub(super) fn keep(&mut self, ctx: &egui::Context) {
        let latest = self.keeper.latest();
        let zoom = ctx.zoom_factor();
        let size = ctx.input(|input| input.viewport().inner_rect);
        let same = latest.memory == self.memory
            && latest.zoom.to_bits() == zoom.to_bits()
            && latest.theme == **self.config.theme_id()
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

    /// After a restart, until the operator points somewhere else.
    pub(super) fn give_focus_back(&mut self, ctx: &egui::Context) {
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
}
