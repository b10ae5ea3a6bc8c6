//! `.env` through serde, with errors that name keys and lines and never a value.

use std::fmt;
use std::iter::Peekable;
use std::slice;

use serde::de::value::StrDeserializer;
use serde::de::{self, DeserializeOwned, Deserializer, IntoDeserializer, Unexpected, Visitor};

use super::env::Entry;
use super::fault::{FaultKind, Problem};

/// Reads the entries of a text as a type.
pub(crate) fn read<T: DeserializeOwned>(text: &str, entries: &[Entry]) -> Result<T, Problem> {
    T::deserialize(Whole { entries }).map_err(|error| {
        let problem = Problem::new(FaultKind::Invalid, error.message);
        match error.written {
            Some((line, byte)) => {
                let (_, column) = super::fault::place(text, byte);
                problem.at(line, column)
            }
            None => problem,
        }
    })
}

/// What was wrong, without the value that was.
#[derive(Debug)]
pub(crate) struct EnvError {
    message: String,
    /// Line, and byte in the text.
    written: Option<(u32, usize)>,
}

impl EnvError {
    fn of(mut self, entry: &Entry) -> Self {
        if self.written.is_none() {
            self.message = format!("{} {}", entry.key, self.message);
            self.written = Some((entry.line, entry.written.start));
        }
        self
    }
}

impl fmt::Display for EnvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for EnvError {}

/// What serde would say of a value is said without the value.
impl de::Error for EnvError {
    fn custom<T: fmt::Display>(_: T) -> Self {
        // The type's own words may repeat what it was given.
        said("holds what its type refuses".to_owned())
    }

    fn invalid_type(_: Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        said(format!("should be {expected}"))
    }

    fn invalid_value(_: Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        said(format!("should be {expected}"))
    }

    fn invalid_length(_: usize, expected: &dyn de::Expected) -> Self {
        said(format!("should be {expected}"))
    }

    fn unknown_variant(_: &str, expected: &'static [&'static str]) -> Self {
        said(format!("should be one of {}", expected.join(", ")))
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        said(format!(
            "{field} is no key of this file; there are {}",
            expected.join(", ")
        ))
    }

    fn missing_field(field: &'static str) -> Self {
        said(format!("the key {field} is missing"))
    }

    fn duplicate_field(field: &'static str) -> Self {
        said(format!("the key {field} is there twice"))
    }
}

fn said(message: String) -> EnvError {
    EnvError {
        message,
        written: None,
    }
}

/// The whole file: a struct or a map.
struct Whole<'a> {
    entries: &'a [Entry],
}

impl<'a> Whole<'a> {
    fn pairs(&self, fields: &'static [&'static str]) -> Pairs<'a> {
        // The last of a key counts.
        let mut last: std::collections::BTreeMap<String, &'a Entry> = Default::default();
        for entry in self.entries {
            let lower = entry.key.to_ascii_lowercase();
            let exact = fields.contains(&entry.key.as_str());
            let name = match !exact && fields.contains(&lower.as_str()) {
                true => lower,
                false => entry.key.clone(),
            };
            last.insert(name, entry);
        }
        Pairs {
            pairs: last.into_iter().collect::<Vec<_>>().into_iter(),
            value: None,
        }
    }
}

impl<'de> Deserializer<'de> for Whole<'_> {
    type Error = EnvError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, EnvError> {
        visitor.visit_map(self.pairs(&[]))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, EnvError> {
        visitor.visit_map(self.pairs(fields))
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, EnvError> {
        visitor.visit_newtype_struct(self)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit unit_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

struct Pairs<'a> {
    pairs: std::vec::IntoIter<(String, &'a Entry)>,
    value: Option<&'a Entry>,
}

impl<'de> de::MapAccess<'de> for Pairs<'_> {
    type Error = EnvError;

    fn next_key_seed<K: de::DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, EnvError> {
        let Some((name, entry)) = self.pairs.next() else {
            return Ok(None);
        };
        self.value = Some(entry);
        let name: StrDeserializer<'_, EnvError> = name.as_str().into_deserializer();
        seed.deserialize(name).map(Some).map_err(|mut error| {
            error.written = Some((entry.line, entry.written.start));
            error
        })
    }

    fn next_value_seed<V: de::DeserializeSeed<'de>>(
        &mut self,
        seed: V,
    ) -> Result<V::Value, EnvError> {
        match self.value.take() {
            Some(entry) => seed
                .deserialize(Text(&entry.value))
                .map_err(|error| error.of(entry)),
            None => Err(said("was asked for before its key".to_owned())),
        }
    }
}

/// One value.
#[derive(Clone, Copy)]
struct Text<'a>(&'a str);

impl<'de> IntoDeserializer<'de, EnvError> for Text<'_> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

macro_rules! numbers {
    ($($method:ident $visit:ident $number:ty),*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, EnvError> {
            match self.0.trim().parse::<$number>() {
                Ok(number) => visitor.$visit(number),
                Err(_) => Err(said(not_a_number(stringify!($number)))),
            }
        }
    )*};
}

fn not_a_number(number: &str) -> String {
    match number {
        "f32" | "f64" => "should be a number".to_owned(),
        "i8" | "i16" | "i32" | "i64" | "i128" => format!("should be a whole number ({number})"),
        _ => format!("should be a whole number, not below 0 ({number})"),
    }
}

impl<'de> Deserializer<'de> for Text<'_> {
    type Error = EnvError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, EnvError> {
        visitor.visit_str(self.0)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, EnvError> {
        match self.0.trim().to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" | "1" => visitor.visit_bool(true),
            "false" | "no" | "off" | "0" => visitor.visit_bool(false),
            _ => Err(said("should be true or false".to_owned())),
        }
    }

    numbers! {
        deserialize_i8 visit_i8 i8, deserialize_i16 visit_i16 i16, deserialize_i32 visit_i32 i32,
        deserialize_i64 visit_i64 i64, deserialize_i128 visit_i128 i128, deserialize_u8 visit_u8 u8,
        deserialize_u16 visit_u16 u16, deserialize_u32 visit_u32 u32, deserialize_u64 visit_u64 u64,
        deserialize_u128 visit_u128 u128, deserialize_f32 visit_f32 f32,
        deserialize_f64 visit_f64 f64
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, EnvError> {
        match self.0 {
            "" => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, EnvError> {
        let parts: Vec<Text<'_>> = match self.0.trim() {
            "" => Vec::new(),
            some => some.split(',').map(|part| Text(part.trim())).collect(),
        };
        visitor.visit_seq(Parts(parts.iter().peekable()))
    }

    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, EnvError> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, EnvError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, EnvError> {
        let variant: StrDeserializer<'_, EnvError> = self.0.into_deserializer();
        visitor.visit_enum(variant)
    }

    fn deserialize_map<V: Visitor<'de>>(self, _: V) -> Result<V::Value, EnvError> {
        Err(said("cannot hold a value of several keys".to_owned()))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, EnvError> {
        self.deserialize_map(visitor)
    }

    serde::forward_to_deserialize_any! {
        char str string bytes byte_buf unit unit_struct tuple_struct identifier ignored_any
    }
}

struct Parts<'a>(Peekable<slice::Iter<'a, Text<'a>>>);

impl<'de> de::SeqAccess<'de> for Parts<'_> {
    type Error = EnvError;

    fn next_element_seed<T: de::DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, EnvError> {
        self.0
            .next()
            .map(|text| seed.deserialize(*text))
            .transpose()
    }
}
