//! Moves a value from one definition of its type to another, field by field.

use std::collections::BTreeMap;
use std::fmt;

use ron::value::RawValue;
use serde::de::{DeserializeOwned, Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize};

/// What became of each top-level field.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Migration {
    /// The same field with the same value.
    pub kept: Vec<String>,
    /// Carried over with another name, or written otherwise than before: a `1` that is a `1.0` now,
    /// a struct that has grown a field with a default.
    pub migrated: Vec<Change>,
    /// The new definition cannot read the old value, or the field is new: it has its default.
    pub defaulted: Vec<Change>,
    /// The new definition has no such field.
    pub dropped: Vec<Change>,
}

/// A field that is not as it was.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// Its name; `old → new` where that changed; `(all)` for a value that is no struct.
    pub key: String,
    /// Its value before, as RON; none for a new field.
    pub old: Option<String>,
    /// Its value now, as RON; none for a field that is no more.
    pub new: Option<String>,
    /// Why the old value was not taken, where there was one.
    pub why: Option<String>,
}

/// Nothing can be carried over.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MigrateError {
    /// The type does not read back what it wrote itself.
    #[error("its default cannot be written and read again: {0}")]
    Default(String),
}

impl Migration {
    /// Whether everything came over as it was.
    #[must_use]
    pub fn is_trivial(&self) -> bool {
        self.migrated.is_empty() && self.defaulted.is_empty() && self.dropped.is_empty()
    }
}

/// How a value that is no struct is called.
const ALL: &str = "(all)";

/// Reads `old`, the RON of a former definition of `T`, as far as `T` can read it.
///
/// Each top-level field is tried by itself on top of `T::default()`, so that one that no longer
/// parses costs no other; serde's aliases are followed, and told as a change of name.
///
/// # Errors
/// When `T` does not read what it writes. Whatever `old` is, it is no error: then all is default.
pub fn migrate<T>(old: &str) -> Result<(T, Migration), MigrateError>
where
    T: Default + Serialize + DeserializeOwned,
{
    let text = write(&T::default()).map_err(MigrateError::Default)?;
    let whole: T = read(&text).map_err(MigrateError::Default)?;
    match (Fields::of(&text), Fields::of(old)) {
        (Some(defaults), Some(old)) => by_field(whole, &defaults, &old),
        _ => Ok(as_a_whole(whole, text, old)),
    }
}

fn as_a_whole<T>(default: T, text: String, old: &str) -> (T, Migration)
where
    T: Serialize + DeserializeOwned,
{
    let mut migration = Migration::default();
    let old_text = Some(old.to_owned());
    let value = read::<T>(old).and_then(|value| Ok((write(&value)?, value)));
    match value {
        Ok((new, value)) => {
            if same(&new, old) {
                migration.kept.push(ALL.to_owned());
            } else {
                migration.migrated.push(Change {
                    key: ALL.to_owned(),
                    old: old_text,
                    new: Some(new),
                    why: None,
                });
            }
            (value, migration)
        }
        Err(why) => {
            migration.defaulted.push(Change {
                key: ALL.to_owned(),
                old: old_text,
                new: Some(text),
                why: Some(why),
            });
            (default, migration)
        }
    }
}

/// A field that was taken over: how it is called now, how before, and what was written then.
struct Taken<'a> {
    key: String,
    former: &'a str,
    text: &'a str,
}

fn by_field<T>(
    mut value: T,
    defaults: &Fields,
    old: &Fields,
) -> Result<(T, Migration), MigrateError>
where
    T: Serialize + DeserializeOwned,
{
    let mut migration = Migration::default();
    let mut taken: Vec<Taken<'_>> = Vec::new();
    let mut now = defaults.clone();
    let mut refused = BTreeMap::new();
    for (former, text) in &old.0 {
        let key = match now.place::<T>(former, text) {
            Place::Named(key) if taken.iter().all(|taken| taken.key != key) => key,
            Place::Named(_) | Place::Nowhere => {
                migration.dropped.push(Change {
                    key: former.clone(),
                    old: Some(text.clone()),
                    ..Change::default()
                });
                continue;
            }
        };
        let tried = now.with(&key, text);
        match read::<T>(&tried.text()) {
            Ok(read) => {
                (value, now) = (read, tried);
                taken.push(Taken { key, former, text });
            }
            Err(why) => {
                refused.insert(key, (text.clone(), why));
            }
        }
    }
    let written = write(&value).map_err(MigrateError::Default)?;
    let now = Fields::of(&written).unwrap_or(now);
    for taken in &taken {
        let new = now.get(&taken.key);
        if taken.key == taken.former && new.is_some_and(|new| same(new, taken.text)) {
            migration.kept.push(taken.key.clone());
            continue;
        }
        let renamed = taken.key != taken.former;
        migration.migrated.push(Change {
            key: if renamed {
                format!("{} → {}", taken.former, taken.key)
            } else {
                taken.key.clone()
            },
            old: Some(taken.text.to_owned()),
            new: new.map(str::to_owned),
            why: None,
        });
    }
    for (key, text) in &now.0 {
        if taken.iter().all(|taken| taken.key != *key) {
            let (old, why) = refused.remove(key).unzip();
            migration.defaulted.push(Change {
                key: key.clone(),
                old,
                new: Some(text.clone()),
                why,
            });
        }
    }
    Ok((value, migration))
}

/// A struct's fields in their order, each with its value as it is written.
#[derive(Clone, Default)]
struct Fields(Vec<(String, String)>);

/// Where an old field goes.
enum Place {
    Named(String),
    Nowhere,
}

impl Fields {
    /// None for what is no struct with named fields.
    fn of(text: &str) -> Option<Self> {
        ron::from_str(text).ok()
    }

    fn get(&self, key: &str) -> Option<&str> {
        let field = self.0.iter().find(|(name, _)| name == key);
        field.map(|(_, text)| text.as_str())
    }

    fn with(&self, key: &str, text: &str) -> Self {
        let mut fields = self.clone();
        match fields.0.iter_mut().find(|(name, _)| name == key) {
            Some((_, value)) => text.clone_into(value),
            None => fields.0.push((key.to_owned(), text.to_owned())),
        }
        fields
    }

    fn text(&self) -> String {
        let fields: Vec<String> = self
            .0
            .iter()
            .map(|(name, text)| format!("{name}:{text}"))
            .collect();
        format!("({})", fields.join(","))
    }

    /// Finds the field of `T` that an old one goes to: the one of its name, the one that has its
    /// name as an alias (serde then calls the two duplicates), or one that is only written when it
    /// is not the default.
    fn place<T: Serialize + DeserializeOwned>(&self, former: &str, text: &str) -> Place {
        if self.get(former).is_some() {
            return Place::Named(former.to_owned());
        }
        match ron::from_str::<T>(&self.with(former, text).text()) {
            Ok(value) => {
                let written = write(&value).ok().and_then(|text| Self::of(&text));
                match written.and_then(|fields| fields.new_field(self)) {
                    Some(key) => Place::Named(key),
                    None => Place::Nowhere,
                }
            }
            Err(error) => match error.code {
                ron::Error::DuplicateStructField { field, .. } => Place::Named(field.to_owned()),
                _ => Place::Nowhere,
            },
        }
    }

    /// A field that `other` has not.
    fn new_field(&self, other: &Self) -> Option<String> {
        let mut names = self.0.iter().map(|(name, _)| name);
        names.find(|name| other.get(name).is_none()).cloned()
    }
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fielded;
        impl<'de> Visitor<'de> for Fielded {
            type Value = Fields;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a struct with named fields")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                let mut fields = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, Box<RawValue>>()? {
                    fields.push((name, value.get_ron().trim().to_owned()));
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_struct("", &[], Fielded)
    }
}

fn write<T: Serialize>(value: &T) -> Result<String, String> {
    ron::to_string(value).map_err(|error| error.to_string())
}

fn read<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    ron::from_str(text).map_err(|error| error.to_string())
}

/// Whether two texts say the same, however they are laid out.
fn same(one: &str, other: &str) -> bool {
    let value = |text| ron::from_str::<ron::Value>(text).ok();
    one == other || value(one).is_some_and(|one| Some(one) == value(other))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Now {
        count: u32,
        #[serde(alias = "name")]
        title: String,
        scale: f32,
        list: Vec<u8>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        seldom: Option<u8>,
        nested: Nested,
    }

    #[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
    #[serde(default)]
    struct Nested {
        a: u8,
        b: u8,
    }

    impl Default for Now {
        fn default() -> Self {
            Self {
                count: 1,
                title: "none".to_owned(),
                scale: 2.0,
                list: vec![1],
                seldom: None,
                nested: Nested::default(),
            }
        }
    }

    fn keys(changes: &[Change]) -> Vec<&str> {
        changes.iter().map(|change| change.key.as_str()).collect()
    }

    #[test]
    fn each_field_is_kept_carried_over_defaulted_or_dropped_by_itself() {
        let old = r#"(
            count: 5, name: "old", scale: 3, list: "no list", seldom: Some(4),
            nested: (a: 7), gone: { "x": (1, 'c') },
        )"#;
        let (now, told) = migrate::<Now>(old).unwrap();
        let expected = Now {
            count: 5,
            title: "old".to_owned(),
            scale: 3.0,
            list: vec![1],
            seldom: Some(4),
            nested: Nested { a: 7, b: 0 },
        };
        assert_eq!(now, expected);
        assert_eq!(told.kept, ["count", "seldom"]);
        assert_eq!(keys(&told.migrated), ["name → title", "scale", "nested"]);
        assert_eq!(told.migrated[2].old.as_deref(), Some("(a: 7)"));
        assert_eq!(told.migrated[2].new.as_deref(), Some("(a:7,b:0)"));
        assert_eq!(keys(&told.defaulted), ["list"]);
        assert!(told.defaulted[0].why.is_some());
        assert_eq!(keys(&told.dropped), ["gone"]);
    }

    #[test]
    fn what_was_written_comes_back_whole() {
        let text = write(&Now::default()).unwrap();
        let (now, told) = migrate::<Now>(&text).unwrap();
        assert_eq!(now, Now::default());
        assert!(told.is_trivial(), "{told:?}");
    }

    #[test]
    fn of_nonsense_all_is_default() {
        for old in ["", "(", "7", "(count: )", "[1, 2]"] {
            let (now, told) = migrate::<Now>(old).unwrap();
            assert_eq!(now, Now::default(), "{old}");
            assert_eq!(keys(&told.defaulted), [ALL], "{old}");
        }
        let (now, told) = migrate::<Now>("()").unwrap();
        assert_eq!((now, told.defaulted.len()), (Now::default(), 5));
    }

    #[test]
    fn what_is_no_struct_is_taken_as_a_whole() {
        let (list, told) = migrate::<Vec<u8>>("[1,2]").unwrap();
        assert_eq!((list, told.kept), (vec![1, 2], vec![ALL.to_owned()]));
        let (number, told) = migrate::<f32>("3").unwrap();
        assert_eq!((number, keys(&told.migrated)), (3.0, vec![ALL]));
        let (list, told) = migrate::<Vec<u8>>("\"x\"").unwrap();
        assert_eq!((list, keys(&told.defaulted)), (vec![], vec![ALL]));
    }
}
