//! Following the configuration: what was saved is live with the frame that begins.

use warden_toolkit::egui;
use warden_view::{Text, Watch};

use super::Host;
use crate::config::{Changed, Live, WatchMode};
use crate::{modules, repaint};

impl Host {
    /// Takes in what has changed on the disk.
    pub(super) fn configure(&mut self, ctx: &egui::Context) {
        if let Err(said) = self.config.zoomed(ctx.zoom_factor()) {
            self.complain("Remember the size".to_owned(), said);
        }
        let Changed {
            themes,
            zoom,
            watch,
            clock,
            unsaved,
        } = self.config.take();
        if themes {
            self.themes_changed(ctx);
        }
        if let Some(zoom) = zoom {
            ctx.set_zoom_factor(zoom);
        }
        if clock {
            // Without a zone it is made anew.
            self.picture.clock.zone = Text::default();
        }
        if let Some(watch) = watch {
            self.follow_watch(watch);
        }
        for (title, said) in unsaved {
            self.complain(title, said);
        }
        if self.broken.now(self.config.faults()) {
            repaint::once(ctx);
        }
    }

    /// Has the files of all modules watched like this.
    pub(super) fn follow_watch(&mut self, mode: WatchMode) {
        let mode = modules::watch(Watch::from(mode));
        let names: Vec<&str> = self.hot.entries().map(|entry| entry.name).collect();
        for name in names {
            if let Err(said) = self.hot.watch(name, mode) {
                self.complain(format!("Watch {name}"), said);
            }
        }
    }

    /// What can be set, beside what holds.
    pub(super) fn show_settings(&mut self, ctx: &egui::Context) {
        let settings = self.config.settings();
        let still = self.still || settings.reduced_motion;
        if self.picture.window.reduced_motion != still {
            self.picture.window.reduced_motion = still;
            self.picture.serial += 1;
        }
        let shown = self.config.shown(&Live {
            zoom: ctx.zoom_factor(),
            reduced_motion: still,
            policy: self.feed.policy(),
        });
        if shown != self.picture.settings {
            self.picture.settings = shown;
            self.picture.serial += 1;
            repaint::once(ctx);
        }
    }
}
