//! RON, as a type reads it.

use std::fmt;
use std::marker::PhantomData;

use ron::error::SpannedError;
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::fault::{FaultKind, Problem, place};
use super::format::Format;
use super::ron_keys::{key_at, keys_around};
use crate::keys::{Key, Kind, keys_of};

/// RON that a type reads through serde, and that may be checked further.
pub struct Ron<T> {
    validate: Option<Box<Validate<T>>>,
    /// What may stand behind which key, for messages.
    keys: Vec<Key>,
    value: PhantomData<fn() -> T>,
}

type Validate<T> = dyn Fn(&T) -> Vec<Invalid> + Send + Sync;

impl<T> Ron<T> {
    /// As `T` reads it.
    #[must_use]
    pub fn new() -> Self {
        Self {
            validate: None,
            keys: Vec::new(),
            value: PhantomData,
        }
    }

    /// The same, which says what may stand behind a key where something else does.
    #[must_use]
    pub fn keyed(self) -> Self
    where
        T: JsonSchema + Serialize + Default,
    {
        self.with_keys(keys_of::<T>())
    }

    /// The same for keys that the type itself does not tell: those of a table's entries.
    #[must_use]
    pub fn with_keys(mut self, keys: Vec<Key>) -> Self {
        self.keys = keys;
        self
    }

    /// What the parser says, for people: its own words know neither the key nor what that may be,
    /// and its place is where it gave up within a value.
    fn in_words(&self, text: &str, error: &SpannedError, unread: Problem) -> Problem {
        if !is_of_a_value(&error.code) {
            return unread;
        }
        let (path, value) = keys_around(text, byte_of(text, error.span.start));
        let key = path.join(".");
        let said = match &error.code {
            ron::Error::ExpectedIdentifier => "a name was expected, without quotes".to_owned(),
            other => other.to_string(),
        };
        let mut known = self.keys.iter();
        let message = match known.find_map(|known| Some((known, kind_at(known, &path)?))) {
            Some((known, kind)) => {
                let must = format!("{key} must be {}", expected(known, kind));
                match &error.code {
                    ron::Error::NoSuchEnumVariant { found, .. } => format!("{must}, not {found}"),
                    _ => must,
                }
            }
            None if key.is_empty() => said,
            None => format!("{key}: {said}"),
        };
        let problem = Problem { message, ..unread };
        match value {
            Some(byte) => {
                let (line, column) = place(text, byte);
                problem.at(line, column)
            }
            None => problem,
        }
    }

    /// The same, refused unless this agrees. What names its key is told with the key's line.
    #[must_use]
    pub fn validated<E>(
        mut self,
        check: impl Fn(&T) -> Result<(), E> + Send + Sync + 'static,
    ) -> Self
    where
        E: IntoIterator<Item: Into<Invalid>>,
    {
        self.validate = Some(Box::new(move |value| match check(value) {
            Ok(()) => Vec::new(),
            Err(problems) => problems.into_iter().map(Into::into).collect(),
        }));
        self
    }
}

impl<T> Default for Ron<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> fmt::Debug for Ron<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ron").finish_non_exhaustive()
    }
}

/// What is wrong with a value that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid {
    /// Which key, dotted where it is nested; none where no single one is to blame.
    pub key: Option<String>,
    /// What is wrong with it, and what would be right.
    pub message: String,
}

impl From<String> for Invalid {
    fn from(message: String) -> Self {
        Self { key: None, message }
    }
}

impl From<&str> for Invalid {
    fn from(message: &str) -> Self {
        message.to_owned().into()
    }
}

impl<K: Into<String>, M: Into<String>> From<(K, M)> for Invalid {
    fn from((key, message): (K, M)) -> Self {
        Self {
            key: Some(key.into()),
            message: message.into(),
        }
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.key {
            Some(key) => write!(f, "{key} {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

impl<T: DeserializeOwned + Send + Sync + 'static> Format for Ron<T> {
    type Value = T;

    fn parse(&self, text: &str) -> Result<T, Problem> {
        if text.trim().is_empty() {
            let message = "the file is empty, so nothing of it is taken; `()` stands for the default of every key";
            return Err(Problem::new(FaultKind::Empty, message));
        }
        let value = ron::from_str(text).map_err(|error| {
            let (line, column) = word_at(text, error.span.start);
            let unread = Problem::new(FaultKind::Syntax, error.code.to_string()).at(line, column);
            self.in_words(text, &error, unread)
        })?;
        let problems = self.validate.as_ref().map(|validate| validate(&value));
        match problems.unwrap_or_default() {
            none if none.is_empty() => Ok(value),
            problems => Err(told(text, &problems)),
        }
    }
}

/// The place of an error, or of the word after it where it is a blank.
fn word_at(text: &str, at: ron::error::Position) -> (u32, u32) {
    let line = text.lines().nth(at.line.saturating_sub(1)).unwrap_or("");
    let after = line.chars().skip(at.col.saturating_sub(1));
    let blanks = after.clone().take_while(|c| c.is_whitespace()).count();
    let skipped = if blanks < after.count() { blanks } else { 0 };
    let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    (number(at.line), number(at.col + skipped))
}

/// Whether another value at the same place would have been fine.
fn is_of_a_value(error: &ron::Error) -> bool {
    use ron::Error as E;
    matches!(
        error,
        E::ExpectedArray
            | E::ExpectedBoolean
            | E::ExpectedFloat
            | E::ExpectedIdentifier
            | E::ExpectedInteger
            | E::ExpectedMap
            | E::ExpectedNamedStructLike(_)
            | E::ExpectedOption
            | E::ExpectedString
            | E::ExpectedStructLike
            | E::ExpectedUnit
            | E::FloatUnderscore
            | E::IntegerOutOfBounds
            | E::InvalidIntegerDigit { .. }
            | E::InvalidValueForType { .. }
            | E::NoSuchEnumVariant { .. }
            | E::UnderscoreAtBeginning
    )
}

/// The byte at a line and a column, both from 1.
fn byte_of(text: &str, at: ron::error::Position) -> usize {
    let lines = text.split_inclusive('\n');
    let before: usize = lines.take(at.line.saturating_sub(1)).map(str::len).sum();
    let rest = text.get(before..).unwrap_or_default();
    let in_line = rest.char_indices().nth(at.col.saturating_sub(1));
    before + in_line.map_or(rest.len(), |(byte, _)| byte)
}

/// What may stand there, where a key's name, in which `*` stands for any, is this path, or that of
/// the table around it.
fn kind_at<'a>(key: &'a Key, path: &[String]) -> Option<&'a Kind> {
    let name: Vec<&str> = key.name.split('.').collect();
    let same = |(name, key): (&&str, &String)| *name == "*" || *name == key.as_str();
    let leads = name.iter().zip(path).all(same);
    match (&key.kind, path.len().checked_sub(name.len())) {
        (kind, Some(0)) if leads => Some(kind),
        (Kind::Table(Some(kind)), Some(1)) if leads => Some(kind),
        _ => None,
    }
}

/// What may stand behind a key, and how it is written.
fn expected(key: &Key, kind: &Kind) -> String {
    let allowed = key.allowed();
    let within = |noun: &str| match &allowed {
        Some(range) => format!("{noun}, {range}"),
        None => noun.to_owned(),
    };
    match kind {
        Kind::Switch => "true or false".to_owned(),
        Kind::Whole => within("a whole number"),
        Kind::Number => within("a number"),
        Kind::Text => "text, in quotes".to_owned(),
        Kind::Choice(_) => {
            let words = allowed.as_deref().unwrap_or_default();
            format!("one of {words}, without quotes")
        }
        Kind::Table(_) => "a table: {\"name\": …}".to_owned(),
        Kind::List(_) => "a list: […]".to_owned(),
        Kind::Other => "another value".to_owned(),
    }
}

/// All of them in one sentence, at the first whose key is found.
fn told(text: &str, problems: &[Invalid]) -> Problem {
    let messages: Vec<String> = problems.iter().map(ToString::to_string).collect();
    let problem = Problem::new(FaultKind::Invalid, messages.join("; "));
    let mut keys = problems.iter().filter_map(|problem| problem.key.as_deref());
    match keys.find_map(|key| key_at(text, key)) {
        Some(byte) => {
            let (line, column) = place(text, byte);
            problem.at(line, column)
        }
        None => problem,
    }
}
