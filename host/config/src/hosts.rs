//! `hosts[]`: addresses of host names.

use std::net::IpAddr;

use crate::At;
use crate::decode::{Context, Item, Kind, LOADERS, Object, Unknown};
use crate::plugin::Plugin;

/// Maps host names to addresses.
#[derive(Clone, Debug)]
pub struct Hosts {
    /// Unique among hosts.
    pub name: At<String>,
    /// How it maps.
    pub kind: HostsKind,
}

/// The forms of [`Hosts`].
#[derive(Clone, Debug)]
pub enum HostsKind {
    /// A table; several mappings may share a name, whose addresses are then used in order.
    Mappings(Vec<HostMapping>),
    /// A plugin.
    Plugin(Box<Plugin>),
}

/// One address and its names.
#[derive(Clone, Debug)]
pub struct HostMapping {
    /// What the names mean.
    pub ip: IpAddr,
    /// `hostname`, then `aliases` (which GOST ignores).
    pub names: Vec<At<HostPattern>>,
}

/// A host name, or all names below one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPattern {
    /// In lower case, without a leading dot.
    pub name: String,
    /// Written with a leading dot: the name and all subdomains.
    pub subdomains: bool,
}

impl HostPattern {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let text = text.to_lowercase();
        let text = text.strip_prefix('*').filter(|rest| rest.starts_with('.')).unwrap_or(&text);
        let (name, subdomains) = match text.strip_prefix('.') {
            Some(name) => (name, true),
            None => (text, false),
        };
        let is_host = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | ':');
        match !name.is_empty() && name.chars().all(is_host) {
            true => Ok(Self { name: name.to_owned(), subdomains }),
            false => Err(format!("`{text}` is not a host name")),
        }
    }
}

pub(crate) fn decode(item: &Item<'_>, cx: &mut Context) -> Option<Hosts> {
    let mut object = Object::new(item, cx)?;
    let name = object.named(Kind::Hosts, cx);
    let kind = match object.plugin(&["mappings", "reload", "file", "redis", "http"], cx) {
        Some(plugin) => plugin.map(HostsKind::Plugin),
        None => {
            let items = object.take("mappings").map(|item| item.elements(cx)).unwrap_or_default();
            Some(HostsKind::Mappings(items.iter().filter_map(|item| mapping(item, cx)).collect()))
        }
    };
    object.finish(&LOADERS, Unknown::Warn, cx);
    Some(Hosts { name: name?, kind: kind? })
}

/// GOST: skips a mapping without an address or name.
fn mapping(item: &Item<'_>, cx: &mut Context) -> Option<HostMapping> {
    let mut object = Object::new(item, cx)?;
    let ip = match object.take("ip") {
        Some(item) => item.parsed("an IP address", cx, |text| text.parse().ok()),
        None => object.missing("ip", cx),
    };
    let name = object.take("hostname").filter(|item| !item.node.value.is_zero());
    if name.is_none() {
        object.missing::<()>("hostname", cx);
    }
    let names = [name, object.take("aliases")];
    let names = names.iter().flatten().flat_map(|item| item.each(cx, HostPattern::parse)).collect();
    object.finish(&[], Unknown::Warn, cx);
    Some(HostMapping { ip: ip?.value, names })
}
