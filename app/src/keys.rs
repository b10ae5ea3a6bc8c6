//! The keys that are the host's own, since they must be heard whatever the hot code does.

use warden_toolkit::egui::{self, Key, Modifiers};
use warden_view::Action;

/// Takes the host's keys out of the input and says what they ask for.
pub fn hear(ctx: &egui::Context) -> Vec<Action> {
    ctx.input_mut(|input| {
        let mut actions = Vec::new();
        // First of all: a shortcut with fewer modifiers would take this one as its own.
        if input.consume_key(Modifiers::CTRL | Modifiers::ALT, Key::R) {
            actions.push(Action::Reload);
        }
        if input.consume_key(Modifiers::CTRL | Modifiers::ALT, Key::W) {
            actions.push(Action::WarmRestart);
        }
        actions
    })
}

/// Whether the key that takes the newest generation back was pressed; it is taken out of the input.
pub fn roll_back(ctx: &egui::Context) -> bool {
    ctx.input_mut(|input| input.consume_key(Modifiers::CTRL | Modifiers::ALT, Key::Z))
}

/// Whether the key for the next theme was pressed; it is taken out of the input.
pub fn next_theme(ctx: &egui::Context) -> bool {
    ctx.input_mut(|input| input.consume_key(Modifiers::CTRL | Modifiers::SHIFT, Key::T))
}
