//! Names that objects have and refer to each other by.

use std::collections::{HashMap, HashSet};

use crate::{At, Diagnostic};

/// A kind of object with names of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Service,
    Chain,
    Hop,
    Auther,
    Admission,
    Bypass,
    Resolver,
    Hosts,
    Limiter,
    ConnLimiter,
    RateLimiter,
    Observer,
    Recorder,
    Rewriter,
    Ingress,
    Sd,
    Router,
}

impl Kind {
    pub(crate) fn noun(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::Chain => "chain",
            Self::Hop => "hop",
            Self::Auther => "auther",
            Self::Admission => "admission",
            Self::Bypass => "bypass",
            Self::Resolver => "resolver",
            Self::Hosts => "hosts",
            Self::Limiter => "limiter",
            Self::ConnLimiter => "climiter",
            Self::RateLimiter => "rlimiter",
            Self::Observer => "observer",
            Self::Recorder => "recorder",
            Self::Rewriter => "rewriter",
            Self::Ingress => "ingress",
            Self::Sd => "sd",
            Self::Router => "router",
        }
    }

    fn plural(self) -> String {
        match self {
            Self::Hosts => "hosts".into(),
            Self::Bypass => "bypasses".into(),
            Self::Ingress => "ingresses".into(),
            other => format!("{}s", other.noun()),
        }
    }
}

type Id = (Kind, String);

struct Reference {
    /// The object with a name that the reference is in.
    owner: Option<Id>,
    kind: Kind,
    path: String,
    name: At<String>,
}

impl Reference {
    fn target(&self) -> Id {
        (self.kind, self.name.value.clone())
    }
}

/// All names seen so far, also those of objects that are faulty otherwise.
#[derive(Default)]
pub(crate) struct Names {
    defined: Vec<(Kind, At<String>)>,
    references: Vec<Reference>,
    owner: Option<Id>,
}

impl Names {
    /// An object starts whose references are collected from now on; one without a name can't be referred to.
    pub(crate) fn define(&mut self, kind: Kind, name: Option<&At<String>>) {
        self.owner = name.map(|name| (kind, name.value.clone()));
        self.defined.extend(name.map(|name| (kind, name.clone())));
    }

    /// What comes now is in no object with a name.
    pub(crate) fn leave(&mut self) {
        self.owner = None;
    }

    /// `path` is the key whose value is or contains `name`.
    pub(crate) fn refer(&mut self, kind: Kind, path: &str, name: &At<String>) {
        let (owner, path, name) = (self.owner.clone(), path.to_owned(), name.clone());
        self.references.push(Reference { owner, kind, path, name });
    }

    /// Reports names that are taken twice, references that lead nowhere, and those that lead back to where they are.
    pub(crate) fn check(&self, diagnostics: &mut Vec<Diagnostic>) {
        let mut first: HashMap<Id, &At<String>> = HashMap::new();
        for (kind, name) in &self.defined {
            let known = *first.entry((*kind, name.value.clone())).or_insert(name);
            if !std::ptr::eq(known, name) {
                let message = format!("duplicate {} name `{}`, first at {}", kind.noun(), name.value, known.place);
                diagnostics.push(Diagnostic::error(&name.place, message));
            }
        }
        // GOST: a reference that leads nowhere is silently ignored, so that everybody gets in.
        diagnostics
            .extend(self.references.iter().filter(|r| !first.contains_key(&r.target())).map(|r| self.missing(r)));
        diagnostics.extend(self.cycles());
    }

    fn missing(&self, Reference { kind, path, name, .. }: &Reference) -> Diagnostic {
        let noun = kind.noun();
        let error = Diagnostic::error(&name.place, format!("{path}: no {noun} named `{}`", name.value));
        let names: Vec<&str> =
            self.defined.iter().filter(|(other, _)| other == kind).map(|(_, name)| name.as_str()).collect();
        match names.is_empty() {
            true => error.with_help(format!("no {noun} is defined")),
            false => error.with_help(format!("defined {}: {}", kind.plural(), names.join(", "))),
        }
    }

    /// The references that close a circle, as of a resolver through a chain whose nodes need the resolver. GOST: recurses.
    fn cycles(&self) -> Vec<Diagnostic> {
        let mut out: HashMap<&Id, Vec<&Reference>> = HashMap::new();
        for reference in &self.references {
            if let Some(owner) = &reference.owner {
                out.entry(owner).or_default().push(reference);
            }
        }
        let mut done: HashSet<Id> = HashSet::new();
        let mut found = Vec::new();
        for start in self.references.iter().filter_map(|reference| reference.owner.as_ref()) {
            if done.contains(start) {
                continue;
            }
            // Depth first, without recursion: a long line of references must not exhaust the stack.
            let mut trail: Vec<(Id, usize)> = vec![(start.clone(), 0)];
            while let Some((id, next)) = trail.last_mut() {
                let reference = out.get(id).and_then(|references| references.get(*next)).copied();
                *next += 1;
                let Some(reference) = reference else {
                    done.extend(trail.pop().map(|(id, _)| id));
                    continue;
                };
                let target = reference.target();
                if trail.iter().any(|(id, _)| *id == target) {
                    let (noun, name) = (target.0.noun(), &target.1);
                    let message = format!("{}: {noun} `{name}` needs itself", reference.path);
                    found.push(Diagnostic::error(&reference.name.place, message));
                } else if !done.contains(&target) {
                    trail.push((target, 0));
                }
            }
        }
        found
    }
}
