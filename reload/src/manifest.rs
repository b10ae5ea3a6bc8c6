//! Compares what a library was built with against what the host was built with.
//!
//! Rust has no stable ABI: a library of another compiler, of other flags, of another build of the
//! shared library or of other types would be undefined behaviour at the first call. The stamp that
//! `warden-manifest` leaves in both says which of these differs; of the schema the definitions of
//! types are compared one by one, so that the type and the field can be named.

use std::fmt::Write as _;

use crate::elf::Library;
use crate::schema::Schema;

/// So many types that differ are told of.
const DIFFERENCES_MAX: usize = 20;

/// What the host was built with: `warden_manifest::stamp!(…)`, expanded in a crate of the host.
pub type Stamp = &'static str;

/// Why a library does not fit this host.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    /// Some other library.
    #[error("the library has no `{symbol}`: it is no build of this module")]
    Foreign {
        /// What was looked for.
        symbol: String,
    },
    /// Its stamp cannot be read.
    #[error("the library's manifest cannot be read; rebuild it")]
    Unreadable,
    /// One fact differs.
    #[error("{fact} differs: the host has `{host}`, the library `{library}`")]
    Fact {
        /// Which one.
        fact: String,
        /// The host's.
        host: String,
        /// The library's.
        library: String,
    },
    /// Types that cross differ.
    #[error("the types that cross differ{}", named(place))]
    Schema {
        /// The type and the field, where they can be told.
        place: Option<String>,
        /// The lines that differ, `-` the host's and `+` the library's.
        lines: String,
        /// Every type that differs; none where the schemas define no types.
        differences: Vec<Difference>,
    },
}

/// One thing that host and library were not built the same with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// A type that crosses, or a fact of the build: `rustc`, `profile`, the shared library's name.
    pub of: String,
    /// The field or the variant; empty where it is none.
    pub member: String,
    /// The host's; empty where it has none.
    pub host: String,
    /// The library's; empty where it has none.
    pub library: String,
}

impl Mismatch {
    /// What differs, one by one.
    #[must_use]
    pub fn differences(&self) -> Vec<Difference> {
        match self {
            Self::Fact {
                fact,
                host,
                library,
            } => vec![Difference {
                of: fact.clone(),
                member: String::new(),
                host: host.clone(),
                library: library.clone(),
            }],
            Self::Schema { differences, .. } => differences.clone(),
            Self::Foreign { .. } | Self::Unreadable => Vec::new(),
        }
    }

    /// Whether no new build of the library helps: the host itself is of yesterday.
    #[must_use]
    pub fn needs_restart(&self) -> bool {
        match self {
            Self::Fact { fact, .. } => fact != "module",
            Self::Schema { .. } => true,
            Self::Foreign { .. } | Self::Unreadable => false,
        }
    }
}

fn named(place: &Option<String>) -> String {
    place
        .as_ref()
        .map(|place| format!(" at {place}"))
        .unwrap_or_default()
}

/// Compares. `bytes` is the library's whole file.
pub(crate) fn compare(
    library: &Library<'_>,
    module: &str,
    stamp: Stamp,
    schema: &str,
) -> Result<(), Mismatch> {
    let text = |symbol: String| {
        let bytes = library
            .object(&symbol)
            .ok_or(Mismatch::Foreign { symbol })?;
        std::str::from_utf8(bytes).map_err(|_| Mismatch::Unreadable)
    };
    let theirs = text(format!("{module}_manifest"))?;
    facts(stamp, theirs, module)?;
    let their_schema = text(format!("{module}_schema"))?;
    if their_schema == schema {
        return Ok(());
    }
    difference(schema, their_schema).map_or(Ok(()), Err)
}

/// Every line of the host's stamp must stand in the library's, which names its module beside.
fn facts(host: &str, library: &str, module: &str) -> Result<(), Mismatch> {
    let mut theirs = library.lines();
    let fact = |line: &str| {
        let (key, value) = line.split_once(' ').unwrap_or((line, ""));
        (key.to_owned(), value.to_owned())
    };
    for line in host
        .lines()
        .map(str::to_owned)
        .chain([format!("module {module}")])
    {
        let their_line = theirs.next().unwrap_or_default();
        if line != their_line {
            let (key, value) = fact(&line);
            let (their_key, their_value) = fact(their_line);
            return Err(if key == their_key {
                Mismatch::Fact {
                    fact: key,
                    host: value,
                    library: their_value,
                }
            } else {
                Mismatch::Unreadable
            });
        }
    }
    Ok(())
}

/// Names the types that two schemas define otherwise, and shows both definitions where they part.
/// None where only comments and functions differ.
fn difference(host: &str, library: &str) -> Option<Mismatch> {
    let (ours, theirs) = (Schema::parse(host), Schema::parse(library));
    if ours.is_empty() || theirs.is_empty() {
        return Some(Mismatch::Schema {
            place: None,
            lines: lines(host, library),
            differences: Vec::new(),
        });
    }
    let others = ours.others(&theirs);
    let first = others.first()?;
    let place = match &first.member {
        Some(member) => format!("`{}.{member}`", first.name),
        None => format!("`{}`", first.name),
    };
    let mut shown = String::new();
    for other in others.iter().take(DIFFERENCES_MAX) {
        let [our, their] = other.sources;
        let [our_hash, their_hash] = &other.hashes;
        let name = other.name;
        // Writing to a string cannot fail.
        let _ = writeln!(
            shown,
            "{name}, hash {our_hash} in the host, {their_hash} in the library"
        );
        shown.push_str(&match lines(our, their) {
            // What it mentions differs: a constant, an import.
            same if same.is_empty() => format!("- {}\n+ {}\n", other.parts[0], other.parts[1]),
            lines => lines,
        });
    }
    let differences = others.into_iter().take(DIFFERENCES_MAX).map(|other| {
        let [host, library] = other.parts;
        Difference {
            of: other.name.to_owned(),
            member: other.member.unwrap_or_default(),
            host,
            library,
        }
    });
    Some(Mismatch::Schema {
        place: Some(place),
        lines: shown,
        differences: differences.collect(),
    })
}

/// The lines that differ, without comments, `-` the host's and `+` the library's.
fn lines(host: &str, library: &str) -> String {
    let code = |text| -> Vec<&str> {
        let lines = str::lines(text);
        lines
            .filter(|line| !line.trim_start().starts_with("//"))
            .collect()
    };
    let (ours, theirs) = (code(host), code(library));
    let same = ours.iter().zip(&theirs).take_while(|(a, b)| a == b).count();
    let tail = ours[same..]
        .iter()
        .rev()
        .zip(theirs[same..].iter().rev())
        .take_while(|(a, b)| a == b)
        .count();
    let ours_differ = &ours[same..ours.len() - tail];
    let theirs_differ = &theirs[same..theirs.len() - tail];
    let mut lines = String::new();
    for (mark, differing) in [('-', ours_differ), ('+', theirs_differ)] {
        for line in differing.iter().take(20) {
            // Writing to a string cannot fail.
            let _ = writeln!(lines, "{mark} {line}");
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: &str = "warden-manifest 2\nrustc rustc 1.95.0\ntarget t\nprofile p\n";

    #[test]
    fn the_fact_that_differs_is_named() {
        let same = format!("{HOST}module tiny\n");
        assert_eq!(facts(HOST, &same, "tiny"), Ok(()));
        let Err(Mismatch::Fact {
            fact,
            host,
            library,
        }) = facts(HOST, &same.replace("1.95.0", "1.96.0"), "tiny")
        else {
            panic!("another compiler was accepted");
        };
        assert_eq!(
            [fact.as_str(), &host, &library],
            ["rustc", "rustc 1.95.0", "rustc 1.96.0"]
        );
        assert!(
            matches!(facts(HOST, &same, "other"), Err(Mismatch::Fact { fact, .. }) if fact == "module")
        );
        assert_eq!(facts(HOST, "", "tiny"), Err(Mismatch::Unreadable));
    }

    #[test]
    fn the_type_and_the_field_that_differ_are_named() {
        let host = "/// A row.\npub struct Row {\n    pub place: u64,\n    pub name: Text,\n}\n";
        let library = host.replace("place: u64", "place: f64");
        let Some(Mismatch::Schema {
            place,
            lines,
            differences,
        }) = difference(host, &library)
        else {
            panic!("not a schema mismatch");
        };
        assert_eq!(place.as_deref(), Some("`Row.place`"));
        let shown = "-     pub place: u64,\n+     pub place: f64,\n";
        assert!(
            lines.starts_with("Row, hash ") && lines.ends_with(shown),
            "{lines}"
        );
        let [
            Difference {
                of,
                member,
                host: ours,
                library: theirs,
            },
        ] = &differences[..]
        else {
            panic!("{differences:?}");
        };
        assert_eq!(
            [of.as_str(), member, ours, theirs],
            ["Row", "place", "place: u64", "place: f64"]
        );
        assert_eq!(difference(host, &host.replace("A row", "The row")), None);
        let text = difference("version 1\n", "version 2\n");
        assert!(
            matches!(text, Some(Mismatch::Schema { place: None, lines, .. }) if lines == "- version 1\n+ version 2\n")
        );
    }
}
