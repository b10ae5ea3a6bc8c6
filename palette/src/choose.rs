//! What choosing an entry does.

use ui_kit::scene::Scene;
use ui_kit::wish::Wish;
use warden_toolkit::egui::{Context, gui_zoom};
use warden_view::{Layout, Sort};

use crate::entry::{Deed, Entry, Zoom};

/// Carries it out as far as drawing code may: asks the host, the operator or the panels.
pub(crate) fn choose(ctx: &Context, scene: &mut Scene<'_>, entry: &Entry) {
    let memory = &mut *scene.memory;
    match entry.deed.clone() {
        Deed::Push(action) => scene.actions.push(action),
        Deed::Ask(dialog) => memory.dialog = Some(dialog),
        Deed::Select(selection) => {
            memory.selection = selection;
            Wish::Reveal.make(ctx);
        }
        Deed::Wish(wish) => wish.make(ctx),
        Deed::Sort(column) => scene.sort_by(column),
        Deed::Unfiltered => {
            memory.filter.clear();
            memory.sort = Sort::default();
        }
        Deed::StandardLayout => memory.layout = Layout::default(),
        Deed::Zoom(Zoom::In) => gui_zoom::zoom_in(ctx),
        Deed::Zoom(Zoom::Out) => gui_zoom::zoom_out(ctx),
        Deed::Zoom(Zoom::Reset) => ctx.set_zoom_factor(1.0),
    }
}
