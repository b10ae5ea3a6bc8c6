//! Reads the definitions of types out of Rust source, so that two of them can be compared.
//!
//! What counts is what makes a layout or a meaning: the members of structs, enums, unions, traits
//! and type aliases, `repr` and `cfg`, the constants that they mention, and what the names in them
//! were imported as. Comments, derives, visibility and functions do not count. Source that defines
//! no type is compared as text by the caller.

use std::collections::{BTreeMap, BTreeSet};

use crate::check::sha256;
use crate::definition::{Definition, is, item_end, joined, matters, parts, span, within};
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

/// A type that two schemas define otherwise.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Other<'a> {
    pub name: &'a str,
    /// The first member that differs, if it is one.
    pub member: Option<String>,
    /// That member, or whatever else differs: the host's and the library's; empty where there is
    /// none.
    pub parts: [String; 2],
    /// The hash of its definition: the host's and the library's.
    pub hashes: [String; 2],
    /// Its definition as it is written: the host's and the library's.
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
                        kept.push_str(&joined(within(&tokens, at, end)));
                        kept.push(' ');
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
                    let written = span(source, &tokens[start..end]);
                    schema.add(Definition::parse(item, written, source, &kept), item);
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
        for member in &definition.members {
            text.push_str(&format!("{} {}\n", member.name, member.text));
        }
        text + &self.surroundings(definition)
    }

    /// Every type of this schema, the host's, that is not the same in a library's.
    pub fn others<'b>(&self, library: &Schema<'b>) -> Vec<Other<'b>>
    where
        'a: 'b,
    {
        let mut others = Vec::new();
        for name in &self.order {
            let ours = self.types.get(name).map_or(&[][..], Vec::as_slice);
            let theirs = library.types.get(name).map_or(&[][..], Vec::as_slice);
            for at in 0..ours.len().max(theirs.len()) {
                let (our, their) = (ours.get(at), theirs.get(at));
                let texts = [
                    our.map_or_else(String::new, |it| self.text(it)),
                    their.map_or_else(String::new, |it| library.text(it)),
                ];
                if texts[0] != texts[1] {
                    others.push(Other::new(name, our, their, &texts));
                }
            }
        }
        others
    }
}

impl<'b> Other<'b> {
    fn new(
        name: &'b str,
        our: Option<&Definition<'b>>,
        their: Option<&Definition<'b>>,
        texts: &[String; 2],
    ) -> Self {
        let member = our
            .zip(their)
            .and_then(|(our, their)| our.first_other(their));
        let parts = match &member {
            Some(member) => [our, their].map(|definition| {
                let found = definition.and_then(|it| it.member(member));
                found.map_or("", |member| member.source).to_owned()
            }),
            None => [(0, 1), (1, 0)].map(|(one, other)| {
                let others: BTreeSet<&str> = texts[other].lines().collect();
                let line = texts[one].lines().find(|line| !others.contains(line));
                line.unwrap_or_default().trim().to_owned()
            }),
        };
        let hash = |text: &String| match text.as_str() {
            "" => String::new(),
            text => sha256(text.as_bytes()).chars().take(12).collect(),
        };
        Self {
            name,
            member,
            parts,
            hashes: [hash(&texts[0]), hash(&texts[1])],
            sources: [our, their].map(|definition| definition.map_or("", |it| it.source)),
        }
    }
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
        let others = host.others(&library);
        others.first().map(|other| match &other.member {
            Some(member) => format!("{}.{member}", other.name),
            None => other.name.to_owned(),
        })
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
    fn every_difference_is_told_in_the_words_of_both_sides() {
        let library = HOST
            .replace("place: u64", "place: f64")
            .replace("{ 4 }", "{ 5 }")
            .replace("repr(u8)", "repr(u16)");
        let (host, library) = (Schema::parse(HOST), Schema::parse(&library));
        let others = host.others(&library);
        let told: Vec<_> = others
            .iter()
            .map(|other| (other.name, &other.parts))
            .collect();
        let parts = |ours: &str, theirs: &str| [ours.to_owned(), theirs.to_owned()];
        assert_eq!(
            told,
            [
                ("Row", &parts("place: u64", "place: f64")),
                (
                    "Kind",
                    &parts(
                        "# [ repr ( u8 ) ] enum Kind",
                        "# [ repr ( u16 ) ] enum Kind"
                    )
                ),
            ]
        );
        assert_ne!(others[0].hashes[0], others[0].hashes[1]);
    }

    #[test]
    fn nonsense_is_read_without_a_panic() {
        for cut in 0..HOST.len() {
            if let Some(part) = HOST.get(..cut) {
                let _ = Schema::parse(part).others(&Schema::parse(HOST));
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
