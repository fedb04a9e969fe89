//! `-L` URLs to the tree that the same service has in a file, so that one decoder serves both.
//!
//! Positions point into the argument. What GOST copies to all metadata maps goes only where it means something.

mod url;

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use self::url::{Url, decoded};
use crate::service::{self, OTHER_HANDLERS, OTHER_LISTENERS};
use crate::tree::{Entry, Node, Value};
use crate::{Place, Source};

/// Query parameters, in lower case, that GOST turns into something else than metadata, and the path of the key that they set.
const SERVICE_PARAMETERS: [(&str, &[&str]); 23] = [
    ("retries", &["handler", "retries"]),
    ("admission", &["admission"]),
    ("bypass", &["bypass"]),
    ("resolver", &["resolver"]),
    ("prefer", &["resolver"]),
    ("hosts", &["hosts"]),
    ("limiter.in", &["limiter"]),
    ("limiter.out", &["limiter"]),
    ("limiter.conn.in", &["limiter"]),
    ("limiter.conn.out", &["limiter"]),
    ("climiter", &["climiter"]),
    ("rlimiter", &["rlimiter"]),
    ("strategy", &["forwarder"]),
    ("maxfails", &["forwarder"]),
    ("max_fails", &["forwarder"]),
    ("failtimeout", &["forwarder"]),
    ("fail_timeout", &["forwarder"]),
    ("cert", &["listener", "tls"]),
    ("certfile", &["listener", "tls"]),
    ("key", &["listener", "tls"]),
    ("keyfile", &["listener", "tls"]),
    ("ca", &["listener", "tls"]),
    ("cafile", &["listener", "tls"]),
];

/// The services that `urls` stand for.
pub(crate) fn tree(urls: &[String]) -> Node {
    let services: Vec<Node> = urls.iter().enumerate().map(|(index, url)| service(index, url)).collect();
    let source = Source::new("-L", "", Path::new(""));
    let place = Place::whole(&source);
    let list = Node { value: Value::List(services), place: place.clone(), spelled: 0..0 };
    let entry = Entry { key: "services".into(), key_place: place.clone(), node: list };
    Node { value: Value::Map(vec![entry]), place, spelled: 0..0 }
}

fn service(index: usize, argument: &str) -> Node {
    let url = Url::split(argument);
    let scheme = argument.get(url.scheme.clone()).unwrap_or_default();
    let name = if scheme.is_empty() { "-L …".to_owned() } else { format!("-L {scheme}://…") };
    let source = Source::argument(name, argument, url.secrets(argument));
    let builder = Builder { source: &source };
    let (handler, listener) = types(scheme);

    let mut service = builder.map(0..argument.len());
    builder.set(&mut service, &["name"], url.scheme.clone(), url.scheme.clone(), format!("service-{index}"));
    builder.set(&mut service, &["addr"], url.host.clone(), url.host.clone(), argument[url.host.clone()].to_owned());
    builder.set(&mut service, &["handler", "type"], url.scheme.clone(), url.scheme.clone(), handler);
    builder.set(&mut service, &["listener", "type"], url.scheme.clone(), url.scheme.clone(), listener);
    if url.path.len() > 1 {
        // A path makes GOST forward to it.
        builder.set(
            &mut service,
            &["forwarder"],
            url.path.clone(),
            url.path.clone(),
            argument[url.path.clone()].to_owned(),
        );
    }
    if let Some(user_info) = url.user_info.clone() {
        let text = &argument[user_info.clone()];
        let (user, password) = text.split_once(':').unwrap_or((text, ""));
        builder.credentials(&mut service, user_info, &decoded(user, false), &decoded(password, false));
    }
    for (key, value) in &url.query {
        builder.parameter(&mut service, argument, key, value);
    }
    service
}

/// Handler and listener type of a scheme. GOST reads an unknown word as `auto` or `tcp`; here it stays, and is refused.
fn types(scheme: &str) -> (String, String) {
    let scheme = match scheme {
        "" => "auto",
        "https" => "http+tls",
        scheme => scheme,
    };
    if let Some((handler, listener)) = scheme.split_once('+') {
        return (handler.to_owned(), listener.to_owned());
    }
    let is_listener = OTHER_LISTENERS.contains(&scheme);
    let is_handler = !is_listener || OTHER_HANDLERS.contains(&scheme);
    let handler = if is_handler { scheme } else { "auto" };
    let listener = if is_listener { scheme } else { "tcp" };
    (handler.to_owned(), listener.to_owned())
}

/// Makes nodes whose places are in one argument.
struct Builder<'s> {
    source: &'s Arc<Source>,
}

impl Builder<'_> {
    fn place(&self, span: Range<usize>) -> Place {
        Place::new(self.source, span)
    }

    fn map(&self, span: Range<usize>) -> Node {
        Node { value: Value::Map(Vec::new()), place: self.place(span.clone()), spelled: span }
    }

    /// Sets the key at `path`, making the mappings that lead to it. GOST: the first of a repeated key counts.
    fn set(&self, node: &mut Node, path: &[&str], key: Range<usize>, value: Range<usize>, text: String) {
        let Some((first, rest)) = path.split_first() else {
            return;
        };
        let Value::Map(entries) = &mut node.value else {
            return;
        };
        let index = match entries.iter().position(|entry| entry.key.eq_ignore_ascii_case(first)) {
            Some(index) => index,
            None => {
                let mut inner = self.map(key.clone());
                if rest.is_empty() {
                    inner.value = Value::Text(text.clone());
                    inner.place = self.place(value.clone());
                    inner.spelled = value.clone();
                }
                entries.push(Entry { key: (*first).to_owned(), key_place: self.place(key.clone()), node: inner });
                entries.len() - 1
            }
        };
        self.set(&mut entries[index].node, rest, key, value, text);
    }

    fn credentials(&self, service: &mut Node, span: Range<usize>, user: &str, password: &str) {
        self.set(service, &["handler", "auth", "username"], span.clone(), span.clone(), user.to_owned());
        self.set(service, &["handler", "auth", "password"], span.clone(), span, password.to_owned());
    }

    fn parameter(&self, service: &mut Node, argument: &str, key: &Range<usize>, value: &Range<usize>) {
        let name = decoded(&argument[key.clone()], true);
        let text = decoded(&argument[value.clone()], true);
        let folded = name.to_lowercase();
        if folded == "auth" {
            // GOST stable reads standard, HEAD URL-safe base64. What is neither becomes a user without a name: refused.
            let bytes = STANDARD.decode(&text).or_else(|_| URL_SAFE_NO_PAD.decode(&text)).unwrap_or_default();
            let pair = String::from_utf8(bytes).unwrap_or_default();
            let (user, password) = pair.split_once(':').unwrap_or((&pair, ""));
            return self.credentials(service, value.clone(), user, password);
        }
        let plain = folded.strip_prefix("tls.").unwrap_or(&folded);
        if let Some((_, path)) = SERVICE_PARAMETERS.iter().find(|(parameter, _)| *parameter == plain) {
            return self.set(service, path, key.clone(), value.clone(), text);
        }
        let (section, name) = match name.split_once('.') {
            Some((section @ ("service" | "handler" | "listener"), name)) => (section, name),
            _ => (section(&folded), name.as_str()),
        };
        let path: &[&str] = match section {
            "service" => &["metadata", name],
            section => &[section, "metadata", name],
        };
        self.set(service, path, key.clone(), value.clone(), text);
    }
}

/// The part of a service that knows the metadata key, by default the handler.
fn section(folded: &str) -> &'static str {
    let has = |keys: &[&str]| keys.iter().any(|key| key.to_lowercase() == *folded);
    if folded == "dialtimeout" || has(&service::METADATA_KEYS) {
        "service"
    } else if has(&service::TCP_METADATA_KEYS) {
        "listener"
    } else {
        "handler"
    }
}

#[cfg(test)]
mod tests;
