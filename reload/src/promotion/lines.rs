//! Changes values in the text of an environment file, and leaves everything else as it is written.

use std::collections::BTreeMap;

use super::entry::Change;
use crate::files::{Entry, EnvMap, entries, quoted};

/// Stands where the last key was removed: an empty file would be taken for a mishap.
const NO_KEYS: &str = "# No key is set.\n";

/// A text with other values, and which keys those are. A value of nothing removes its key.
pub(super) struct Edited {
    pub text: String,
    pub changes: Vec<Change>,
}

/// Sets these keys.
///
/// # Errors
/// Why that cannot be done, without a value.
pub(super) fn edit(
    text: &str,
    wanted: &BTreeMap<String, Option<String>>,
) -> Result<Edited, String> {
    let before = values(text)?;
    let mut edited = rewrite(text, wanted)?;
    let mut after = values(&edited)?;
    if differs(&after, wanted).is_some() {
        // A value that followed from another key's had been right, and has changed with that.
        edited = rewrite(&edited, wanted)?;
        after = values(&edited)?;
    }
    match differs(&after, wanted) {
        None => Ok(Edited {
            changes: changes(&before, &after),
            text: edited,
        }),
        Some(key) => Err(format!(
            "{key} cannot be written into this file; write it by hand"
        )),
    }
}

/// The first of these keys that has another value.
fn differs<'a>(values: &EnvMap, wanted: &'a BTreeMap<String, Option<String>>) -> Option<&'a str> {
    let mut wanted = wanted.iter();
    wanted.find_map(|(key, value)| (values.get(key) != value.as_deref()).then_some(key.as_str()))
}

/// What a text says; nothing says nothing.
pub(super) fn values(text: &str) -> Result<EnvMap, String> {
    Ok(all(text)?
        .into_iter()
        .map(|entry| (entry.key, entry.value))
        .collect())
}

fn all(text: &str) -> Result<Vec<Entry>, String> {
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    entries(text).map_err(|problem| match problem.line {
        Some(line) => format!("line {line}: {}", problem.message),
        None => problem.message,
    })
}

/// Writes what is not yet as it is wanted: over the last entry of a key, since that counts; else at
/// the end. Every entry of a key that is to go goes, with its whole lines.
fn rewrite(text: &str, wanted: &BTreeMap<String, Option<String>>) -> Result<String, String> {
    let entries = all(text)?;
    let line_starts = line_starts(text);
    let last: BTreeMap<&str, usize> = entries
        .iter()
        .enumerate()
        .map(|(at, entry)| (entry.key.as_str(), at))
        .collect();
    let mut rewritten = text.to_owned();
    // From the end, so that what is further up stays where it was.
    for (at, entry) in entries.iter().enumerate().rev() {
        match wanted.get(&entry.key) {
            Some(None) => {
                let rest = &rewritten[entry.written.end..];
                let end = rest.find('\n').map(|at| entry.written.end + at + 1);
                let end = end.unwrap_or(rewritten.len());
                rewritten.replace_range(line_start(&line_starts, entry.line)..end, "");
            }
            Some(Some(value)) if last[entry.key.as_str()] == at && entry.value != *value => {
                rewritten.replace_range(entry.written.clone(), &quoted(value));
            }
            _ => {}
        }
    }
    for (key, value) in wanted {
        if let (Some(value), false) = (value, last.contains_key(key.as_str())) {
            if !rewritten.is_empty() && !rewritten.ends_with('\n') {
                rewritten.push('\n');
            }
            rewritten.push_str(&format!("{key}={}\n", quoted(value)));
        }
    }
    if rewritten.trim().is_empty() {
        rewritten.push_str(NO_KEYS);
    }
    match rewritten.strip_prefix(NO_KEYS) {
        // There are keys again.
        Some(rest) if !rest.trim().is_empty() => Ok(rest.to_owned()),
        _ => Ok(rewritten),
    }
}

/// Where lines begin.
fn line_starts(text: &str) -> Vec<usize> {
    let ends = text.match_indices('\n').map(|(at, _)| at + 1);
    std::iter::once(0).chain(ends).collect()
}

/// The first byte of a line, counted from 1.
fn line_start(starts: &[usize], line: u32) -> usize {
    let line = usize::try_from(line).unwrap_or(usize::MAX);
    starts
        .get(line.saturating_sub(1))
        .copied()
        .unwrap_or_default()
}

fn changes(before: &EnvMap, after: &EnvMap) -> Vec<Change> {
    let mut keys: Vec<&String> = before.keys().chain(after.keys()).collect();
    keys.sort();
    keys.dedup();
    keys.into_iter()
        .filter(|key| before.get(key) != after.get(key))
        .map(|key| Change {
            key: key.clone(),
            old: before.get(key).map(str::to_owned),
            new: after.get(key).map(str::to_owned),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edited(text: &str, wanted: &[(&str, Option<&str>)]) -> Result<Edited, String> {
        let wanted = wanted
            .iter()
            .map(|(key, value)| ((*key).to_owned(), value.map(str::to_owned)))
            .collect();
        edit(text, &wanted)
    }

    #[test]
    fn comments_order_and_other_lines_stay() {
        let text = "# Ours\nexport A=1  # one\n\nB='two words'\nC=\"a\nb\" # long\nA=3";
        let edit = edited(
            text,
            &[("A", Some("x y")), ("C", Some("1")), ("D", Some(""))],
        );
        let edit = edit.unwrap();
        let expected = "# Ours\nexport A=1  # one\n\nB='two words'\nC=1 # long\nA='x y'\nD=\n";
        assert_eq!(edit.text, expected);
        let keys: Vec<_> = edit
            .changes
            .iter()
            .map(|change| change.key.as_str())
            .collect();
        assert_eq!(keys, ["A", "C", "D"]);
        assert_eq!(edit.changes[0].old.as_deref(), Some("3"));
        assert_eq!(edit.changes[2].old, None);
    }

    #[test]
    fn a_key_goes_with_its_lines_and_comes_back() {
        let text = "A=1\nB=\"x\ny\" # two\nC=3\nA=2\n";
        assert_eq!(
            edited(text, &[("A", None), ("B", None)]).unwrap().text,
            "C=3\n"
        );
        let emptied = edited("A=1\n", &[("A", None)]).unwrap();
        assert_eq!(emptied.text, NO_KEYS);
        let again = edited(&emptied.text, &[("A", Some("1"))]).unwrap();
        assert_eq!(again.text, "A=1\n");
        assert_eq!(edited("", &[("A", Some("1"))]).unwrap().text, "A=1\n");
    }

    #[test]
    fn what_follows_from_a_change_is_a_change_too() {
        let edit = edited("A=1\nB=$A/x\n", &[("A", Some("2"))]).unwrap();
        assert_eq!(edit.changes.len(), 2);
        assert_eq!(edit.changes[1].new.as_deref(), Some("2/x"));
        let error = edited("A=1\nB=$A/x\n", &[("A", None)]).err().unwrap();
        assert!(error.starts_with("line "), "{error}");
        // What follows from another key is written out where it is to stay.
        let both = edited("A=1\nB=$A/x\n", &[("A", Some("2")), ("B", Some("1/x"))]).unwrap();
        assert_eq!(both.text, "A=2\nB=1/x\n");
        let same = edited("A='1'\n", &[("A", Some("1"))]).unwrap();
        assert!(same.changes.is_empty());
        assert_eq!(same.text, "A='1'\n");
    }

    #[test]
    fn many_keys_take_no_long_while() {
        let text: String = (0..10_000).map(|key| format!("K{key}=old\n")).collect();
        let wanted: BTreeMap<_, _> = (0..20_000)
            .map(|key| (format!("K{key}"), Some("new".to_owned())))
            .collect();
        let since = std::time::Instant::now();
        assert_eq!(edit(&text, &wanted).unwrap().changes.len(), 20_000);
        // Milliseconds; quadratic, it would be minutes.
        assert!(since.elapsed() < std::time::Duration::from_secs(20));
    }

    #[test]
    fn any_text_survives() {
        for value in [
            "'", "\"", "a'b\"c", "$A", "${A}", "\\", "\\n", "a\nb\r\n", "#", " x ",
        ] {
            let text = edited("A=1 # c\n", &[("A", Some(value)), ("Z", Some(value))])
                .unwrap()
                .text;
            let read = values(&text).unwrap();
            assert_eq!(
                (read.get("A"), read.get("Z")),
                (Some(value), Some(value)),
                "{text}"
            );
        }
    }
}
