//! Rust source as words and marks, without comments: as much of a lexer as reading definitions needs.

/// A word, a literal or a single mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token<'a> {
    pub text: &'a str,
    /// The byte at which it begins.
    pub at: usize,
}

/// Never fails: what it does not know is a mark.
pub(crate) fn tokens(source: &str) -> Vec<Token<'_>> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(rest) = source.get(at..).filter(|rest| !rest.is_empty()) {
        let len = space(rest);
        if len > 0 {
            at += len;
            continue;
        }
        let len = literal(rest)
            .or_else(|| word(rest))
            .unwrap_or_else(|| first_len(rest));
        found.push(Token {
            text: &rest[..len],
            at,
        });
        at += len;
    }
    found
}

/// Behind the bracket that matches the one at `at`; behind all where none does.
pub(crate) fn block_end(tokens: &[Token<'_>], at: usize) -> usize {
    let mut depth = 0_usize;
    for (place, token) in tokens.iter().enumerate().skip(at) {
        match token.text {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return place + 1;
        }
    }
    tokens.len().max(at)
}

/// The length of the space or the comment that the text begins with.
fn space(rest: &str) -> usize {
    if rest.starts_with("//") {
        return rest.find('\n').unwrap_or(rest.len());
    }
    if rest.starts_with("/*") {
        let (mut depth, mut at) = (0_usize, 0);
        while let Some(rest) = rest.get(at..).filter(|rest| !rest.is_empty()) {
            let step = match rest.as_bytes() {
                [b'/', b'*', ..] => {
                    depth += 1;
                    2
                }
                [b'*', b'/', ..] => {
                    depth -= 1;
                    2
                }
                _ => first_len(rest),
            };
            at += step;
            if depth == 0 {
                return at;
            }
        }
        return rest.len();
    }
    rest.len() - rest.trim_start().len()
}

/// The length of the string or the character that the text begins with. A lifetime is a mark and a
/// word.
fn literal(rest: &str) -> Option<usize> {
    let after_prefix = rest.trim_start_matches(['b', 'c']);
    let prefix = rest.len() - after_prefix.len();
    if prefix <= 1 && after_prefix.starts_with('r') {
        let hashes = after_prefix[1..].len() - after_prefix[1..].trim_start_matches('#').len();
        let open = after_prefix.get(1 + hashes..)?;
        if open.starts_with('"') {
            let close = format!("\"{}", "#".repeat(hashes));
            let body = open.get(1..)?.find(&close).map(|at| at + close.len());
            return Some(body.map_or(rest.len(), |body| prefix + hashes + 2 + body));
        }
    }
    let quote = after_prefix
        .chars()
        .next()
        .filter(|c| matches!(c, '"' | '\''))?;
    let body = after_prefix.get(1..)?;
    if prefix > 1 || (quote == '\'' && !is_character(body)) {
        return None;
    }
    let mut escaped = false;
    for (at, c) in body.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return Some(prefix + 1 + at + 1),
            _ => {}
        }
    }
    Some(rest.len())
}

fn is_character(body: &str) -> bool {
    let mut chars = body.chars();
    match chars.next() {
        Some('\\') => true,
        Some(_) => chars.next() == Some('\''),
        None => false,
    }
}

fn word(rest: &str) -> Option<usize> {
    let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_'));
    Some(end.unwrap_or(rest.len())).filter(|len| *len > 0)
}

fn first_len(rest: &str) -> usize {
    rest.chars().next().map_or(1, char::len_utf8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_and_comments_hide_what_is_in_them() {
        let source = r##"a /* } /* { */ */ 'x' '\'' b"{" r#"}""# "\"}" 'life // }
            r#type b' '"##;
        let texts: Vec<&str> = tokens(source).iter().map(|token| token.text).collect();
        let expected = [
            "a",
            "'x'",
            r"'\''",
            "b\"{\"",
            "r#\"}\"\"#",
            r#""\"}""#,
            "'",
            "life",
            "r",
            "#",
            "type",
            "b' '",
        ];
        assert_eq!(texts, expected);
        for (at, c) in source.char_indices() {
            let _ = tokens(&source[at..]).len() + c.len_utf8();
        }
    }
}
