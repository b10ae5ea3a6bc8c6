//! `.env`: lines of `KEY=value`, as the dotenv family reads them. Nothing here touches the
//! environment of this process: neither to set a variable, which is unsound beside other threads,
//! nor to read one, which would make a file mean something else to each of its readers.
//!
//! - `# a comment` on its own line, or after a value and a blank; `export` before a key is allowed.
//! - `KEY=plain`: to the end of the line, blanks at both ends cut off.
//! - `KEY='as it is'`, over several lines too.
//! - `KEY="with \n \r \t \" \\ \$"`, over several lines too; other backslashes stay.
//! - `$NAME`, `${NAME}` and `${NAME:-otherwise}`, plain or in double quotes, stand for a key further
//!   up in the same file. Any other name is a fault.
//! - Of a key that is there twice the last counts.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, Range};

use serde::de::DeserializeOwned;

use super::env_serde;
use super::fault::{FaultKind, Problem, place};
use super::format::Format;

/// What a `.env` file says: every key with its value.
///
/// Its `Debug` shows keys alone, since values may be secrets.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct EnvMap(BTreeMap<String, String>);

impl EnvMap {
    /// The value of a key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }
}

impl Deref for EnvMap {
    type Target = BTreeMap<String, String>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl From<BTreeMap<String, String>> for EnvMap {
    fn from(values: BTreeMap<String, String>) -> Self {
        Self(values)
    }
}

impl FromIterator<(String, String)> for EnvMap {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(values: I) -> Self {
        Self(values.into_iter().collect())
    }
}

impl fmt::Debug for EnvMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EnvMap ")?;
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// The format of `.env` files, to a map.
#[derive(Clone, Copy, Debug, Default)]
pub struct Env;

impl Env {
    /// To a type, through serde: a key `RAG_CHUNK_SIZE` is its field `rag_chunk_size`, or the field
    /// of exactly its name. Numbers, truths (`true`, `yes`, `on`, `1` and their opposites), texts,
    /// unit variants, options (an empty text is none) and lists with commas are understood.
    #[must_use]
    pub fn of<T: DeserializeOwned>() -> EnvOf<T> {
        EnvOf(PhantomData)
    }
}

impl Format for Env {
    type Value = EnvMap;

    fn parse(&self, text: &str) -> Result<EnvMap, Problem> {
        Ok(entries(text)?
            .into_iter()
            .map(|entry| (entry.key, entry.value))
            .collect())
    }
}

/// The format of `.env` files, to a type: see [`Env::of`].
pub struct EnvOf<T>(PhantomData<fn() -> T>);

impl<T> fmt::Debug for EnvOf<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EnvOf")
    }
}

impl<T: DeserializeOwned + Send + Sync + 'static> Format for EnvOf<T> {
    type Value = T;

    fn parse(&self, text: &str) -> Result<T, Problem> {
        env_serde::read(text, &entries(text)?)
    }
}

/// One `KEY=value` of a `.env` file.
#[derive(Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its key.
    pub key: String,
    /// Its value, quotes and escapes resolved.
    pub value: String,
    /// From 1.
    pub line: u32,
    /// The bytes of the text that are its value as it is written, quotes and all: writing
    /// [`quoted`] over them changes the value and nothing else.
    pub written: Range<usize>,
}

impl Entry {
    /// Line and column, from 1, of the value in the text that this was read from.
    #[must_use]
    pub fn place(&self, text: &str) -> (u32, u32) {
        place(text, self.written.start)
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut entry = f.debug_struct("Entry");
        entry.field("key", &self.key).field("line", &self.line);
        entry.finish_non_exhaustive()
    }
}

/// Reads all entries of a text, in their order.
///
/// # Errors
/// The first line that is none. No message holds a value.
pub fn entries(text: &str) -> Result<Vec<Entry>, Problem> {
    if text.trim().is_empty() {
        let message = "the file is empty, so nothing of it is taken; a comment in it would say that no key is meant";
        return Err(Problem::new(FaultKind::Empty, message));
    }
    let mut reader = Reader {
        text,
        at: 0,
        counted: (0, 0),
        entries: Vec::new(),
        names: BTreeMap::new(),
        named: 0,
        referred: 0,
    };
    while let Some(entry) = reader.entry()? {
        reader.entries.push(entry);
    }
    Ok(reader.entries)
}

/// Writes a value so that [`entries`] reads exactly it: nothing in it stands for anything else.
#[must_use]
pub fn quoted(value: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-+./:,@%=".contains(c);
    if value.chars().all(plain) {
        return value.to_owned();
    }
    if !value.contains(['\'', '\n', '\r']) {
        return format!("'{value}'");
    }
    let mut quoted = String::from("\"");
    for c in value.chars() {
        match c {
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '"' | '\\' | '$' => quoted.extend(['\\', c]),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// No process could be given such a value.
const NUL: &str = "there is a NUL character in a value";

/// Keys that refer to keys that refer to keys would fill any memory.
const REFERRED_MAX: usize = 1 << 20;

struct Reader<'a> {
    text: &'a str,
    at: usize,
    /// How many lines end before this byte.
    counted: (u32, usize),
    entries: Vec<Entry>,
    /// The last entry of each key, of so many entries: most files refer to none.
    names: BTreeMap<String, usize>,
    named: usize,
    /// How many bytes stand for names by now.
    referred: usize,
}

impl<'a> Reader<'a> {
    fn entry(&mut self) -> Result<Option<Entry>, Problem> {
        loop {
            self.skip(|c| c.is_whitespace());
            match self.peek() {
                None => return Ok(None),
                Some('#') => self.skip_line(),
                Some(_) => break,
            }
        }
        let line = self.line();
        let key = self.key()?;
        self.skip(is_blank);
        if self.peek() != Some('=') {
            // What stands there may be a part of a value, so it is not repeated.
            return Err(self.wrong(self.at, "no `=` follows the key; a line is KEY=value"));
        }
        self.at += 1;
        let equals = self.at;
        self.skip(is_blank);
        let start = self.at;
        let value = match self.peek() {
            Some('\'') => self.literal()?,
            Some('"') => self.escaped(&key)?,
            _ => return self.plain(key, line, equals).map(Some),
        };
        let written = start..self.at;
        self.end_of_line(&key)?;
        Ok(Some(Entry {
            key,
            value,
            line,
            written,
        }))
    }

    fn key(&mut self) -> Result<String, Problem> {
        let word = self.word();
        let word = if word == "export" && self.peek().is_some_and(is_blank) {
            self.skip(is_blank);
            self.word()
        } else {
            word
        };
        if word.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
            return Ok(word.to_owned());
        }
        let message = "a key was expected: letters, digits and `_`, beginning with no digit; a comment begins with `#`";
        Err(self.wrong(self.at - word.len(), message))
    }

    fn word(&mut self) -> &'a str {
        let (text, start) = (self.text, self.at);
        self.skip(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'));
        &text[start..self.at]
    }

    /// To the end of the line, or to a comment.
    fn plain(&mut self, key: String, line: u32, equals: usize) -> Result<Entry, Problem> {
        let start = self.at;
        self.skip_line();
        let rest = &self.text[equals..self.at];
        let mut signs = rest.match_indices('#');
        let comment = signs.find(|(at, _)| rest[..*at].ends_with(is_blank));
        let end = equals + comment.map_or(rest.len(), |(at, _)| at);
        let written = match self.text[start.min(end)..end].trim_end() {
            // Right after the `=`: what is written there stays apart from a comment.
            "" => equals..equals,
            value => start..start + value.len(),
        };
        let end_of_line = std::mem::replace(&mut self.at, written.start);
        let mut value = String::new();
        while self.at < written.end {
            let left = &self.text[self.at..written.end];
            let as_it_is = left.find(['$', '\0']).unwrap_or(left.len());
            value.push_str(&left[..as_it_is]);
            self.at += as_it_is;
            if self.at < written.end {
                self.one(&key, &mut value, false)?;
            }
        }
        self.at = end_of_line;
        Ok(Entry {
            key,
            value,
            line,
            written,
        })
    }

    fn literal(&mut self) -> Result<String, Problem> {
        let start = self.at;
        self.at += 1;
        let body = &self.text[self.at..];
        let Some(length) = body.find('\'') else {
            return Err(self.unclosed(start));
        };
        self.at += length + 1;
        match body[..length].contains('\0') {
            true => Err(self.wrong(start, NUL)),
            false => Ok(body[..length].to_owned()),
        }
    }

    fn escaped(&mut self, key: &str) -> Result<String, Problem> {
        let start = self.at;
        self.at += 1;
        let mut value = String::new();
        loop {
            let left = &self.text[self.at..];
            let as_it_is = left.find(['"', '\\', '$', '\0']).unwrap_or(left.len());
            value.push_str(&left[..as_it_is]);
            self.at += as_it_is;
            match self.peek() {
                None => return Err(self.unclosed(start)),
                Some('"') => {
                    self.at += 1;
                    return Ok(value);
                }
                Some(_) => self.one(key, &mut value, true)?,
            }
        }
    }

    /// One character of a value, or what a name stands for.
    fn one(&mut self, key: &str, value: &mut String, escapes: bool) -> Result<(), Problem> {
        let Some(c) = self.peek() else {
            return Ok(());
        };
        let start = self.at;
        self.at += c.len_utf8();
        match c {
            '\0' => return Err(self.wrong(start, NUL)),
            '\\' if escapes => {
                let (meant, length) = match self.peek() {
                    Some('n') => ('\n', 1),
                    Some('r') => ('\r', 1),
                    Some('t') => ('\t', 1),
                    Some(same @ ('"' | '\\' | '$')) => (same, 1),
                    _ => ('\\', 0),
                };
                self.at += length;
                value.push(meant);
            }
            '$' => match self.name()? {
                Some((name, otherwise)) => match (self.meant(&name), otherwise) {
                    (Some(at), _) => {
                        let meant = &self.entries[at].value;
                        self.referred += meant.len();
                        if self.referred > REFERRED_MAX {
                            let message = "what values refer to comes to more than 1 MiB; write less, or write it out";
                            return Err(self.wrong(start, message));
                        }
                        value.push_str(meant);
                    }
                    (None, Some(otherwise)) => value.push_str(&otherwise),
                    (None, None) => {
                        let message = format!(
                            "{key} refers to a key that no line above it sets; single quotes keep a `$` as it is"
                        );
                        return Err(self.wrong(start, message));
                    }
                },
                None => value.push('$'),
            },
            c => value.push(c),
        }
        Ok(())
    }

    /// The entry that a name stands for.
    fn meant(&mut self, name: &str) -> Option<usize> {
        for (at, entry) in self.entries.iter().enumerate().skip(self.named) {
            self.names.insert(entry.key.clone(), at);
        }
        self.named = self.entries.len();
        self.names.get(name).copied()
    }

    /// What follows a `$`, if it is a name, and what stands for it where it is none.
    fn name(&mut self) -> Result<Option<(String, Option<String>)>, Problem> {
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let rest = &self.text[self.at..];
        let Some(braced) = rest.strip_prefix('{') else {
            let length = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
            let begins = rest.starts_with(|c: char| is_name(c) && !c.is_ascii_digit());
            if !begins {
                return Ok(None);
            }
            self.at += length;
            return Ok(Some((rest[..length].to_owned(), None)));
        };
        let Some(length) = braced
            .find(['}', '\n'])
            .filter(|at| braced[*at..].starts_with('}'))
        else {
            return Err(self.wrong(self.at - 1, "`${` is not closed by `}` on its line"));
        };
        self.at += length + 2;
        let inside = &braced[..length];
        Ok(Some(match inside.split_once(":-") {
            Some((name, otherwise)) => (name.to_owned(), Some(otherwise.to_owned())),
            None => (inside.to_owned(), None),
        }))
    }

    /// Nothing but a comment follows a closing quote.
    fn end_of_line(&mut self, key: &str) -> Result<(), Problem> {
        self.skip(|c| c != '\n' && c.is_whitespace());
        match self.peek() {
            None | Some('\n') => {}
            Some('#') => self.skip_line(),
            Some(_) => {
                let message = format!(
                    "something follows the closing quote of {key}; inside of double quotes \\\" stands for a quote"
                );
                return Err(self.wrong(self.at, message));
            }
        }
        Ok(())
    }

    /// Where it stands, from 1.
    fn line(&mut self) -> u32 {
        let (lines, to) = self.counted;
        let more = self.text[to..self.at].matches('\n').count();
        let lines = lines.saturating_add(u32::try_from(more).unwrap_or(u32::MAX));
        self.counted = (lines, self.at);
        lines.saturating_add(1)
    }

    fn unclosed(&self, start: usize) -> Problem {
        self.wrong(start, "the quote that begins here is not closed")
    }

    fn wrong(&self, byte: usize, message: impl Into<String>) -> Problem {
        let (line, column) = place(self.text, byte);
        Problem::new(FaultKind::Syntax, message).at(line, column)
    }

    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    fn skip_line(&mut self) {
        let rest = &self.text[self.at..];
        self.at += rest.find('\n').unwrap_or(rest.len());
    }

    fn skip(&mut self, which: impl Fn(char) -> bool) {
        let rest = &self.text[self.at..];
        self.at += rest.find(|c| !which(c)).unwrap_or(rest.len());
    }
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t')
}
