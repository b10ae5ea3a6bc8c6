//! Keys as their type describes them, and files that are written from them.

#![allow(clippy::unwrap_used, reason = "this is a test")]

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use warden_reload::keys::{Key, Kind, edited, keys_of, save_ron, to_ron, value_of};

const MOST: u32 = 1_000_000;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Sample {
    /// How often it is tried, before
    /// somebody is told.
    #[schemars(range(min = 1, max = MOST))]
    tries: u32,
    /// How long nobody answers.
    quiet_ms: u64,
    /// What is kept free.
    spare_mib: u64,
    /// As it is called.
    title: String,
    /// Larger or smaller than it was drawn.
    #[schemars(range(min = 0.5, max = 3.0))]
    zoom: f32,
    loud: bool,
    /// Urgencies by name.
    names: BTreeMap<String, u8>,
    /// Kinds of work.
    kinds: BTreeMap<String, Work>,
    /// Asking politely.
    r#yield: Asking,
    /// Left out by most.
    limit: Option<u8>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Work {
    /// How long it may take.
    #[schemars(range(max = 10))]
    timeout_s: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Asking {
    /// How far to go.
    mode: Mode,
    /// By how much.
    gap: u8,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Mode {
    /// Not at all.
    Never,
    /// Once.
    AskOnce,
}

impl Default for Asking {
    fn default() -> Self {
        Self {
            mode: Mode::AskOnce,
            gap: 10,
        }
    }
}

impl Default for Sample {
    fn default() -> Self {
        Self {
            tries: 8,
            quiet_ms: 1_500,
            spare_mib: 512,
            title: "He said \"no\"\n".to_owned(),
            zoom: 1.0,
            loud: false,
            names: [("mic".to_owned(), 0), ("a.b".to_owned(), 7)].into(),
            kinds: [("load".to_owned(), Work { timeout_s: 5 })].into(),
            r#yield: Asking::default(),
            limit: None,
        }
    }
}

fn key(name: &str) -> Key {
    let mut keys = keys_of::<Sample>().into_iter();
    keys.find(|key| key.name == name).unwrap()
}

#[test]
fn every_key_is_described_by_its_type_in_the_order_of_the_fields() {
    let names: Vec<_> = keys_of::<Sample>()
        .into_iter()
        .map(|key| key.name)
        .collect();
    let expected = [
        "tries",
        "quiet_ms",
        "spare_mib",
        "title",
        "zoom",
        "loud",
        "names",
        "kinds",
        "kinds.*.timeout_s",
        "yield.mode",
        "yield.gap",
        "limit",
    ];
    assert_eq!(names, expected);

    let tries = key("tries");
    assert_eq!(
        tries.meaning,
        "How often it is tried, before somebody is told."
    );
    assert_eq!(tries.kind, Kind::Whole);
    assert_eq!(tries.default.as_deref(), Some("8"));
    assert_eq!(tries.range.to_string(), "1 to 1,000,000");
    assert_eq!(tries.unit, None);
    assert_eq!(key("quiet_ms").unit.as_deref(), Some("ms"));
    assert_eq!(key("quiet_ms").range.to_string(), "0 or more");
    assert_eq!(key("spare_mib").unit.as_deref(), Some("MiB"));
    assert_eq!(key("zoom").range.to_string(), "0.5 to 3");
    assert_eq!(key("zoom").kind, Kind::Number);
    assert_eq!(key("loud").kind, Kind::Switch);
    assert_eq!(key("title").kind, Kind::Text);
    assert_eq!(key("names").kind, Kind::Table(Some(Box::new(Kind::Whole))));
    assert_eq!(key("names").range.to_string(), "0 to 255");
    assert_eq!(key("kinds").kind, Kind::Table(None));
    assert_eq!(key("kinds.*.timeout_s").range.to_string(), "0 to 10");
    assert_eq!(key("yield.mode").allowed().unwrap(), "never, ask_once");
    assert_eq!(key("yield.mode").default.as_deref(), Some("ask_once"));
    assert_eq!(key("yield.gap").default.as_deref(), Some("10"));
    assert_eq!(key("limit").default.as_deref(), Some("None"));
}

#[test]
fn a_file_explains_its_keys_and_reads_back_as_it_was() {
    let value = Sample {
        limit: Some(3),
        ..Sample::default()
    };
    let text = to_ron(&value);
    assert_eq!(ron::from_str::<Sample>(&text).unwrap(), value, "{text}");
    let above = "    // How often it is tried, before somebody is told.\n    \
                 // Default: 8. Allowed: 1 to 1,000,000.\n    tries: 8,\n";
    assert!(text.contains(above), "{text}");
    assert!(text.contains("        // ask_once: Once.\n"), "{text}");
    assert!(text.contains("Unit: ms."), "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 100));

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("settings.ron");
    save_ron(&path, &value).unwrap();
    assert_eq!(std::fs::read_to_string(path).unwrap(), text);
}

#[test]
fn one_key_is_changed_as_a_person_types_it() {
    let value = Sample::default();
    assert_eq!(value_of(&value, "yield.gap").unwrap(), "10");
    assert_eq!(value_of(&value, "names.a.b").unwrap(), "7");
    assert_eq!(value_of(&value, "kinds.load.timeout_s").unwrap(), "5");
    assert_eq!(value_of(&value, "yield.none"), None);

    let changed = |name: &str, typed: &str| edited(&value, name, typed).unwrap();
    assert_eq!(changed("tries", " 12 ").tries, 12);
    assert_eq!(changed("yield.mode", "never").r#yield.mode, Mode::Never);
    assert_eq!(changed("title", "a \"b\"").title, "a \"b\"");
    assert_eq!(changed("zoom", "2").zoom, 2.0);
    assert!(changed("loud", "true").loud);
    assert_eq!(changed("limit", "Some(4)").limit, Some(4));
    assert_eq!(changed("names.mic", "3").names["mic"], 3);
    assert_eq!(changed("names", "{\"x\": 1}").names.len(), 1);
    assert_eq!(changed("yield.gap", "11").tries, value.tries);

    let problem = |name: &str, typed: &str| edited(&value, name, typed).unwrap_err().to_string();
    assert_eq!(problem("tries", "0"), "tries: must be 1 to 1,000,000");
    assert_eq!(problem("tries", "1.5"), "tries: must be a whole number");
    assert_eq!(problem("tries", ""), "tries: must be a whole number");
    assert_eq!(problem("zoom", "NaN"), "zoom: must be a number");
    assert_eq!(problem("loud", "yes"), "loud: must be true or false");
    assert_eq!(
        problem("yield.mode", "always"),
        "yield.mode: must be one of never, ask_once"
    );
    assert_eq!(problem("nothing", "1"), "nothing: there is no such key");
    // What could close a bracket early changes no other key.
    assert!(edited(&value, "names", "{}, loud: true").is_err());
    assert!(edited(&value, "names.mic", "1, \"x\": 2").is_err());
}
