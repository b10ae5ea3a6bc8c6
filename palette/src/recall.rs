//! What the palette remembers.

use serde::{Deserialize, Serialize};

use ui_kit::scene::Scene;

use crate::search::Found;

/// What the palette remembers from one frame, and from one generation, to the next.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Remembered {
    /// What was chosen lately, the last first: keys of entries, at most [`Self::RECENT`].
    recent: Vec<String>,
    /// The entry that Enter would choose; `None` for the first one. By its key, so that it stays
    /// the same when rows come and go around it.
    pub(crate) lit: Option<String>,
    /// What was found for what is typed.
    #[serde(skip)]
    pub(crate) found: Found,
}

impl Remembered {
    /// So many choices are remembered.
    pub const RECENT: usize = 8;

    /// Keys of what was chosen lately, the last first.
    #[must_use]
    pub fn recent(&self) -> &[String] {
        &self.recent
    }

    /// This was chosen.
    pub(crate) fn chosen(&mut self, key: &str) {
        self.recent.retain(|other| other != key);
        self.recent.insert(0, key.to_owned());
        self.recent.truncate(Self::RECENT);
    }

    /// Finds what matches, where that may have changed.
    pub(crate) fn update(&mut self, scene: &Scene<'_>, typed: &str) {
        self.found.update(scene, typed, &self.recent);
    }

    /// Other text is typed: the best match is lit.
    pub(crate) fn start_over(&mut self) {
        self.lit = None;
        self.found.lit_at = 0;
        self.found.offset = 0.0;
    }

    /// Nothing is lit and nothing found: as when the palette opens.
    pub(crate) fn forget_search(&mut self) {
        self.lit = None;
        self.found = Found::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_eight_are_remembered_once_each() {
        let mut memory = Remembered::default();
        for key in ["a", "b", "c", "d", "e", "f", "g", "h", "i", "b", "b"] {
            memory.chosen(key);
        }
        assert_eq!(memory.recent(), ["b", "i", "h", "g", "f", "e", "d", "c"]);
    }
}
