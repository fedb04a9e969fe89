//! Nodes: proxies of a hop, targets of a forwarder.

mod connector;
mod dialer;
mod http;

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

pub(crate) use connector::is_known as is_connector;
pub use connector::{Connector, ConnectorKind, HttpConnector, Socks5Connector, TunnelConnector};
pub use dialer::{Dialer, WsDialer};
pub(crate) use dialer::{is_known as is_dialer, url_path};
pub use http::{BodyRewrite, MediaTypes, NodeHttp, Rewrite, UrlRewrite};

use crate::At;
use crate::address::host_port;
use crate::decode::{Context, Item, Kind, Object, Unknown};
use crate::hosts::HostPattern;
use crate::network::{self, Egress, ProxyVersion};
use crate::resolver::{self, HostAndPort, NameserverAddr};
use crate::rule::{self, Matcher};
use crate::tls::{self, ClientTls};

/// A proxy of a hop, or a target of a forwarder.
#[derive(Clone, Debug)]
pub struct Node {
    /// For records and logs; its address when it has none.
    pub name: String,
    /// Where it is.
    pub addr: At<NodeAddr>,
    /// What a target is dialled as; none: as the connection that is forwarded. Unix exactly when the address is a path.
    pub network: Option<NodeNetwork>,
    /// Names of bypasses; a target that they contain isn't sent here.
    pub bypasses: Vec<At<String>>,
    /// The resolver for `addr`; the hop's unless the node has one.
    pub resolver: Option<At<String>>,
    /// The hosts for `addr`; the hop's unless the node has one.
    pub hosts: Option<At<String>>,
    /// The protocol that is spoken with a proxy. Means nothing for a target.
    pub connector: Connector,
    /// The transport to a proxy. Means nothing for a target.
    pub dialer: Dialer,
    /// How connections to it leave; the hop's unless the node has one.
    pub egress: Egress,
    /// The PROXY header that is sent to it; the hop's unless the node has one.
    pub proxy_protocol: Option<ProxyVersion>,
    /// What it is for; ignored when there is a `matcher`.
    pub filter: Option<NodeFilter>,
    /// What it is for.
    pub matcher: Option<Matcher>,
    /// What becomes of HTTP messages that are forwarded to it.
    pub http: Option<Box<NodeHttp>>,
    /// TLS towards an origin whose client spoke plain HTTP, or towards a nameserver. None for a nameserver: as
    /// [`NameserverAddr::is_verified`] says.
    pub tls: Option<ClientTls>,
    /// How a target of a dns handler is asked, and only that.
    pub nameserver: Option<NameserverAddr>,
    /// For [`crate::Strategy::Random`]. Default 1, at least 1.
    pub weight: u32,
    /// Used only when no other is healthy.
    pub backup: bool,
    /// In place of the selector's.
    pub max_fails: Option<u32>,
    /// In place of the selector's.
    pub fail_timeout: Option<Duration>,
}

/// Where a [`Node`] is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum NodeAddr {
    /// On the network.
    Inet {
        /// Name or IP address without brackets; may be empty for [`ConnectorKind::Direct`].
        host: String,
        /// 0 when a target has none, or for [`ConnectorKind::Direct`].
        port: u16,
    },
    /// A unix socket.
    Unix(PathBuf),
}

/// What a target is dialled as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum NodeNetwork {
    Tcp,
    Udp,
    Unix,
}

/// `filter` of a node: all that is there must match. What isn't known of a request doesn't match.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeFilter {
    /// The sniffed protocol: `http`, `tls`, `ssh`.
    pub protocol: Option<String>,
    /// The sniffed host, without its port.
    pub host: Option<HostPattern>,
    /// The path starts with this.
    pub path: Option<String>,
}

/// What is inherited from a hop.
#[derive(Clone, Debug, Default)]
pub(crate) struct Inherited {
    pub(crate) resolver: Option<At<String>>,
    pub(crate) hosts: Option<At<String>>,
    pub(crate) egress: Egress,
    pub(crate) proxy_protocol: Option<ProxyVersion>,
}

/// What a node is a node of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Proxy,
    Target,
    /// A target of a dns handler.
    Nameserver,
}

impl fmt::Display for NodeAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inet { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Inet { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

const NETWORKS: [(&str, NodeNetwork); 3] =
    [("tcp", NodeNetwork::Tcp), ("udp", NodeNetwork::Udp), ("unix", NodeNetwork::Unix)];

pub(crate) fn decode(item: &Item<'_>, role: Role, inherited: &Inherited, cx: &mut Context) -> Option<Node> {
    let mut object = Object::new(item, cx)?;
    // A plugin's own idea of the node's identity.
    object.take("id");
    let name = object.text("name", cx);
    let network = object.take("network").filter(|item| !item.node.value.is_zero());
    let network = network.and_then(|item| item.choice("network", &NETWORKS, cx));
    let mut metadata = object.section("metadata", cx);
    let own = network::egress(&mut object, &mut metadata, cx);
    let is_proxy = role == Role::Proxy;
    let dialer_item = if is_proxy { object.take("dialer") } else { None };
    let connector_item = if is_proxy { object.take("connector") } else { None };
    let is_unix = network == Some(NodeNetwork::Unix) || dialer_item.as_ref().is_some_and(dialer::is_unix);
    let is_direct = connector_item.as_ref().is_some_and(connector::is_direct);
    let mut nameserver = None;
    let addr = match object.take("addr").filter(|item| !item.node.value.is_zero()) {
        Some(item) if role == Role::Nameserver => item.checked(cx, resolver::parse).map(|found| {
            let HostAndPort { host, port } = found.at();
            nameserver = Some(found.value);
            item.at(NodeAddr::Inet { host, port })
        }),
        Some(item) => addr(&item, is_unix, !is_proxy || is_direct, cx),
        None if is_direct => Some(object.at(NodeAddr::Inet { host: String::new(), port: 0 })),
        None => object.missing("addr", cx),
    };
    let host = match addr.as_deref() {
        Some(NodeAddr::Inet { host, .. }) => host.clone(),
        _ => String::new(),
    };
    let node_tls = object.take("tls").and_then(|item| tls::client(Some(&item), &host, cx));
    let connector = connector::decode(connector_item.as_ref(), &host, cx);
    let dialer = dialer::decode(dialer_item.as_ref(), &host, cx);
    let matcher = object.take("matcher").and_then(|item| rule::decode(&item, cx));
    let filter = filter(&mut object, role, cx);
    let node = Node {
        name: name.or(addr.as_ref().map(|addr| addr.to_string())).unwrap_or_default(),
        network: if is_unix { Some(NodeNetwork::Unix) } else { network },
        bypasses: object.guards("bypass", "bypasses", Kind::Bypass, cx),
        resolver: object.reference("resolver", Kind::Resolver, cx).or_else(|| inherited.resolver.clone()),
        hosts: object.reference("hosts", Kind::Hosts, cx).or_else(|| inherited.hosts.clone()),
        egress: Egress {
            interfaces: if own.interfaces.is_empty() { inherited.egress.interfaces.clone() } else { own.interfaces },
            mark: own.mark.or(inherited.egress.mark),
        },
        proxy_protocol: network::proxy_version(&mut metadata, cx).or(inherited.proxy_protocol),
        filter: filter.filter(|_| matcher.is_none()),
        matcher,
        http: http::decode(&mut object, role, cx).map(Box::new),
        tls: node_tls,
        nameserver,
        weight: metadata.integer("weight", 1..=1_000_000, cx).unwrap_or(1),
        backup: metadata.flag("backup", cx),
        max_fails: metadata.integer("maxFails", 1..=1_000_000, cx),
        fail_timeout: metadata.seconds("failTimeout", cx),
        addr: addr?,
        connector: connector?,
        dialer: dialer?,
    };
    metadata.finish(&["netns"], Unknown::Warn, cx);
    object.finish(&["netns", "probe"], Unknown::Warn, cx);
    warn_unverified(&node, &item.path, cx);
    Some(node)
}

/// The nameservers of a list, or of a text with commas between them.
pub(crate) fn nameservers(item: &Item<'_>, cx: &mut Context) -> Vec<Node> {
    let addrs = item.each(cx, resolver::parse);
    let nodes = addrs.into_iter().enumerate().filter_map(|(index, addr)| {
        let HostAndPort { host, port } = addr.value.at();
        let node = Node {
            name: format!("target-{index}"),
            addr: At { value: NodeAddr::Inet { host, port }, place: addr.place },
            network: None,
            bypasses: Vec::new(),
            resolver: None,
            hosts: None,
            connector: connector::decode(None, "", cx)?,
            dialer: dialer::decode(None, "", cx)?,
            egress: Egress::default(),
            proxy_protocol: None,
            filter: None,
            matcher: None,
            http: None,
            tls: None,
            nameserver: Some(addr.value),
            weight: 1,
            backup: false,
            max_fails: None,
            fail_timeout: None,
        };
        warn_unverified(&node, &item.path, cx);
        Some(node)
    });
    nodes.collect()
}

fn warn_unverified(node: &Node, path: &str, cx: &mut Context) {
    let Some(nameserver) = node.nameserver.as_ref().filter(|nameserver| nameserver.is_tls()) else { return };
    if !node.tls.as_ref().map_or(nameserver.is_verified(), |tls| tls.secure) {
        let help = "set `tls: {secure: true}` of the node, and `serverName` if its certificate is for another name";
        cx.push(resolver::unverified(&node.addr, path, help));
    }
}

/// The address of a node: `host:port`, or with `port_optional` just `host`; or a path.
fn addr(item: &Item<'_>, is_unix: bool, port_optional: bool, cx: &mut Context) -> Option<At<NodeAddr>> {
    if is_unix {
        let allowed = item.is_allowed("unix sockets", cx);
        return item.text(cx).filter(|_| allowed).map(|path| item.at(NodeAddr::Unix(item.in_folder(&path))));
    }
    item.parsed("a host and a port", cx, |text| match host_port(text)? {
        (host, Some(port)) if (!host.is_empty() && port > 0) || port_optional => Some(NodeAddr::Inet { host, port }),
        (host, None) if port_optional && !host.is_empty() => Some(NodeAddr::Inet { host, port: 0 }),
        _ => None,
    })
}

/// `filter`, and for a target the old spelling of its keys beside it.
fn filter(object: &mut Object<'_>, role: Role, cx: &mut Context) -> Option<NodeFilter> {
    let mut block = object.section("filter", cx);
    let mut filter = NodeFilter::default();
    for object in [(role != Role::Proxy).then_some(object), Some(&mut block)].into_iter().flatten() {
        let protocol = object.text("protocol", cx).map(|protocol| protocol.to_lowercase());
        filter.protocol = protocol.or(filter.protocol);
        let host = object.take("host").filter(|item| !item.node.value.is_zero());
        filter.host = host.and_then(|item| item.checked(cx, HostPattern::parse)).map(|at| at.value).or(filter.host);
        filter.path = object.text("path", cx).or(filter.path);
    }
    block.finish(&[], Unknown::Warn, cx);
    (filter != NodeFilter::default()).then_some(filter)
}
