//! `routers[]`: IP routes.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::At;
use crate::decode::{Context, Item, Kind, LOADERS, Object, Unknown};
use crate::pattern::net;
use crate::plugin::Plugin;

/// Knows gateways of IP networks.
#[derive(Clone, Debug)]
pub struct Router {
    /// Unique among routers. One whose name is the id of a router (a UUID) is asked first about that router's packets.
    pub name: At<String>,
    /// How it knows them.
    pub kind: RouterKind,
}

/// The forms of a [`Router`].
#[derive(Clone, Debug)]
pub enum RouterKind {
    /// A table; the first route that has a destination in it counts.
    Routes(Vec<Route>),
    /// A plugin.
    Plugin(Box<Plugin>),
}

/// A network and its gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// With no bits set behind its prefix.
    pub net: IpNet,
    /// A name or an IP address; not empty.
    pub gateway: String,
}

impl Route {
    /// The gateway, if it is an IP address of the network's family: the system can have such a route.
    #[must_use]
    pub fn next_hop(&self) -> Option<IpAddr> {
        self.gateway.parse().ok().filter(|ip: &IpAddr| ip.is_ipv4() == self.net.addr().is_ipv4())
    }
}

pub(crate) fn decode(item: &Item<'_>, cx: &mut Context) -> Option<Router> {
    let mut object = Object::new(item, cx)?;
    let name = object.named(Kind::Router, cx);
    let kind = match object.plugin(&["routes", "reload", "file", "redis", "http"], cx) {
        Some(plugin) => plugin.map(RouterKind::Plugin),
        None => {
            let items = object.take("routes").map(|item| item.elements(cx)).unwrap_or_default();
            Some(RouterKind::Routes(items.iter().filter_map(|item| route(item, cx)).collect()))
        }
    };
    object.finish(&LOADERS, Unknown::Warn, cx);
    Some(Router { name: name?, kind: kind? })
}

/// GOST: skips a route without a network or gateway, and has routes that no packet takes.
fn route(item: &Item<'_>, cx: &mut Context) -> Option<Route> {
    let mut object = Object::new(item, cx)?;
    let old = object.take("net").filter(|item| !item.node.value.is_zero());
    let new = object.take("dst").filter(|item| !item.node.value.is_zero());
    let net = match new.or(old) {
        Some(item) => item.parsed(NET, cx, net),
        None => object.missing("dst", cx),
    };
    let gateway = object.text("gateway", cx);
    if gateway.is_none() {
        object.missing::<()>("gateway", cx);
    }
    object.finish(&[], Unknown::Warn, cx);
    Some(Route { net: net?.value.trunc(), gateway: gateway? })
}

/// What a network is written like.
pub(crate) const NET: &str = "a network such as `10.0.0.0/8`, or an IP address";
