//! A node as a hop plugin returns it: JSON text, read while a connection waits.

use std::path::Path;

use crate::decode::{Context, Item};
use crate::node::{self, Inherited, Node, Role};
use crate::tree::{self, Entry, Value};
use crate::{Place, Severity, Source};

/// The longest text that is looked at.
pub const MAX_NODE: usize = 64 << 10;

/// The most regular expressions in it.
const MAX_EXPRESSIONS: u32 = 16;

/// Reads the node that a hop plugin returned, as an entry of `nodes[]`: keys, defaults and errors are the same. What the
/// plugin names (bypasses, a resolver, hosts, those of its rule) may not exist: that is for the caller to see.
///
/// `trusted` plugins may name files, unix sockets, interfaces and socket marks; files are then read here.
///
/// # Errors
/// All that is wrong with it, in one line that doesn't contain its secrets. GOST: goes on without a node.
pub fn decode_node(text: &str, trusted: bool) -> Result<Node, String> {
    if text.len() > MAX_NODE {
        return Err(format!("the node is longer than {MAX_NODE} bytes"));
    }
    let json: serde_json::Value =
        serde_json::from_str(text).map_err(|error| format!("the node is not JSON: {error}"))?;
    // Places mean nothing to a plugin, and its text isn't kept.
    let place = Place::whole(&Source::new("node", "", Path::new("")));
    let root = tree_of(json, &place);
    let mut cx = Context::new(false);
    cx.untrusted = !trusted;
    cx.expressions = MAX_EXPRESSIONS;
    let node = node::decode(&Item { path: "node".into(), node: &root }, Role::Proxy, &Inherited::default(), &mut cx);
    let errors: Vec<&str> = (cx.diagnostics.iter())
        .filter(|diagnostic| diagnostic.severity == Severity::Error)
        .map(|diagnostic| diagnostic.message.as_str())
        .collect();
    match node {
        Some(node) if errors.is_empty() => Ok(node),
        _ if errors.is_empty() => Err("the node is not an object".into()),
        _ => Err(errors.join("; ")),
    }
}

/// serde_json bounds the depth.
fn tree_of(json: serde_json::Value, place: &Place) -> tree::Node {
    let value = match json {
        serde_json::Value::Null => Value::Null,
        serde_json::Value::Bool(value) => Value::Bool(value),
        serde_json::Value::Number(number) => Value::Number(number.to_string()),
        serde_json::Value::String(text) => Value::Text(text),
        serde_json::Value::Array(items) => Value::List(items.into_iter().map(|item| tree_of(item, place)).collect()),
        serde_json::Value::Object(map) => {
            let entry =
                |(key, value)| Entry { key, key_place: place.clone(), node: tree_of(value, place), spread: None };
            Value::Map(map.into_iter().map(entry).collect())
        }
    };
    tree::Node { value, place: place.clone(), spelled: 0..0 }
}

#[cfg(test)]
mod tests;
