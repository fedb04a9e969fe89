//! The decoder: reads typed values out of a tree and collects every finding on the way.
//!
//! It folds the case of keys and converts between scalars as GOST does. A reader that fails reports why and gives
//! `None`; its caller goes on with the default, since the configuration is refused in any case.

mod file;
pub(crate) mod keys;
mod names;
mod object;
mod read;
mod scalar;
pub(crate) mod units;

pub(crate) use names::{Kind, Names};
pub(crate) use object::{Object, Unknown};
pub(crate) use read::LOADERS;

use regex::{Regex, RegexBuilder};

use crate::plugin::Files;
use crate::tree::{Entry, Node, Value};
use crate::{Diagnostic, Place};

/// Bytes of a compiled regular expression.
const REGEX_SIZE: usize = 1 << 20;

/// What is shared by all readers: the findings so far, and the names.
pub(crate) struct Context {
    strict: bool,
    /// Whether this comes from a plugin that may not name what is on this machine.
    pub(crate) untrusted: bool,
    /// Whether the URL of an HTTP plugin may lack its scheme.
    pub(crate) bare_urls: bool,
    pub(crate) diagnostics: Vec<Diagnostic>,
    pub(crate) names: Names,
    pub(crate) files: Files,
    /// How many more regular expressions are read: making one takes time that a plugin must not decide about.
    pub(crate) expressions: u32,
    /// Entries that a mapping didn't know, but that another may.
    spread: Vec<Entry>,
}

impl Context {
    pub(crate) fn new(strict: bool) -> Self {
        Self {
            strict,
            untrusted: false,
            bare_urls: false,
            diagnostics: Vec::new(),
            names: Names::default(),
            expressions: u32::MAX,
            spread: Vec::new(),
            files: Files::default(),
        }
    }

    /// Reports what stands in several mappings and means something in none of them.
    pub(crate) fn report_spread(&mut self) {
        for entry in std::mem::take(&mut self.spread) {
            // A copy is reported once.
            if let Some(spread) = entry.spread.as_ref().filter(|spread| !spread.taken.replace(true)) {
                let known = spread.known.borrow();
                self.push(object::unknown(&entry, &entry.key, known.iter().copied(), Unknown::Warn, self.strict));
            }
        }
    }

    /// A regular expression of bounded size.
    pub(crate) fn regex(&mut self, text: &str) -> Result<Regex, String> {
        self.expressions = self.expressions.checked_sub(1).ok_or("too many regular expressions")?;
        RegexBuilder::new(text).size_limit(REGEX_SIZE).build().map_err(|error| {
            let error = error.to_string();
            let reason = error.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
            format!("`{text}` is not a regular expression: {reason}")
        })
    }

    pub(crate) fn push(&mut self, diagnostic: Diagnostic) {
        self.diagnostics.push(diagnostic);
    }
}

/// A value and the path that leads to it, e.g. `services[0].handler`.
#[derive(Clone)]
pub(crate) struct Item<'n> {
    pub(crate) path: String,
    pub(crate) node: &'n Node,
}

impl<'n> Item<'n> {
    pub(crate) fn place(&self) -> &'n Place {
        &self.node.place
    }

    /// An error about this value; `message` doesn't repeat the path.
    pub(crate) fn error(&self, message: impl std::fmt::Display) -> Diagnostic {
        Diagnostic::error(self.place(), format!("{}: {message}", self.path))
    }

    /// A warning about this value.
    pub(crate) fn warning(&self, message: impl std::fmt::Display) -> Diagnostic {
        Diagnostic::warning(self.place(), format!("{}: {message}", self.path))
    }

    /// Whether the value may be what it is, something on this machine; reports it otherwise.
    pub(crate) fn is_allowed(&self, what: &str, cx: &mut Context) -> bool {
        if cx.untrusted {
            cx.push(self.error(format!("a plugin that isn't trusted may not name {what}")));
        }
        !cx.untrusted
    }

    /// The elements of a list; a mapping is a list of one, as in GOST.
    pub(crate) fn elements(&self, cx: &mut Context) -> Vec<Item<'n>> {
        match &self.node.value {
            Value::List(nodes) => (nodes.iter().enumerate())
                .map(|(index, node)| Item { path: format!("{}[{index}]", self.path), node })
                .collect(),
            Value::Map(_) => vec![Item { path: format!("{}[0]", self.path), node: self.node }],
            other => {
                cx.push(self.error(format!("expected a list, found {}", other.kind())));
                Vec::new()
            }
        }
    }
}

#[cfg(test)]
mod tests;
