//! The live configuration that programs share, `GET /v1/config`, and the stream of its changes,
//! `GET /v1/config/events`. Only keys that the schema marks `shared` are ever in here.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The answer of `GET /v1/config`, and the data of `config`, the first event of the stream.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveConfig {
    /// Grows by one with every change, and never goes back: the number of the last change that is
    /// in `values`.
    pub generation: u64,
    /// Since when, RFC 3339.
    pub at: String,
    /// Every shared key that has a value.
    pub values: BTreeMap<String, String>,
}

/// The data of `changed`: everything that went live together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigChange {
    /// One more than before.
    pub generation: u64,
    /// When it was live, RFC 3339.
    pub at: String,
    /// By key.
    pub changed: BTreeMap<String, KeyChange>,
}

/// What became of one key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyChange {
    /// Its value before; nothing where it had none, or where it is shared no more.
    pub old: Option<String>,
    /// Its value now; nothing where it has none any more, or is shared no more.
    pub new: Option<String>,
}

impl LiveConfig {
    /// Takes a change in.
    pub fn fold(&mut self, change: &ConfigChange) {
        self.generation = change.generation;
        self.at.clone_from(&change.at);
        for (key, KeyChange { new, .. }) in &change.changed {
            match new {
                Some(value) => drop(self.values.insert(key.clone(), value.clone())),
                None => drop(self.values.remove(key)),
            }
        }
    }
}

/// One event of the stream; its `id:` is the generation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum ConfigEvent {
    /// Everything; the first event where nothing is resumed.
    Config(LiveConfig),
    /// A change.
    Changed(ConfigChange),
}

impl ConfigEvent {
    /// What stands after `event:`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Config(_) => "config",
            Self::Changed(_) => "changed",
        }
    }

    /// What stands after `id:`.
    #[must_use]
    pub fn generation(&self) -> u64 {
        match self {
            Self::Config(config) => config.generation,
            Self::Changed(change) => change.generation,
        }
    }

    /// Reads what stands after `data:` of an event of this name; nothing for a name that this
    /// version does not know.
    ///
    /// # Errors
    /// As the deserialiser says.
    pub fn parse<'de, D: serde::Deserializer<'de>>(
        name: &str,
        data: D,
    ) -> Result<Option<Self>, D::Error> {
        match name {
            "config" => Deserialize::deserialize(data).map(|config| Some(Self::Config(config))),
            "changed" => Deserialize::deserialize(data).map(|change| Some(Self::Changed(change))),
            _ => Ok(None),
        }
    }
}
