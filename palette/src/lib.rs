//! The command palette: a hot module of its own, drawn over the window.
//!
//! Ctrl+K opens it: a field, and under it everything that the window can do and every row by name.
//! That it is open, and what is typed, is the window's memory ([`UiMemory::palette`]); what was
//! chosen lately is this module's own ([`Remembered`]). It never acts: what ends something of
//! somebody's opens the dialog that asks, the rest goes out as [`Action`]s.

use warden_toolkit as _;
use warden_toolkit::egui::{self, Key, Modifiers};
use warden_view::{Action, Picture, Theme, UiMemory};

mod choose;
mod commands;
mod entry;
mod list;
mod needle;
mod recall;
mod rows;
mod search;
mod show;

use ui_kit::keys;
use ui_kit::scene::Scene;

pub use recall::Remembered;

warden_hot::manifest! {
    module: "palette",
    shares: warden_toolkit,
    schema: warden_view::SCHEMA,
    memory: Remembered
}

/// Draws the palette over all of `ui` where it is open, and hears the key that opens it.
///
/// To be called after what draws the window, in the same frame.
#[warden_hot::delegation_target]
pub fn palette_draw(
    ui: &mut egui::Ui,
    picture: &Picture,
    theme: &Theme,
    ui_memory: &mut UiMemory,
    #[memory] memory: &mut Remembered,
    actions: &mut Vec<Action>,
) {
    // A dialog asks something first.
    if ui_memory.dialog.is_some() {
        return;
    }
    if ui_memory.palette.is_none() {
        show::give_back(ui);
        if !keys::taken(ui, Modifiers::COMMAND, Key::K) {
            return;
        }
        ui_memory.palette = Some(String::new());
    }
    let mut scene = Scene::new(ui.ctx(), picture, theme, ui_memory, actions);
    show::show(ui, &mut scene, memory);
}
