//! What a frame shows: the picture brought up to date, and when the next frame is due.

use std::sync::Arc;
use std::time::{Duration, Instant};

use warden_reload::Outcome;
use warden_toolkit::egui::{self, Memory};
use warden_view::{Clock, Link, LinkState};

use super::Host;
use crate::config::ClockZone;
use crate::hot::Scene;
use crate::repaint;

impl Host {
    pub(super) fn bring_up_to_date(&mut self, ctx: &egui::Context) {
        if self.feed.show(&mut self.clock, &mut self.picture) {
            repaint::once(ctx);
        }
        let now_ms = self.clock.now_ms();
        if self.picture.clock.now_ms / 1_000 != now_ms / 1_000 || self.picture.clock.zone.is_empty()
        {
            self.picture.clock = clock(now_ms, self.config.settings().clock);
        }
        self.picture.clock.now_ms = now_ms;
        self.orders.update(&mut self.picture);
        self.show_modules(ctx);
        self.show_settings(ctx);
        for (module, outcome) in self.hot.outcomes() {
            tracing::info!(module, %outcome, "reload");
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
        let again = self.orders.has_ended() || came_back(ctx);
        self.program.update(
            self.feed.client(),
            &self.picture,
            (self.feed.is_live(), again),
            &self.wake,
        );
        let program = self.program.module();
        let modules = self.modules.all(&self.hot, program, &self.config);
        let restart = self.restart.shown();
        if modules.iter().any(|module| module.stage.is_some()) {
            // Something that changed by itself is rehearsed on what is shown now.
            self.set_stage(ctx);
        }
        for module in modules.iter() {
            self.reporter.newer(&module.name, module.newer);
            self.reporter.file(module);
        }
        let shown = &mut self.picture.reload;
        if *shown.modules != *modules || shown.restart != restart {
            shown.modules = modules;
            shown.restart = restart;
            self.picture.serial += 1;
        }
    }

    /// Leaves a copy of what is shown for the rehearsal of new code.
    pub(super) fn set_stage(&self, ctx: &egui::Context) {
        self.hot.stage().set(Scene {
            picture: self.picture.clone(),
            theme: Arc::clone(self.config.theme()),
            memory: self.memory.clone(),
            egui: ctx.memory(Memory::clone),
            size: ctx.content_rect().size(),
        });
    }

    pub(super) fn show_themes(&mut self) {
        self.picture.window.themes = self.config.theme_names();
        self.picture.window.theme = self.config.theme_id().clone();
        self.picture.serial += 1;
    }

    /// Sleeps until something comes in, unless something that is shown counts.
    pub(super) fn ask_for_next(&self, ctx: &egui::Context) {
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
            repaint::once(ctx);
        }
    }

    pub(super) fn tell(&mut self) {
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

/// Whether the operator has just turned to the window.
fn came_back(ctx: &egui::Context) -> bool {
    let focused = egui::Event::WindowFocused(true);
    ctx.input(|input| input.raw.events.contains(&focused))
}

/// The time of day, of this zone.
pub(super) fn clock(now_ms: i64, zone: ClockZone) -> Clock {
    let zone = match zone {
        ClockZone::Local => jiff::tz::TimeZone::system(),
        ClockZone::Utc => jiff::tz::TimeZone::UTC,
    };
    let at = jiff::Timestamp::from_millisecond(now_ms).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    Clock {
        now_ms,
        utc_offset_s: zone.to_offset(at).seconds(),
        zone: zone.iana_name().unwrap_or("UTC").into(),
    }
}
