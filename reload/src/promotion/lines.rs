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
    let mut edited = text.to_owned();
    for (key, value) in wanted {
        edited = match value {
            Some(value) => set(&edited, key, value)?,
            None => remove(&edited, key)?,
        };
    }
    if edited.trim().is_empty() {
        edited.push_str(NO_KEYS);
    }
    let after = values(&edited)?;
    for (key, value) in wanted {
        if after.get(key) != value.as_deref() {
            return Err(format!(
                "{key} cannot be written into this file; write it by hand"
            ));
        }
    }
    Ok(Edited {
        changes: changes(&before, &after),
        text: edited,
    })
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

/// The last entry of a key counts, and is the one that is changed.
fn set(text: &str, key: &str, value: &str) -> Result<String, String> {
    let mut text = text.to_owned();
    match all(&text)?.iter().rfind(|entry| entry.key == key) {
        Some(entry) if entry.value == value => {}
        Some(entry) => text.replace_range(entry.written.clone(), &quoted(value)),
        None => {
            if !text.is_empty() && !text.ends_with('\n') {
                text.push('\n');
            }
            text.push_str(&format!("{key}={}\n", quoted(value)));
        }
    }
    Ok(text)
}

/// Every entry of a key goes, with its whole lines.
fn remove(text: &str, key: &str) -> Result<String, String> {
    let mut text = text.to_owned();
    for entry in all(&text)?.iter().rev().filter(|entry| entry.key == key) {
        let start = line_start(&text, entry.line);
        let rest = &text[entry.written.end..];
        let end = rest
            .find('\n')
            .map_or(text.len(), |at| entry.written.end + at + 1);
        text.replace_range(start..end, "");
    }
    Ok(text)
}

/// The first byte of a line, counted from 1.
fn line_start(text: &str, line: u32) -> usize {
    let ends = text.match_indices('\n').map(|(at, _)| at + 1);
    let line = usize::try_from(line).unwrap_or(usize::MAX);
    std::iter::once(0)
        .chain(ends)
        .nth(line.saturating_sub(1))
        .unwrap_or(text.len())
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
        assert_eq!(again.text, format!("{NO_KEYS}A=1\n"));
        assert_eq!(edited("", &[("A", Some("1"))]).unwrap().text, "A=1\n");
    }

    #[test]
    fn what_follows_from_a_change_is_a_change_too() {
        let edit = edited("A=1\nB=$A/x\n", &[("A", Some("2"))]).unwrap();
        assert_eq!(edit.changes.len(), 2);
        assert_eq!(edit.changes[1].new.as_deref(), Some("2/x"));
        let error = edited("A=1\nB=$A/x\n", &[("A", None)]).err().unwrap();
        assert!(error.starts_with("line "), "{error}");
        let same = edited("A='1'\n", &[("A", Some("1"))]).unwrap();
        assert!(same.changes.is_empty());
        assert_eq!(same.text, "A='1'\n");
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
