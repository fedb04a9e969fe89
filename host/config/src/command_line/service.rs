//! `-L`: services.

use std::ops::RangeInclusive;

use super::argument::{Argument, Credentials};
use super::url::decoded;
use super::{CHAIN, Root, objects};
use crate::service::{is_handler, is_listener};
use crate::tree::{Node, Value};

/// The most services that one argument may stand for.
const MOST: usize = 1 << 16;

/// Query parameters, in lower case, that are for the service as a whole.
const SERVICE_ONLY: [&str; 5] = ["interface", "so_mark", "proxyprotocol", "netns", "netns.out"];

/// Adds the services that `text` stands for: one, or one for each port of a range.
pub(super) fn add(text: &str, has_chain: bool, root: &mut Root) {
    let argument = Argument::new("-L", text);
    let allowed = ["admission", "bypass", "resolver", "hosts", "climiter", "rlimiter"];
    let limiters = ["limiter.in", "limiter.out", "limiter.conn.in", "limiter.conn.out"];
    let allowed: Vec<&str> = allowed.into_iter().chain(limiters).collect();
    let references = objects::add(&argument, &allowed, root);
    let (mut handler, listener) = types(argument.scheme());
    let is_unix = listener == "unix";
    let host = &text[argument.url.host.clone()];
    let path = decoded(&text[argument.url.path.clone()], false);
    // GOST: until 3.2.6 the path of `unix:///path` was a target.
    let path_is_addr = is_unix && host.is_empty();
    let addrs = if path_is_addr { vec![path.clone()] } else { ports(host) };
    let targets = if path_is_addr { Vec::new() } else { targets(&path) };
    if !targets.is_empty() && handler != "relay" {
        let same = ["tcp", "udp", "rtcp", "rudp", "tun", "tap", "dns", "unix", "serial", "runix"];
        handler = if same.contains(&listener.as_str()) { listener.clone() } else { "forward".into() };
    }
    let addr_span = if path_is_addr { argument.url.path.clone() } else { argument.url.host.clone() };
    for (index, addr) in addrs.iter().enumerate() {
        let mut service = argument.map();
        let scheme = argument.url.scheme.clone();
        let text_node = |text: String, span| argument.node(span, Value::Text(text));
        let name = format!("service-{}", root.list("services").len());
        argument.set(&mut service, &["name"], scheme.clone(), text_node(name, scheme.clone()));
        argument.set(&mut service, &["addr"], addr_span.clone(), text_node(addr.clone(), addr_span.clone()));
        for (section, kind) in [("handler", &handler), ("listener", &listener)] {
            argument.set(&mut service, &[section, "type"], scheme.clone(), text_node(kind.clone(), scheme.clone()));
        }
        if has_chain {
            // What is accepted at the far end of the chain has come its way already.
            let section = if matches!(listener.as_str(), "rtcp" | "rudp") { "listener" } else { "handler" };
            argument.set(&mut service, &[section, "chain"], scheme.clone(), text_node(CHAIN.into(), scheme));
        }
        let own: &[String] = match (addrs.len(), targets.len()) {
            (1, _) | (_, 1) => &targets,
            _ => targets.get(index..=index).unwrap_or_default(),
        };
        forward(&argument, &mut service, own, is_unix);
        argument.credentials(&mut service, &["handler", "auth"], Credentials::Parameter);
        for (key, name, parameter) in &references {
            argument.set(&mut service, &[key], parameter.key.clone(), name.clone());
        }
        parameters(&argument, &mut service);
        root.list("services").push(service);
    }
}

fn forward(argument: &Argument<'_>, service: &mut Node, targets: &[String], is_unix: bool) {
    if targets.is_empty() {
        return;
    }
    let span = argument.url.path.clone();
    let node = |value| argument.node(span.clone(), value);
    let nodes = targets.iter().enumerate().map(|(index, target)| {
        let mut entry = argument.map();
        let name = Value::Text(format!("target-{index}"));
        argument.set(&mut entry, &["name"], span.clone(), node(name));
        argument.set(&mut entry, &["addr"], span.clone(), node(Value::Text(target.clone())));
        if is_unix {
            argument.set(&mut entry, &["network"], span.clone(), node(Value::Text("unix".into())));
        }
        entry
    });
    argument.set(service, &["forwarder", "nodes"], span.clone(), node(Value::List(nodes.collect())));
}

fn parameters(argument: &Argument<'_>, service: &mut Node) {
    for parameter in argument.parameters() {
        let value = || argument.value_of(&parameter);
        let key = parameter.key.clone();
        match parameter.folded.as_str() {
            "auth" => {}
            folded if objects::is_object(folded) => {}
            "retries" => argument.set(service, &["handler", "retries"], key, value()),
            folded if SERVICE_ONLY.contains(&folded) => {
                argument.set(service, &["metadata", &parameter.name], key, value());
            }
            // GOST: `secure` and `serverName` are for `-F`.
            "secure" | "servername" => spread(argument, service, &parameter),
            _ if argument.tls(service, &["listener", "tls"], &parameter) => {}
            _ if argument.selector(service, &["forwarder", "selector"], &parameter) => {}
            _ => spread(argument, service, &parameter),
        }
    }
    argument.selector_default(service, &["forwarder", "selector"]);
}

/// GOST: what isn't anything else is metadata of the service, its handler and its listener, unless a prefix says which.
fn spread(argument: &Argument<'_>, service: &mut Node, parameter: &super::argument::Parameter) {
    if let Some((section @ ("service" | "handler" | "listener"), name)) = parameter.name.split_once('.') {
        let path: &[&str] = if section == "service" { &["metadata", name] } else { &[section, "metadata", name] };
        return argument.set(service, path, parameter.key.clone(), argument.value_of(parameter));
    }
    argument.spread(service, &[&["handler", "metadata"], &["listener", "metadata"], &["metadata"]], parameter);
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
    let (handler, listener) = (is_handler(scheme), is_listener(scheme));
    let handler = if handler || !listener { scheme } else { "auto" };
    let listener = match (listener, scheme) {
        (true, _) => scheme,
        (false, "ssu") => "udp",
        (false, _) => "tcp",
    };
    (handler.to_owned(), listener.to_owned())
}

/// `host:80-82` as one address for each port. What isn't a range stays as it is.
fn ports(addr: &str) -> Vec<String> {
    match range(addr) {
        Some((host, ports)) => ports.map(|port| format!("{host}:{port}")).collect(),
        None => vec![addr.to_owned()],
    }
}

fn range(addr: &str) -> Option<(&str, RangeInclusive<u16>)> {
    let (host, ports) = addr.rsplit_once(':')?;
    let (first, last) = ports.split_once('-')?;
    let (first, last) = (first.parse::<u16>().ok()?, last.parse::<u16>().ok()?);
    (first > 0 && first <= last).then_some((host, first..=last))
}

/// The targets of a path: separated by commas, each possibly with a range of ports.
fn targets(path: &str) -> Vec<String> {
    let targets = path.trim_matches('/').split(',').filter(|target| !target.is_empty());
    targets.flat_map(ports).take(MOST).collect()
}
