//! The whole design as data. Widgets take these tokens and nothing else.

use std::fmt;

use serde::de::{self, Deserializer};
use serde::{Deserialize, Serialize};

use crate::{Face, Rgba};

/// One design, as its file has it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Theme {
    /// As the menu has it.
    pub name: String,
    /// Light text on a dark ground: what egui's own drawing should assume.
    pub dark: bool,
    /// Colours.
    pub colours: Colours,
    /// Typefaces.
    pub fonts: Fonts,
    /// Sizes of text.
    pub sizes: Sizes,
    /// Distances.
    pub spacing: Spacing,
    /// Corners and strokes.
    pub shape: Shape,
    /// What is drawn beyond what is needed.
    pub ornament: Ornament,
}

/// Colours by role. Text tokens are `text`, `dim`, `accent`, `good`, `warn` and `alarm`; `on_accent`
/// and `on_series` stand on filled areas of those.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Colours {
    /// Behind everything.
    pub ground: Rgba,
    /// A panel.
    pub panel: Rgba,
    /// A button, a chip, a dialog's head: what stands out of a panel.
    pub raised: Rgba,
    /// The same under the pointer.
    pub hovered: Rgba,
    /// The same while pressed.
    pub pressed: Rgba,
    /// A selected row.
    pub selected: Rgba,
    /// A row under the pointer.
    pub row_hovered: Rgba,
    /// A field to type in.
    pub field: Rgba,
    /// Rules and outlines.
    pub line: Rgba,
    /// Outlines that must be found: of controls, of what has the focus.
    pub line_strong: Rgba,
    /// What is left of a bar, a pip that is not lit.
    pub track: Rgba,
    /// What is read.
    pub text: Rgba,
    /// What is read second.
    pub dim: Rgba,
    /// Structure: headings, bars, what is active.
    pub accent: Rgba,
    /// On an area filled with the accent.
    pub on_accent: Rgba,
    /// What lives.
    pub good: Rgba,
    /// Worth a look.
    pub warn: Rgba,
    /// Alarm and nothing else.
    pub alarm: Rgba,
    /// On an area filled with the alarm colour.
    pub on_alarm: Rgba,
    /// Data, by number.
    pub series: [Rgba; 8],
    /// On an area filled with a colour of the series.
    pub on_series: Rgba,
    /// Over everything while a reload has failed; its alpha is how strong.
    pub tint: Rgba,
    /// Over what cannot be used while a dialog is open.
    pub veil: Rgba,
}

/// Typefaces by role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fonts {
    /// Text and figures.
    pub text: Face,
    /// Headings and states, in capitals.
    pub heading: Face,
    /// Ids, commands, compiler messages.
    pub mono: Face,
}

/// Sizes of text, in points.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sizes {
    /// Text and figures.
    #[serde(deserialize_with = "text_size")]
    pub text: f32,
    /// Heads of tables, labels of buttons.
    #[serde(deserialize_with = "text_size")]
    pub label: f32,
    /// Heads of panels.
    #[serde(deserialize_with = "text_size")]
    pub head: f32,
    /// Names in the strip.
    #[serde(deserialize_with = "text_size")]
    pub name: f32,
    /// The count of who waits.
    #[serde(deserialize_with = "text_size")]
    pub count: f32,
}

/// Distances, in points, on a grid of four.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spacing {
    /// Between panels, and around them.
    #[serde(deserialize_with = "distance")]
    pub gap: f32,
    /// From a panel's edge to what is in it.
    #[serde(deserialize_with = "distance")]
    pub pad: f32,
    /// The strip's height.
    #[serde(deserialize_with = "distance")]
    pub strip: f32,
    /// The height of a panel's head.
    #[serde(deserialize_with = "distance")]
    pub head: f32,
    /// The height of a row.
    #[serde(deserialize_with = "distance")]
    pub row: f32,
    /// The footer's height.
    #[serde(deserialize_with = "distance")]
    pub footer: f32,
    /// The height of a button.
    #[serde(deserialize_with = "distance")]
    pub button: f32,
}

/// Corners and strokes, in points.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shape {
    /// The radius of corners.
    #[serde(deserialize_with = "distance")]
    pub rounding: f32,
    /// How much a panel's corners are cut at 45°; 0 for not at all.
    #[serde(deserialize_with = "distance")]
    pub cut: f32,
    /// Rules and outlines.
    #[serde(deserialize_with = "stroke")]
    pub line: f32,
    /// What is active or has the focus.
    #[serde(deserialize_with = "stroke")]
    pub strong: f32,
}

/// What is drawn beyond what is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ornament {
    /// Hazard stripes where something is being forced or has failed.
    pub hazard: bool,
    /// Thin double rules under heads.
    pub double_rules: bool,
}

/// What is wrong with a theme's file, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ThemeError {
    /// From 1.
    pub line: u32,
    /// From 1.
    pub column: u32,
    /// What is wrong there.
    pub message: String,
}

impl fmt::Display for ThemeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "line {}, column {}: {}",
            self.line, self.column, self.message
        )
    }
}

impl std::error::Error for ThemeError {}

impl Theme {
    /// Reads a theme and checks every value in it.
    ///
    /// # Errors
    /// The first thing that is wrong, with its place: broken RON, a field that is unknown, missing
    /// or given twice, a colour that is none, a size that nobody could use.
    pub fn parse(text: &str) -> Result<Self, ThemeError> {
        ron::from_str(text).map_err(|error| ThemeError {
            line: u32::try_from(error.span.start.line).unwrap_or(u32::MAX),
            column: u32::try_from(error.span.start.col).unwrap_or(u32::MAX),
            message: error.code.to_string(),
        })
    }

    /// NERV, which is always there.
    ///
    /// # Panics
    /// Never: a test reads the shipped file.
    #[must_use]
    pub fn nerv() -> Self {
        Self::parse(SHIPPED[0].1).unwrap_or_else(|error| panic!("themes/nerv.ron: {error}"))
    }
}

/// The shipped themes in the order of the key that steps through them: id and file.
pub const SHIPPED: [(&str, &str); 4] = [
    ("nerv", include_str!("../../themes/nerv.ron")),
    ("light", include_str!("../../themes/light.ron")),
    ("dark", include_str!("../../themes/dark.ron")),
    (
        "high-contrast",
        include_str!("../../themes/high-contrast.ron"),
    ),
];

fn within<'de, D: Deserializer<'de>>(
    deserializer: D,
    what: &str,
    least: f32,
    most: f32,
) -> Result<f32, D::Error> {
    let value = f32::deserialize(deserializer)?;
    if (least..=most).contains(&value) {
        Ok(value)
    } else {
        Err(de::Error::custom(format_args!(
            "{what} must be {least} to {most} points, not {value}"
        )))
    }
}

fn text_size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f32, D::Error> {
    within(deserializer, "a text size", 8.0, 96.0)
}

fn distance<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f32, D::Error> {
    within(deserializer, "a distance", 0.0, 240.0)
}

fn stroke<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f32, D::Error> {
    within(deserializer, "a stroke's width", 0.5, 8.0)
}
