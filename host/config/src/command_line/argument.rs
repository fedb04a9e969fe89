//! One argument of the command line, and nodes that stand in it.

use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use super::url::{Url, decoded};
use crate::tree::{Entry, Node, Spread, Value};
use crate::{Place, Source};

pub(super) struct Argument<'t> {
    pub(super) text: &'t str,
    pub(super) url: Url,
    source: Arc<Source>,
}

/// Where an argument may have a user and a password.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Credentials {
    UserInfo,
    Parameter,
}

/// A parameter of the query, decoded.
pub(super) struct Parameter {
    pub(super) name: String,
    /// The name in lower case, without `tls.`.
    pub(super) folded: String,
    pub(super) value: String,
    pub(super) key: Range<usize>,
    pub(super) span: Range<usize>,
}

impl<'t> Argument<'t> {
    /// `text` behind `flag`.
    pub(super) fn new(flag: &str, text: &'t str) -> Self {
        let url = Url::split(text);
        let scheme = text.get(url.scheme.clone()).unwrap_or_default();
        let name = if scheme.is_empty() { format!("{flag} …") } else { format!("{flag} {scheme}://…") };
        let source = Source::argument(name, text, url.secrets(text));
        Self { text, url, source }
    }

    pub(super) fn scheme(&self) -> &'t str {
        self.text.get(self.url.scheme.clone()).unwrap_or_default()
    }

    /// A mapping without entries.
    pub(super) fn map(&self) -> Node {
        self.node(0..self.text.len(), Value::Map(Vec::new()))
    }

    pub(super) fn node(&self, span: Range<usize>, value: Value) -> Node {
        Node { value, place: Place::new(&self.source, span.clone()), spelled: span }
    }

    /// The text at `span` as it is written.
    pub(super) fn text_at(&self, span: Range<usize>) -> Node {
        let text = self.text.get(span.clone()).unwrap_or_default().to_owned();
        self.node(span, Value::Text(text))
    }

    pub(super) fn value_of(&self, parameter: &Parameter) -> Node {
        self.node(parameter.span.clone(), Value::Text(parameter.value.clone()))
    }

    /// Sets the key at `path` unless it is there, making the mappings that lead to it. GOST: the first of a repeated key counts.
    pub(super) fn set(&self, node: &mut Node, path: &[&str], key: Range<usize>, value: Node) {
        self.insert(node, path, key, value, None);
    }

    /// Sets a parameter in the mappings at `paths`; it need mean something only in one of them.
    pub(super) fn spread(&self, node: &mut Node, paths: &[&[&str]], parameter: &Parameter) {
        let spread = Rc::new(Spread::default());
        for path in paths {
            let path: Vec<&str> = path.iter().copied().chain([parameter.name.as_str()]).collect();
            self.insert(node, &path, parameter.key.clone(), self.value_of(parameter), Some(&spread));
        }
    }

    fn insert(&self, node: &mut Node, path: &[&str], key: Range<usize>, value: Node, spread: Option<&Rc<Spread>>) {
        let (Some((first, rest)), Value::Map(entries)) = (path.split_first(), &mut node.value) else {
            return;
        };
        let index = entries.iter().position(|entry| entry.key.eq_ignore_ascii_case(first));
        let place = Place::new(&self.source, key.clone());
        match (index, rest.is_empty()) {
            (Some(index), false) => self.insert(&mut entries[index].node, rest, key, value, spread),
            (Some(_), true) => {}
            (None, true) => {
                let spread = spread.map(Rc::clone);
                entries.push(Entry { key: (*first).to_owned(), key_place: place, node: value, spread });
            }
            (None, false) => {
                let mut inner = self.node(key.clone(), Value::Map(Vec::new()));
                self.insert(&mut inner, rest, key, value, spread);
                entries.push(Entry { key: (*first).to_owned(), key_place: place, node: inner, spread: None });
            }
        }
    }

    /// Sets user and password at `path` if there are any: those of the user info and of the parameter `auth`, of which
    /// `first` goes first.
    pub(super) fn credentials(&self, node: &mut Node, path: &[&str], first: Credentials) {
        let parameter = self.parameters().find(|parameter| parameter.folded == "auth");
        let parameter = parameter.filter(|_| first == Credentials::Parameter || self.url.user_info.is_none());
        let (span, user, password) = if let Some(Parameter { value, span, .. }) = parameter {
            // GOST stable reads standard, HEAD URL-safe base64. What is neither becomes a user without a name: refused.
            let bytes = STANDARD.decode(&value).or_else(|_| URL_SAFE_NO_PAD.decode(&value)).unwrap_or_default();
            let pair = String::from_utf8(bytes).unwrap_or_default();
            let (user, password) = pair.split_once(':').unwrap_or((&pair, ""));
            (span, user.to_owned(), password.to_owned())
        } else if let Some(span) = self.url.user_info.clone() {
            let text = &self.text[span.clone()];
            let (user, password) = text.split_once(':').unwrap_or((text, ""));
            (span, decoded(user, false), decoded(password, false))
        } else {
            return;
        };
        for (key, text) in [("username", user), ("password", password)] {
            let path: Vec<&str> = path.iter().copied().chain([key]).collect();
            self.set(node, &path, span.clone(), self.node(span.clone(), Value::Text(text)));
        }
    }

    pub(super) fn parameters(&self) -> impl Iterator<Item = Parameter> {
        self.url.query.iter().map(|(key, span)| {
            let name = decoded(&self.text[key.clone()], true);
            let folded = name.to_lowercase();
            let folded = folded.strip_prefix("tls.").unwrap_or(&folded).to_owned();
            let value = decoded(&self.text[span.clone()], true);
            Parameter { name, folded, value, key: key.clone(), span: span.clone() }
        })
    }

    /// Sets the keys of `tls` that `parameter` is about; false when it is about none.
    pub(super) fn tls(&self, node: &mut Node, path: &[&str], parameter: &Parameter) -> bool {
        let key = match parameter.folded.as_str() {
            "cert" | "certfile" => "certFile",
            "key" | "keyfile" => "keyFile",
            "ca" | "cafile" => "caFile",
            "secure" => "secure",
            "servername" => "serverName",
            _ => return false,
        };
        let path: Vec<&str> = path.iter().copied().chain([key]).collect();
        self.set(node, &path, parameter.key.clone(), self.value_of(parameter));
        true
    }

    /// Sets the keys of a `selector` that `parameter` is about; false when it is about none.
    pub(super) fn selector(&self, node: &mut Node, path: &[&str], parameter: &Parameter) -> bool {
        let key = match parameter.folded.as_str() {
            "strategy" => "strategy",
            "maxfails" | "max_fails" => "maxFails",
            "failtimeout" | "fail_timeout" => "failTimeout",
            _ => return false,
        };
        let path_of = |key| path.iter().copied().chain([key]).collect::<Vec<&str>>();
        let mut value = self.value_of(parameter);
        // A query's durations are in seconds, those of a selector in nanoseconds.
        if let Value::Text(text) = &mut value.value
            && key == "failTimeout"
            && text.bytes().all(|digit| digit.is_ascii_digit())
        {
            text.push('s');
        }
        self.set(node, &path_of(key), parameter.key.clone(), value);
        true
    }

    /// GOST: what a command line selects by has another default.
    pub(super) fn selector_default(&self, node: &mut Node, path: &[&str]) {
        let selects = ["strategy", "maxfails", "max_fails", "failtimeout", "fail_timeout"];
        if let Some(parameter) = self.parameters().find(|parameter| selects.contains(&parameter.folded.as_str())) {
            let path: Vec<&str> = path.iter().copied().chain(["failTimeout"]).collect();
            let value = self.node(parameter.span.clone(), Value::Text("30s".into()));
            self.set(node, &path, parameter.key, value);
        }
    }
}
