//! A tree back to text: JSON, and YAML as GOST's `-O` prints them.

use std::fmt::Write as _;

use crate::tree::{Node, Value};

/// One line of JSON with all keys in lower case, as GOST's loader leaves them.
pub(crate) fn json_line(node: &Node) -> String {
    let mut out = String::new();
    json(node, None, true, &mut out);
    out
}

/// JSON indented by 2.
pub(crate) fn json_text(node: &Node) -> String {
    let mut out = String::new();
    json(node, Some(0), false, &mut out);
    out.push('\n');
    out
}

/// YAML in block style.
pub(crate) fn yaml_text(node: &Node) -> String {
    let mut out = String::new();
    yaml(node, 0, &mut out);
    out
}

fn json(node: &Node, indent: Option<usize>, fold: bool, out: &mut String) {
    let line = |depth: usize, out: &mut String| {
        if indent.is_some() {
            out.push('\n');
            out.extend(std::iter::repeat_n(' ', depth));
        }
    };
    let inner = indent.map(|depth| depth + 2);
    match &node.value {
        Value::List(nodes) if !nodes.is_empty() => {
            out.push('[');
            for (index, node) in nodes.iter().enumerate() {
                out.push_str(if index > 0 { "," } else { "" });
                line(inner.unwrap_or(0), out);
                json(node, inner, fold, out);
            }
            line(indent.unwrap_or(0), out);
            out.push(']');
        }
        Value::Map(entries) if !entries.is_empty() => {
            out.push('{');
            for (index, entry) in entries.iter().enumerate() {
                out.push_str(if index > 0 { "," } else { "" });
                line(inner.unwrap_or(0), out);
                out.push_str(&quoted(&if fold { entry.key.to_lowercase() } else { entry.key.clone() }));
                out.push_str(if indent.is_some() { ": " } else { ":" });
                json(&entry.node, inner, fold, out);
            }
            line(indent.unwrap_or(0), out);
            out.push('}');
        }
        Value::Number(number) if is_json_number(number) => out.push_str(number),
        Value::Number(text) | Value::Text(text) => out.push_str(&quoted(text)),
        other => out.push_str(empty(other)),
    }
}

fn yaml(node: &Node, depth: usize, out: &mut String) {
    let pad = |out: &mut String| out.extend(std::iter::repeat_n(' ', depth));
    match &node.value {
        Value::List(nodes) if !nodes.is_empty() => {
            for node in nodes {
                pad(out);
                out.push_str("- ");
                let mut inner = String::new();
                yaml(node, depth + 2, &mut inner);
                // What would be indented goes behind the dash.
                out.push_str(inner.trim_start_matches(' '));
            }
        }
        Value::Map(entries) if !entries.is_empty() => {
            for entry in entries {
                pad(out);
                out.push_str(&plain(&entry.key));
                out.push(':');
                let is_block = match &entry.node.value {
                    Value::List(nodes) => !nodes.is_empty(),
                    Value::Map(entries) => !entries.is_empty(),
                    _ => false,
                };
                out.push(if is_block { '\n' } else { ' ' });
                let inner = if matches!(entry.node.value, Value::List(_)) { depth } else { depth + 2 };
                yaml(&entry.node, if is_block { inner } else { 0 }, out);
            }
        }
        Value::Number(text) => {
            out.push_str(text);
            out.push('\n');
        }
        Value::Text(text) => {
            out.push_str(&plain(text));
            out.push('\n');
        }
        other => {
            out.push_str(empty(other));
            out.push('\n');
        }
    }
}

fn empty(value: &Value) -> &'static str {
    match value {
        Value::Bool(true) => "true",
        Value::Bool(false) => "false",
        Value::List(_) => "[]",
        Value::Map(_) => "{}",
        _ => "null",
    }
}

/// Text that YAML can't take for anything else stays as it is.
fn plain(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./$".contains(c);
    let words = ["true", "false", "null", "yes", "no", "on", "off", "y", "n", "inf", "nan"];
    let starts_as_text = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/' || c == '_');
    let is_word = words.iter().any(|word| word.eq_ignore_ascii_case(text));
    if starts_as_text && !is_word && text.chars().all(is_plain) { text.to_owned() } else { quoted(text) }
}

fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() || matches!(c, '\u{feff}' | '\u{2028}' | '\u{2029}') => {
                // Writing to a string can't fail.
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

fn is_json_number(text: &str) -> bool {
    serde_json::from_str::<serde_json::Number>(text).is_ok()
}

#[cfg(test)]
mod tests;
