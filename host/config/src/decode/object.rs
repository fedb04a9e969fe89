//! Mappings: which keys were asked for, and what to say about the others.

use super::keys;
use super::{Context, Item};
use crate::tree::{Entry, Node, Value};
use crate::{At, Diagnostic, Place};

/// What becomes of a key that nobody knows.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Unknown {
    /// A warning, unless it is close to a key that guards something.
    Warn,
    /// Always an error.
    Refuse,
}

/// A mapping that is being decoded.
pub(crate) struct Object<'n> {
    pub(super) path: String,
    place: &'n Place,
    /// Entries that nobody has asked for yet, with their keys in lower case.
    rest: Vec<(String, &'n Entry)>,
    /// Every key that was asked for.
    known: Vec<&'static str>,
}

impl<'n> Object<'n> {
    /// The mapping at `key`; an empty one when there is none, or something else.
    pub(crate) fn section(&mut self, key: &'static str, cx: &mut Context) -> Object<'n> {
        let object = self.take(key).and_then(|item| Object::new(&item, cx));
        object.unwrap_or_else(|| Object {
            path: self.path_of(key),
            place: self.place,
            rest: Vec::new(),
            known: Vec::new(),
        })
    }

    /// Reads `item` as a mapping; nothing counts as an empty one.
    pub(crate) fn new(item: &Item<'n>, cx: &mut Context) -> Option<Self> {
        let entries: &[Entry] = match &item.node.value {
            Value::Map(entries) => entries,
            Value::Null => &[],
            other => {
                cx.push(item.error(format!("expected a mapping, found {}", other.kind())));
                return None;
            }
        };
        let mut rest: Vec<(String, &Entry)> = Vec::with_capacity(entries.len());
        for entry in entries {
            let folded = entry.key.to_lowercase();
            if let Some((_, first)) = rest.iter().find(|(key, _)| *key == folded) {
                let message = format!("{}: duplicate key `{}`, first at {}", item.path, entry.key, first.key_place);
                cx.push(Diagnostic::error(&entry.key_place, message));
            } else {
                rest.push((folded, entry));
            }
        }
        Some(Self { path: item.path.clone(), place: item.place(), rest, known: Vec::new() })
    }

    /// Where the mapping stands.
    pub(crate) fn place(&self) -> &'n Place {
        self.place
    }

    /// `value` at the place of the mapping.
    pub(crate) fn at<T>(&self, value: T) -> At<T> {
        At { value, place: self.place.clone() }
    }

    /// The path of `key` in this mapping.
    pub(crate) fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// An error about the mapping as a whole.
    pub(crate) fn error(&self, message: impl std::fmt::Display) -> Diagnostic {
        Diagnostic::error(self.place, format!("{}: {message}", self.path))
    }

    /// The value of `key`; none when it is absent or null.
    pub(crate) fn take(&mut self, key: &'static str) -> Option<Item<'n>> {
        self.known.push(key);
        let folded = key.to_lowercase();
        let index = self.rest.iter().position(|(key, _)| *key == folded)?;
        let (_, entry) = self.rest.remove(index);
        if let Some(spread) = &entry.spread {
            spread.taken.set(true);
        }
        let present = !matches!(entry.node.value, Value::Null);
        present.then(|| Item { path: self.path_of(key), node: &entry.node })
    }

    /// The value of the first of `keys`, which are spellings of one, that is there.
    pub(crate) fn take_any(&mut self, keys: &[&'static str]) -> Option<Item<'n>> {
        keys.iter().fold(None, |found, &key| {
            let item = self.take(key);
            found.or(item)
        })
    }

    /// As [`Object::take`], for a key whose emptiness opens what it should guard.
    pub(crate) fn take_guard(&mut self, key: &'static str, cx: &mut Context) -> Option<Item<'n>> {
        let folded = key.to_lowercase();
        if let Some((_, entry)) = self.rest.iter().find(|(key, entry)| *key == folded && is_empty(&entry.node)) {
            let message = format!("{} is empty and so guards nothing", self.path_of(key));
            cx.push(Diagnostic::warning(&entry.key_place, message));
            self.take(key);
            return None;
        }
        self.take(key)
    }

    /// Reports the entries that are left: `refused` are those GOST knows here and drawspan doesn't implement.
    pub(crate) fn finish(self, refused: &[&'static str], unknown: Unknown, cx: &mut Context) {
        for (folded, entry) in &self.rest {
            let path = self.path_of(&entry.key);
            let known = || self.known.iter().chain(refused).copied();
            if refused.iter().any(|key| key.to_lowercase() == *folded) {
                if let Some(spread) = &entry.spread {
                    spread.taken.set(true);
                }
                if !entry.node.value.is_zero() {
                    cx.push(Diagnostic::error(&entry.key_place, format!("{path} is not implemented")));
                }
            } else if let Some(spread) = &entry.spread {
                spread.known.borrow_mut().extend(known());
                cx.spread.push((*entry).clone());
            } else {
                let diagnostic = self::unknown(entry, &path, known(), unknown, cx.strict);
                cx.push(diagnostic);
            }
        }
    }
}

/// What is said about a key that nobody knows.
pub(super) fn unknown(
    entry: &Entry,
    path: &str,
    known: impl Iterator<Item = &'static str>,
    unknown: Unknown,
    strict: bool,
) -> Diagnostic {
    let folded = entry.key.to_lowercase();
    let (nearest, guard) = (keys::nearest(&folded, known), keys::guard_near(&folded));
    let message = format!("{path}: unknown key");
    let diagnostic = match strict || unknown == Unknown::Refuse || guard.is_some() {
        true => Diagnostic::error(&entry.key_place, message),
        false => Diagnostic::warning(&entry.key_place, message),
    };
    match (nearest, guard) {
        (Some(key), _) => diagnostic.with_help(format!("did you mean `{key}`?")),
        (None, Some(key)) => diagnostic.with_help(format!("`{key}` guards nothing here")),
        (None, None) => diagnostic,
    }
}

/// Whether the value names nothing.
fn is_empty(node: &Node) -> bool {
    matches!(&node.value, Value::Null | Value::List(_) | Value::Map(_) | Value::Text(_)) && node.value.is_zero()
}
