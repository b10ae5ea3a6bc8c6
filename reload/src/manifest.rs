//! Compares what a library was built with against what the host was built with.
//!
//! Rust has no stable ABI: a library of another compiler, of other flags, of another build of the
//! shared library or of other types would be undefined behaviour at the first call. The stamp that
//! `warden-manifest` leaves in both says which of these differs; the schema is compared as text, so
//! that the type and the field can be named.

use std::fmt::Write as _;

use crate::elf::Library;

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
    #[error(
        "{fact} differs: the host has `{host}`, the library `{library}`; restart the window to go on with the new one"
    )]
    Fact {
        /// Which one.
        fact: String,
        /// The host's.
        host: String,
        /// The library's.
        library: String,
    },
    /// The types that cross differ.
    #[error(
        "the types that cross differ{}; restart the window to go on with the new ones",
        named(place)
    )]
    Schema {
        /// The type and the field, where they can be told.
        place: Option<String>,
        /// The lines that differ, `-` the host's and `+` the library's.
        lines: String,
    },
}

impl Mismatch {
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
        Ok(())
    } else {
        Err(difference(schema, their_schema))
    }
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

/// Names the first place where two schemas part, and shows the lines.
fn difference(host: &str, library: &str) -> Mismatch {
    let (ours, theirs): (Vec<&str>, Vec<&str>) =
        (host.lines().collect(), library.lines().collect());
    let same = ours.iter().zip(&theirs).take_while(|(a, b)| a == b).count();
    let tail = ours[same..]
        .iter()
        .rev()
        .zip(theirs[same..].iter().rev())
        .take_while(|(a, b)| a == b)
        .count();
    let (ours_differ, theirs_differ) = (
        &ours[same..ours.len() - tail],
        &theirs[same..theirs.len() - tail],
    );
    let mut lines = String::new();
    for (mark, differing) in [('-', ours_differ), ('+', theirs_differ)] {
        for line in differing.iter().take(20) {
            // Writing to a string cannot fail.
            let _ = writeln!(lines, "{mark} {line}");
        }
    }
    let type_name = ours[..same].iter().rev().find_map(|line| {
        let rest = line.trim_start().strip_prefix("pub ")?;
        let rest = rest
            .strip_prefix("struct ")
            .or_else(|| rest.strip_prefix("enum "))?;
        rest.split(|c: char| !c.is_alphanumeric() && c != '_')
            .next()
    });
    let field = theirs_differ.iter().chain(ours_differ).find_map(|line| {
        let line = line.trim_start();
        let line = line.strip_prefix("pub ").unwrap_or(line);
        let (name, _) = line.split_once(':')?;
        name.chars()
            .all(|c| c.is_alphanumeric() || c == '_')
            .then_some(name)
    });
    let place = type_name.map(|name| match field {
        Some(field) => format!("`{name}.{field}`"),
        None => format!("`{name}`"),
    });
    Mismatch::Schema { place, lines }
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
        let Mismatch::Schema { place, lines } = difference(host, &library) else {
            panic!("not a schema mismatch");
        };
        assert_eq!(place.as_deref(), Some("`Row.place`"));
        assert_eq!(lines, "-     pub place: u64,\n+     pub place: f64,\n");
    }
}
