//! `-L`, `-F` and `-metrics` to the tree that the same has in a file, so that one decoder serves both.
//!
//! Positions point into the arguments.

mod argument;
mod hop;
mod objects;
mod service;
mod url;

use std::path::Path;

use self::argument::{Argument, Credentials};
use crate::input::CommandLine;
use crate::tree::{Entry, Node, Value};
use crate::{Place, Source};

/// The chain that all `-F` make, and all `-L` use.
const CHAIN: &str = "chain-0";

/// The configuration that `flags` stand for.
pub(crate) fn tree(flags: &CommandLine) -> Node {
    let mut root = Root::default();
    for url in &flags.listen {
        service::add(url, !flags.forward.is_empty(), &mut root);
    }
    let hops: Vec<Node> = flags.forward.iter().map(|url| hop::hop(url, &mut root)).collect();
    let source = Source::new("the command line", "", Path::new(""));
    let place = Place::whole(&source);
    if !hops.is_empty() {
        let node = |value| Node { value, place: place.clone(), spelled: 0..0 };
        let name = entry("name", node(Value::Text(CHAIN.into())));
        root.list("chains").push(node(Value::Map(vec![name, entry("hops", node(Value::List(hops)))])));
    }
    let mut entries: Vec<Entry> = (root.lists.into_iter())
        .map(|(key, nodes)| entry(key, Node { value: Value::List(nodes), place: place.clone(), spelled: 0..0 }))
        .collect();
    entries.extend(flags.metrics.as_ref().map(|url| entry("metrics", metrics(url))));
    Node { value: Value::Map(entries), place, spelled: 0..0 }
}

/// The lists of a configuration.
#[derive(Default)]
struct Root {
    lists: Vec<(&'static str, Vec<Node>)>,
}

impl Root {
    fn list(&mut self, key: &'static str) -> &mut Vec<Node> {
        let index = self.lists.iter().position(|(known, _)| *known == key).unwrap_or_else(|| {
            self.lists.push((key, Vec::new()));
            self.lists.len() - 1
        });
        &mut self.lists[index].1
    }
}

fn entry(key: &str, node: Node) -> Entry {
    Entry { key: key.into(), key_place: node.place.clone(), node, spread: None }
}

/// `[user:password@][host]:port[?path=/m]`, or `unix:///path`.
fn metrics(text: &str) -> Node {
    let argument = Argument::new("-metrics", text);
    let mut section = argument.map();
    let url = &argument.url;
    let addr = if argument.scheme() == "unix" { 0..url.path.end } else { url.host.clone() };
    argument.set(&mut section, &["addr"], addr.clone(), argument.text_at(addr));
    argument.credentials(&mut section, &["auth"], Credentials::UserInfo);
    for parameter in argument.parameters() {
        argument.set(&mut section, &[&parameter.name], parameter.key.clone(), argument.value_of(&parameter));
    }
    section
}

#[cfg(test)]
mod tests;
