//! [`Router::forward`]: connections to targets that the config names.

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

impl Router {
    /// Connects to one of a forwarder's targets, as [`dial`](Self::dial) does; to a unix socket directly.
    ///
    /// # Errors
    /// When there is no target, or it can't be connected to.
    pub(crate) async fn forward(&self, hop: &Hop, info: &ConnInfo) -> Result<(Upstream, Arc<Node>), DialError> {
        let client = &ClientId::from(String::new());
        let nowhere = &HostPort { host: String::new(), port: 0 };
        let failed = |target: &HostPort| {
            let target = target.clone();
            move |reason| DialError { target, reason }
        };
        let wanted = &Wanted { network: "tcp", target: nowhere, client, info };
        let key = &self.key(wanted);
        let leg = Leg { wanted, address: nowhere, key, is_forwarded: true };
        let node = hop.select(leg).await.map_err(failed(nowhere))?;
        let node = node.ok_or(DialReason::NoNode).map_err(failed(nowhere))?;
        let attempt = Attempt::of(&node.marker);
        let mut upstream = match &node.addr {
            NodeAddr::Inet(target) => self.dial(&Wanted { target, ..*wanted }).await?,
            NodeAddr::Unix(path) => {
                let refused = |error: io::Error| DialReason::Unix { path: path.clone(), error };
                let connected = timeout(self.dial_timeout, UnixStream::connect(path)).await;
                let stream = connected.map_err(|_| DialReason::TimedOut).and_then(|stream| stream.map_err(refused));
                Upstream { conn: Buffered::new(stream.map_err(failed(nowhere))?), route: path.display().to_string() }
            }
        };
        attempt.succeeded();
        upstream.route = format!("{node} > {}", upstream.route);
        Ok((upstream, node))
    }
}
