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
use super::{DialError, DialReason, Router, Upstream, Wanted};
use crate::net::Buffered;

const NOWHERE: HostPort = HostPort { host: String::new(), port: 0 };

impl Router {
    /// One of a forwarder's targets; `None` if it has none.
    ///
    /// # Errors
    /// When nobody can tell.
    pub(crate) async fn choose(&self, hop: &Hop, info: &ConnInfo) -> Result<Option<Arc<Node>>, DialError> {
        let client = &ClientId::from(String::new());
        let wanted = &Wanted { network: "tcp", target: &NOWHERE, client, info };
        let key = &self.key(wanted);
        let leg = Leg { wanted, address: &NOWHERE, key, is_forwarded: true };
        hop.select(leg).await.map_err(|reason| DialError { target: NOWHERE, reason })
    }

    /// Connects to one of a forwarder's targets, as [`dial`](Self::dial) does; to a unix socket directly.
    ///
    /// # Errors
    /// When there is no target, or it can't be connected to.
    pub(crate) async fn forward(&self, hop: &Hop, info: &ConnInfo) -> Result<(Upstream, Arc<Node>), DialError> {
        let nowhere = |reason| DialError { target: NOWHERE, reason };
        let node = self.choose(hop, info).await?.ok_or_else(|| nowhere(DialReason::NoNode))?;
        let attempt = Attempt::of(&node.marker);
        let mut upstream = match &node.addr {
            NodeAddr::Inet(target) => {
                let client = &ClientId::from(String::new());
                self.towards(&node).dial(&Wanted { network: "tcp", target, client, info }).await?
            }
            NodeAddr::Unix(path) => {
                let refused = |error: io::Error| DialReason::Unix { path: path.clone(), error };
                let connected = timeout(self.dial_timeout, UnixStream::connect(path)).await;
                let stream = connected.map_err(|_| DialReason::TimedOut).and_then(|stream| stream.map_err(refused));
                Upstream { conn: Buffered::new(stream.map_err(nowhere)?), route: path.display().to_string() }
            }
        };
        attempt.succeeded();
        upstream.route = format!("{node} > {}", upstream.route);
        Ok((upstream, node))
    }

    /// The router to a target that may have interfaces of its own. GOST: overlooks them.
    pub(super) fn towards(&self, node: &Node) -> Cow<'_, Self> {
        match &node.direct {
            Some(direct) => Cow::Owned(Self { direct: direct.clone(), ..self.clone() }),
            None => Cow::Borrowed(self),
        }
    }
}
