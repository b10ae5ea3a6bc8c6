//! `schema.ron`: which keys there are, and what may stand behind them.

use std::collections::BTreeMap;
use std::ops::Deref;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

use crate::files::{Format, Invalid, Ron};
use crate::keys::{Range, keys_of_each};

/// What `schema.ron` says: a rule for each key. A key without one cannot be set.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Schema(BTreeMap<String, Rule>);

/// What may stand behind one key.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Rule {
    /// What may stand there.
    #[serde(rename = "type")]
    pub kind: KeyType,
    /// The least that a number may be. Without it there is no such bound.
    #[serde(deserialize_with = "bound")]
    pub min: Option<f64>,
    /// The most that a number may be. Without it there is no such bound.
    #[serde(deserialize_with = "bound")]
    pub max: Option<f64>,
    /// The words that a text may be. Empty: any text.
    pub choices: Vec<String>,
    /// Whether the value may leave the broker: through its API, its events and what follows them.
    pub shared: bool,
    /// What the key does, for people.
    pub meaning: String,
    /// What a number counts, for people.
    pub unit: String,
}

/// What sort of value a key has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum KeyType {
    /// Any text, or one of `choices`.
    #[default]
    Text,
    /// A whole number from `min` to `max`.
    Whole,
    /// A number from `min` to `max`, with or without a fraction.
    Number,
    /// `true` or `false`; `yes`, `no`, `on`, `off`, `1` and `0` are taken too.
    Switch,
}

/// A bound is written as a bare number.
fn bound<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    f64::deserialize(deserializer).map(Some)
}

impl Deref for Schema {
    type Target = BTreeMap<String, Rule>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl FromIterator<(String, Rule)> for Schema {
    fn from_iter<I: IntoIterator<Item = (String, Rule)>>(rules: I) -> Self {
        Self(rules.into_iter().collect())
    }
}

impl Schema {
    /// How `schema.ron` is read: refused where others could have written it, and where it
    /// contradicts itself.
    #[must_use]
    pub fn format() -> impl Format<Value = Self> {
        Ron::new()
            .with_keys(keys_of_each::<Rule>())
            .validated(Self::check)
            .trusted()
    }

    /// Whether a key may leave the broker.
    #[must_use]
    pub fn is_shared(&self, key: &str) -> bool {
        self.0.get(key).is_some_and(|rule| rule.shared)
    }

    /// Whether a value may stand behind a key.
    ///
    /// # Errors
    /// Why not. Never holds the value.
    pub fn allows(&self, key: &str, value: &str) -> Result<(), String> {
        let Some(rule) = self.0.get(key) else {
            return Err(format!(
                "{key} is no key that schema.ron knows; add it there, or mend the name"
            ));
        };
        rule.allows(value)
            .map_err(|expected| format!("{key} must be {expected}"))
    }

    fn check(&self) -> Result<(), Vec<Invalid>> {
        let mut problems: Vec<Invalid> = Vec::new();
        for (key, rule) in &self.0 {
            if !is_env_key(key) {
                let rule = "is no key; a key has letters, digits and _, and begins with no digit";
                problems.push((key.clone(), rule).into());
            }
            if let Some(problem) = rule.contradiction() {
                problems.push((key.clone(), problem).into());
            }
        }
        match problems.is_empty() {
            true => Ok(()),
            false => Err(problems),
        }
    }
}

impl Rule {
    /// Where numbers must lie.
    #[must_use]
    pub fn range(&self) -> Range {
        Range {
            min: self.min,
            max: self.max,
        }
    }

    /// Fails with what would be right.
    fn allows(&self, value: &str) -> Result<(), String> {
        // No process could be given such a value, nor any line hold it.
        if value.contains('\0') {
            return Err("without NUL characters".to_owned());
        }
        let number = value.parse::<f64>().ok().filter(|one| one.is_finite());
        let fits = match self.kind {
            KeyType::Text => self.choices.is_empty() || self.choices.iter().any(|one| one == value),
            KeyType::Switch => SWITCH.contains(&value.to_ascii_lowercase().as_str()),
            KeyType::Whole => {
                is_whole(value) && number.is_some_and(|number| self.range().contains(number))
            }
            KeyType::Number => number.is_some_and(|number| self.range().contains(number)),
        };
        match fits {
            true => Ok(()),
            false => Err(self.expected()),
        }
    }

    /// What may stand there, in words.
    #[must_use]
    pub fn expected(&self) -> String {
        let noun = match self.kind {
            KeyType::Text if self.choices.is_empty() => return "text".to_owned(),
            KeyType::Text => return format!("one of {}", self.choices.join(", ")),
            KeyType::Switch => return "true or false".to_owned(),
            KeyType::Whole => "a whole number",
            KeyType::Number => "a number",
        };
        match self.range() == Range::default() {
            true => noun.to_owned(),
            false => format!("{noun}, {}", self.range()),
        }
    }

    fn contradiction(&self) -> Option<String> {
        let is_number = matches!(self.kind, KeyType::Whole | KeyType::Number);
        let bounds = [self.min, self.max];
        if !is_number && bounds != [None, None] {
            return Some("has min or max, which only numbers have".to_owned());
        }
        if self.kind != KeyType::Text && !self.choices.is_empty() {
            return Some("has choices, which only text has".to_owned());
        }
        if bounds.into_iter().flatten().any(|bound| !bound.is_finite()) {
            return Some("has a bound that is no number".to_owned());
        }
        match (self.min, self.max) {
            (Some(min), Some(max)) if min > max => {
                Some("has a min above its max, so nothing fits".to_owned())
            }
            _ => None,
        }
    }
}

const SWITCH: [&str; 8] = ["true", "false", "yes", "no", "on", "off", "1", "0"];

fn is_whole(value: &str) -> bool {
    let digits = value.strip_prefix('-').unwrap_or(value);
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// As the lines of an environment file allow it.
fn is_env_key(key: &str) -> bool {
    key.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && key
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema(text: &str) -> Result<Schema, crate::files::Problem> {
        Schema::format().parse(text)
    }

    #[test]
    fn a_value_fits_or_the_error_says_what_would() {
        let schema = schema(
            r#"{
                "SIZE": (type: whole, min: 64, max: 4096, shared: true),
                "SHARE": (type: number, max: 1),
                "MODE": (choices: ["fast", "good"]),
                "LOUD": (type: switch),
                "NAME": (),
            }"#,
        )
        .unwrap();
        for (key, value) in [
            ("SIZE", "64"),
            ("SHARE", "-0.5"),
            ("MODE", "good"),
            ("LOUD", "Off"),
            ("NAME", "any text = \"at\nall\""),
        ] {
            assert_eq!(schema.allows(key, value), Ok(()));
        }
        for (key, value, expected) in [
            ("SIZE", "63", "SIZE must be a whole number, 64 to 4,096"),
            ("SIZE", "1e3", "SIZE must be a whole number, 64 to 4,096"),
            ("SHARE", "inf", "SHARE must be a number, at most 1"),
            ("MODE", "Good", "MODE must be one of fast, good"),
            ("LOUD", "", "LOUD must be true or false"),
        ] {
            assert_eq!(schema.allows(key, value), Err(expected.to_owned()));
        }
        assert!(schema.allows("OTHER", "1").unwrap_err().contains("OTHER"));
        assert!(schema.is_shared("SIZE") && !schema.is_shared("NAME"));
    }

    #[test]
    fn a_schema_that_contradicts_itself_is_refused_by_name() {
        for (text, said) in [
            (
                r#"{"A": (type: whole, min: 2, max: 1)}"#,
                "min above its max",
            ),
            (r#"{"A": (min: 2)}"#, "only numbers"),
            (r#"{"A": (type: switch, choices: ["a"])}"#, "only text"),
            (r#"{"1A": ()}"#, "no key"),
            (r#"{"A": (shred: true)}"#, "shred"),
            (r#"{"A": (type: float)}"#, "float"),
        ] {
            let problem = schema(text).unwrap_err();
            assert!(problem.message.contains(said), "{problem:?}");
        }
    }
}
