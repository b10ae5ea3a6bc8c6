//! The typefaces that ship with the window.

use serde::{Deserialize, Serialize};

/// A typeface that a theme may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Face {
    /// Drawn for aircraft displays; its digits are of one width.
    B612,
    /// The same, bold.
    B612Bold,
    /// A condensed face for headings and states in capitals.
    BarlowCondensed,
    /// For ids, commands and compiler messages.
    JetBrainsMono,
}

impl Face {
    /// Every typeface there is.
    pub const ALL: [Self; 4] = [
        Self::B612,
        Self::B612Bold,
        Self::BarlowCondensed,
        Self::JetBrainsMono,
    ];

    /// The name that it is installed under.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::B612 => "B612",
            Self::B612Bold => "B612 Bold",
            Self::BarlowCondensed => "Barlow Condensed SemiBold",
            Self::JetBrainsMono => "JetBrains Mono",
        }
    }

    /// The font file.
    #[must_use]
    pub const fn bytes(self) -> &'static [u8] {
        match self {
            Self::B612 => include_bytes!("../../assets/fonts/B612-Regular.otf"),
            Self::B612Bold => include_bytes!("../../assets/fonts/B612-Bold.otf"),
            Self::BarlowCondensed => {
                include_bytes!("../../assets/fonts/BarlowCondensed-SemiBold.ttf")
            }
            Self::JetBrainsMono => include_bytes!("../../assets/fonts/JetBrainsMono-Regular.ttf"),
        }
    }
}
