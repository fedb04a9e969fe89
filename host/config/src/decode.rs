//! The decoder: reads typed values out of a tree and collects every finding on the way.
//!
//! It folds the case of keys and converts between scalars as GOST does. A reader that fails reports why and gives
//! `None`; its caller goes on with the default, since the configuration is refused in any case.

mod file;
pub(crate) mod keys;
mod names;
mod object;
mod scalar;
pub(crate) mod units;

pub(crate) use names::{Kind, Names};
pub(crate) use object::{Object, Unknown};

use crate::plugin::Files;
use crate::tree::{Node, Value};
use crate::{Diagnostic, Place};

/// What is shared by all readers: the findings so far, and the names.
pub(crate) struct Context {
    strict: bool,
    pub(crate) diagnostics: Vec<Diagnostic>,
    pub(crate) names: Names,
    pub(crate) files: Files,
}

impl Context {
    pub(crate) fn new(strict: bool) -> Self {
        Self { strict, diagnostics: Vec::new(), names: Names::default(), files: Files::default() }
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
