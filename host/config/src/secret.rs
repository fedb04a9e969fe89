//! Values that must never be shown: the type that holds them, and how they are found in a source.

use std::fmt;
use std::ops::Range;

use crate::decode::keys::distance;
use crate::tree::{Node, Value};

/// A password, token or other text that `Debug` doesn't show.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself. Don't log it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Parts of keys whose values are secrets wherever they stand; lower case.
const WORDS: [&str; 9] =
    ["password", "passwd", "passphrase", "secret", "token", "authorization", "cookie", "credential", "cipherkey"];

/// Keys under which every value is a secret, except names and paths.
const SECTIONS: [&str; 4] = ["auth", "auths", "config", "env"];

/// The byte ranges below `root` that spell a secret.
pub(crate) fn ranges(root: &Node, text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    collect(root, text, Inside::Open, &mut found);
    found
}

/// Whether the value of a key of a command line URL is a secret.
pub(crate) fn is_secret(key: &str) -> bool {
    below(&key.to_lowercase(), Inside::Open) != Inside::Open
}

#[derive(Clone, Copy, PartialEq)]
enum Inside {
    Open,
    Credentials,
    Secret,
}

fn collect(node: &Node, text: &str, inside: Inside, found: &mut Vec<Range<usize>>) {
    match &node.value {
        Value::Null => {}
        Value::List(nodes) => nodes.iter().for_each(|node| collect(node, text, inside, found)),
        Value::Map(entries) => {
            for entry in entries {
                collect(&entry.node, text, below(&entry.key.to_lowercase(), inside), found);
            }
        }
        Value::Bool(_) | Value::Number(_) | Value::Text(_) if inside != Inside::Open => {
            found.push(node.spelled.clone());
        }
        Value::Bool(_) | Value::Number(_) | Value::Text(_) => {
            let spelled = text.get(node.spelled.clone()).unwrap_or_default();
            found.extend(user_info(spelled).map(|r| node.spelled.start + r.start..node.spelled.start + r.end));
        }
    }
}

fn below(key: &str, inside: Inside) -> Inside {
    // A misspelt key is as secret as the one that was meant.
    let misspelt = |word: &str| distance(key, word) <= word.len() / 4;
    if inside == Inside::Secret || WORDS.iter().any(|word| key.contains(word) || misspelt(word)) {
        Inside::Secret
    } else if SECTIONS[..2].contains(&key) {
        Inside::Credentials
    } else if SECTIONS[2..].contains(&key) {
        Inside::Secret
    } else if inside == Inside::Credentials && matches!(key, "username" | "file") {
        Inside::Open
    } else {
        inside
    }
}

/// The user info of a URL, with or without a scheme: what is before the last `@`.
fn user_info(url: &str) -> Option<Range<usize>> {
    let start = url.find("://").map_or(0, |scheme| scheme + 3);
    let end = start + url[start..].rfind('@')?;
    Some(start..end)
}
