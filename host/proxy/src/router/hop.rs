//! [`Hop`]: the nodes that may carry a request over one step of a chain.

use std::sync::Arc;

use drawspan_modules::{Bypass, ClientId, Target};
use drawspan_wire::http1::HostPort;

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
    /// It is a forwarder that asks: nothing is known of the target, which is what is being looked for.
    pub(crate) is_forwarded: bool,
}

impl Leg<'_> {
    /// What modules are told of the target: the resolved address, and the name that the client used (GOST reference,
    /// modules 2.3, 2.4).
    fn target(self) -> Target {
        if self.is_forwarded {
            return Target::default();
        }
        Target {
            network: self.wanted.network.to_owned(),
            address: self.address.to_string(),
            host: Some(self.wanted.target.to_string()),
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
        let (target, wanted) = (leg.target(), leg.wanted);
        let reply = self
            .plugin
            .select((!leg.is_forwarded).then_some(&target), Some(wanted.client), Some(&wanted.info.client))
            .await;
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
        let host = (!leg.is_forwarded).then_some(leg.wanted.target.host.as_str());
        let facts = Facts { info: leg.wanted.info, host, protocol: None, method: None, path: None };
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
            let fits = match &node.rule {
                Some(rule) => rule.matches(facts).await,
                None => true,
            };
            if fits {
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
