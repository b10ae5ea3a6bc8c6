//! What a module that draws over the panels asks of the one that draws them, for its next frame.
//!
//! It waits in egui's own memory, as a number: a type of this library is another type in the next
//! generation of either of them.

use warden_toolkit::egui::{Context, Id};
use warden_view::Panel;

/// One thing to do about the panels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Bring what is selected into sight, and give the keyboard to its list.
    Reveal,
    /// Give the keyboard to the filter over queue and holders.
    Filter,
    /// Bring a panel to the front, and give it the keyboard.
    Front(Panel),
    /// Bring a setting into sight, and give it the keyboard: its place among all of them, from 0.
    Setting(usize),
}

impl Wish {
    /// Asks. A later wish takes the place of an earlier one that nobody granted yet.
    pub fn make(self, ctx: &Context) {
        let number = match self {
            Self::Reveal => 0,
            Self::Filter => 1,
            Self::Front(panel) => {
                let place = Panel::ALL.iter().position(|other| *other == panel);
                place.map_or(0, |place| place + 2)
            }
            Self::Setting(place) => place + SETTINGS,
        };
        ctx.data_mut(|data| data.insert_temp::<usize>(id(), number));
        ctx.request_repaint();
    }

    /// What is asked, once. Nothing while egui still keeps the keyboard from what lies under a modal
    /// layer: a frame after that was drawn last.
    #[must_use]
    pub fn take(ctx: &Context) -> Option<Self> {
        if ctx.memory(|memory| memory.top_modal_layer().is_some()) {
            if ctx.data(|data| data.get_temp::<usize>(id()).is_some()) {
                ctx.request_repaint();
            }
            return None;
        }
        let number = ctx.data_mut(|data| data.remove_temp::<usize>(id()))?;
        match number {
            0 => Some(Self::Reveal),
            1 => Some(Self::Filter),
            place if place >= SETTINGS => Some(Self::Setting(place - SETTINGS)),
            place => Panel::ALL.get(place - 2).copied().map(Self::Front),
        }
    }
}

/// The numbers of settings begin here: there are fewer panels.
const SETTINGS: usize = 64;

fn id() -> Id {
    Id::unique("warden wish")
}
