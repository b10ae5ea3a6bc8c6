//! One definition of a type, taken apart.

use std::collections::BTreeSet;

use crate::tokens::{Token, block_end};

/// One type.
#[derive(Debug)]
pub(crate) struct Definition<'a> {
    /// As it is written, with its comments.
    pub source: &'a str,
    /// Everything before the members: `repr`, what it is, its name, its parameters.
    pub head: String,
    /// In their order.
    pub members: Vec<Member<'a>>,
    /// Every name that it mentions.
    pub names: BTreeSet<&'a str>,
}

/// A field or a variant.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Member<'a> {
    /// Its number for a tuple's.
    pub name: String,
    /// What counts of it.
    pub text: String,
    /// As it is written.
    pub source: &'a str,
}

impl<'a> Definition<'a> {
    /// `all` is the source that the tokens' places are in.
    pub fn parse(item: &[Token<'a>], source: &'a str, all: &'a str, kept: &str) -> Option<Self> {
        let is_fielded = item
            .first()
            .is_some_and(|word| !["type", "trait"].contains(&word.text));
        let open = item
            .iter()
            .position(|token| matches!(token.text, "{" | "("));
        let Some(open) = open.filter(|_| is_fielded) else {
            let mut whole = Self::whole(item, source);
            whole.head.insert_str(0, kept);
            return Some(whole);
        };
        let end = block_end(item, open);
        let (head, body, tail) = (
            item.get(..open)?,
            within(item, open + 1, end - 1),
            item.get(end..)?,
        );
        let is_tuple = item.get(open)?.text == "(";
        let members = parts(body).into_iter().enumerate().map(|(number, part)| {
            let words = member(part);
            let text = joined(&words);
            let name = words
                .iter()
                .map(|word| word.text)
                .find(|word| is_name(word));
            let name = name.filter(|_| !is_tuple);
            Member {
                name: name.map_or_else(|| number.to_string(), str::to_owned),
                text,
                source: span(all, &words),
            }
        });
        Some(Self {
            source,
            head: format!("{kept}{} {}", joined(head), joined(tail)),
            members: members.collect(),
            names: names(item),
        })
    }

    pub fn whole(item: &[Token<'a>], source: &'a str) -> Self {
        Self {
            source,
            head: joined(item),
            members: Vec::new(),
            names: names(item),
        }
    }

    pub fn member(&self, name: &str) -> Option<&Member<'a>> {
        self.members.iter().find(|member| member.name == name)
    }

    /// The name of the first member that is not the same.
    pub fn first_other(&self, other: &Definition<'_>) -> Option<String> {
        let same = |(our, their): &(&Member<'_>, &Member<'_>)| {
            (&our.name, &our.text) == (&their.name, &their.text)
        };
        let at = self
            .members
            .iter()
            .zip(&other.members)
            .take_while(same)
            .count();
        let name = match (self.members.get(at), other.members.get(at)) {
            // One that is gone, rather than the one that took its place.
            (Some(our), Some(_)) if other.member(&our.name).is_none() => our,
            (_, Some(their)) => return Some(their.name.clone()),
            (Some(our), None) => our,
            (None, None) => return None,
        };
        Some(name.name.clone())
    }
}

/// The words of a member without its attributes, other than `cfg`, and without its visibility.
fn member<'a>(part: &[Token<'a>]) -> Vec<Token<'a>> {
    let mut kept = Vec::new();
    let mut at = 0;
    while let Some(token) = part.get(at) {
        if token.text == "#" && is(part, at + 1, "[") {
            let end = block_end(part, at + 1);
            if matters(part, at + 1) {
                kept.extend_from_slice(&part[at..end]);
            }
            at = end;
        } else if token.text == "pub" {
            at += 1;
            if is(part, at, "(") {
                at = block_end(part, at);
            }
        } else {
            kept.push(*token);
            at += 1;
        }
    }
    kept
}

/// Whether an attribute counts; `open` is its bracket.
pub(crate) fn matters(tokens: &[Token<'_>], open: usize) -> bool {
    ["repr", "cfg", "cfg_attr"]
        .iter()
        .any(|word| is(tokens, open + 1, word))
}

/// Splits at commas outside of every kind of bracket.
pub(crate) fn parts<'t, 'a>(tokens: &'t [Token<'a>]) -> Vec<&'t [Token<'a>]> {
    let (mut found, mut start, mut angle, mut at) = (Vec::new(), 0, 0_usize, 0);
    while let Some(token) = tokens.get(at) {
        match token.text {
            "(" | "[" | "{" => {
                at = block_end(tokens, at);
                continue;
            }
            "<" => angle += 1,
            ">" if at > 0 && !matches!(tokens[at - 1].text, "-" | "=") => {
                angle = angle.saturating_sub(1);
            }
            "," if angle == 0 => {
                found.push(&tokens[start..at]);
                start = at + 1;
            }
            _ => {}
        }
        at += 1;
    }
    found.push(&tokens[start..]);
    found.retain(|part| !part.is_empty());
    found
}

/// Behind the item that begins at `at`: its semicolon, or its block.
pub(crate) fn item_end(tokens: &[Token<'_>], mut at: usize) -> usize {
    // A constant's value may be a block.
    let to_semicolon = ["const", "static", "type", "use"]
        .iter()
        .any(|word| is(tokens, at, word));
    while let Some(token) = tokens.get(at) {
        match token.text {
            ";" => return at + 1,
            "{" if !to_semicolon => return block_end(tokens, at),
            "(" | "[" | "{" => at = block_end(tokens, at),
            _ => at += 1,
        }
    }
    tokens.len()
}

/// None of them where the end comes before the start, as in source that is cut short.
pub(crate) fn within<'t, 'a>(tokens: &'t [Token<'a>], start: usize, end: usize) -> &'t [Token<'a>] {
    tokens.get(start..end).unwrap_or_default()
}

pub(crate) fn is(tokens: &[Token<'_>], at: usize, text: &str) -> bool {
    tokens.get(at).is_some_and(|token| token.text == text)
}

fn is_name(word: &str) -> bool {
    word.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

fn names<'a>(tokens: &[Token<'a>]) -> BTreeSet<&'a str> {
    let words = tokens.iter().map(|token| token.text);
    words.filter(|word| is_name(word)).collect()
}

pub(crate) fn joined(tokens: &[Token<'_>]) -> String {
    let words: Vec<&str> = tokens.iter().map(|token| token.text).collect();
    words.join(" ")
}

pub(crate) fn span<'a>(source: &'a str, tokens: &[Token<'a>]) -> &'a str {
    let range = tokens.first().zip(tokens.last());
    let range = range.map(|(first, last)| first.at..last.at + last.text.len());
    range
        .and_then(|range| source.get(range))
        .unwrap_or_default()
}
