//! `-F`: the hops of a chain.

use super::argument::{Argument, Credentials, Parameter};
use super::url::decoded;
use super::{Root, objects};
use crate::node::{is_connector, is_dialer};
use crate::tree::{Node, Value};

/// Query parameters, in lower case, that are for the hop.
const HOP_ONLY: [&str; 3] = ["interface", "so_mark", "proxyprotocol"];

/// The hop that `text` stands for: a node for each of its hosts.
pub(super) fn hop(text: &str, root: &mut Root) -> Node {
    let argument = Argument::new("-F", text);
    let references = objects::add(&argument, &["bypass", "resolver", "hosts"], root);
    let (connector, dialer) = types(argument.scheme());
    let mut hop = argument.map();
    for (key, name, parameter) in &references {
        argument.set(&mut hop, &[key], parameter.key.clone(), name.clone());
    }
    let path = decoded(&text[argument.url.path.clone()], false);
    let host = argument.url.host.clone();
    let addrs: Vec<(String, _)> = match host.is_empty() && dialer == "unix" {
        true => vec![(path, argument.url.path.clone())],
        false => split(&text[host.clone()]).map(|addr| (addr.to_owned(), host.clone())).collect(),
    };
    let mut nodes = Vec::new();
    for (index, (addr, span)) in addrs.into_iter().enumerate() {
        let mut node = argument.map();
        let scheme = argument.url.scheme.clone();
        let text_node = |text: String, span| argument.node(span, Value::Text(text));
        argument.set(&mut node, &["name"], span.clone(), text_node(format!("node-{index}"), span.clone()));
        argument.set(&mut node, &["addr"], span.clone(), text_node(addr, span));
        for (section, kind) in [("connector", &connector), ("dialer", &dialer)] {
            argument.set(&mut node, &[section, "type"], scheme.clone(), text_node(kind.clone(), scheme.clone()));
        }
        argument.credentials(&mut node, &["connector", "auth"], Credentials::UserInfo);
        nodes.push(node);
    }
    parameters(&argument, &mut hop, &mut nodes);
    let span = argument.url.host.clone();
    argument.set(&mut hop, &["nodes"], span.clone(), argument.node(span, Value::List(nodes)));
    hop
}

/// The hosts between commas. GOST: leaves out empty ones; of a single one it can't.
fn split(hosts: &str) -> impl Iterator<Item = &str> {
    hosts.split(',').filter(move |host| !host.is_empty() || !hosts.contains(','))
}

fn parameters(argument: &Argument<'_>, hop: &mut Node, nodes: &mut [Node]) {
    for parameter in argument.parameters() {
        let folded = parameter.folded.as_str();
        if folded == "auth" || matches!(folded, "bypass" | "resolver" | "hosts") {
            continue;
        }
        if HOP_ONLY.contains(&folded) {
            let value = argument.value_of(&parameter);
            argument.set(hop, &["metadata", &parameter.name], parameter.key.clone(), value);
            continue;
        }
        if argument.selector(hop, &["selector"], &parameter) {
            continue;
        }
        for node in &mut *nodes {
            if !argument.tls(node, &["dialer", "tls"], &parameter) {
                spread(argument, hop, node, &parameter);
            }
        }
    }
    argument.selector_default(hop, &["selector"]);
}

/// GOST: what isn't anything else is metadata of the hop, the node, its connector and its dialer, unless a prefix says which.
/// None of the keys of a hop is left here.
fn spread(argument: &Argument<'_>, hop: &mut Node, node: &mut Node, parameter: &Parameter) {
    let value = || argument.value_of(parameter);
    match parameter.name.split_once('.') {
        Some(("hop", name)) => argument.set(hop, &["metadata", name], parameter.key.clone(), value()),
        Some(("node", name)) => argument.set(node, &["metadata", name], parameter.key.clone(), value()),
        Some((section @ ("connector" | "dialer"), name)) => {
            argument.set(node, &[section, "metadata", name], parameter.key.clone(), value());
        }
        _ => {
            argument.spread(node, &[&["connector", "metadata"], &["dialer", "metadata"], &["metadata"]], parameter);
        }
    }
}

/// Connector and dialer type of a scheme. GOST reads an unknown word as `http` or `tcp`; here it stays, and is refused.
fn types(scheme: &str) -> (String, String) {
    let scheme = match scheme {
        "" | "auto" => "http",
        "https" => "http+tls",
        scheme => scheme,
    };
    if let Some((connector, dialer)) = scheme.split_once('+') {
        return (connector.to_owned(), dialer.to_owned());
    }
    let (connector, dialer) = (is_connector(scheme), is_dialer(scheme));
    let connector = if connector || !dialer { scheme } else { "http" };
    let dialer = match (dialer, scheme) {
        (true, _) => scheme,
        (false, "ssu") => "udp",
        (false, _) => "tcp",
    };
    (connector.to_owned(), dialer.to_owned())
}
