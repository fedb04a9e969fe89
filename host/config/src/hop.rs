//! `hops[]`: nodes of which one is used.

use crate::At;
use crate::decode::{Context, Item, Kind, LOADERS, Object, Unknown};
use crate::network;
use crate::node::{self, Inherited, Node, Role};
use crate::plugin::Plugin;
use crate::selector::{self, Selector};

/// Nodes of which one is used.
#[derive(Clone, Debug)]
pub struct Hop {
    /// Unique among `hops[]`; of one that stands inside a chain or forwarder, its own or its owner's.
    pub name: At<String>,
    /// Where the nodes come from.
    pub kind: HopKind,
}

/// The forms of a [`Hop`].
#[derive(Clone, Debug)]
pub enum HopKind {
    /// A list.
    Nodes(HopNodes),
    /// A plugin; each answer is a node, read by [`crate::decode_node`].
    Plugin(Box<Plugin>),
}

/// A list of nodes and how one is chosen. What the hop says about nodes is in the nodes already.
#[derive(Clone, Debug)]
pub struct HopNodes {
    /// How one is chosen.
    pub selector: Selector,
    /// Names of bypasses; for a target that they contain the route ends before this hop.
    pub bypasses: Vec<At<String>>,
    /// The candidates. None at all: the route ends before this hop.
    pub nodes: Vec<Node>,
}

/// Reads an entry of `hops[]`.
pub(crate) fn decode(item: &Item<'_>, cx: &mut Context) -> Option<Hop> {
    let mut object = Object::new(item, cx)?;
    let name = object.named(Kind::Hop, cx);
    let hop = body(object, cx);
    Some(Hop { name: name?, kind: hop? })
}

/// Reads a hop that stands inside a chain; `default_name` is for one without a name.
pub(crate) fn inline(item: &Item<'_>, default_name: &str, cx: &mut Context) -> Option<Hop> {
    let mut object = Object::new(item, cx)?;
    let name = object.take("name").and_then(|item| item.name(cx)).unwrap_or_else(|| object.at(default_name.to_owned()));
    Some(Hop { name, kind: body(object, cx)? })
}

const BESIDE_PLUGIN: [&str; 10] =
    ["selector", "bypass", "bypasses", "resolver", "hosts", "nodes", "interface", "sockopts", "metadata", "reload"];

fn body(mut object: Object<'_>, cx: &mut Context) -> Option<HopKind> {
    let others: Vec<&'static str> = BESIDE_PLUGIN.into_iter().chain(["file", "redis", "http"]).collect();
    let kind = match object.plugin(&others, cx) {
        Some(plugin) => plugin.map(HopKind::Plugin),
        None => {
            let mut metadata = object.section("metadata", cx);
            let inherited = Inherited {
                resolver: object.reference("resolver", Kind::Resolver, cx),
                hosts: object.reference("hosts", Kind::Hosts, cx),
                egress: network::egress(&mut object, &mut metadata, cx),
                proxy_protocol: network::proxy_version(&mut metadata, cx),
            };
            metadata.finish(&["netns"], Unknown::Warn, cx);
            Some(HopKind::Nodes(HopNodes {
                selector: selector::decode(&mut object, cx),
                bypasses: object.guards("bypass", "bypasses", Kind::Bypass, cx),
                nodes: nodes(&mut object, Role::Proxy, &inherited, cx),
            }))
        }
    };
    object.finish(&LOADERS, Unknown::Warn, cx);
    kind
}

/// The `nodes` of a hop or forwarder.
pub(crate) fn nodes(object: &mut Object<'_>, role: Role, inherited: &Inherited, cx: &mut Context) -> Vec<Node> {
    let items = object.take("nodes").map(|item| item.elements(cx)).unwrap_or_default();
    items.iter().filter_map(|item| node::decode(item, role, inherited, cx)).collect()
}
