//! [`Forward`]: passes connections on to targets that the config names (GOST reference, dataplane 8).

use std::sync::Arc;
use std::time::Duration;

use drawspan_modules::ClientId;
use drawspan_wire::http1::HostPort;
use drawspan_wire::proxy_protocol::Version;
use tokio_util::sync::CancellationToken;

use super::session::{Asked, Session};
use super::{HandlerError, HandlerParts};
use crate::Conn;
use crate::router::{Hop, NodeAddr, proxy_header};

/// Passes connections on. Nobody is authenticated, and no bypass is asked: the targets are the operator's own.
pub struct Forward {
    parts: HandlerParts,
    hop: Arc<Hop>,
    proxy_protocol: Option<Version>,
    idle_timeout: Option<Duration>,
}

impl Forward {
    /// To one of the targets of `hop`, which are sent a PROXY header of that version.
    #[must_use]
    pub fn new(
        parts: HandlerParts,
        hop: Arc<Hop>,
        proxy_protocol: Option<Version>,
        idle_timeout: Option<Duration>,
    ) -> Self {
        Self { parts, hop, proxy_protocol, idle_timeout }
    }

    /// As [`Handler::handle`](super::Handler::handle).
    pub(crate) async fn handle(&self, conn: Conn, _: CancellationToken) -> Result<(), HandlerError> {
        let (session, client) = Session::start(conn, "forward", &self.parts);
        // Boxed: what it needs must not be carried along by the tunnel.
        let (upstream, node) =
            Box::pin(self.parts.router.forward(&self.hop, &session.info)).await.inspect_err(|error| {
                session.note(|record| record.err = error.to_string());
            })?;
        let target = match &node.addr {
            NodeAddr::Inet(address) => address.clone(),
            NodeAddr::Unix(path) => HostPort { host: path.display().to_string(), port: 0 },
        };
        let asked = Asked { target, user: None, client_id: ClientId::from(String::new()) };
        session.note(|record| {
            record.node.clone_from(&node.name);
            asked.note(record);
            upstream.note(record);
        });
        if let Some(version) = node.proxy_protocol.or(self.proxy_protocol) {
            let header = proxy_header(version, &session.info);
            let broken = |error: std::io::Error| HandlerError::Upstream {
                target: asked.target.to_string(),
                reason: error.to_string(),
            };
            upstream.conn.stream.write_all(&header).await.map_err(broken)?;
        }
        session.tunnel(client, upstream.conn, asked, self.idle_timeout).await;
        Ok(())
    }
}
