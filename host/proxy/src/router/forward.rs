//! [`Router::forward`]: connections to targets that the config names.

use std::borrow::Cow;
use std::sync::Arc;

use drawspan_modules::{ClientId, ConnInfo};
use drawspan_wire::http1::HostPort;

use super::hop::{Hop, Leg, Seen};
use super::marker::Attempt;
use super::node::{Node, NodeAddr};
use super::{DialError, Router, UNIX, Upstream, Wanted};

const NOWHERE: HostPort = HostPort { host: String::new(), port: 0 };

impl Router {
    /// One of a forwarder's targets, for what was seen of a connection; `None` if it has none for that.
    ///
    /// # Errors
    /// When nobody can tell.
    pub(crate) async fn choose(
        &self,
        hop: &Hop,
        info: &ConnInfo,
        client: &ClientId,
        seen: &Seen<'_>,
    ) -> Result<Option<Arc<Node>>, DialError> {
        let nowhere = NOWHERE;
        let target = seen.host.unwrap_or(&nowhere);
        let wanted = &Wanted { network: "tcp", target, client, info };
        let key = &self.key(wanted);
        let leg = Leg { wanted, address: target, key, seen: Some(seen) };
        hop.select(leg).await.map_err(|reason| DialError { target: target.to_string(), reason })
    }

    /// Connects to one of a forwarder's targets, as [`dial`](Self::dial) does. `port` is for a target without one.
    ///
    /// # Errors
    /// When it can't be connected to.
    pub(crate) async fn forward(
        &self,
        node: &Node,
        info: &ConnInfo,
        client: &ClientId,
        port: u16,
    ) -> Result<Upstream, DialError> {
        let attempt = Attempt::of(&node.marker);
        let upstream = match &node.addr {
            NodeAddr::Inet(target) => {
                let target = &HostPort { port: if target.port == 0 { port } else { target.port }, ..target.clone() };
                self.towards(node).dial(&Wanted { network: "tcp", target, client, info }).await?
            }
            NodeAddr::Unix(path) => {
                let target = &HostPort { host: path.display().to_string(), port: 0 };
                self.towards(node).dial(&Wanted { network: UNIX, target, client, info }).await?
            }
        };
        attempt.succeeded();
        Ok(upstream)
    }

    /// The router to a target that may have interfaces of its own. GOST: overlooks them.
    #[must_use]
    pub fn towards(&self, node: &Node) -> Cow<'_, Self> {
        match &node.direct {
            Some(direct) => Cow::Owned(Self { direct: direct.clone(), ..self.clone() }),
            None => Cow::Borrowed(self),
        }
    }
}
