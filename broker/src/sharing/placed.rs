//! What `shared.env` says, and where: what its schema does not allow is told with its line.

use std::collections::BTreeMap;

use warden_reload::files::{EnvMap, Format, Problem, entries};

/// Values, and where each is written.
#[derive(Clone, Debug, Default)]
pub(super) struct PlacedValues {
    pub values: EnvMap,
    /// Line and column of each value, from 1.
    pub places: BTreeMap<String, (u32, u32)>,
}

/// How it is read.
#[derive(Clone, Copy, Debug)]
pub(super) struct PlacedEnv;

impl Format for PlacedEnv {
    type Value = PlacedValues;

    fn parse(&self, text: &str) -> Result<PlacedValues, Problem> {
        let entries = entries(text)?;
        // Of a key that is there twice the last counts.
        Ok(PlacedValues {
            places: entries
                .iter()
                .map(|entry| (entry.key.clone(), entry.place(text)))
                .collect(),
            values: entries
                .into_iter()
                .map(|entry| (entry.key, entry.value))
                .collect(),
        })
    }
}
