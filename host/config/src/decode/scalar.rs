//! Typed readers for single values and lists of names, with GOST's conversions between scalars.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::{Context, Item, units};
use crate::tree::Value;
use crate::{At, Diagnostic, Secret};

impl Item<'_> {
    /// Reports that the value should have been `expected`.
    fn mismatch<T>(&self, expected: &str, cx: &mut Context) -> Option<T> {
        let found = self.node.value.kind();
        cx.push(self.error(format!("expected {expected}, found {found}")));
        None
    }

    /// Reports that the value, a scalar of the right kind, isn't `expected`. The value isn't shown: it may be a secret.
    fn invalid<T>(&self, expected: &str, cx: &mut Context) -> Option<T> {
        cx.push(self.error(format!("expected {expected}")));
        None
    }

    pub(crate) fn at<T>(&self, value: T) -> At<T> {
        At { value, place: self.place().clone() }
    }

    /// Text. GOST: a boolean becomes `1` or `0`; a number stays as it is spelled.
    pub(crate) fn text(&self, cx: &mut Context) -> Option<String> {
        match &self.node.value {
            Value::Text(text) | Value::Number(text) => Some(text.clone()),
            Value::Bool(value) => Some(u8::from(*value).to_string()),
            _ => self.mismatch("text", cx),
        }
    }

    /// Text with its place; empty text counts as absent.
    pub(crate) fn name(&self, cx: &mut Context) -> Option<At<String>> {
        self.text(cx).filter(|text| !text.is_empty()).map(|text| self.at(text))
    }

    pub(crate) fn secret(&self, cx: &mut Context) -> Option<Secret> {
        self.text(cx).map(Secret::new)
    }

    /// Names: a list, or one text split on commas. Empty ones are dropped.
    pub(crate) fn names(&self, cx: &mut Context) -> Vec<At<String>> {
        if let Value::List(_) = self.node.value {
            return self.elements(cx).iter().filter_map(|item| item.name(cx)).collect();
        }
        let text = self.text(cx).unwrap_or_default();
        text.split(',').map(str::trim).filter(|name| !name.is_empty()).map(|name| self.at(name.to_owned())).collect()
    }

    /// A boolean. GOST: a number that isn't 0 is true; of texts, those that Go's `ParseBool` accepts.
    pub(crate) fn boolean(&self, cx: &mut Context) -> Option<bool> {
        match &self.node.value {
            Value::Bool(value) => Some(*value),
            Value::Number(number) => Some(number != "0"),
            Value::Text(text) => match text.as_str() {
                "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
                "" | "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
                _ => self.invalid("true or false", cx),
            },
            _ => self.mismatch("true or false", cx),
        }
    }

    /// A whole number in `range`.
    pub(crate) fn integer(&self, range: RangeInclusive<u32>, cx: &mut Context) -> Option<u32> {
        let expected = format!("a whole number from {} to {}", range.start(), range.end());
        let number = match &self.node.value {
            Value::Bool(value) => Some(u32::from(*value)),
            Value::Number(text) | Value::Text(text) => text.trim().parse().ok(),
            _ => return self.mismatch(&expected, cx),
        };
        match number.filter(|number| range.contains(number)) {
            Some(number) => Some(number),
            None => self.invalid(&expected, cx),
        }
    }

    /// A duration outside `metadata`: text with a unit, or a bare number of nanoseconds.
    pub(crate) fn duration(&self, cx: &mut Context) -> Option<Duration> {
        let duration = match &self.node.value {
            Value::Number(text) => text.parse().ok().map(Duration::from_nanos),
            Value::Text(text) => units::duration(text),
            _ => return self.mismatch("a duration such as `10s`", cx),
        };
        match (duration, &self.node.value) {
            // GOST: `timeout: 5` fails every call after 5 ns.
            (Some(duration), Value::Number(text)) if !duration.is_zero() && duration < Duration::from_millis(1) => {
                let error = self.error("a duration without a unit is in nanoseconds");
                cx.push(error.with_help(format!("write `{text}s` or `{text}ms`")));
                None
            }
            (Some(duration), _) => Some(duration),
            (None, _) => self.invalid("a duration such as `10s` or `1m30s`", cx),
        }
    }

    /// A duration inside `metadata`: text with a unit, or a bare number of seconds.
    pub(crate) fn metadata_duration(&self, cx: &mut Context) -> Option<Duration> {
        match &self.node.value {
            Value::Number(text) | Value::Text(text) => {
                let seconds = text.parse::<u32>().ok().map(|seconds| Duration::from_secs(seconds.into()));
                match seconds.or_else(|| units::duration(text)) {
                    Some(duration) => Some(duration),
                    None => self.invalid("a duration such as `10s`, or a number of seconds", cx),
                }
            }
            _ => self.mismatch("a duration such as `10s`", cx),
        }
    }

    /// A size in bytes: text with a unit, or a bare number of bytes.
    pub(crate) fn size(&self, range: RangeInclusive<u64>, cx: &mut Context) -> Option<u64> {
        let bytes = match &self.node.value {
            Value::Number(text) => text.parse().ok(),
            Value::Text(text) => units::size(text),
            _ => return self.mismatch("a size such as `64MiB`", cx),
        };
        let Some(bytes) = bytes else {
            let error = self.error("expected a size such as `64MiB`, or a number of bytes");
            cx.push(error.with_help("units are B, KB, MB, GB, TB (powers of 1024; also written KiB and so on)"));
            return None;
        };
        if !range.contains(&bytes) {
            cx.push(self.error(format!("{bytes} bytes is not from {} to {} bytes", range.start(), range.end())));
            return None;
        }
        Some(bytes)
    }

    /// A mapping from free keys, kept as they are written, to text, kept as it is spelled.
    pub(crate) fn text_map(&self, cx: &mut Context) -> Vec<(String, At<String>)> {
        let entries = match &self.node.value {
            Value::Map(entries) => entries,
            other => {
                cx.push(self.error(format!("expected a mapping, found {}", other.kind())));
                return Vec::new();
            }
        };
        let mut map: Vec<(String, At<String>)> = Vec::new();
        for entry in entries {
            let item = Item { path: format!("{}.{}", self.path, entry.key), node: &entry.node };
            let text = match &item.node.value {
                Value::Null => Some(String::new()),
                Value::Bool(value) => Some(value.to_string()),
                _ => item.text(cx),
            };
            if map.iter().any(|(key, _)| *key == entry.key) {
                let message = format!("{}: duplicate key `{}`", self.path, entry.key);
                cx.push(Diagnostic::error(&entry.key_place, message));
            }
            map.extend(text.map(|text| (entry.key.clone(), item.at(text))));
        }
        map
    }

    /// One of `choices`, compared without case. `what` names them in the error.
    pub(crate) fn choice<T: Copy>(&self, what: &str, choices: &[(&str, T)], cx: &mut Context) -> Option<T> {
        let text = self.text(cx)?;
        let found = choices.iter().find(|(name, _)| name.eq_ignore_ascii_case(&text));
        if found.is_none() {
            let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
            let error = self.error(format!("unknown {what} `{text}`"));
            cx.push(error.with_help(format!("known: {}", names.join(", "))));
        }
        found.map(|(_, value)| *value)
    }
}
