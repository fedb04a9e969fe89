//! YAML (and so JSON) text to a tree. Everything about the YAML library is in this file.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::options::{DuplicateKeyPolicy, NonFiniteFloatPolicy};
use serde_saphyr::{Error, Location, MessageFormatter as _, Spanned, UserMessageFormatter};

use crate::tree::{Entry, Node, Value};
use crate::{Diagnostic, Place, Source, secret};

/// Parses the text of `source` and tells it where its secrets are.
pub(crate) fn parse(source: &Arc<Source>) -> Result<Node, Diagnostic> {
    let options = serde_saphyr::options! {
        // Repeated keys are reported by the decoder, together with all other errors.
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        // GOST reads `yes`, `0123` and `1_000` differently from one place to the next; here they are what they look like.
        strict_booleans: true,
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
        non_finite_float_policy: NonFiniteFloatPolicy::AsString,
        with_snippet: false,
    };
    let parsed: Spanned<Raw> =
        serde_saphyr::from_str_with_options(source.text(), options).map_err(|error| diagnostic(&error, source))?;
    let root = node(parsed, source)
        .map_err(|place| Diagnostic::error(&place, "a key must be text, not a list or a mapping"))?;
    source.hide(secret::ranges(&root, source.text()));
    Ok(root)
}

fn diagnostic(error: &Error, source: &Arc<Source>) -> Diagnostic {
    let cause = match error.without_snippet() {
        Error::AliasError { error, .. } => error,
        error => error,
    };
    let message = match cause {
        Error::MultipleDocuments { .. } => "more than one document".into(),
        Error::Budget { .. } => "too large or too deep, counting what its aliases stand for".into(),
        error => UserMessageFormatter.format_message(error).into_owned(),
    };
    let place = match error.location() {
        Some(location) => Place::new(source, span(location, source.text())),
        None => Place::whole(source),
    };
    Diagnostic::error(&place, format!("invalid YAML: {message}"))
}

/// The bytes of `location`. Syntax errors have only a line and a column.
fn span(location: Location, text: &str) -> Range<usize> {
    let number = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
    let start = location.span().byte_offset().map_or_else(
        || {
            let line_start: usize =
                text.split_inclusive('\n').take(number(location.line()).saturating_sub(1)).map(str::len).sum();
            let column = number(location.column()).saturating_sub(1);
            let within = text[line_start..].char_indices().nth(column).map_or(text.len() - line_start, |(i, _)| i);
            line_start + within
        },
        number,
    );
    start..start.saturating_add(number(location.span().byte_len().unwrap_or(0)))
}

/// Turns a raw value into a node; the error is the place of a key that is no scalar.
fn node(raw: Spanned<Raw>, source: &Arc<Source>) -> Result<Node, Place> {
    let text = source.text();
    let place = Place::new(source, span(raw.referenced, text));
    let spelled = Place::new(source, span(raw.defined, text)).span().unwrap_or_default();
    let value = match raw.value {
        Raw::Null => Value::Null,
        Raw::Bool(value) => Value::Bool(value),
        Raw::Number => Value::Number(text[spelled.clone()].to_owned()),
        Raw::Text(value) => Value::Text(value),
        Raw::List(nodes) => Value::List(nodes.into_iter().map(|raw| node(raw, source)).collect::<Result<_, _>>()?),
        Raw::Map(entries) => {
            Value::Map(entries.into_iter().map(|(key, value)| entry(key, value, source)).collect::<Result<_, _>>()?)
        }
    };
    Ok(Node { value, place, spelled })
}

fn entry(key: Spanned<Raw>, value: Spanned<Raw>, source: &Arc<Source>) -> Result<Entry, Place> {
    let key = node(key, source)?;
    let text = match key.value {
        Value::Text(text) | Value::Number(text) => text,
        Value::Bool(value) => value.to_string(),
        Value::Null => String::new(),
        Value::List(_) | Value::Map(_) => return Err(key.place),
    };
    Ok(Entry { key: text, key_place: key.place, node: node(value, source)?, spread: None })
}

/// What the library reports for a value.
enum Raw {
    Null,
    Bool(bool),
    /// Its spelling is taken from the source, so that `1.10` stays `1.10`.
    Number,
    Text(String),
    List(Vec<Spanned<Raw>>),
    Map(Vec<(Spanned<Raw>, Spanned<Raw>)>),
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Raw, E> {
        Ok(Raw::Bool(value))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Raw, E> {
        Ok(Raw::Number)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Raw, E> {
        Ok(Raw::Number)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Raw, E> {
        Ok(Raw::Number)
    }

    fn visit_str<E>(self, value: &str) -> Result<Raw, E> {
        Ok(Raw::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Raw, E> {
        Ok(Raw::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Raw, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Raw::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Raw, A::Error> {
        let mut map = Vec::new();
        while let Some(key) = entries.next_key()? {
            map.push((key, entries.next_value()?));
        }
        Ok(Raw::Map(map))
    }
}
