//! A configuration as a tree of values that know where they stand.

use std::cell::{Cell, RefCell};
use std::ops::Range;
use std::path::Path;
use std::rc::Rc;

use crate::{Place, Source};

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
    /// Set when the same entry stands in several mappings.
    pub(crate) spread: Option<Rc<Spread>>,
}

/// What is shared by the copies of an entry that stands in several mappings and need mean something only in one of them: a
/// parameter of a command line URL.
#[derive(Debug, Default)]
pub(crate) struct Spread {
    /// Some mapping knew it.
    pub(crate) taken: Cell<bool>,
    /// The keys of the mappings that didn't.
    pub(crate) known: RefCell<Vec<&'static str>>,
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

impl Node {
    /// Takes every entry of that key out of all mappings.
    pub(crate) fn remove(&mut self, key: &str) {
        match &mut self.value {
            Value::List(nodes) => nodes.iter_mut().for_each(|node| node.remove(key)),
            Value::Map(entries) => {
                entries.retain(|entry| !entry.key.eq_ignore_ascii_case(key));
                entries.iter_mut().for_each(|entry| entry.node.remove(key));
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) => {}
        }
    }
}

/// One configuration out of several: lists are joined, any other value is taken from the last that has it.
pub(crate) fn merged(trees: Vec<Node>) -> Node {
    let mut trees = trees.into_iter();
    let place = Place::whole(&Source::new("", "", Path::new("")));
    let mut root = trees.next().unwrap_or(Node { value: Value::Map(Vec::new()), place, spelled: 0..0 });
    for tree in trees {
        let (Value::Map(entries), Value::Map(more)) = (&mut root.value, tree.value) else {
            continue;
        };
        for entry in more {
            match entries.iter_mut().find(|known| known.key.eq_ignore_ascii_case(&entry.key)) {
                None => entries.push(entry),
                Some(known) => match (&mut known.node.value, entry.node.value) {
                    (Value::List(list), Value::List(more)) => list.extend(more),
                    (known, value) => *known = value,
                },
            }
        }
    }
    root
}
