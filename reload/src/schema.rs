//! Reads the definitions of types out of Rust source, so that two of them can be compared.
//!
//! What counts is what makes a layout or a meaning: the members of structs, enums, unions, traits
//! and type aliases, `repr` and `cfg`, the constants that they mention, and what the names in them
//! were imported as. Comments, derives, visibility and functions do not count. Source that defines
//! no type is compared as text by the caller.

use std::collections::{BTreeMap, BTreeSet};

use crate::check::sha256;
use crate::tokens::{Token, block_end, tokens};

/// Every type of one schema by its name, each with its definitions in their order: files that are
/// concatenated may have two of one name.
#[derive(Debug, Default)]
pub(crate) struct Schema<'a> {
    types: BTreeMap<&'a str, Vec<Definition<'a>>>,
    /// In the order of the source.
    order: Vec<&'a str>,
    constants: BTreeMap<&'a str, Vec<String>>,
    /// What a name stands for: the paths that it was imported from.
    imports: BTreeMap<String, BTreeSet<String>>,
}

/// One type.
#[derive(Debug)]
struct Definition<'a> {
    /// As it is written, with its comments.
    source: &'a str,
    /// Everything before the members: `repr`, what it is, its name, its parameters.
    head: String,
    /// By name, in their order; by number for a tuple's.
    members: Vec<(String, String)>,
    /// Every name that it mentions.
    names: BTreeSet<&'a str>,
}

/// The first type that two schemas define otherwise.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Difference<'a> {
    /// `Type.field`, or `Type`.
    pub place: String,
    /// The hash of its definition: the host's and the library's.
    pub hashes: [String; 2],
    /// Its definition as it is written: the host's and the library's; empty where there is none.
    pub sources: [&'a str; 2],
}

/// Words that begin an item which is no type.
const OTHERS: [&str; 7] = ["impl", "fn", "mod", "extern", "async", "static", "unsafe"];

impl<'a> Schema<'a> {
    pub fn parse(source: &'a str) -> Self {
        let mut schema = Self::default();
        let tokens = tokens(source);
        let (mut at, mut first, mut kept) = (0, None, String::new());
        while let Some(token) = tokens.get(at) {
            let start = *first.get_or_insert(at);
            match token.text {
                "#" => {
                    let open = at + 1 + usize::from(is(&tokens, at + 1, "!"));
                    let end = block_end(&tokens, open);
                    if matters(&tokens, open) {
                        kept.push_str(&joined(tokens.get(at..end).unwrap_or_default()));
                    }
                    at = end;
                    continue;
                }
                "pub" => {
                    at += 1;
                    if is(&tokens, at, "(") {
                        at = block_end(&tokens, at);
                    }
                    continue;
                }
                "struct" | "enum" | "union" | "type" | "trait" => {
                    let end = item_end(&tokens, at);
                    let item = &tokens[at..end];
                    let source = span(source, &tokens[start..end]);
                    schema.add(Definition::parse(item, source, &kept), item);
                    at = end;
                }
                "const" if !is(&tokens, at + 1, "fn") => {
                    let end = item_end(&tokens, at);
                    if let Some(name) = tokens.get(at + 1) {
                        let text = joined(&tokens[at..end]);
                        schema.constants.entry(name.text).or_default().push(text);
                    }
                    at = end;
                }
                "use" => {
                    let end = item_end(&tokens, at);
                    schema.import(within(&tokens, at + 1, end), "");
                    at = end;
                }
                // A macro may make types: all of it counts.
                word if is(&tokens, at + 1, "!") && !OTHERS.contains(&word) => {
                    let end = item_end(&tokens, at);
                    let item = &tokens[at..end];
                    let definition = Definition::whole(item, span(source, item));
                    schema.add(Some(definition), &tokens[at..=at]);
                    at = end;
                }
                _ => at = item_end(&tokens, at),
            }
            first = None;
            kept.clear();
        }
        schema
    }

    /// Whether it defines no type at all.
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    fn add(&mut self, definition: Option<Definition<'a>>, item: &[Token<'a>]) {
        let Some(definition) = definition else { return };
        let name = item.get(1).or(item.first()).map_or("", |token| token.text);
        if !self.types.contains_key(name) {
            self.order.push(name);
        }
        self.types.entry(name).or_default().push(definition);
    }

    /// Follows the tree of a `use`.
    fn import(&mut self, tree: &[Token<'a>], path: &str) {
        let mut path = path.to_owned();
        let mut last = "";
        let mut at = 0;
        while let Some(token) = tree.get(at) {
            match token.text {
                "{" => {
                    let end = block_end(tree, at);
                    for part in parts(within(tree, at + 1, end - 1)) {
                        self.import(part, &path);
                    }
                    return;
                }
                "as" => {
                    let name = tree.get(at + 1).map_or(last, |token| token.text);
                    self.stands_for(name, path);
                    return;
                }
                ";" => break,
                text => {
                    path.push_str(text);
                    last = text;
                }
            }
            at += 1;
        }
        self.stands_for(last, path);
    }

    fn stands_for(&mut self, name: &str, path: String) {
        self.imports
            .entry(name.to_owned())
            .or_default()
            .insert(path);
    }

    /// What a definition's names stand for.
    fn surroundings(&self, definition: &Definition<'_>) -> String {
        let mut text = String::new();
        for name in &definition.names {
            for path in self.imports.get(*name).into_iter().flatten() {
                text.push_str(&format!("use {path};\n"));
            }
            for constant in self.constants.get(name).into_iter().flatten() {
                text.push_str(&format!("{constant}\n"));
            }
            if self.types.contains_key(name) {
                text.push_str(&format!("here {name}\n"));
            }
        }
        text
    }

    fn text(&self, definition: &Definition<'_>) -> String {
        let mut text = format!("{}\n", definition.head);
        for (name, member) in &definition.members {
            text.push_str(&format!("{name} {member}\n"));
        }
        text + &self.surroundings(definition)
    }

    /// The first type of this schema, the host's, that is not the same in a library's.
    pub fn differs<'b>(&self, library: &Schema<'b>) -> Option<Difference<'b>>
    where
        'a: 'b,
    {
        for name in &self.order {
            let ours = self.types.get(name).map_or(&[][..], Vec::as_slice);
            let theirs = library.types.get(name).map_or(&[][..], Vec::as_slice);
            for at in 0..ours.len().max(theirs.len()) {
                let (our, their) = (ours.get(at), theirs.get(at));
                let texts = [
                    our.map(|it| self.text(it)),
                    their.map(|it| library.text(it)),
                ];
                if texts[0] == texts[1] {
                    continue;
                }
                let member = our
                    .zip(their)
                    .and_then(|(our, their)| our.first_other(their));
                return Some(Difference {
                    place: member.map_or_else(|| (*name).to_owned(), |m| format!("{name}.{m}")),
                    hashes: texts.map(|text| {
                        let text = text.unwrap_or_default();
                        let hash = if text.is_empty() {
                            String::new()
                        } else {
                            sha256(text.as_bytes())
                        };
                        hash.chars().take(12).collect()
                    }),
                    sources: [
                        our.map_or("", |it| it.source),
                        their.map_or("", |it| it.source),
                    ],
                });
            }
        }
        None
    }
}

impl<'a> Definition<'a> {
    fn parse(item: &[Token<'a>], source: &'a str, kept: &str) -> Option<Self> {
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
            let text = member(part);
            let name = text
                .split(' ')
                .find(|word| is_name(word))
                .filter(|_| !is_tuple);
            (name.map_or_else(|| number.to_string(), str::to_owned), text)
        });
        Some(Self {
            source,
            head: format!("{kept}{} {}", joined(head), joined(tail)),
            members: members.collect(),
            names: names(item),
        })
    }

    fn whole(item: &[Token<'a>], source: &'a str) -> Self {
        Self {
            source,
            head: joined(item),
            members: Vec::new(),
            names: names(item),
        }
    }

    /// The first member that is not the same.
    fn first_other(&self, other: &Definition<'_>) -> Option<String> {
        let mut at = 0;
        while self.members.get(at).is_some() && self.members.get(at) == other.members.get(at) {
            at += 1;
        }
        // One that is new, or gone, rather than the one that it pushed aside.
        let (ours, theirs) = (self.members.get(at), other.members.get(at));
        let knows = |members: &[(String, String)], name: &str| members.iter().any(|m| m.0 == name);
        match (ours, theirs) {
            (Some((name, _)), Some((_, _))) if !knows(&other.members, name) => Some(name.clone()),
            (_, Some((name, _))) | (Some((name, _)), None) => Some(name.clone()),
            (None, None) => None,
        }
    }
}

/// A member without its attributes, other than `cfg`, and without its visibility.
fn member(part: &[Token<'_>]) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut at = 0;
    while let Some(token) = part.get(at) {
        if token.text == "#" && is(part, at + 1, "[") {
            let end = block_end(part, at + 1);
            if matters(part, at + 1) {
                kept.extend(part[at..end].iter().map(|token| token.text));
            }
            at = end;
        } else if token.text == "pub" {
            at += 1;
            if is(part, at, "(") {
                at = block_end(part, at);
            }
        } else {
            kept.push(token.text);
            at += 1;
        }
    }
    kept.join(" ")
}

/// Whether an attribute counts; `open` is its bracket.
fn matters(tokens: &[Token<'_>], open: usize) -> bool {
    ["repr", "cfg", "cfg_attr"]
        .iter()
        .any(|word| is(tokens, open + 1, word))
}

/// Splits at commas outside of every kind of bracket.
fn parts<'t, 'a>(tokens: &'t [Token<'a>]) -> Vec<&'t [Token<'a>]> {
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
fn item_end(tokens: &[Token<'_>], mut at: usize) -> usize {
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
fn within<'t, 'a>(tokens: &'t [Token<'a>], start: usize, end: usize) -> &'t [Token<'a>] {
    tokens.get(start..end).unwrap_or_default()
}

fn is(tokens: &[Token<'_>], at: usize, text: &str) -> bool {
    tokens.get(at).is_some_and(|token| token.text == text)
}

fn is_name(word: &str) -> bool {
    word.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

fn names<'a>(tokens: &[Token<'a>]) -> BTreeSet<&'a str> {
    let words = tokens.iter().map(|token| token.text);
    words.filter(|word| is_name(word)).collect()
}

fn joined(tokens: &[Token<'_>]) -> String {
    let words: Vec<&str> = tokens.iter().map(|token| token.text).collect();
    words.join(" ")
}

fn span<'a>(source: &'a str, tokens: &[Token<'a>]) -> &'a str {
    let range = tokens.first().zip(tokens.last());
    let range = range.map(|(first, last)| first.at..last.at + last.text.len());
    range
        .and_then(|range| source.get(range))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: &str = "
        //! A file.
        use std::sync::Arc;
        use std::collections::{BTreeMap as Map, BTreeSet};
        /// A row, `struct` and all.
        #[derive(Clone)]
        pub struct Row {
            /// Where.
            pub place: u64,
            pub(crate) cells: Map<u32, Vec<[u8; WIDTH]>>,
            call: fn(u32, u32) -> u8,
        }
        const WIDTH: usize = { 4 };
        #[repr(u8)]
        pub enum Kind { Plain, Odd { by: f32, so: char }, Both(u8, Arc<str>) }
        pub struct Pair(pub u8, pub Row);
        impl Row { pub fn place(&self) -> u64 { \"struct Fake { x: u8 }\"; '{'; self.place } }
    ";

    fn place(from: &str, to: &str) -> Option<String> {
        let library = HOST.replacen(from, to, 1);
        assert_ne!(library, HOST, "{from}");
        let (host, library) = (Schema::parse(HOST), Schema::parse(&library));
        host.differs(&library).map(|difference| difference.place)
    }

    #[test]
    fn what_changes_a_type_is_named_and_nothing_else_counts() {
        for (from, to, expected) in [
            ("place: u64", "place: f64", "Row.place"),
            ("u32, Vec", "u64, Vec", "Row.cells"),
            (
                "call: fn(u32, u32) -> u8",
                "call: fn(u32) -> u8",
                "Row.call",
            ),
            ("call:", "more: u8, call:", "Row.more"),
            ("pub place: u64,", "", "Row.place"),
            ("{ 4 }", "{ 5 }", "Row"),
            ("BTreeMap as Map", "HashMap as Map", "Row"),
            ("repr(u8)", "repr(u16)", "Kind"),
            ("so: char", "so: u32", "Kind.Odd"),
            ("Plain, Odd", "Odd", "Kind.Plain"),
            ("pub u8, pub Row", "pub u16, pub Row", "Pair.0"),
            ("std::sync::Arc", "std::rc::Arc", "Kind"),
            ("pub struct Pair(pub u8, pub Row);", "", "Pair"),
        ] {
            assert_eq!(place(from, to).as_deref(), Some(expected), "{from} -> {to}");
        }
        for (from, to) in [
            ("/// Where.", "/// There."),
            ("#[derive(Clone)]", "#[derive(Debug)]"),
            ("pub place", "place"),
            ("self.place }", "self.place + 1 }"),
            ("BTreeSet", "BTreeSet as Set"),
            ("impl Row", "pub struct New(u8); impl Row"),
            ("pub struct Row {", "pub struct Row\n\n{"),
        ] {
            assert_eq!(place(from, to), None, "{from} -> {to}");
        }
    }

    #[test]
    fn nonsense_is_read_without_a_panic() {
        for cut in 0..HOST.len() {
            if let Some(part) = HOST.get(..cut) {
                let _ = Schema::parse(part).differs(&Schema::parse(HOST));
            }
        }
        for text in [
            "}}}",
            "struct",
            "#",
            "#![",
            "use {{",
            "a!",
            "\"",
            "'",
            "r#\"",
            "/*",
            "version 1",
        ] {
            let _ = Schema::parse(text);
        }
        assert!(Schema::parse("version 1").is_empty());
    }
}
