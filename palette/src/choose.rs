//! What choosing an entry does.

use ui_kit::scene::Scene;
use ui_kit::wish::Wish;
use warden_toolkit::egui::Context;
use warden_view::{Layout, Sort};

use crate::entry::{Deed, Entry};

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
        Deed::Sort(column) => {
            let descending = memory.sort.column == column && !memory.sort.descending;
            memory.sort = Sort { column, descending };
        }
        Deed::Unfiltered => {
            memory.filter.clear();
            memory.sort = Sort::default();
        }
        Deed::StandardLayout => memory.layout = Layout::default(),
    }
}
