//! [`Chain`]: hops in a row, and a connection through their nodes.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, OnceLock};

use drawspan_modules::{ClientId, Hosts, Resolver};
use drawspan_wire::http1::HostPort;
use tokio::net::UnixStream;
use tokio::time::Instant;

use super::hop::{Hop, Leg};
use super::marker::{Attempt, FailFilter, Marker};
use super::names::resolve;
use super::node::{Node, NodeAddr, proxy_header};
use super::selector::{Candidate, Selector};
use super::{Association, DialReason, UdpUpstream, Upstream};
use crate::connector::Connector;
use crate::dialer::{Dialer, connect_unix};
use crate::listener::{Bound, TcpListener, UdpListener, UdpSettings};
use crate::metrics::ChainAttempt;
use crate::net::{Buffered, Datagrams};
use crate::{ChainMetrics, Direct};

/// Hops in a row.
pub struct Chain {
    /// For logs.
    pub name: String,
    /// The first is the nearest.
    pub hops: Vec<Arc<Hop>>,
    /// Where its ways are counted.
    pub metrics: Option<ChainMetrics>,
    marker: Marker,
}

impl Chain {
    /// With those hops.
    #[must_use]
    pub fn new(name: String, hops: Vec<Arc<Hop>>) -> Self {
        Self { name, hops, metrics: None, marker: Marker::default() }
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
    /// Through a chain that is told later.
    Late(Late),
}

/// A chain that isn't there yet when its user is: a nameserver's, as the nodes of chains have resolvers.
#[derive(Clone, Default)]
pub struct Late(Arc<OnceLock<Arc<Chain>>>);

impl Late {
    /// This is the chain, if there was none.
    pub fn tie(&self, chain: Arc<Chain>) {
        let _ = self.0.set(chain);
    }
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
        let attempt = way.attempt();
        let Reached { end, mut route } = way.reach(leg, direct, deadline).await?;
        let conn = match (end, leg.wanted.path()) {
            (End::Here(direct), None) => Buffered::new(direct.connect(leg.address, deadline).await?),
            (End::Here(_), Some(path)) => Buffered::new(connect_unix(path).await?),
            (End::Node(conn, node), None) => Box::pin(ask(node, conn, leg.address, leg)).await?,
            (End::Node(conn, node), Some(path)) => {
                Box::pin(node.connector.connect_unix(conn, path)).await.map_err(|error| failed(node, error))?
            }
            (End::Nowhere, _) => Buffered::new(closed()?),
        };
        attempt.into_iter().for_each(Attempt::succeeded);
        route.push_str(&leg.wanted.named(leg.address));
        Ok(Upstream { conn, route })
    }

    /// A way for datagrams to any target along the route.
    pub(crate) async fn associate(
        &self,
        leg: Leg<'_>,
        direct: &Direct,
        deadline: Instant,
    ) -> Result<Association, DialReason> {
        let way = self.choose(leg).await?;
        let attempt = way.attempt();
        let Reached { end, route } = way.reach(leg, direct, deadline).await?;
        let datagrams = match end {
            End::Here(direct) => Datagrams::Plain(direct.associate()?),
            End::Node(conn, node) => associate(node, conn, None, leg, direct).await?,
            End::Nowhere => Datagrams::Framed(Buffered::new(closed()?)),
        };
        attempt.into_iter().for_each(Attempt::succeeded);
        Ok(Association { datagrams, route })
    }

    /// A way for datagrams to one target along the route.
    pub(crate) async fn connect_udp(
        &self,
        leg: Leg<'_>,
        direct: &Direct,
        deadline: Instant,
    ) -> Result<UdpUpstream, DialReason> {
        let mut way = self.choose(leg).await?;
        let attempt = way.attempt();
        // Nodes that pass datagrams on by themselves are targets in place of the target.
        let (mut target, mut own, mut rest) = (leg.address.clone(), None, leg.address.to_string());
        while let Some(node) = way.nodes.pop_if(|node| node.forwards_datagrams()) {
            let NodeAddr::Inet(address) = node_addr(&node, Some(leg.wanted.client)).await? else {
                return Err(failed(&node, "a unix socket takes no datagrams"));
            };
            (target, own, rest) = (address, node.direct.clone(), format!("{node} > {rest}"));
        }
        let Reached { end, mut route } = way.reach(leg, direct, deadline).await?;
        if leg.wanted.network == "ip"
            && !matches!(&end, End::Node(_, node) if matches!(node.connector, Connector::Router(_)))
        {
            return Err(DialReason::OnlyRouters);
        }
        let (datagrams, target) = match end {
            End::Here(direct) => {
                let (socket, target) = own.as_ref().unwrap_or(direct).connect_udp(&target, deadline).await?;
                (Datagrams::Plain(socket), target.into())
            }
            End::Node(conn, node) => (associate(node, conn, Some(&target), leg, direct).await?, (&target).into()),
            End::Nowhere => (Datagrams::Framed(Buffered::new(closed()?)), (&target).into()),
        };
        attempt.into_iter().for_each(Attempt::succeeded);
        route.push_str(&rest);
        Ok(UdpUpstream { datagrams, target, route })
    }

    /// What the last node along the route accepts from now on at the address, or this machine if there is none.
    pub(crate) async fn bind(
        &self,
        leg: Leg<'_>,
        direct: &Direct,
        udp: Option<UdpSettings>,
        deadline: Instant,
    ) -> Result<Bound, DialReason> {
        let way = self.choose(leg).await?;
        let attempt = way.attempt();
        let bound = match way.reach(leg, direct, deadline).await?.end {
            End::Here(_) => {
                let address = leg.address.to_string();
                match udp {
                    Some(settings) => UdpListener::bind(&address, settings).await.map(Bound::Udp),
                    None => TcpListener::bind(&address).await.map(Bound::Tcp),
                }?
            }
            End::Node(conn, node) => {
                let address = if leg.address.host.is_empty() {
                    SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), leg.address.port).into()
                } else {
                    leg.address.into()
                };
                node.connector.bind(conn, address, udp).await.map_err(|error| failed(node, error))?
            }
            End::Nowhere => return Err(DialReason::Rejected),
        };
        attempt.into_iter().for_each(Attempt::succeeded);
        Ok(bound)
    }

    /// The nodes that a request goes through.
    async fn choose(&self, leg: Leg<'_>) -> Result<Way<'_>, DialReason> {
        let chain = match self {
            Self::Direct => None,
            Self::Chain(chain) => Some(chain),
            Self::Late(late) => Some(late.0.get().ok_or(DialReason::NoNode)?),
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

/// Where a way ends, and what to write before the target into records.
struct Reached<'w> {
    end: End<'w>,
    route: String,
}

/// Where the nodes of a way have led to.
enum End<'w> {
    /// Nowhere yet: from this machine it goes on.
    Here(&'w Direct),
    /// To this node, which is ready to be asked for more.
    Node(Buffered, &'w Node),
    /// To a node that rejects everything.
    Nowhere,
}

impl<'r> Way<'r> {
    /// An attempt of the chain as a whole.
    fn attempt(&self) -> Option<Attempt<'r>> {
        self.chain.map(|chain| Attempt::of(&chain.marker))
    }

    async fn reach<'w>(
        &'w self,
        leg: Leg<'_>,
        direct: &'w Direct,
        deadline: Instant,
    ) -> Result<Reached<'w>, DialReason> {
        let route = self.nodes.iter().map(|node| format!("{node} > ")).collect();
        let metrics = self.chain.and_then(|chain| chain.metrics.as_ref());
        let counted = metrics.zip(self.nodes.first()).map(|(metrics, first)| metrics.attempt(&first.name));
        let (mut end, start) = match self.last_carrier(leg).await? {
            Some((conn, index)) => (End::Node(conn, &self.nodes[index]), index + 1),
            None => (End::Here(direct), 0),
        };
        for (index, node) in self.nodes.iter().enumerate().skip(start) {
            let attempt = Attempt::of(&node.marker);
            // Boxed, as what else needs much memory: most requests have no use for it, and it would be moved along with them.
            end = Box::pin(reach(end, node, leg, deadline)).await?;
            attempt.succeeded();
            if index == 0 {
                counted.iter().for_each(ChainAttempt::connected);
            }
        }
        counted.into_iter().for_each(ChainAttempt::succeeded);
        Ok(Reached { end, route })
    }

    /// A connection to the last node to which one leads that carries many, and the node's place: none needs to be made to
    /// those before it.
    async fn last_carrier(&self, leg: Leg<'_>) -> Result<Option<(Buffered, usize)>, DialReason> {
        for (index, node) in self.nodes.iter().enumerate().rev() {
            if let Dialer::Mux(mux) = &node.dialer
                && let Some(conn) = mux.reuse(&node_addr(node, Some(leg.wanted.client)).await?)
            {
                return Ok(Some((conn, index)));
            }
        }
        Ok(None)
    }
}

/// From where the nodes before it have led, to `node`.
async fn reach<'w>(before: End<'w>, node: &'w Node, leg: Leg<'_>, deadline: Instant) -> Result<End<'w>, DialReason> {
    if let Connector::Direct { reject } = node.connector {
        return match before {
            End::Here(_) if reject => Ok(End::Nowhere),
            End::Here(direct) => Ok(End::Here(node.direct.as_ref().unwrap_or(direct))),
            // GOST: goes past the nodes before it.
            End::Node(..) => Err(failed(node, "no proxy may stand before a node with a direct connector")),
            End::Nowhere => Ok(End::Nowhere),
        };
    }
    if matches!(node.dialer, Dialer::Udp) {
        // GOST: sends each piece of a stream as a datagram.
        return Err(failed(node, DialReason::OnlyDatagrams));
    }
    if let End::Nowhere = before {
        return Ok(End::Nowhere);
    }
    let addr = node_addr(node, Some(leg.wanted.client)).await?;
    let transport = transport(before, node, &addr, leg, deadline);
    let conn = match &node.dialer {
        Dialer::Mux(mux) => mux.connect(&addr, transport, |error| failed(node, error.to_string())).await,
        Dialer::Tcp | Dialer::Layered(_) | Dialer::Udp => transport.await,
    };
    Ok(End::Node(conn?, node))
}

/// A connection to `node` itself, from where the nodes before it have led.
async fn transport(
    before: End<'_>,
    node: &Node,
    addr: &NodeAddr,
    leg: Leg<'_>,
    deadline: Instant,
) -> Result<Buffered, DialReason> {
    let conn = match (before, addr) {
        (End::Here(direct), addr) => {
            // GOST: only the node's own interface and mark count.
            let dialled = node.dialer.dial(node.direct.as_ref().unwrap_or(direct), addr, deadline).await;
            Buffered::new(dialled.map_err(|reason| failed(node, reason))?)
        }
        (End::Node(conn, before), NodeAddr::Inet(address)) => ask(before, conn, address, leg).await?,
        (End::Node(..), NodeAddr::Unix(_)) => {
            return Err(failed(node, "a unix socket can't be reached through another node"));
        }
        (End::Nowhere, _) => Buffered::new(closed()?),
    };
    if let Some(version) = node.proxy_protocol {
        let header = proxy_header(version, leg.wanted.info);
        conn.stream.write_all(&header).await.map_err(|error| failed(node, error))?;
    }
    node.dialer.handshake(conn).await.map_err(|error| failed(node, error))
}

/// What `action: reject` leads to, as in GOST: a connection that is at its end, which its client is told is there. It isn't a
/// failure, after which others would be tried.
fn closed() -> Result<UnixStream, DialReason> {
    UnixStream::pair().map(|(near, _)| near).map_err(DialReason::Reject)
}

async fn associate(
    node: &Node,
    conn: Buffered,
    target: Option<&HostPort>,
    leg: Leg<'_>,
    direct: &Direct,
) -> Result<Datagrams, DialReason> {
    let direct = node.direct.as_ref().unwrap_or(direct);
    let source = &leg.wanted.info.client;
    node.connector.associate(conn, target, source, direct).await.map_err(|error| failed(node, error))
}

async fn ask(node: &Node, conn: Buffered, target: &HostPort, leg: Leg<'_>) -> Result<Buffered, DialReason> {
    let source = &leg.wanted.info.client;
    node.connector.connect(conn, target, source).await.map_err(|error| failed(node, error))
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
