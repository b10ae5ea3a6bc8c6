//! Finds the line of a key in RON, for what is wrong with a value rather than with its text.

/// The byte at which this dotted key is written, if it is: `yield.mode` in `(yield: (mode: ask))`.
pub(crate) fn key_at(text: &str, dotted: &str) -> Option<usize> {
    let mut way = Way::default();
    let mut at = 0;
    while let Some(token) = next(text, at) {
        at = token.end;
        if let Some(start) = way.take(token)
            && way.keys().join(".") == dotted
        {
            return Some(start);
        }
    }
    None
}

/// The keys, the outermost first, behind which this byte is, and where the value behind the last of
/// them begins, if the byte is in its first word.
pub(crate) fn keys_around(text: &str, byte: usize) -> (Vec<String>, Option<usize>) {
    let mut way = Way::default();
    let (mut at, mut value, mut is_after_key) = (0, None, false);
    while let Some(token) = next(text, at).filter(|token| token.start < byte) {
        at = token.end;
        value = is_after_key.then_some(token.start);
        is_after_key = way.take(token).is_some();
    }
    (way.keys(), value)
}

/// The keys that lead to a place in a text.
#[derive(Default)]
struct Way {
    open: Vec<Option<String>>,
    last: Option<(usize, String)>,
}

impl Way {
    /// Goes past a token; where that ends a key, the byte at which the key is written.
    fn take(&mut self, token: Token) -> Option<usize> {
        let last = self.last.take();
        match token.what {
            What::Open => self.open.push(None),
            What::Close => drop(self.open.pop()),
            What::Comma => {
                if let Some(key) = self.open.last_mut() {
                    *key = None;
                }
            }
            What::Word(word) => self.last = Some((token.start, word)),
            What::Colon => {
                if let (Some((start, word)), Some(key)) = (last, self.open.last_mut()) {
                    *key = Some(word);
                    return Some(start);
                }
            }
            What::Other => {}
        }
        None
    }

    fn keys(&self) -> Vec<String> {
        self.open.iter().flatten().cloned().collect()
    }
}

struct Token {
    start: usize,
    end: usize,
    what: What,
}

enum What {
    Open,
    Close,
    Comma,
    Colon,
    /// A name or a text: either may be a key.
    Word(String),
    Other,
}

fn next(text: &str, from: usize) -> Option<Token> {
    let start = skipped(text, from);
    let rest = &text[start..];
    let first = rest.chars().next()?;
    let is_word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '+');
    let (length, what) = match first {
        '(' | '[' | '{' => (1, What::Open),
        ')' | ']' | '}' => (1, What::Close),
        ',' => (1, What::Comma),
        ':' => (1, What::Colon),
        '"' => quoted(rest, 1, "\"", true),
        '\'' => quoted(rest, 1, "'", true),
        'r' if rest.starts_with("r\"") || rest.starts_with("r#\"") || rest.starts_with("r##") => {
            let hashes = rest[1..].chars().take_while(|c| *c == '#').count();
            let end = format!("\"{}", "#".repeat(hashes));
            quoted(rest, hashes + 2, &end, false)
        }
        _ if is_word(first) => {
            let raw = if rest.starts_with("r#") { 2 } else { 0 };
            let word = rest[raw..].find(|c| !is_word(c));
            let end = word.map_or(rest.len(), |word| word + raw);
            (end, What::Word(rest[raw..end].to_owned()))
        }
        other => (other.len_utf8(), What::Other),
    };
    Some(Token {
        start,
        end: start + length,
        what,
    })
}

/// A text from its opening quote on; one that never ends goes to the end.
fn quoted(rest: &str, opening: usize, closing: &str, escapes: bool) -> (usize, What) {
    let Some(body) = rest.get(opening..) else {
        return (rest.len(), What::Other);
    };
    let mut escaped = false;
    for (at, c) in body.char_indices() {
        if escaped {
            escaped = false;
        } else if escapes && c == '\\' {
            escaped = true;
        } else if body[at..].starts_with(closing) {
            return (
                opening + at + closing.len(),
                What::Word(body[..at].to_owned()),
            );
        }
    }
    (rest.len(), What::Other)
}

/// Where white space and comments end.
fn skipped(text: &str, mut at: usize) -> usize {
    loop {
        let rest = &text[at..];
        let trimmed = rest.trim_start();
        at += rest.len() - trimmed.len();
        if trimmed.starts_with("//") {
            at += trimmed.find('\n').unwrap_or(trimmed.len());
        } else if trimmed.starts_with("/*") {
            at += block_comment(trimmed);
        } else {
            return at;
        }
    }
}

/// The length of a comment, which may hold others.
fn block_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        let step = if rest.starts_with("/*") {
            depth += 1;
            2
        } else if rest.starts_with("*/") {
            depth -= 1;
            2
        } else {
            rest.chars().next().map_or(1, char::len_utf8)
        };
        at += step;
        if depth == 0 {
            break;
        }
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::fault::place;

    #[test]
    fn a_key_is_found_where_it_is_written() {
        let text = r##"#![enable(implicit_some)]
// yield: (mode: never)
Policy(
  priorities: {"mic": 0, "a.b": (1)},
  note: "yield: (mode: take)", raw: r#"mode: "x""#, /* mode: /* 1 */ 2 */
  r#yield: (gap: 10,
     mode: ask),
  mode: 7,
)"##;
        let line = |key: &str| key_at(text, key).map(|byte| place(text, byte).0);
        assert_eq!(line("priorities.mic"), Some(4));
        assert_eq!(line("priorities.a.b"), Some(4));
        assert_eq!(line("yield"), Some(6));
        assert_eq!(line("yield.mode"), Some(7));
        assert_eq!(line("mode"), Some(8));
        assert_eq!(line("gap"), None);
    }

    #[test]
    fn what_is_no_ron_ends_all_the_same() {
        for text in [
            "(", "a:", "\"", "r##", "r#\"x", "/*", "'", ":::", "(a: 'é", ")))",
        ] {
            assert_eq!(key_at(text, "b"), None, "{text}");
        }
    }
}
