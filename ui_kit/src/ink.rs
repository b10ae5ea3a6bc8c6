//! The theme turned into what egui takes. The one place where colours are made.

use warden_toolkit::egui::{Color32, Context, FontFamily, FontId, Stroke};
use warden_view::{Rgba, Theme};

/// The family that headings are installed under.
pub const HEADING: &str = "heading";

/// The theme's tokens as egui takes them. Made anew for every frame; widgets take nothing else.
#[derive(Clone, Debug)]
pub struct Ink<'a> {
    /// What is no colour.
    pub theme: &'a Theme,
    /// Behind everything.
    pub ground: Color32,
    /// A panel.
    pub panel: Color32,
    /// A button, a chip: what stands out of a panel.
    pub raised: Color32,
    /// The same under the pointer.
    pub hovered: Color32,
    /// The same while pressed.
    pub pressed: Color32,
    /// A selected row.
    pub selected: Color32,
    /// A row under the pointer.
    pub row_hovered: Color32,
    /// A field to type in.
    pub field: Color32,
    /// Rules and outlines.
    pub line: Color32,
    /// Outlines that must be found.
    pub line_strong: Color32,
    /// What is left of a bar.
    pub track: Color32,
    /// What is read.
    pub text: Color32,
    /// What is read second.
    pub dim: Color32,
    /// Structure: headings, bars, what is active.
    pub accent: Color32,
    /// On an area filled with the accent.
    pub on_accent: Color32,
    /// What lives.
    pub good: Color32,
    /// Worth a look.
    pub warn: Color32,
    /// Alarm and nothing else.
    pub alarm: Color32,
    /// Data, by number.
    pub series: [Color32; 8],
    /// On an area filled with a colour of the series.
    pub on_series: Color32,
    /// Over what cannot be used while a dialog is open.
    pub veil: Color32,
    heading: FontFamily,
}

impl<'a> Ink<'a> {
    /// Before the theme's fonts are in place, as in a context's first pass, headings are set in
    /// the text's face: a family that egui does not know would end the frame.
    pub fn new(ctx: &Context, theme: &'a Theme) -> Self {
        let heading = FontFamily::Name(HEADING.into());
        let known = ctx.fonts(|fonts| fonts.definitions().families.contains_key(&heading));
        Self::with_heading(
            theme,
            if known {
                heading
            } else {
                FontFamily::Proportional
            },
        )
    }

    /// The same where no pass has begun yet and nothing can be asked for its fonts.
    pub fn with_heading(theme: &'a Theme, heading: FontFamily) -> Self {
        let colours = &theme.colours;
        Self {
            theme,
            ground: color32(colours.ground),
            panel: color32(colours.panel),
            raised: color32(colours.raised),
            hovered: color32(colours.hovered),
            pressed: color32(colours.pressed),
            selected: color32(colours.selected),
            row_hovered: color32(colours.row_hovered),
            field: color32(colours.field),
            line: color32(colours.line),
            line_strong: color32(colours.line_strong),
            track: color32(colours.track),
            text: color32(colours.text),
            dim: color32(colours.dim),
            accent: color32(colours.accent),
            on_accent: color32(colours.on_accent),
            good: color32(colours.good),
            warn: color32(colours.warn),
            alarm: color32(colours.alarm),
            series: colours.series.map(color32),
            on_series: color32(colours.on_series),
            veil: color32(colours.veil),
            heading,
        }
    }

    /// The same with its life gone: for figures that are from before.
    pub fn frozen(&self) -> Self {
        let dim = self.dim;
        Self {
            text: dim,
            accent: dim,
            on_accent: self.panel,
            good: dim,
            warn: dim,
            alarm: dim,
            series: [dim; 8],
            on_series: self.panel,
            selected: self.raised,
            ..self.clone()
        }
    }

    /// Text and figures.
    pub fn body(&self) -> FontId {
        FontId::new(self.theme.sizes.text, FontFamily::Proportional)
    }

    /// Ids and commands.
    pub fn mono(&self) -> FontId {
        FontId::new(self.theme.sizes.text, FontFamily::Monospace)
    }

    /// Keys.
    pub fn cap(&self) -> FontId {
        FontId::new(self.theme.sizes.text - 2.0, FontFamily::Monospace)
    }

    /// Client names on cards, and what an empty panel says first.
    pub fn title(&self) -> FontId {
        FontId::new(self.theme.sizes.head, FontFamily::Proportional)
    }

    /// Heads of tables, buttons, states; in capitals.
    pub fn label(&self) -> FontId {
        FontId::new(self.theme.sizes.label, self.heading.clone())
    }

    /// Heads of panels; in capitals.
    pub fn head(&self) -> FontId {
        FontId::new(self.theme.sizes.head, self.heading.clone())
    }

    /// Names in the strip.
    pub fn name(&self) -> FontId {
        FontId::new(self.theme.sizes.name, FontFamily::Proportional)
    }

    /// The count of who waits.
    pub fn count(&self) -> FontId {
        FontId::new(self.theme.sizes.count, FontFamily::Proportional)
    }

    /// Rules and outlines.
    pub fn rule(&self) -> Stroke {
        Stroke::new(self.theme.shape.line, self.line)
    }

    /// The same in another colour.
    pub fn outline(&self, colour: Color32) -> Stroke {
        Stroke::new(self.theme.shape.line, colour)
    }

    /// What is active or has the focus.
    pub fn strong(&self, colour: Color32) -> Stroke {
        Stroke::new(self.theme.shape.strong, colour)
    }
}

/// The only way from the theme's colours to egui's.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the theme code that the lint points to"
)]
pub fn color32(colour: Rgba) -> Color32 {
    Color32::from_rgba_unmultiplied(colour.r, colour.g, colour.b, colour.a)
}
