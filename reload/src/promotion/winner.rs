//! What somebody wants promoted.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::files::{Fault, FaultKind, Format as _, Problem, key_at, load, place};

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
    /// Nothing that can be promoted.
    Broken {
        /// Its id, where that can be read nevertheless.
        id: Option<String>,
        /// Why.
        fault: Fault,
    },
    /// There is no such file.
    Missing,
    /// Its end is missing, and it was changed a moment ago.
    Unfinished,
}

/// Reads a winner's file.
pub(super) fn read(path: &Path) -> Read {
    let format = parse.at_most(BYTES_MAX);
    match load(path, &format) {
        Ok(Some(loaded)) => match loaded.value {
            Ok(winner) => Read::Winner(winner),
            Err((id, problem)) => Read::Broken {
                id,
                fault: problem.of(path),
            },
        },
        Ok(None) => Read::Missing,
        Err(fault) if ends_early(&fault) && is_recent(path) => Read::Unfinished,
        Err(fault) => Read::Broken { id: None, fault },
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

/// What is none may still say whose it is.
type Parsed = Result<Winner, (Option<String>, Problem)>;

/// Fails where the text ends too early to say anything.
fn parse(text: &str) -> Result<Parsed, Problem> {
    let error = match serde_json::from_str::<Winner>(text) {
        Ok(winner) if is_id(&winner.id) => return Ok(Ok(winner)),
        Ok(_) => {
            let rule = "the id must have 1 to 128 of A-Z a-z 0-9 . _ - and no dot first";
            return Ok(Err((None, Problem::new(FaultKind::Invalid, rule))));
        }
        Err(error) => error,
    };
    let from_one = |count: usize| u32::try_from(count).unwrap_or(u32::MAX).max(1);
    let (line, column) = (from_one(error.line()), from_one(error.column()));
    if error.is_eof() {
        let what = "the winner ends in the middle; write it whole";
        return Err(Problem::new(FaultKind::Empty, what).at(line, column));
    }
    let fields: Map<String, Value> = serde_json::from_str(text).unwrap_or_default();
    let id = match fields.get("id") {
        Some(Value::String(id)) if is_id(id) => Some(id.clone()),
        _ => None,
    };
    let problem = match wrong_field(&fields) {
        Some((field, message)) => {
            let at = key_at(text, field).map_or((line, column), |byte| place(text, byte));
            Problem::new(FaultKind::Invalid, message).at(at.0, at.1)
        }
        // The parser's own message may repeat a value.
        None => {
            let what = "the winner is no JSON object with each of its fields once; mend it";
            Problem::new(FaultKind::Syntax, what).at(line, column)
        }
    };
    Ok(Err((id, problem)))
}

/// The first field that is wrong, and what would be right. Tells no value.
fn wrong_field(fields: &Map<String, Value>) -> Option<(&str, String)> {
    const RULES: [(&str, &str); 3] = [
        ("id", "text"),
        ("values", "an object, {KEY: value}"),
        ("check", "text, or not there"),
    ];
    if fields.is_empty() {
        return None;
    }
    let mut names = fields.keys().map(String::as_str);
    if let Some(unknown) = names.find(|name| RULES.iter().all(|(known, _)| known != name)) {
        let message = format!(
            "a winner has no field {unknown:?}; its fields are \"id\", \"values\" and \"check\""
        );
        return Some((unknown, message));
    }
    RULES.into_iter().find_map(|(name, rule)| {
        let is_right = match (name, fields.get(name)) {
            ("values", value) => value.is_some_and(Value::is_object),
            ("check", value) => value.is_none_or(|value| value.is_string() || value.is_null()),
            (_, value) => value.is_some_and(Value::is_string),
        };
        let state = match fields.contains_key(name) {
            true => "must be",
            false => "is missing; it must be",
        };
        (!is_right).then(|| (name, format!("the winner's {name:?} {state} {rule}")))
    })
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
