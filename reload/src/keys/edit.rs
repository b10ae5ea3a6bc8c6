//! One key of a value, changed as a person types it.

use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::tree::{self, Node};
use super::{Key, Kind, keys_of};

/// Why what was typed cannot stand there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {problem}")]
pub struct EditError {
    /// Which key.
    pub key: String,
    /// What is wrong, and what would be right.
    pub problem: String,
}

/// A value with one key changed. Text is taken as it is, without quotes; anything else as a file
/// has it. Checked are kind, range and choices; rules between keys are the type's own to check.
///
/// # Errors
/// Where there is no such key, or `typed` cannot stand there.
pub fn edited<T>(value: &T, name: &str, typed: &str) -> Result<T, EditError>
where
    T: JsonSchema + Serialize + DeserializeOwned + Default,
{
    let refused = |problem: String| EditError {
        key: name.to_owned(),
        problem,
    };
    let mut tree = tree::of(value);
    let leaf = tree
        .at_mut(name)
        .ok_or_else(|| refused("there is no such key".to_owned()))?;
    let keys = keys_of::<T>();
    let typed = match keys.iter().find(|key| key.name == name) {
        Some(key) => checked(key, typed).map_err(refused)?,
        None => typed.trim().to_owned(),
    };
    *leaf = Node::Leaf(typed);
    let edited: T =
        ron::from_str(&tree.to_ron()).map_err(|error| refused(error.code.to_string()))?;
    match differ_only_at(name, tree::of(value), tree::of(&edited)) {
        true => Ok(edited),
        // As where a bracket is closed early.
        false => Err(refused("must be one value".to_owned())),
    }
}

fn differ_only_at(name: &str, mut one: Node, mut other: Node) -> bool {
    for tree in [&mut one, &mut other] {
        match tree.at_mut(name) {
            Some(node) => *node = Node::Leaf(String::new()),
            None => return false,
        }
    }
    one == other
}

/// What was typed, as a file has it.
fn checked(key: &Key, typed: &str) -> Result<String, String> {
    let trimmed = typed.trim();
    match &key.kind {
        Kind::Switch => match trimmed {
            "true" | "false" => Ok(trimmed.to_owned()),
            _ => Err("must be true or false".to_owned()),
        },
        Kind::Choice(choices) => match choices.iter().any(|choice| choice.word == trimmed) {
            true => Ok(trimmed.to_owned()),
            false => Err(format!(
                "must be one of {}",
                key.allowed().unwrap_or_default()
            )),
        },
        // One that may be left out is written in the file's own way, and read by its type.
        Kind::Whole | Kind::Number if trimmed == "None" || trimmed.starts_with("Some(") => {
            Ok(trimmed.to_owned())
        }
        Kind::Whole => {
            let digits = trimmed.strip_prefix('-').unwrap_or(trimmed);
            let is_whole = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
            let number = trimmed.parse::<f64>().ok().filter(|_| is_whole);
            in_range(key, trimmed, number.ok_or("must be a whole number")?)
        }
        Kind::Number => {
            let number = trimmed.parse::<f64>().ok().filter(|one| one.is_finite());
            in_range(key, trimmed, number.ok_or("must be a number")?)
        }
        Kind::Text if is_plain_text(key) => Ok(tree::quoted(typed)),
        Kind::Text | Kind::Table(_) | Kind::List(_) | Kind::Other => Ok(trimmed.to_owned()),
    }
}

/// Text that may be left out is written as `Some("…")`, in the file's own way.
fn is_plain_text(key: &Key) -> bool {
    let default = key.default.as_deref();
    default.is_some_and(|text| text.starts_with('"'))
}

fn in_range(key: &Key, typed: &str, number: f64) -> Result<String, String> {
    match key.range.contains(number) {
        true => Ok(typed.to_owned()),
        false => Err(format!("must be {}", key.range)),
    }
}
