//! A configuration as a tree of values that know where they stand.

use std::ops::Range;

use crate::Place;

/// One value.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) value: Value,
    /// Where the value is used: for a YAML alias, the `*alias`.
    pub(crate) place: Place,
    /// The bytes that spell it; they differ from `place` for an alias.
    pub(crate) spelled: Range<usize>,
}

/// What a [`Node`] holds.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    /// Any number, as it is spelled.
    Number(String),
    Text(String),
    List(Vec<Node>),
    /// In the order of the source; keys may repeat.
    Map(Vec<Entry>),
}

/// One key of a mapping with its value.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) key_place: Place,
    pub(crate) node: Node,
}

impl Value {
    /// The kind of value, with an article.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Bool(_) => "a boolean",
            Self::Number(_) => "a number",
            Self::Text(_) => "text",
            Self::List(_) => "a list",
            Self::Map(_) => "a mapping",
        }
    }

    /// Whether GOST could not tell this value from an absent key.
    pub(crate) fn is_zero(&self) -> bool {
        match self {
            Self::Null | Self::Bool(false) => true,
            Self::Bool(true) => false,
            Self::Number(number) => number == "0",
            Self::Text(text) => text.is_empty(),
            Self::List(nodes) => nodes.is_empty(),
            Self::Map(entries) => entries.is_empty(),
        }
    }
}
