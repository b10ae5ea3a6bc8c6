//! A value as a file that explains itself.

use super::tree::{Node, quoted};
use super::{Key, Kind};

/// Lines of comments are broken here.
const WIDTH: usize = 98;
const INDENT: &str = "    ";

/// A value as RON, each of these keys under a comment.
pub(super) fn commented(value: &Node, keys: &[Key]) -> String {
    let mut text = String::new();
    write(&mut text, value, keys, "", 0);
    text.push('\n');
    text
}

/// Writes a value that stands behind a key and a colon, or alone.
fn write(text: &mut String, node: &Node, keys: &[Key], prefix: &str, depth: usize) {
    let (children, open, close) = match node {
        Node::Leaf(leaf) => return text.push_str(leaf),
        Node::Struct(children) => (children, '(', ')'),
        Node::Table(children) => (children, '{', '}'),
    };
    let is_table = matches!(node, Node::Table(_));
    let inner = INDENT.repeat(depth + 1);
    text.push(open);
    for (at, (name, child)) in children.iter().enumerate() {
        text.push('\n');
        let full = format!("{prefix}{name}");
        if let Some(key) = keys.iter().find(|key| key.name == full) {
            if at > 0 {
                text.push('\n');
            }
            comment(text, &about(key), &inner);
        }
        text.push_str(&inner);
        match is_table {
            true => text.push_str(&quoted(name)),
            false => text.push_str(name),
        }
        text.push_str(": ");
        // In a table the names are somebody's own, and the entry's keys are explained in the page.
        match is_table {
            true => text.push_str(&child.to_ron()),
            false => write(text, child, keys, &format!("{full}."), depth + 1),
        }
        text.push(',');
    }
    text.push('\n');
    text.push_str(&INDENT.repeat(depth));
    text.push(close);
}

/// Meaning, unit, default and range.
fn about(key: &Key) -> String {
    let mut text = key.meaning.clone();
    if let Kind::Choice(choices) = &key.kind {
        for choice in choices {
            text.push_str(&format!("\n{}: {}", choice.word, choice.meaning));
        }
    }
    let mut facts = Vec::new();
    if let Some(unit) = &key.unit {
        facts.push(format!("Unit: {unit}."));
    }
    if let Some(default) = &key.default {
        facts.push(format!("Default: {default}."));
    }
    if let (Some(allowed), false) = (key.allowed(), matches!(key.kind, Kind::Choice(_))) {
        facts.push(format!("Allowed: {allowed}."));
    }
    if !facts.is_empty() {
        text.push('\n');
        text.push_str(&facts.join(" "));
    }
    text
}

/// Writes lines of comment, broken between words.
fn comment(text: &mut String, about: &str, indent: &str) {
    for line in about.lines().filter(|line| !line.is_empty()) {
        let mut width = 0;
        for word in line.split_whitespace() {
            let needed = word.chars().count() + 1;
            if width > 0 && width + needed > WIDTH {
                text.push('\n');
                width = 0;
            }
            if width == 0 {
                text.push_str(indent);
                text.push_str("//");
                width = indent.len() + 2;
            }
            text.push(' ');
            text.push_str(word);
            width += needed;
        }
        text.push('\n');
    }
}

/// A number as people read it: `3,600,000`, `0.5`.
pub(super) fn number(number: f64) -> String {
    let text = number.to_string();
    let (sign, rest) = match text.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", text.as_str()),
    };
    let (whole, fraction) = match rest.split_once('.') {
        Some((whole, fraction)) => (whole, format!(".{fraction}")),
        None => (rest, String::new()),
    };
    let mut grouped = String::new();
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    format!("{sign}{grouped}{fraction}")
}
