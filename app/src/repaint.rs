//! When the next frame is drawn.

use std::time::Duration;

use warden_toolkit::egui::Context;

/// Asks for one frame. A request without a delay makes egui draw two, so that what settles late has
/// settled; nothing here does, and where frames are drawn in software the second one takes the time
/// that a compiler needs.
pub fn once(ctx: &Context) {
    ctx.request_repaint_after(Duration::from_millis(1));
}
