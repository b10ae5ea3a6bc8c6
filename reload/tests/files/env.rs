//! `.env` files, as the dotenv family reads them.

use proptest::prelude::*;
use serde::Deserialize;
use warden_reload::files::{Env, FaultKind, Format as _, entries, quoted};

#[test]
fn quoting_and_comments_are_those_of_the_dotenv_family() {
    let text = r##"
# a comment, and an empty line

PLAIN=plain value  # and a comment
  INDENTED = around the equals sign
export EXPORTED=yes
EMPTY=
COMMENT_ONLY= # nothing
HASH=with#hash
HASH_FIRST=#first
URL=https://example.org/?a=b&c=d#e
SINGLE='as $it \n is # not a comment' # a comment
DOUBLE="tab\t, quote \", dollar \$, backslash \\, line\nnext, other \d" # a comment
MULTI="first
second # no comment
third"
MULTI_SINGLE='-----BEGIN
END-----'
APOSTROPHE=it's
BACKSLASH=C:\new
ITSELF=${PLAIN}, $EXPORTED! costs 5$ and $5
FALLBACK=${NOT_THERE:-a fallback}
TWICE=1
TWICE=2
dotted.key-name=x
LAST="no line end""##;
    let values = Env.parse(text).unwrap();
    let expected = [
        ("PLAIN", "plain value"),
        ("INDENTED", "around the equals sign"),
        ("EXPORTED", "yes"),
        ("EMPTY", ""),
        ("COMMENT_ONLY", ""),
        ("HASH", "with#hash"),
        ("HASH_FIRST", "#first"),
        ("URL", "https://example.org/?a=b&c=d#e"),
        ("SINGLE", r"as $it \n is # not a comment"),
        (
            "DOUBLE",
            "tab\t, quote \", dollar $, backslash \\, line\nnext, other \\d",
        ),
        ("MULTI", "first\nsecond # no comment\nthird"),
        ("MULTI_SINGLE", "-----BEGIN\nEND-----"),
        ("APOSTROPHE", "it's"),
        ("BACKSLASH", r"C:\new"),
        ("ITSELF", "plain value, yes! costs 5$ and $5"),
        ("FALLBACK", "a fallback"),
        ("TWICE", "2"),
        ("dotted.key-name", "x"),
        ("LAST", "no line end"),
    ];
    for (key, value) in expected {
        assert_eq!(values.get(key), Some(value), "{key}");
    }
    assert_eq!(values.len(), expected.len());
    assert_eq!(
        Env.parse("A=1\r\nB='2'\r\n").unwrap(),
        Env.parse("A=1\nB=2").unwrap()
    );
}

#[test]
fn what_is_no_line_is_told_with_its_place_and_never_with_a_value() {
    let cases = [
        (
            "A=1\nsecret-word hunter2\n",
            2,
            13,
            "no `=` follows the key; a line is KEY=value",
        ),
        ("A=1\n\n'hunter2'=1\n", 3, 1, "a key was expected"),
        ("1A=hunter2\n", 1, 1, "a key was expected"),
        (
            "A=1\nB=\"hunter2\nC=3\n",
            2,
            3,
            "the quote that begins here is not closed",
        ),
        (
            "B='hunter2\nC=3\n",
            1,
            3,
            "the quote that begins here is not closed",
        ),
        (
            "B='a'hunter2\n",
            1,
            6,
            "something follows the closing quote of B",
        ),
        (
            "B=pa$hunter2\n",
            1,
            5,
            "B refers to a key that no line above it sets",
        ),
        (
            "B=${HOME}\n",
            1,
            3,
            "B refers to a key that no line above it sets",
        ),
        ("B=\"x\n${hunter2\"\n", 2, 1, "`${` is not closed"),
        ("A=b\0c\n", 1, 4, "there is a NUL character"),
        ("A='b\0c'\n", 1, 3, "there is a NUL character"),
    ];
    for (text, line, column, message) in cases {
        let problem = Env.parse(text).unwrap_err();
        assert_eq!(
            (problem.line, problem.column),
            (Some(line), Some(column)),
            "{text}: {problem:?}"
        );
        assert_eq!(problem.kind, FaultKind::Syntax);
        assert!(problem.message.starts_with(message), "{text}: {problem:?}");
        assert!(!problem.message.contains("hunter2"), "{problem:?}");
    }
    assert_eq!(Env.parse(" \n").unwrap_err().kind, FaultKind::Empty);
    assert!(Env.parse("# no key\n").unwrap().is_empty());
}

#[test]
fn keys_that_refer_to_each_other_fill_no_memory() {
    let mut text = String::from("K0=ten bytes.\n");
    for key in 1..60 {
        text.push_str(&format!("K{key}=$K{0}$K{0}\n", key - 1));
    }
    let problem = Env.parse(&text).unwrap_err();
    assert!(problem.message.contains("more than 1 MiB"), "{problem:?}");
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Level {
    Low,
    VeryHigh,
}

#[derive(Debug, PartialEq, Deserialize)]
struct Typed {
    rag_chunk_size: u32,
    ratio: f64,
    on: bool,
    level: Level,
    name: String,
    #[serde(default)]
    proxy: Option<String>,
    hosts: Vec<String>,
    #[serde(rename = "EXACT")]
    exact: i8,
    #[serde(default)]
    missing: u8,
}

#[test]
fn a_type_is_read_through_serde() {
    let good = "RAG_CHUNK_SIZE=512\nRATIO=0.5\nON=yes\nLEVEL=very_high\nNAME=n\nPROXY=\nHOSTS=a, b\nEXACT=-3\nMORE=x\n";
    let typed: Typed = Env::of().parse(good).unwrap();
    let expected = Typed {
        rag_chunk_size: 512,
        ratio: 0.5,
        on: true,
        level: Level::VeryHigh,
        name: "n".to_owned(),
        proxy: None,
        hosts: vec!["a".to_owned(), "b".to_owned()],
        exact: -3,
        missing: 0,
    };
    assert_eq!(typed, expected);
    let broken = |from: &str, to: &str| {
        Env::of::<Typed>()
            .parse(&good.replace(from, to))
            .unwrap_err()
    };
    let told = [
        broken("512", "hunter2"),
        broken("0.5", "hunter2"),
        broken("yes", "hunter2"),
        broken("very_high", "hunter2"),
        broken("EXACT=-3", "EXACT=300"),
        broken("NAME=n\n", ""),
    ];
    let messages = told.each_ref().map(|problem| problem.message.as_str());
    assert_eq!(
        messages,
        [
            "RAG_CHUNK_SIZE should be a whole number, not below 0 (u32)",
            "RATIO should be a number",
            "ON should be true or false",
            "LEVEL should be one of low, very_high",
            "EXACT should be a whole number (i8)",
            "the key name is missing",
        ]
    );
    let places = told.map(|problem| (problem.line, problem.column));
    assert_eq!(places[..2], [(Some(1), Some(16)), (Some(2), Some(7))]);
    assert_eq!(places[5], (None, None));
}

#[test]
fn debug_shows_keys_and_never_values() {
    let map = Env.parse("PASSWORD=hunter2\n").unwrap();
    assert_eq!(format!("{map:?}"), "EnvMap {\"PASSWORD\"}");
    assert!(!format!("{:?}", entries("PASSWORD=hunter2")).contains("hunter2"));
}

proptest! {
    #[test]
    fn what_is_quoted_is_read_as_it_was(value in "[^\0]*", before in "[a-z #'\"$\\\\]{0,9}") {
        let text = format!("B={}\nA={} # comment\nC=3\n", quoted(&before), quoted(&value));
        let entries = entries(&text).unwrap();
        prop_assert_eq!(entries.len(), 3);
        prop_assert_eq!(&entries[0].value, &before);
        prop_assert_eq!(&entries[1].value, &value);
        let mut edited = text.clone();
        edited.replace_range(entries[1].written.clone(), &quoted("other"));
        let expected = format!("B={}\nA=other # comment\nC=3\n", quoted(&before));
        prop_assert_eq!(edited, expected);
    }

    #[test]
    fn no_text_makes_it_panic(text in "(?s).{0,200}", lines in "([A-Z_=#'\"$\\\\{} \n:-]|é){0,200}") {
        let _ = entries(&text);
        let _ = entries(&lines);
    }
}
