//! RON, as a type reads it.

use std::fmt;
use std::marker::PhantomData;

use serde::de::DeserializeOwned;

use super::fault::{FaultKind, Problem, place};
use super::format::Format;
use super::ron_keys::key_at;

/// RON that a type reads through serde, and that may be checked further.
pub struct Ron<T> {
    validate: Option<Box<Validate<T>>>,
    value: PhantomData<fn() -> T>,
}

type Validate<T> = dyn Fn(&T) -> Vec<Invalid> + Send + Sync;

impl<T> Ron<T> {
    /// As `T` reads it.
    #[must_use]
    pub fn new() -> Self {
        Self {
            validate: None,
            value: PhantomData,
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
            Problem::new(FaultKind::Syntax, error.code.to_string()).at(line, column)
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
