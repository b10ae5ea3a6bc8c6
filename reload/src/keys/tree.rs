//! A value as its keys, in the order of its type's fields: structs and tables are branches, all
//! else is a leaf, written as RON.

use std::fmt;

use serde::Serialize;
use serde::ser::{self, Impossible};

/// A value, or what is under one of its keys.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Node {
    /// A struct: keys that the type names.
    Struct(Vec<(String, Node)>),
    /// A table: keys that people choose.
    Table(Vec<(String, Node)>),
    /// Anything else, as RON.
    Leaf(String),
}

/// What a value consists of.
pub(super) fn of<T: Serialize + ?Sized>(value: &T) -> Node {
    match value.serialize(Branches) {
        Ok(node) => node,
        // Serialising what the types here consist of does not fail; a type of somebody else's that
        // refuses is shown as nothing, which no file accepts.
        Err(NoBranch) => Node::Leaf(ron::to_string(value).unwrap_or_default()),
    }
}

impl Node {
    /// What is behind a dotted name. Names of tables may have dots of their own.
    pub fn at(&self, name: &str) -> Option<&Self> {
        self.children()?
            .iter()
            .find_map(|(key, node)| match name.strip_prefix(key.as_str())? {
                "" => Some(node),
                rest => node.at(rest.strip_prefix('.')?),
            })
    }

    /// The same, to be changed.
    pub fn at_mut(&mut self, name: &str) -> Option<&mut Self> {
        let (Self::Struct(children) | Self::Table(children)) = self else {
            return None;
        };
        children
            .iter_mut()
            .find_map(|(key, node)| match name.strip_prefix(key.as_str())? {
                "" => Some(node),
                rest => node.at_mut(rest.strip_prefix('.')?),
            })
    }

    fn children(&self) -> Option<&[(String, Self)]> {
        match self {
            Self::Struct(children) | Self::Table(children) => Some(children),
            Self::Leaf(_) => None,
        }
    }

    /// As RON, on one line.
    pub fn to_ron(&self) -> String {
        match self {
            Self::Leaf(text) => text.clone(),
            Self::Struct(children) => {
                let fields: Vec<_> = children
                    .iter()
                    .map(|(key, node)| format!("{key}: {}", node.to_ron()))
                    .collect();
                format!("({})", fields.join(", "))
            }
            Self::Table(children) => {
                let entries: Vec<_> = children
                    .iter()
                    .map(|(key, node)| format!("{}: {}", quoted(key), node.to_ron()))
                    .collect();
                format!("{{{}}}", entries.join(", "))
            }
        }
    }
}

/// Text as RON has it.
pub(super) fn quoted(text: &str) -> String {
    // Text always serialises; the quotes alone would not do for one with quotes in it.
    ron::to_string(text).unwrap_or_default()
}

/// Takes structs and tables apart, and refuses all else.
struct Branches;

/// It is no struct and no table.
#[derive(Debug)]
struct NoBranch;

impl fmt::Display for NoBranch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("neither a struct nor a table")
    }
}

impl std::error::Error for NoBranch {}

impl ser::Error for NoBranch {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self
    }
}

/// The children of a branch, as they come.
struct Children {
    is_table: bool,
    nodes: Vec<(String, Node)>,
    key: Option<String>,
}

impl Children {
    fn new(is_table: bool) -> Self {
        Self {
            is_table,
            nodes: Vec::new(),
            key: None,
        }
    }

    fn finish(self) -> Node {
        match self.is_table {
            true => Node::Table(self.nodes),
            false => Node::Struct(self.nodes),
        }
    }
}

impl ser::SerializeStruct for Children {
    type Ok = Node;
    type Error = NoBranch;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        key: &'static str,
        value: &T,
    ) -> Result<(), NoBranch> {
        self.nodes.push((key.to_owned(), of(value)));
        Ok(())
    }

    fn end(self) -> Result<Node, NoBranch> {
        Ok(self.finish())
    }
}

impl ser::SerializeMap for Children {
    type Ok = Node;
    type Error = NoBranch;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), NoBranch> {
        let text = ron::to_string(key).map_err(|_| NoBranch)?;
        // Tables here have text for names; a map with other keys is a leaf.
        self.key = Some(ron::from_str(&text).map_err(|_| NoBranch)?);
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), NoBranch> {
        let key = self.key.take().ok_or(NoBranch)?;
        self.nodes.push((key, of(value)));
        Ok(())
    }

    fn end(self) -> Result<Node, NoBranch> {
        Ok(self.finish())
    }
}

/// A method of the serializer for what is no branch.
macro_rules! refuse {
    ($($method:ident($($argument:ty),*);)*) => {
        $(fn $method(self, $(_: $argument),*) -> Result<Node, NoBranch> { Err(NoBranch) })*
    };
}

type No = Impossible<Node, NoBranch>;

impl ser::Serializer for Branches {
    type Ok = Node;
    type Error = NoBranch;
    type SerializeSeq = No;
    type SerializeTuple = No;
    type SerializeTupleStruct = No;
    type SerializeTupleVariant = No;
    type SerializeMap = Children;
    type SerializeStruct = Children;
    type SerializeStructVariant = No;

    refuse! {
        serialize_bool(bool);
        serialize_i8(i8);
        serialize_i16(i16);
        serialize_i32(i32);
        serialize_i64(i64);
        serialize_i128(i128);
        serialize_u8(u8);
        serialize_u16(u16);
        serialize_u32(u32);
        serialize_u64(u64);
        serialize_u128(u128);
        serialize_f32(f32);
        serialize_f64(f64);
        serialize_char(char);
        serialize_str(&str);
        serialize_bytes(&[u8]);
        serialize_none();
        serialize_unit();
        serialize_unit_struct(&'static str);
        serialize_unit_variant(&'static str, u32, &'static str);
    }

    fn serialize_some<T: Serialize + ?Sized>(self, _: &T) -> Result<Node, NoBranch> {
        Err(NoBranch)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: &T,
    ) -> Result<Node, NoBranch> {
        Err(NoBranch)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<Node, NoBranch> {
        Err(NoBranch)
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<No, NoBranch> {
        Err(NoBranch)
    }

    fn serialize_tuple(self, _: usize) -> Result<No, NoBranch> {
        Err(NoBranch)
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<No, NoBranch> {
        Err(NoBranch)
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<No, NoBranch> {
        Err(NoBranch)
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Children, NoBranch> {
        Ok(Children::new(true))
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Children, NoBranch> {
        Ok(Children::new(false))
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<No, NoBranch> {
        Err(NoBranch)
    }
}
