//! What `warden config` prints.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};
use warden_reload::files::quoted;
use warden_reload::promotion::{Ack, Change, Entry, Outcome, Source, Standing};

use super::Values;
use crate::table::{Align, Table};

/// Lines that an environment file could have.
pub(super) fn values(values: &BTreeMap<String, String>) -> String {
    values
        .iter()
        .map(|(key, value)| format!("{key}={}\n", quoted(value)))
        .collect()
}

pub(super) fn values_json(found: &Values) -> anyhow::Result<String> {
    let json = json!({
        "source": found.source,
        "generation": found.generation,
        "at": found.at,
        "values": found.values,
        "refused_files": found.refused,
    });
    pretty(&json)
}

/// Where a promotion is in the history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct InHistory {
    number: u64,
    /// The one before it, over the same file; 0 where it is the first.
    before: u64,
}

/// Where this one is; nothing where it never began.
pub(super) fn place_in(entries: &[Entry], file: &Path, ack: &Ack) -> Option<InHistory> {
    let mut numbers = entries.iter().filter(|entry| entry.file == file).rev();
    let number = numbers.find(|entry| entry.id == ack.id)?.number;
    let before = numbers.next().map_or(0, |entry| entry.number);
    Some(InHistory { number, before })
}

/// The acknowledgement, with its number in the history.
pub(super) fn ack_json(ack: &Ack, place: Option<InHistory>) -> anyhow::Result<String> {
    let mut json = serde_json::to_value(ack)?;
    json["history"] = place.map(|place| place.number).into();
    pretty(&json)
}

/// What came of a promotion, in a line, and how to undo it.
pub(super) fn ack(ack: &Ack, place: Option<InHistory>) -> String {
    let mut text = format!("{}: {}", ack.id, ack.outcome);
    if let (Outcome::Live, Some(after)) = (ack.outcome, ack.live_after_ms) {
        text.push_str(&format!(" after {after} ms"));
    }
    match ack.generation {
        Some(generation) => text.push_str(&format!(", generation {generation}")),
        None if ack.outcome == Outcome::Live => {
            text.push_str(", in the file alone: no broker that answers reads it");
        }
        None => {}
    }
    match (ack.changed.is_empty(), ack.outcome) {
        (false, _) => text.push_str(&format!(": {}", ack.changed.join(", "))),
        (true, Outcome::Live) => text.push_str(": nothing had to be changed"),
        (true, _) => {}
    }
    if let Some(error) = &ack.error {
        text.push_str(&format!("\n  {error}"));
    }
    if let Some(InHistory { number, before }) = place {
        text.push_str(&format!("\n  history {number}"));
        if ack.outcome == Outcome::Live && !ack.changed.is_empty() {
            text.push_str(&format!("; `warden config rollback {before}` undoes it"));
        }
    }
    text.push('\n');
    text
}

pub(super) fn history(entries: &[Entry], show: bool) -> String {
    if entries.is_empty() {
        return "nothing was promoted yet\n".to_owned();
    }
    let mut table = Table::new(&[
        ("N", Align::Right),
        ("WHEN", Align::Left),
        ("ID", Align::Left),
        ("BY", Align::Left),
        ("OUTCOME", Align::Left),
        ("CHANGED", Align::Left),
    ]);
    for entry in entries {
        let changed: Vec<_> = entry
            .changes
            .iter()
            .map(|change| one_change(change, show))
            .collect();
        table.row([
            entry.number.to_string(),
            entry.began_at.clone(),
            entry.id.clone(),
            by(&entry.source),
            outcome(entry),
            changed.join(", "),
        ]);
    }
    table.to_string()
}

fn by(source: &Source) -> String {
    match source {
        Source::Winner => "winner".to_owned(),
        Source::Set => "set".to_owned(),
        Source::Rollback(number) => format!("rollback to {number}"),
        Source::PutBack(number) => format!("undoes {number}"),
    }
}

fn outcome(entry: &Entry) -> String {
    match &entry.standing {
        Standing::Begun => "under way".to_owned(),
        Standing::Checking(_) => "being checked".to_owned(),
        Standing::Ended(end) => end.outcome.to_string(),
    }
}

pub(super) fn history_json(entries: &[Entry], show: bool) -> anyhow::Result<String> {
    let entries: Vec<Value> = entries
        .iter()
        .map(|entry| {
            json!({
                "number": entry.number,
                "id": entry.id,
                "by": by(&entry.source),
                "began_at": entry.began_at,
                "outcome": entry.end().map(|end| end.outcome),
                "live_after_ms": entry.end().and_then(|end| end.live_after_ms),
                "generation": entry.end().and_then(|end| end.generation),
                "error": entry.end().and_then(|end| end.error.as_ref()),
                "check": entry.check,
                "changed": changed_json(&entry.changes, show),
            })
        })
        .collect();
    pretty(&Value::from(entries))
}

/// What became of each key after promotion `from` and up to `to`.
pub(super) fn changes_between(entries: &[Entry], from: u64, to: u64) -> Vec<Change> {
    let mut keys: BTreeMap<String, Change> = BTreeMap::new();
    let meant = entries
        .iter()
        .filter(|entry| entry.number > from.min(to) && entry.number <= from.max(to))
        .filter(|entry| {
            entry
                .end()
                .is_some_and(|end| end.outcome != Outcome::Refused)
        });
    for change in meant.flat_map(|entry| &entry.changes) {
        match keys.get_mut(&change.key) {
            Some(known) => known.new.clone_from(&change.new),
            None => drop(keys.insert(change.key.clone(), change.clone())),
        }
    }
    let mut changes: Vec<Change> = keys
        .into_values()
        .filter(|change| change.old != change.new)
        .collect();
    if from > to {
        for change in &mut changes {
            std::mem::swap(&mut change.old, &mut change.new);
        }
    }
    changes
}

pub(super) fn changes(changes: &[Change], show: bool) -> String {
    if changes.is_empty() {
        return "no key has another value\n".to_owned();
    }
    changes
        .iter()
        .map(|change| one_change(change, show) + "\n")
        .collect()
}

pub(super) fn changes_json(changes: &[Change], show: bool) -> anyhow::Result<String> {
    pretty(&changed_json(changes, show))
}

/// The key, and what became of it; with its values only where they are asked for.
fn one_change(change: &Change, show: bool) -> String {
    let Change { key, old, new } = change;
    match (old, new) {
        (Some(old), Some(new)) if show => format!("{key}: {} → {}", quoted(old), quoted(new)),
        (None, Some(new)) if show => format!("+{key}: {}", quoted(new)),
        (Some(old), None) if show => format!("-{key}: {}", quoted(old)),
        (Some(_), None) => format!("-{key}"),
        (None, _) => format!("+{key}"),
        (Some(_), Some(_)) => key.clone(),
    }
}

/// `{KEY: {old, new}}` where values are to be shown, else `[KEY]`.
fn changed_json(changes: &[Change], show: bool) -> Value {
    match show {
        true => changes
            .iter()
            .map(|change| {
                let values = json!({"old": change.old, "new": change.new});
                (change.key.clone(), values)
            })
            .collect(),
        false => changes.iter().map(|change| change.key.as_str()).collect(),
    }
}

fn pretty(json: &Value) -> anyhow::Result<String> {
    Ok(serde_json::to_string_pretty(json)? + "\n")
}
