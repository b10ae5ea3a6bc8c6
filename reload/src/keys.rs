//! The keys of a configuration file, as the type that it is read into describes them: documentation
//! comments are the meaning, `#[schemars(range(…))]` is the range, [`Default`] has the defaults, and
//! a name's ending (`_ms`, `_mib`) is the unit. A manual page, a panel of settings and the comments
//! of a saved file are made of these, so that none of them can say what another does not.
//!
//! The types derive `Serialize`, `Deserialize`, `Default` and [`JsonSchema`]; nested structs are
//! walked into, and their keys are dotted: `yield.gap`. In a table, where people choose the names,
//! `*` stands for each of them: `operations.*.timeout_ms`.

mod describe;
mod edit;
mod text;
mod tree;

use std::fmt;
use std::path::Path;

use schemars::JsonSchema;
use serde::Serialize;

use crate::save::{self, SaveError};

pub use edit::{EditError, edited};

/// One key of a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Key {
    /// Dotted where it is nested.
    pub name: String,
    /// What it does, in sentences. Empty where the type has no comment.
    pub meaning: String,
    /// What may stand there.
    pub kind: Kind,
    /// What a number counts: `ms`, `MiB`.
    pub unit: Option<String>,
    /// As the file would have it. Keys of a table's entries may have none.
    pub default: Option<String>,
    /// Where numbers must lie.
    pub range: Range,
}

/// What may stand behind a key.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// `true` or `false`.
    Switch,
    /// A whole number.
    Whole,
    /// A number, with or without a fraction.
    Number,
    /// Text, in quotes.
    Text,
    /// One of these words.
    Choice(Vec<Choice>),
    /// Names that people choose, each with a value of this kind, or with keys of its own.
    Table(Option<Box<Kind>>),
    /// Several of this kind, in order.
    List(Option<Box<Kind>>),
    /// Something else: its default, or its meaning, shows how it is written.
    Other,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Switch => f.write_str("true or false"),
            Self::Whole => f.write_str("whole number"),
            Self::Number => f.write_str("number"),
            Self::Text => f.write_str("text"),
            Self::Choice(_) => f.write_str("word"),
            Self::Table(None) => f.write_str("table: names, each with keys of its own"),
            Self::Table(Some(kind)) => write!(f, "table: names, each with a {kind}"),
            Self::List(None) => f.write_str("list"),
            Self::List(Some(kind)) => write!(f, "list, each a {kind}"),
            Self::Other => f.write_str("value"),
        }
    }
}

/// A word that may stand behind a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// As it is written.
    pub word: String,
    /// What it does.
    pub meaning: String,
}

/// Where numbers must lie, both ends included. Bounds above 2⁵³ are rounded.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Range {
    /// The least, if there is one.
    pub min: Option<f64>,
    /// The most, if there is one.
    pub max: Option<f64>,
}

impl Range {
    /// Whether a number lies in it.
    #[must_use]
    pub fn contains(self, number: f64) -> bool {
        self.min.is_none_or(|min| number >= min) && self.max.is_none_or(|max| number <= max)
    }
}

/// `1 to 1,000,000`, `0 or more`, `at most 5`; nothing where every number is welcome.
impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.min, self.max) {
            (None, None) => Ok(()),
            (Some(min), None) => write!(f, "{} or more", text::number(min)),
            (None, Some(max)) => write!(f, "at most {}", text::number(max)),
            (Some(min), Some(max)) => {
                write!(f, "{} to {}", text::number(min), text::number(max))
            }
        }
    }
}

impl Key {
    /// The range, or the words to choose from, in words; nothing where all is said by the kind.
    #[must_use]
    pub fn allowed(&self) -> Option<String> {
        match &self.kind {
            Kind::Choice(choices) => {
                let words: Vec<_> = choices.iter().map(|choice| choice.word.as_str()).collect();
                Some(words.join(", "))
            }
            _ if self.range == Range::default() => None,
            _ => Some(self.range.to_string()),
        }
    }
}

/// The keys of the file that is read into `T`, in the order of the type's fields.
#[must_use]
pub fn keys_of<T: JsonSchema + Serialize + Default>() -> Vec<Key> {
    describe::keys(&describe::schema::<T>(), &tree::of(&T::default()))
}

/// The keys of a file whose entries, under names of their own, are read into `T` each.
pub(crate) fn keys_of_each<T: JsonSchema + Serialize + Default>() -> Vec<Key> {
    let named = |key: Key| Key {
        name: format!("*.{}", key.name),
        ..key
    };
    keys_of::<T>().into_iter().map(named).collect()
}

/// What a value has behind a key, as a file would have it; nothing where there is no such key.
/// An entry of a table is a key too: `priorities.mic`.
#[must_use]
pub fn value_of<T: Serialize>(value: &T, name: &str) -> Option<String> {
    tree::of(value).at(name).map(tree::Node::to_ron)
}

/// A value as a RON file, each key under a comment that says what [`Key`] knows of it.
#[must_use]
pub fn to_ron<T: JsonSchema + Serialize + Default>(value: &T) -> String {
    text::commented(&tree::of(value), &keys_of::<T>())
}

/// Saves a value as [`to_ron`] writes it, at once and as a whole. Comments that people wrote into
/// the file are lost.
///
/// # Errors
/// As [`save::replace`].
pub fn save_ron<T: JsonSchema + Serialize + Default>(
    path: impl AsRef<Path>,
    value: &T,
) -> Result<(), SaveError> {
    save::replace(path, to_ron(value).as_bytes())
}
