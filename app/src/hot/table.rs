//! The hot modules of the window, and the functions that it delegates to.

use std::ffi::c_void;
use std::mem::transmute;
use std::ptr::NonNull;

use warden_hot::{Memory, MemoryTable, Panicked};
use warden_reload::Generation;
use warden_toolkit::egui;
use warden_view::{Action, Picture, Theme, UiMemory};

/// A hot module. Its name is that of its package, of its folder and of its library, and begins the
/// names of its functions: `NAME_draw`, and `NAME_style`, a [`Style`].
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// See above.
    pub name: &'static str,
    /// It has memory of its own, and `NAME_draw` is a [`DrawOwn`]; else it is a [`Draw`].
    pub remembers: bool,
    /// It puts fonts and egui's own style in place.
    pub styles: bool,
    /// Modules that are reloaded before it.
    pub after: &'static [&'static str],
    /// Changes a copy of what the window remembers so that a rehearsal has something to draw, where
    /// the module may have nothing to draw otherwise.
    pub opens: Option<fn(&mut UiMemory)>,
    /// Its functions, where it is linked into this program.
    pub linked: Option<Functions>,
}

/// Every hot module, in the order in which they draw: each over those before it. Without the first
/// one there is nothing to draw on, and the host shows its own page.
pub const MODULES: &[Entry] = &[
    Entry {
        name: "ui_hot",
        remembers: false,
        styles: true,
        after: &[],
        opens: None,
        #[cfg(not(feature = "static"))]
        linked: None,
        #[cfg(feature = "static")]
        linked: Some(Functions {
            draw: Drawing::Plain(ui_hot::ui_hot_draw),
            style: Some(ui_hot::ui_hot_style),
            memory: None,
        }),
    },
    Entry {
        name: "palette",
        remembers: true,
        styles: false,
        after: &[],
        opens: Some(|memory| memory.palette = Some(String::new())),
        #[cfg(not(feature = "static"))]
        linked: None,
        #[cfg(feature = "static")]
        linked: Some(Functions {
            draw: Drawing::Own(palette::palette_draw),
            style: None,
            memory: Some(&palette::palette_memory),
        }),
    },
];

/// Draws a frame.
pub type Draw =
    fn(&mut egui::Ui, &Picture, &Theme, &mut UiMemory, &mut Vec<Action>) -> Result<(), Panicked>;
/// Draws a frame of a module that has memory of its own.
pub type DrawOwn = fn(
    &mut egui::Ui,
    &Picture,
    &Theme,
    &mut UiMemory,
    &mut Memory,
    &mut Vec<Action>,
) -> Result<(), Panicked>;
/// Puts fonts and egui's own style in place; called before a frame, whenever the theme or the
/// generation is another.
pub type Style = fn(&egui::Context, &Theme) -> Result<(), Panicked>;

/// Pointers into one generation. They stay good for ever, since nothing is ever unmapped.
#[derive(Clone, Copy)]
pub struct Functions {
    /// What draws.
    pub draw: Drawing,
    /// See [`Style`]; none where the module has no say in that.
    pub style: Option<Style>,
    /// The functions of its memory; none where it has none.
    pub memory: Option<&'static MemoryTable>,
}

/// What draws a frame.
#[derive(Clone, Copy, Debug)]
pub enum Drawing {
    /// Without memory of its own.
    Plain(Draw),
    /// With.
    Own(DrawOwn),
}

impl std::fmt::Debug for Functions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Functions").finish_non_exhaustive()
    }
}

impl Functions {
    /// Draws a frame.
    ///
    /// # Errors
    /// When the code panicked, which was caught inside its library; or its memory is missing.
    pub fn draw(
        &self,
        ui: &mut egui::Ui,
        (picture, theme): (&Picture, &Theme),
        memory: &mut UiMemory,
        own: Option<&mut Memory>,
        actions: &mut Vec<Action>,
    ) -> Result<(), Panicked> {
        match (self.draw, own) {
            (Drawing::Plain(draw), _) => draw(ui, picture, theme, memory, actions),
            (Drawing::Own(draw), Some(own)) => draw(ui, picture, theme, memory, own, actions),
            (Drawing::Own(_), None) => Err(Panicked {
                message: "its memory could not be made".to_owned(),
            }),
        }
    }
}

impl Entry {
    /// The symbols that every generation must export.
    #[must_use]
    pub fn targets(&self) -> Vec<String> {
        let draw = [self.draw_symbol()];
        draw.into_iter()
            .chain(self.styles.then(|| self.style_symbol()))
            .collect()
    }

    fn draw_symbol(&self) -> String {
        format!("{}_draw", self.name)
    }

    fn style_symbol(&self) -> String {
        format!("{}_style", self.name)
    }

    /// Takes the functions out of a generation that passed every check.
    #[must_use]
    pub fn functions(&self, generation: &Generation) -> Option<Functions> {
        let draw = generation.symbol(&self.draw_symbol())?;
        let style = match self.styles {
            true => Some(generation.symbol(&self.style_symbol())?),
            false => None,
        };
        // SAFETY: the manifest was compared before the library was mapped: same compiler, same
        // toolkit, same definition of every type in these signatures; and every hot module declares
        // its exports with the very signatures of the aliases above.
        Some(unsafe {
            Functions {
                draw: if self.remembers {
                    Drawing::Own(transmute::<NonNull<c_void>, DrawOwn>(draw))
                } else {
                    Drawing::Plain(transmute::<NonNull<c_void>, Draw>(draw))
                },
                style: style.map(|style| transmute::<NonNull<c_void>, Style>(style)),
                memory: generation.memory_table(),
            }
        })
    }
}
