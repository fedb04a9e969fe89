//! Names that objects have and refer to each other by.

use crate::{At, Diagnostic};

/// A kind of object with names of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Service,
    Auther,
}

impl Kind {
    fn noun(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::Auther => "auther",
        }
    }
}

/// All names seen so far, also those of objects that are faulty otherwise.
#[derive(Default)]
pub(crate) struct Names {
    defined: Vec<(Kind, At<String>)>,
    references: Vec<(Kind, String, At<String>)>,
}

impl Names {
    pub(crate) fn define(&mut self, kind: Kind, name: &At<String>) {
        self.defined.push((kind, name.clone()));
    }

    /// `path` is the key whose value is or contains `name`.
    pub(crate) fn refer(&mut self, kind: Kind, path: &str, name: &At<String>) {
        self.references.push((kind, path.to_owned(), name.clone()));
    }

    /// Reports names that are taken twice and references that lead nowhere.
    pub(crate) fn check(&self, diagnostics: &mut Vec<Diagnostic>) {
        for (index, (kind, name)) in self.defined.iter().enumerate() {
            let same = |(other, first): &&(Kind, At<String>)| other == kind && first.value == name.value;
            if let Some((_, first)) = self.defined[..index].iter().find(same) {
                let message = format!("duplicate {} name `{}`, first at {}", kind.noun(), name.value, first.place);
                diagnostics.push(Diagnostic::error(&name.place, message));
            }
        }
        for (kind, path, name) in &self.references {
            let names: Vec<&str> =
                self.defined.iter().filter(|(other, _)| other == kind).map(|(_, name)| name.as_str()).collect();
            // GOST: a reference that leads nowhere is silently ignored, so that everybody gets in.
            if !names.contains(&name.as_str()) {
                let noun = kind.noun();
                let error = Diagnostic::error(&name.place, format!("{path}: no {noun} named `{}`", name.value));
                diagnostics.push(match names.is_empty() {
                    true => error.with_help(format!("no {noun} is defined")),
                    false => error.with_help(format!("defined {noun}s: {}", names.join(", "))),
                });
            }
        }
    }
}
