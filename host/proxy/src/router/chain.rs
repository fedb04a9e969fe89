//! [`Chain`]: hops in a row, and a connection through their nodes.

use std::sync::Arc;

use drawspan_modules::{ClientId, Hosts, Resolver};
use drawspan_wire::http1::HostPort;
use tokio::time::Instant;

use super::hop::{Hop, Leg};
use super::marker::{Attempt, FailFilter, Marker};
use super::names::resolve;
use super::node::{Node, NodeAddr, proxy_header};
use super::selector::{Candidate, Selector};
use super::{Association, DialReason, Upstream};
use crate::Direct;
use crate::net::Buffered;

/// Hops in a row.
pub struct Chain {
    /// For logs.
    pub name: String,
    /// The first is the nearest.
    pub hops: Vec<Arc<Hop>>,
    marker: Marker,
}

impl Chain {
    /// With those hops.
    #[must_use]
    pub fn new(name: String, hops: Vec<Arc<Hop>>) -> Self {
        Self { name, hops, marker: Marker::default() }
    }
}

/// Chains, one of which carries a request.
pub struct ChainGroup {
    /// In the config's order.
    pub chains: Vec<Arc<Chain>>,
    /// Chooses.
    pub selector: Selector,
    /// When a chain counts as failed.
    pub fail_filter: FailFilter,
}

/// Which way connections go.
#[derive(Clone, Default)]
pub enum Route {
    /// From this machine.
    #[default]
    Direct,
    /// Through a chain.
    Chain(Arc<Chain>),
    /// Through one of several.
    Group(Arc<ChainGroup>),
}

/// A chain of a group, for its selector.
struct Member<'g>(&'g Arc<Chain>, FailFilter);

impl Candidate for Member<'_> {
    fn marker(&self) -> &Marker {
        &self.0.marker
    }

    fn fail_filter(&self) -> FailFilter {
        self.1
    }

    fn weight(&self) -> u32 {
        1
    }

    fn is_backup(&self) -> bool {
        false
    }

    fn priority(&self) -> i64 {
        0
    }
}

impl Route {
    /// Connects along the route.
    pub(crate) async fn connect(
        &self,
        leg: Leg<'_>,
        direct: &Direct,
        deadline: Instant,
    ) -> Result<Upstream, DialReason> {
        let way = self.choose(leg).await?;
        let attempt = way.chain.map(|chain| Attempt::of(&chain.marker));
        let Reached { last, mut route } = way.reach(leg, direct, deadline).await?;
        let conn = match last {
            None => Buffered::new(direct.connect(leg.address, deadline).await?),
            Some((conn, node)) => ask(node, conn, leg.address).await?,
        };
        if let Some(attempt) = attempt {
            attempt.succeeded();
        }
        route.push_str(&leg.address.to_string());
        Ok(Upstream { conn, route })
    }

    /// A way for datagrams along the route.
    pub(crate) async fn associate(
        &self,
        leg: Leg<'_>,
        direct: &Direct,
        deadline: Instant,
    ) -> Result<Association, DialReason> {
        let way = self.choose(leg).await?;
        let attempt = way.chain.map(|chain| Attempt::of(&chain.marker));
        let Reached { last, route } = way.reach(leg, direct, deadline).await?;
        let datagrams = match last {
            None => direct.associate()?,
            Some((conn, node)) => node.connector.associate(conn).await.map_err(|error| failed(node, error))?,
        };
        if let Some(attempt) = attempt {
            attempt.succeeded();
        }
        Ok(Association { datagrams, route })
    }

    /// The nodes that a request goes through.
    async fn choose(&self, leg: Leg<'_>) -> Result<Way<'_>, DialReason> {
        let chain = match self {
            Self::Direct => None,
            Self::Chain(chain) => Some(chain),
            Self::Group(group) => {
                let members = group.chains.iter().map(|chain| Member(chain, group.fail_filter)).collect();
                group.selector.select(members, leg.key).map(|Member(chain, _)| chain)
            }
        };
        let mut nodes = Vec::new();
        for hop in chain.iter().flat_map(|chain| &chain.hops) {
            // An honest "no node" ends the chain here: a bypass of a hop means just that.
            let Some(node) = hop.select(leg).await? else { break };
            nodes.push(node);
        }
        Ok(Way { chain: chain.map(|chain| &**chain), nodes })
    }
}

/// The nodes that a request goes through; none means directly.
struct Way<'r> {
    chain: Option<&'r Chain>,
    nodes: Vec<Arc<Node>>,
}

/// A connection to the last node, ready to be asked for more, and what to write before the target into records.
struct Reached<'w> {
    last: Option<(Buffered, &'w Node)>,
    route: String,
}

impl Way<'_> {
    async fn reach(&self, leg: Leg<'_>, direct: &Direct, deadline: Instant) -> Result<Reached<'_>, DialReason> {
        let mut last: Option<(Buffered, &Node)> = None;
        let mut route = String::new();
        for node in &self.nodes {
            let attempt = Attempt::of(&node.marker);
            last = Some((reach(last, node, leg, direct, deadline).await?, node));
            attempt.succeeded();
            route.push_str(&format!("{node} > "));
        }
        Ok(Reached { last, route })
    }
}

/// A connection to `node`, ready to be asked for more: through the node before it, if there is one.
async fn reach(
    before: Option<(Buffered, &Node)>,
    node: &Node,
    leg: Leg<'_>,
    direct: &Direct,
    deadline: Instant,
) -> Result<Buffered, DialReason> {
    let addr = node_addr(node, Some(leg.wanted.client)).await?;
    let conn = match (before, &addr) {
        (None, addr) => {
            Buffered::new(node.dialer.dial(direct, addr, deadline).await.map_err(|reason| failed(node, reason))?)
        }
        (Some((conn, before)), NodeAddr::Inet(address)) => ask(before, conn, address).await?,
        (Some(_), NodeAddr::Unix(_)) => {
            return Err(failed(node, "a unix socket can't be reached through another node"));
        }
    };
    if let Some(version) = node.proxy_protocol {
        let header = proxy_header(version, leg.wanted.info);
        conn.stream.write_all(&header).await.map_err(|error| failed(node, error))?;
    }
    node.dialer.handshake(conn).await.map_err(|error| failed(node, error))
}

async fn ask(node: &Node, conn: Buffered, target: &HostPort) -> Result<Buffered, DialReason> {
    node.connector.connect(conn, target).await.map_err(|error| failed(node, error))
}

/// The node's address, its name resolved by its own hosts and resolver.
async fn node_addr(node: &Node, client: Option<&ClientId>) -> Result<NodeAddr, DialReason> {
    let (hosts, resolver): (Option<&Hosts>, Option<&Resolver>) = (node.hosts.as_ref(), node.resolver.as_ref());
    match &node.addr {
        NodeAddr::Inet(address) => Ok(NodeAddr::Inet(resolve(hosts, resolver, address, client).await?)),
        NodeAddr::Unix(path) => Ok(NodeAddr::Unix(path.clone())),
    }
}

fn failed(node: &Node, reason: impl ToString) -> DialReason {
    DialReason::Node { node: node.to_string(), reason: reason.to_string() }
}
