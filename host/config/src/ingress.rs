//! `ingresses[]`: tunnels of public host names.

use std::str::FromStr;

use uuid::Uuid;

use crate::At;
use crate::decode::{Context, Item, Kind, LOADERS, Object, Unknown};
use crate::hosts::HostPattern;
use crate::plugin::Plugin;

/// Maps public host names to tunnels.
#[derive(Clone, Debug)]
pub struct Ingress {
    /// Unique among ingresses.
    pub name: At<String>,
    /// How it maps.
    pub kind: IngressKind,
}

/// The forms of an [`Ingress`].
#[derive(Clone, Debug)]
pub enum IngressKind {
    /// A table; of several rules for one name the last counts.
    Rules(Vec<IngressRule>),
    /// A plugin.
    Plugin(Box<Plugin>),
}

/// A host name and its tunnel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IngressRule {
    /// The name, or all names below one.
    pub hostname: HostPattern,
    /// Its tunnel.
    pub endpoint: TunnelEndpoint,
}

/// A tunnel, as rules name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TunnelEndpoint {
    /// The tunnel's id; never nil.
    pub tunnel: Uuid,
    /// Written with `$` in front: only for those who know the tunnel's id.
    pub private: bool,
}

impl FromStr for TunnelEndpoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (private, id) = text.strip_prefix('$').map_or((false, text), |id| (true, id));
        Ok(Self { tunnel: tunnel_id(id)?, private })
    }
}

/// The id of a tunnel. GOST: takes anything else for all zeros, where nothing is reached.
pub(crate) fn tunnel_id(text: &str) -> Result<Uuid, String> {
    match Uuid::parse_str(text) {
        Ok(id) if !id.is_nil() => Ok(id),
        _ => Err(format!("`{text}` is not the id of a tunnel, such as 4d21094e-b74c-4916-86c1-d9fa36ea677b")),
    }
}

pub(crate) fn decode(item: &Item<'_>, cx: &mut Context) -> Option<Ingress> {
    let mut object = Object::new(item, cx)?;
    let name = object.named(Kind::Ingress, cx);
    let kind = match object.plugin(&["rules", "reload", "file", "redis", "http"], cx) {
        Some(plugin) => plugin.map(IngressKind::Plugin),
        None => {
            let items = object.take("rules").map(|item| item.elements(cx)).unwrap_or_default();
            Some(IngressKind::Rules(items.iter().filter_map(|item| rule(item, cx)).collect()))
        }
    };
    object.finish(&LOADERS, Unknown::Warn, cx);
    Some(Ingress { name: name?, kind: kind? })
}

/// GOST: skips a rule without a name or an endpoint.
fn rule(item: &Item<'_>, cx: &mut Context) -> Option<IngressRule> {
    let mut object = Object::new(item, cx)?;
    let hostname = match object.take("hostname") {
        Some(item) => item.checked(cx, HostPattern::parse),
        None => object.missing("hostname", cx),
    };
    let endpoint = match object.take("endpoint") {
        Some(item) => item.checked(cx, str::parse),
        None => object.missing("endpoint", cx),
    };
    object.finish(&[], Unknown::Warn, cx);
    Some(IngressRule { hostname: hostname?.value, endpoint: endpoint?.value })
}
