//! HTTP headers in a configuration.

use crate::decode::{Context, Item};
use crate::{Diagnostic, Secret};

/// Names and values that may be sent; names as written.
pub(crate) fn decode(item: &Item<'_>, cx: &mut Context) -> Vec<(String, String)> {
    let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    let mut header = Vec::new();
    for (name, value) in item.text_map(cx) {
        if name.is_empty() || !name.chars().all(is_token) || !is_value(&value) {
            cx.push(Diagnostic::error(&value.place, format!("{}: not a valid header", item.path)));
        } else {
            header.push((name, value.value));
        }
    }
    header
}

/// As [`decode`], for what may carry credentials.
pub(crate) fn secret(item: &Item<'_>, cx: &mut Context) -> Vec<(String, Secret)> {
    decode(item, cx).into_iter().map(|(name, value)| (name, Secret::new(value))).collect()
}

/// Text that may stand in a header; empty text counts as absent.
pub(crate) fn text(item: &Item<'_>, cx: &mut Context) -> Option<String> {
    let text = item.name(cx)?;
    if !is_value(&text) {
        cx.push(item.error("can't be sent in a header"));
        return None;
    }
    Some(text.value)
}

fn is_value(text: &str) -> bool {
    text.chars().all(|c| c == '\t' || !c.is_control())
}
