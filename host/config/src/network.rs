//! How outgoing connections leave, and PROXY protocol headers.

use std::net::IpAddr;

use crate::decode::{Context, Item, Object};

/// How outgoing connections leave this machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Egress {
    /// Tried in order until one connects; empty leaves it to the system.
    pub interfaces: Vec<Interface>,
    /// `SO_MARK`, never 0.
    pub mark: Option<u32>,
}

/// Where an outgoing connection starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Name or address.
    pub source: InterfaceSource,
    /// Written with a `!` at its end: after it no other is tried, unless it has no address of the target's family.
    pub strict: bool,
}

/// The forms of an [`Interface`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InterfaceSource {
    /// A network interface; sockets are bound to the device.
    Name(String),
    /// An address of this machine.
    Addr(IpAddr),
}

/// The version of a PROXY protocol header that is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyVersion {
    /// Text.
    V1,
    /// Binary.
    V2,
}

/// Reads `interface`, `sockopts` and what `metadata` says about the same, which wins.
pub(crate) fn egress(object: &mut Object<'_>, metadata: &mut Object<'_>, cx: &mut Context) -> Egress {
    let outer = object.take("interface");
    let inner = metadata.take("interface");
    let interfaces = inner.or(outer).map(|item| interfaces(&item, cx)).unwrap_or_default();
    let mut sockopts = object.section("sockopts", cx);
    let outer = mark(&mut sockopts, "mark", cx);
    sockopts.finish(&[], crate::decode::Unknown::Warn, cx);
    let mark = mark(metadata, "so_mark", cx).or(outer);
    Egress { interfaces, mark }
}

fn mark(object: &mut Object<'_>, key: &'static str, cx: &mut Context) -> Option<u32> {
    let item = object.take(key).filter(|item| !item.node.value.is_zero())?;
    if item.is_allowed("a socket mark", cx) { item.integer(0..=u32::MAX, cx) } else { None }.filter(|mark| *mark != 0)
}

fn interfaces(item: &Item<'_>, cx: &mut Context) -> Vec<Interface> {
    let names = item.names(cx);
    if names.is_empty() || !item.is_allowed("an interface", cx) {
        return Vec::new();
    }
    let mut interfaces = Vec::new();
    for name in names {
        let (source, strict) = match name.strip_suffix('!') {
            Some(source) => (source, true),
            None => (name.as_str(), false),
        };
        if source.is_empty() || source == "auto" {
            let what = if source.is_empty() { "expected a name or an address" } else { "`auto` is not implemented" };
            cx.push(item.error(what));
            continue;
        }
        let source = source.parse().map_or_else(|_| InterfaceSource::Name(source.to_owned()), InterfaceSource::Addr);
        interfaces.push(Interface { source, strict });
    }
    interfaces
}

/// Reads the version of a PROXY header to send; 0 is none.
pub(crate) fn proxy_version(object: &mut Object<'_>, cx: &mut Context) -> Option<ProxyVersion> {
    match object.take("proxyProtocol")?.integer(0..=2, cx)? {
        1 => Some(ProxyVersion::V1),
        2 => Some(ProxyVersion::V2),
        _ => None,
    }
}
