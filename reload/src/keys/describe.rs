//! A type's schema, read as keys.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::Value;

use super::tree::Node;
use super::{Choice, Key, Kind, Range};

/// Endings of names that say what a number counts.
const UNITS: [(&str, &str); 8] = [
    ("_ms", "ms"),
    ("_s", "s"),
    ("_mib", "MiB"),
    ("_bytes", "bytes"),
    ("_percent", "%"),
    ("_px", "px"),
    ("_pt", "pt"),
    ("_hz", "Hz"),
];

/// The schema of a type, with nothing in it that refers to elsewhere.
pub(super) fn schema<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.inline_subschemas = true;
    });
    settings.into_generator().into_root_schema_for::<T>().into()
}

/// The keys that a struct's schema describes, in the order of `defaults`.
pub(super) fn keys(schema: &Value, defaults: &Node) -> Vec<Key> {
    let mut keys = Vec::new();
    walk(&mut keys, "", schema, Some(defaults));
    keys
}

/// Adds the keys of a struct.
fn walk(keys: &mut Vec<Key>, prefix: &str, schema: &Value, defaults: Option<&Node>) {
    let Some(properties) = schema["properties"].as_object() else {
        return;
    };
    let mut in_order: Vec<&str> = match defaults {
        Some(Node::Struct(children)) => children.iter().map(|(name, _)| name.as_str()).collect(),
        _ => Vec::new(),
    };
    // Those that are left out where they have nothing to say, and those of a table's entries.
    for name in properties.keys() {
        if !in_order.contains(&name.as_str()) {
            in_order.push(name);
        }
    }
    for name in in_order {
        let Some(property) = properties.get(name) else {
            continue;
        };
        let full = format!("{prefix}{name}");
        let default = defaults.and_then(|defaults| defaults.at(name));
        if property["properties"].is_object() {
            walk(keys, &format!("{full}."), property, default);
            continue;
        }
        let default = default.map(Node::to_ron).or_else(|| scalar(property));
        let entry = &property["additionalProperties"];
        keys.push(Key {
            meaning: sentences(property),
            kind: kind(property),
            unit: unit(property, name),
            default,
            range: range(innermost(property)),
            name: full.clone(),
        });
        if entry["properties"].is_object() {
            walk(keys, &format!("{full}.*."), entry, None);
        }
    }
}

/// What a schema says that it means, on one line a paragraph.
fn sentences(schema: &Value) -> String {
    let text = schema["description"].as_str().unwrap_or_default();
    let paragraphs: Vec<_> = text
        .split("\n\n")
        .map(|paragraph| paragraph.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    paragraphs.join("\n")
}

/// A default that the schema itself has, where it is a number, a switch or text.
fn scalar(schema: &Value) -> Option<String> {
    let default = &schema["default"];
    let is_scalar = default.is_number() || default.is_boolean() || default.is_string();
    is_scalar.then(|| default.to_string())
}

/// What kind of value a schema describes.
fn kind(schema: &Value) -> Kind {
    if let Some(choices) = choices(schema) {
        return Kind::Choice(choices);
    }
    match type_of(schema) {
        Some("boolean") => Kind::Switch,
        Some("integer") => Kind::Whole,
        Some("number") => Kind::Number,
        Some("string") => Kind::Text,
        Some("object") => Kind::Table(within(&schema["additionalProperties"])),
        Some("array") => Kind::List(within(&schema["items"])),
        _ => Kind::Other,
    }
}

/// The kind of what a table or a list holds, unless that has keys of its own.
fn within(schema: &Value) -> Option<Box<Kind>> {
    (!schema["properties"].is_object()).then(|| Box::new(kind(schema)))
}

/// The one type that a schema allows, or the one beside null.
fn type_of(schema: &Value) -> Option<&str> {
    match &schema["type"] {
        Value::String(name) => Some(name),
        Value::Array(names) => names
            .iter()
            .filter_map(Value::as_str)
            .find(|name| *name != "null"),
        _ => None,
    }
}

/// The words of an enum whose variants hold nothing.
fn choices(schema: &Value) -> Option<Vec<Choice>> {
    if let Some(words) = schema["enum"].as_array() {
        return words
            .iter()
            .map(|word| choice(word, schema, false))
            .collect();
    }
    let variants = schema["oneOf"].as_array()?;
    let mut choices = Vec::new();
    for variant in variants {
        // Variants without a comment of their own stand together.
        match variant["enum"].as_array() {
            Some(words) => {
                for word in words {
                    choices.push(choice(word, variant, false)?);
                }
            }
            None => choices.push(choice(&variant["const"], variant, true)?),
        }
    }
    Some(choices)
}

fn choice(word: &Value, schema: &Value, is_described: bool) -> Option<Choice> {
    Some(Choice {
        word: word.as_str()?.to_owned(),
        meaning: match is_described {
            true => sentences(schema),
            false => String::new(),
        },
    })
}

/// The schema of the numbers: a table's or a list's are those of its entries.
fn innermost(schema: &Value) -> &Value {
    let within = match type_of(schema) {
        Some("object") => &schema["additionalProperties"],
        Some("array") => &schema["items"],
        _ => return schema,
    };
    match within.is_object() {
        true => innermost(within),
        false => schema,
    }
}

fn range(schema: &Value) -> Range {
    Range {
        min: schema["minimum"].as_f64(),
        max: schema["maximum"].as_f64(),
    }
}

/// What the numbers count: `#[schemars(extend("unit" = "…"))]`, else as the name ends.
fn unit(schema: &Value, name: &str) -> Option<String> {
    if let Some(unit) = schema["unit"].as_str() {
        return Some(unit.to_owned());
    }
    UNITS
        .iter()
        .find(|(ending, _)| name.ends_with(ending))
        .map(|(_, unit)| (*unit).to_owned())
}
