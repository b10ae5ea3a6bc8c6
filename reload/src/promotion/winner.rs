//! What somebody wants promoted.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::files::{Fault, FaultKind, Format as _, Problem, load};

/// A winner larger than this is refused unread.
const BYTES_MAX: u64 = 1 << 20;
/// One that ends in the middle is taken for unfinished so long after its last change.
const PATIENCE: Duration = Duration::from_secs(2);
/// The longest id, in characters.
const ID_MAX: usize = 128;

/// Values to be promoted together, under an id of their own.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Winner {
    /// Names it for ever: an id is promoted once. 1 to 128 of A-Z a-z 0-9 . _ -, and no dot first.
    pub id: String,
    /// Each key with its new value: text, a number, or true or false.
    pub values: BTreeMap<String, Value>,
    /// A health command of `checks.ron`. Where it fails, all is put back. Need not be there.
    #[serde(default)]
    pub check: Option<String>,
}

/// What a winner's file holds.
pub(super) enum Read {
    /// A winner.
    Winner(Winner),
    /// Nothing that can be promoted, and why.
    Broken(Fault),
    /// Its end is missing, and it was changed a moment ago.
    Unfinished,
}

/// Reads a winner's file.
pub(super) fn read(path: &Path) -> Read {
    let format = parse.at_most(BYTES_MAX);
    match load(path, &format) {
        Ok(Some(loaded)) => Read::Winner(loaded.value),
        Ok(None) => Read::Broken(
            Problem::new(FaultKind::Io, "there is no such file; name a winner").of(path),
        ),
        Err(fault) if ends_early(&fault) && is_recent(path) => Read::Unfinished,
        Err(fault) => Read::Broken(fault),
    }
}

/// Whether something can be an id, and so the name of a file.
pub(super) fn is_id(id: &str) -> bool {
    (1..=ID_MAX).contains(&id.len())
        && !id.starts_with('.')
        && id
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
}

impl Winner {
    /// The values as lines hold them.
    pub(super) fn texts(&self) -> Result<BTreeMap<String, Option<String>>, String> {
        let mut texts = BTreeMap::new();
        for (key, value) in &self.values {
            let text = match value {
                Value::String(text) => text.clone(),
                Value::Number(number) => number.to_string(),
                Value::Bool(switch) => switch.to_string(),
                Value::Null | Value::Array(_) | Value::Object(_) => {
                    return Err(format!("{key} must be text, a number, or true or false"));
                }
            };
            texts.insert(key.clone(), Some(text));
        }
        match texts.is_empty() {
            true => Err("it has no values; name at least one key".to_owned()),
            false => Ok(texts),
        }
    }
}

fn parse(text: &str) -> Result<Winner, Problem> {
    let winner: Winner = serde_json::from_str(text).map_err(|error| {
        let kind = match error.is_eof() {
            true => FaultKind::Empty,
            false => FaultKind::Syntax,
        };
        let from_one = |count: usize| u32::try_from(count).unwrap_or(u32::MAX).max(1);
        let what = match error.classify() {
            serde_json::error::Category::Eof => "the winner ends in the middle; write it whole",
            // The message may repeat a value.
            _ => "the winner is not {\"id\": …, \"values\": {KEY: value}, \"check\"?: …}; mend it",
        };
        Problem::new(kind, what).at(from_one(error.line()), from_one(error.column()))
    })?;
    match is_id(&winner.id) {
        true => Ok(winner),
        false => Err(Problem::new(
            FaultKind::Invalid,
            "the id must have 1 to 128 of A-Z a-z 0-9 . _ - and no dot first",
        )),
    }
}

fn ends_early(fault: &Fault) -> bool {
    fault.kind == FaultKind::Empty
}

fn is_recent(path: &Path) -> bool {
    let changed = fs::metadata(path).and_then(|found| found.modified());
    // A time in the future is no reason to wait.
    changed.is_ok_and(|changed| {
        SystemTime::now()
            .duration_since(changed)
            .is_ok_and(|age| age < PATIENCE)
    })
}
