//! [`Node`]: a proxy on the way to targets.

use std::fmt;
use std::path::PathBuf;

use drawspan_modules::{Addr, Bypass, ConnInfo, Hosts, Resolver};
use drawspan_wire::http1::HostPort;
use drawspan_wire::proxy_protocol::{self, Addresses, Version};

use super::hop::Seen;
use super::http::NodeHttp;
use super::marker::{FailFilter, Marker};
use super::rule::Rule;
use super::selector::Candidate;
use crate::Direct;
use crate::connector::Connector;
use crate::dialer::Dialer;
use crate::dns::Server;
use crate::tls::TlsClient;

/// A proxy on the way to targets, or an end of it that a forwarder has.
pub struct Node {
    /// For logs and records.
    pub name: String,
    /// Where it is.
    pub addr: NodeAddr,
    /// How it is asked to connect further.
    pub connector: Connector,
    /// How it is connected to.
    pub dialer: Dialer,
    /// How that connection leaves this machine, if nothing carries it; `None`: as the router's own do.
    pub direct: Option<Direct>,
    /// Which targets it doesn't carry.
    pub bypass: Option<Bypass>,
    /// Names of `addr`.
    pub hosts: Option<Hosts>,
    /// Resolves names of `addr`.
    pub resolver: Option<Resolver>,
    /// Which requests it is for; all of them if `None`.
    pub rule: Option<Rule>,
    /// What becomes of HTTP messages that are forwarded to it.
    pub http: Option<NodeHttp>,
    /// TLS towards it for clients that speak plain HTTP.
    pub tls: Option<TlsClient>,
    /// What it is asked as by a dns handler.
    pub nameserver: Option<Server>,
    /// Of several nodes that would do, those with the highest go first.
    pub priority: i64,
    /// For [`Strategy::Random`](super::Strategy::Random); 0 is 1.
    pub weight: u32,
    /// Only for when no other is left.
    pub backup: bool,
    /// The PROXY header that it is sent, in front of everything.
    pub proxy_protocol: Option<Version>,
    /// When it counts as failed.
    pub fail_filter: FailFilter,
    /// What happened to it lately.
    pub(crate) marker: Marker,
}

/// Where a node is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum NodeAddr {
    /// A host and a port.
    Inet(HostPort),
    /// The path of a unix socket.
    Unix(PathBuf),
}

impl Node {
    /// A node for everything, without name, modules and history.
    #[must_use]
    pub fn new(addr: NodeAddr, connector: Connector, dialer: Dialer) -> Self {
        Self {
            name: String::new(),
            addr,
            connector,
            dialer,
            direct: None,
            bypass: None,
            hosts: None,
            resolver: None,
            rule: None,
            http: None,
            tls: None,
            nameserver: None,
            priority: 0,
            weight: 1,
            backup: false,
            proxy_protocol: None,
            fail_filter: FailFilter::default(),
            marker: Marker::default(),
        }
    }

    /// Whether it is for such a connection.
    pub(crate) async fn fits(&self, info: &ConnInfo, seen: &Seen<'_>) -> bool {
        match &self.rule {
            Some(rule) => rule.matches(seen.facts(info)).await,
            None => true,
        }
    }
}

impl Node {
    /// Whether datagrams to it are all that it takes to have them passed on.
    pub(crate) fn forwards_datagrams(&self) -> bool {
        matches!((&self.dialer, &self.connector), (Dialer::Udp, Connector::Forward))
    }
}

/// A PROXY header that tells of a client's connection.
pub(crate) fn proxy_header(version: Version, info: &ConnInfo) -> Vec<u8> {
    let addresses = match (&info.client, &info.local) {
        (Addr::Inet(source), Addr::Inet(destination)) => Some(Addresses { source: *source, destination: *destination }),
        _ => None,
    };
    proxy_protocol::encode(version, addresses)
}

impl fmt::Display for NodeAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inet(address) => address.fmt(f),
            Self::Unix(path) => path.display().fmt(f),
        }
    }
}

/// `name@addr`, as in records.
impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.name, self.addr)
    }
}

impl Candidate for std::sync::Arc<Node> {
    fn marker(&self) -> &Marker {
        &self.marker
    }

    fn fail_filter(&self) -> FailFilter {
        self.fail_filter
    }

    fn weight(&self) -> u32 {
        self.weight
    }

    fn is_backup(&self) -> bool {
        self.backup
    }

    fn priority(&self) -> i64 {
        self.priority
    }
}
