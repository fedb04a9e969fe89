//! [`Hop`]: the nodes that may carry a request over one step of a chain.

use std::sync::Arc;

use drawspan_modules::{Bypass, ClientId, ConnInfo, Target};
use drawspan_wire::http1::{Headers, HostPort};

use super::node::Node;
use super::rule::Facts;
use super::selector::Selector;
use super::{DialReason, Wanted};

/// One step of a chain.
pub enum Hop {
    /// Nodes of the config.
    Nodes(NodeHop),
    /// A plugin names a node each time.
    Plugin(PluginHop),
}

/// Nodes, one of which carries a request.
pub struct NodeHop {
    /// For logs.
    pub name: String,
    /// Which targets end the chain before this hop.
    pub bypass: Option<Bypass>,
    /// In the config's order.
    pub nodes: Vec<Arc<Node>>,
    /// Chooses among those that would do.
    pub selector: Selector,
}

/// A hop whose nodes a plugin names.
pub struct PluginHop {
    /// For logs.
    pub name: String,
    /// Is asked.
    pub plugin: drawspan_modules::Hop,
    /// Makes a node of its JSON text.
    pub decode: DecodeNode,
}

/// Makes a node of JSON text, or says why that is impossible.
pub type DecodeNode = Arc<dyn Fn(&str) -> Result<Node, String> + Send + Sync>;

/// A request on its way through a chain.
#[derive(Clone, Copy)]
pub(crate) struct Leg<'a> {
    pub(crate) wanted: &'a Wanted<'a>,
    /// The target as it was resolved, if it was.
    pub(crate) address: &'a HostPort,
    /// What the hash strategy goes by.
    pub(crate) key: &'a str,
    /// There if it is a forwarder that asks: the target is what is being looked for, and this is all that is known.
    pub(crate) seen: Option<&'a Seen<'a>>,
}

/// What sniffing found out about a connection; `None` is what it didn't.
#[derive(Clone, Copy, Default)]
pub(crate) struct Seen<'a> {
    pub(crate) protocol: Option<&'a str>,
    /// Of the HTTP request or the ClientHello.
    pub(crate) host: Option<&'a HostPort>,
    pub(crate) method: Option<&'a str>,
    /// Without query.
    pub(crate) path: Option<&'a str>,
    pub(crate) query: Option<&'a str>,
    pub(crate) headers: Option<&'a Headers<'a>>,
    /// The name that is asked about by DNS, without the dot at its end.
    pub(crate) asked: Option<&'a str>,
}

impl<'a> Seen<'a> {
    pub(crate) fn facts(&self, info: &'a ConnInfo) -> Facts<'a> {
        let Self { protocol, host, method, path, query, headers, asked: _ } = *self;
        Facts { info, host: host.map(|host| host.host.as_str()), protocol, method, path, query, headers }
    }
}

impl Leg<'_> {
    /// What modules are told of the target: the resolved address, and the name that the client used (GOST reference,
    /// modules 2.3, 2.4).
    fn target(self) -> Target {
        if let Some(seen) = self.seen {
            let address = seen.asked.unwrap_or_default().to_owned();
            return Target { address, host: seen.host.map(ToString::to_string), ..Target::default() };
        }
        Target {
            network: self.wanted.network.to_owned(),
            address: self.wanted.named(self.address),
            host: Some(self.wanted.named(self.wanted.target)),
            path: None,
        }
    }
}

impl Hop {
    /// The node for a request; `None` ends the chain before this hop.
    ///
    /// # Errors
    /// When nobody can tell: then the dial fails. GOST: ends the chain, on the first hop with a direct connection.
    pub(crate) async fn select(&self, leg: Leg<'_>) -> Result<Option<Arc<Node>>, DialReason> {
        match self {
            Self::Nodes(hop) => hop.select(leg).await,
            Self::Plugin(hop) => hop.select(leg).await,
        }
    }
}

impl PluginHop {
    async fn select(&self, leg: Leg<'_>) -> Result<Option<Arc<Node>>, DialReason> {
        let failed = |reason: String| DialReason::Hop { hop: self.name.clone(), reason };
        let path = leg.seen.and_then(|seen| seen.path.map(str::to_owned));
        let (target, wanted) = (Target { path, ..leg.target() }, leg.wanted);
        let reply = self.plugin.select(&target, Some(wanted.client), Some(&wanted.info.client)).await;
        let Some(json) = reply.map_err(|error| failed(error.to_string()))? else { return Ok(None) };
        // Not the reason with the text: a node has passwords in it.
        let node =
            (self.decode)(&json).map_err(|reason| failed(format!("its plugin's node can't be used: {reason}")))?;
        Ok(Some(Arc::new(node)))
    }
}

impl NodeHop {
    async fn select(&self, leg: Leg<'_>) -> Result<Option<Arc<Node>>, DialReason> {
        let target = leg.target();
        let client = Some(leg.wanted.client);
        if judge(self.bypass.as_ref(), client, &target).await.map_err(|()| self.unjudged())? {
            return Ok(None);
        }
        let seen = match leg.seen {
            Some(seen) => *seen,
            None => Seen { host: Some(leg.wanted.target), ..Seen::default() },
        };
        let (mut candidates, mut unjudged) = (Vec::new(), false);
        for node in &self.nodes {
            match judge(node.bypass.as_ref(), client, &target).await {
                Ok(false) => {}
                Ok(true) => continue,
                Err(()) => {
                    unjudged = true;
                    continue;
                }
            }
            if node.fits(leg.wanted.info, &seen).await {
                candidates.push(Arc::clone(node));
            }
        }
        match self.selector.select(candidates, leg.key) {
            // Nobody knows whether a node that could not be judged would have been the way.
            None if unjudged => Err(self.unjudged()),
            chosen => Ok(chosen),
        }
    }

    fn unjudged(&self) -> DialReason {
        DialReason::Hop { hop: self.name.clone(), reason: "a bypass can't tell whether the target is in it".to_owned() }
    }
}

async fn judge(bypass: Option<&Bypass>, client: Option<&ClientId>, target: &Target) -> Result<bool, ()> {
    match bypass {
        Some(bypass) => bypass.judge(client, target).await.map_err(|_| ()),
        None => Ok(false),
    }
}
