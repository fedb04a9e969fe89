//! [`Router::forward`]: connections to targets that the config names.

use std::borrow::Cow;
use std::io;
use std::sync::Arc;

use drawspan_modules::{ClientId, ConnInfo};
use drawspan_wire::http1::HostPort;
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::hop::{Hop, Leg};
use super::marker::Attempt;
use super::node::{Node, NodeAddr};
use super::{DialError, DialReason, Router, UdpUpstream, Upstream, Wanted};
use crate::net::Buffered;

impl Router {
    /// Connects to one of a forwarder's targets, as [`dial`](Self::dial) does; to a unix socket directly.
    ///
    /// # Errors
    /// When there is no target, or it can't be connected to.
    pub(crate) async fn forward(&self, hop: &Hop, info: &ConnInfo) -> Result<(Upstream, Arc<Node>), DialError> {
        let client = &ClientId::from(String::new());
        let wanted = &Wanted { network: "tcp", target: &NOWHERE, client, info };
        let node = self.target(hop, wanted).await?;
        let attempt = Attempt::of(&node.marker);
        let mut upstream = match &node.addr {
            NodeAddr::Inet(target) => self.towards(&node).dial(&Wanted { target, ..*wanted }).await?,
            NodeAddr::Unix(path) => {
                let refused = |error: io::Error| DialReason::Unix { path: path.clone(), error };
                let connected = timeout(self.dial_timeout, UnixStream::connect(path)).await;
                let stream = connected.map_err(|_| DialReason::TimedOut).and_then(|stream| stream.map_err(refused));
                Upstream { conn: Buffered::new(stream.map_err(no_way)?), route: path.display().to_string() }
            }
        };
        attempt.succeeded();
        upstream.route = format!("{node} > {}", upstream.route);
        Ok((upstream, node))
    }

    /// Makes a way for datagrams to one of a forwarder's targets, as [`connect_udp`](Self::connect_udp) does.
    ///
    /// # Errors
    /// When there is no target, or no way to it.
    pub(crate) async fn forward_udp(&self, hop: &Hop, info: &ConnInfo) -> Result<(UdpUpstream, Arc<Node>), DialError> {
        let client = &ClientId::from(String::new());
        let wanted = &Wanted { network: "udp", target: &NOWHERE, client, info };
        let node = self.target(hop, wanted).await?;
        let attempt = Attempt::of(&node.marker);
        let NodeAddr::Inet(target) = &node.addr else { return Err(no_way(DialReason::NoDatagrams)) };
        let mut upstream = self.towards(&node).connect_udp(&Wanted { target, ..*wanted }).await?;
        attempt.succeeded();
        upstream.route = format!("{node} > {}", upstream.route);
        Ok((upstream, node))
    }

    /// The target for a connection.
    async fn target(&self, hop: &Hop, wanted: &Wanted<'_>) -> Result<Arc<Node>, DialError> {
        let key = &self.key(wanted);
        let leg = Leg { wanted, address: &NOWHERE, key, is_forwarded: true };
        hop.select(leg).await.and_then(|node| node.ok_or(DialReason::NoNode)).map_err(no_way)
    }

    /// The router to a target that may have interfaces of its own. GOST: overlooks them.
    fn towards(&self, node: &Node) -> Cow<'_, Self> {
        match &node.direct {
            Some(direct) => Cow::Owned(Self { direct: direct.clone(), ..self.clone() }),
            None => Cow::Borrowed(self),
        }
    }
}

/// What a forwarder wants to reach before it knows.
static NOWHERE: HostPort = HostPort { host: String::new(), port: 0 };

fn no_way(reason: DialReason) -> DialError {
    DialError { target: NOWHERE.clone(), reason }
}
