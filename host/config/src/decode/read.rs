//! Readers for what most objects have: texts, flags, durations, names of other objects, a plugin.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::{Context, Item, Kind, Object};
use crate::plugin::{self, Plugin};
use crate::tree::Value;
use crate::{At, Diagnostic};

/// Where GOST loads more of an object from.
pub(crate) const LOADERS: [&str; 4] = ["reload", "file", "redis", "http"];

impl<'n> Object<'n> {
    /// Adds what `read` makes of the elements of a list to `all`.
    pub(crate) fn list<T>(
        &mut self,
        key: &'static str,
        all: &mut Vec<T>,
        read: fn(&Item<'n>, &mut Context) -> Option<T>,
        cx: &mut Context,
    ) {
        let items = self.take(key).map(|list| list.elements(cx)).unwrap_or_default();
        all.extend(items.iter().filter_map(|item| read(item, cx)));
    }

    /// Reads `name` and makes the object known by it. GOST: one without a name can't be reached by anything.
    pub(crate) fn named(&mut self, kind: Kind, cx: &mut Context) -> Option<At<String>> {
        let name = self.take("name").and_then(|item| item.name(cx));
        cx.names.define(kind, name.as_ref());
        if name.is_none() {
            let noun = kind.noun();
            let article = if noun.starts_with(['a', 'i', 'o']) { "an" } else { "a" };
            cx.push(self.error(format!("{article} {noun} needs a name")));
        }
        name
    }

    /// Text; empty text counts as absent.
    pub(crate) fn text(&mut self, key: &'static str, cx: &mut Context) -> Option<String> {
        self.take(key).and_then(|item| item.name(cx)).map(|text| text.value)
    }

    pub(crate) fn flag(&mut self, key: &'static str, cx: &mut Context) -> bool {
        self.take(key).and_then(|item| item.boolean(cx)).unwrap_or(false)
    }

    /// A whole number in `range`; 0 counts as absent unless it is in the range.
    pub(crate) fn integer(&mut self, key: &'static str, range: RangeInclusive<u32>, cx: &mut Context) -> Option<u32> {
        let item = self.take(key)?;
        let absent = item.node.value.is_zero() && !range.contains(&0);
        if absent { None } else { item.integer(range, cx) }
    }

    /// A duration of `metadata`; 0 counts as absent.
    pub(crate) fn seconds(&mut self, key: &'static str, cx: &mut Context) -> Option<Duration> {
        self.seconds_any(&[key], cx)
    }

    /// The same at the first of `keys`, which are spellings of one, that is there.
    pub(crate) fn seconds_any(&mut self, keys: &[&'static str], cx: &mut Context) -> Option<Duration> {
        self.take_any(keys).and_then(|item| item.metadata_duration(cx)).filter(|duration| !duration.is_zero())
    }

    /// A duration outside `metadata`; 0 counts as absent.
    pub(crate) fn duration(&mut self, key: &'static str, cx: &mut Context) -> Option<Duration> {
        self.take(key).and_then(|item| item.duration(cx)).filter(|duration| !duration.is_zero())
    }

    /// The name of an object that must exist.
    pub(crate) fn reference(&mut self, key: &'static str, kind: Kind, cx: &mut Context) -> Option<At<String>> {
        let item = self.take(key)?;
        let name = item.name(cx)?;
        cx.names.refer(kind, &item.path, &name);
        Some(name)
    }

    /// As [`Object::reference`], for an object that guards something.
    pub(crate) fn guard(&mut self, key: &'static str, kind: Kind, cx: &mut Context) -> Option<At<String>> {
        let item = self.take_guard(key, cx)?;
        let name = item.name(cx)?;
        cx.names.refer(kind, &item.path, &name);
        Some(name)
    }

    /// The names at `one`, then those at `many`, of objects that guard something and must exist.
    pub(crate) fn guards(
        &mut self,
        one: &'static str,
        many: &'static str,
        kind: Kind,
        cx: &mut Context,
    ) -> Vec<At<String>> {
        let mut all = Vec::new();
        for key in [one, many] {
            let Some(item) = self.take_guard(key, cx) else {
                continue;
            };
            let names = if key == one { item.name(cx).into_iter().collect::<Vec<_>>() } else { item.names(cx) };
            // A value such as `","` isn't empty, but asks nobody either.
            if names.is_empty() && matches!(item.node.value, Value::Text(_) | Value::List(_)) {
                cx.push(item.error(format!("names no {}", kind.noun())));
            }
            for name in names {
                cx.names.refer(kind, &item.path, &name);
                all.push(name);
            }
        }
        all
    }

    /// The `plugin` of an object, beside which `others` count for nothing. The inner option is none for a faulty one.
    #[allow(clippy::option_option, reason = "a plugin that is faulty isn't the same as none")]
    pub(crate) fn plugin(&mut self, others: &[&'static str], cx: &mut Context) -> Option<Option<Box<Plugin>>> {
        let block = self.take("plugin")?;
        for key in others {
            if let Some(ignored) = self.take(key) {
                cx.push(ignored.warning("ignored, since there is a `plugin`"));
            }
        }
        Some(plugin::decode(&block, cx).map(Box::new))
    }

    /// Warns about keys that are set and change nothing, here as in GOST.
    pub(crate) fn without_effect(&mut self, keys: &[&'static str], why: &str, cx: &mut Context) {
        for key in keys {
            if let Some(item) = self.take(key).filter(|item| !item.node.value.is_zero()) {
                cx.push(item.warning(why));
            }
        }
    }

    /// The `type`, one of `known`, compared with case as GOST does; `others` aren't implemented.
    pub(crate) fn kind<T: Copy>(
        &mut self,
        noun: &str,
        known: &[(&str, T)],
        default: T,
        others: &[&str],
        cx: &mut Context,
    ) -> Option<T> {
        let Some(item) = self.take("type").filter(|item| !item.node.value.is_zero()) else {
            return Some(default);
        };
        let text = item.text(cx)?;
        let found = known.iter().find(|(name, _)| *name == text).map(|(_, kind)| *kind);
        if found.is_none() {
            let message = match others.contains(&text.as_str()) {
                true => format!("{noun} type `{text}` is not implemented"),
                false => format!("unknown {noun} type `{text}`"),
            };
            let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
            cx.push(item.error(message).with_help(format!("known: {}", names.join(", "))));
        }
        found
    }

    /// Reports that `key` is missing.
    pub(crate) fn missing<T>(&self, key: &str, cx: &mut Context) -> Option<T> {
        cx.push(self.error(format!("`{key}` is missing")));
        None
    }
}

impl<'n> Item<'n> {
    /// The value of `key`, if this is a mapping that has it.
    pub(crate) fn child(&self, key: &str) -> Option<Item<'n>> {
        let Value::Map(entries) = &self.node.value else {
            return None;
        };
        let entry = entries.iter().find(|entry| entry.key.eq_ignore_ascii_case(key))?;
        Some(Item { path: format!("{}.{key}", self.path), node: &entry.node })
    }

    /// The text of `key`, if this is a mapping that has it.
    pub(crate) fn peek(&self, key: &str) -> Option<&'n str> {
        match &self.child(key)?.node.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The value of text that `read` makes sense of, else an error that says what was `expected`.
    pub(crate) fn parsed<T>(
        &self,
        expected: &str,
        cx: &mut Context,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Option<At<T>> {
        let text = self.text(cx)?;
        let value = read(&text);
        if value.is_none() {
            cx.push(self.error(format!("expected {expected}")));
        }
        value.map(|value| self.at(value))
    }

    /// As [`Item::parsed`], where `read` says what is wrong.
    pub(crate) fn checked<T>(&self, cx: &mut Context, read: impl FnOnce(&str) -> Result<T, String>) -> Option<At<T>> {
        match read(&self.text(cx)?) {
            Ok(value) => Some(self.at(value)),
            Err(reason) => {
                cx.push(self.error(reason));
                None
            }
        }
    }

    /// Every text of a list, as `read` understands it. GOST: one text is split on commas.
    pub(crate) fn each<T>(&self, cx: &mut Context, read: impl Fn(&str) -> Result<T, String>) -> Vec<At<T>> {
        let mut all = Vec::new();
        for At { value, place } in self.names(cx) {
            match read(&value) {
                Ok(value) => all.push(At { value, place }),
                Err(reason) => cx.push(Diagnostic::error(&place, format!("{}: {reason}", self.path))),
            }
        }
        all
    }
}
