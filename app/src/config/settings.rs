//! What `settings.ron` says: how this person wants the window to be.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use warden_view::{Theme, Watch};

/// The least and the most that everything can be drawn larger.
const ZOOM: (f32, f32) = (0.2, 5.0);
/// How much closer rows stand when they are compact, in points: the grid is of four.
const COMPACT: f32 = 8.0;

/// See the module. Every key is optional; an unknown one is an error.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The window's design: a file of `themes/` by its name without the ending, or one that ships.
    pub theme: String,
    /// How large everything is drawn; 1 is as large as the screen says.
    #[schemars(range(min = 0.2, max = 5.0))]
    pub zoom: f32,
    /// How close rows stand in tables.
    pub rows: Rows,
    /// Whose time of day is shown.
    pub clock: ClockZone,
    /// Nothing moves by itself.
    pub reduced_motion: bool,
    /// What happens when a build of the drawing code lies there that nobody asked for here.
    pub watch: WatchMode,
}

/// How close rows stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Rows {
    /// As the theme has them.
    #[default]
    Roomy,
    /// A quarter closer.
    Compact,
}

/// Whose time of day is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ClockZone {
    /// This machine's.
    #[default]
    Local,
    /// Coordinated universal time.
    Utc,
}

/// What happens when a module's file changes by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WatchMode {
    /// Nothing.
    #[default]
    Off,
    /// The window tells that it is there.
    Light,
    /// It is taken.
    Reload,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            theme: "nerv".to_owned(),
            zoom: 1.0,
            rows: Rows::default(),
            clock: ClockZone::default(),
            reduced_motion: false,
            watch: WatchMode::default(),
        }
    }
}

impl Settings {
    /// What is wrong with these values, by key.
    ///
    /// # Errors
    /// A zoom that nobody could read, or that does not fit a screen.
    pub fn validate(&self) -> Result<(), Vec<(String, String)>> {
        let (least, most) = ZOOM;
        if (least..=most).contains(&self.zoom) {
            return Ok(());
        }
        Err(vec![(
            "zoom".to_owned(),
            format!("must be {least} to {most}"),
        )])
    }

    /// A theme as these settings have it.
    #[must_use]
    pub fn shape(&self, theme: &Theme) -> Theme {
        let mut theme = theme.clone();
        if self.rows == Rows::Compact {
            theme.spacing.row = (theme.spacing.row - COMPACT).max(COMPACT);
        }
        theme
    }
}

impl From<WatchMode> for Watch {
    fn from(mode: WatchMode) -> Self {
        match mode {
            WatchMode::Off => Self::Off,
            WatchMode::Light => Self::Light,
            WatchMode::Reload => Self::Reload,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_tuple_is_the_default_of_every_key() {
        assert_eq!(ron::from_str::<Settings>("()"), Ok(Settings::default()));
        assert!(ron::from_str::<Settings>("(teme: \"nerv\")").is_err());
    }

    #[test]
    fn the_range_that_is_told_is_the_one_that_is_checked() {
        let keys = warden_reload::keys::keys_of::<Settings>();
        let zoom = keys.iter().find(|key| key.name == "zoom").unwrap();
        for at in [zoom.range.min, zoom.range.max].map(Option::unwrap) {
            for (off, good) in [(0.0, true), (0.01, false)] {
                let away = if at < 1.0 { at - off } else { at + off };
                let settings = Settings {
                    zoom: away as f32,
                    ..Settings::default()
                };
                assert_eq!(settings.validate().is_ok(), good, "{away}");
            }
        }
    }
}
