//! [`Forward`]: passes connections on to targets that the config names (GOST reference, dataplane 8).

mod http;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use drawspan_wire::http1::HostPort;
use drawspan_wire::proxy_protocol::Version;
use drawspan_wire::sniff::Protocol;
use tokio_util::sync::CancellationToken;

use super::handshake::Grant;
use super::session::{Asked, Session};
use super::sniff::{self, Sniffing};
use super::{HandlerError, HandlerParts};
use crate::net::Buffered;
use crate::router::{Hop, Node, NodeAddr, Seen, UNIX, proxy_header};
use crate::{Conn, DialError, DialReason, Upstream};

/// Passes connections on. Nobody is authenticated, and no bypass is asked but about what sniffing finds: the targets are
/// the operator's own.
pub struct Forward {
    parts: HandlerParts,
    hop: Arc<Hop>,
    settings: ForwardSettings,
}

/// What can be set (GOST reference, config 7).
#[derive(Debug, Clone, Copy, Default)]
pub struct ForwardSettings {
    /// `proxyProtocol`: the PROXY header that targets are sent; a target's own setting wins.
    pub proxy_protocol: Option<Version>,
    /// `http.keepalive`: a client may send several requests on one connection.
    pub http_keepalive: bool,
    /// `idleTimeout`: ends connections in which no byte moves for so long.
    pub idle_timeout: Option<Duration>,
}

impl Forward {
    /// To the targets of `hop`.
    #[must_use]
    pub fn new(parts: HandlerParts, hop: Arc<Hop>, settings: ForwardSettings) -> Self {
        Self { parts, hop, settings }
    }

    /// As [`Handler::handle`](super::Handler::handle).
    pub(crate) async fn handle(&self, conn: Conn, drain: CancellationToken) -> Result<(), HandlerError> {
        let (session, client) = Session::start(conn, "forward", &self.parts);
        match self.parts.sniffing {
            None => self.pass(&session, client, &Seen::default()).await,
            // Boxed: what it needs must not be carried along by connections that nobody looks into.
            Some(sniffing) => Box::pin(self.look_into(&session, client, sniffing, &drain)).await,
        }
    }

    async fn look_into(
        &self,
        session: &Session<'_>,
        mut client: Buffered,
        sniffing: Sniffing,
        drain: &CancellationToken,
    ) -> Result<(), HandlerError> {
        // GOST: without a timeout, waits for ever.
        let limit = sniffing.timeout.unwrap_or(sniffing.read_timeout);
        let protocol = sniff::guess(&mut client, None, Some(limit)).await?;
        session.note(|record| record.proto = protocol.map_or("", Protocol::as_str));
        match protocol {
            Some(Protocol::Http) => self.http(session, client, sniffing, drain).await,
            Some(Protocol::Tls) => self.tls(session, client, sniffing).await,
            protocol => {
                let protocol = protocol.map(Protocol::as_str);
                self.pass(session, client, &Seen { protocol, ..Seen::default() }).await
            }
        }
    }

    /// Passes on what nobody understands.
    async fn pass(&self, session: &Session<'_>, client: Buffered, seen: &Seen<'_>) -> Result<(), HandlerError> {
        // Boxed: what it needs must not be carried along by the tunnel.
        let connecting = Box::pin(async {
            let node = self.choose(session, seen).await?;
            self.connect(session, &node, 0).await
        });
        let (upstream, asked) = connecting.await?;
        session.tunnel(client, upstream.conn, asked, self.settings.idle_timeout).await;
        Ok(())
    }

    async fn tls(&self, session: &Session<'_>, mut client: Buffered, sniffing: Sniffing) -> Result<(), HandlerError> {
        let (hello, length) = sniff::client_hello(session, &mut client, sniffing.read_timeout).await?;
        let name = sniff::server_name(&hello);
        let named = anonymous(name.clone().unwrap_or_else(|| HostPort { host: String::new(), port: 0 }));
        if !sniff::passes(session, &named, name.as_ref()).await {
            return Ok(());
        }
        let seen = Seen { protocol: Some(Protocol::Tls.as_str()), host: name.as_ref(), ..Seen::default() };
        let node = self.choose(session, &seen).await?;
        let (upstream, asked) = self.connect(session, &node, 443).await?;
        let (meters, idle) = (session.meters(&asked).await, self.settings.idle_timeout);
        sniff::tunnel_tls(session, client, upstream.conn, asked, length, &meters, idle, sniffing).await
    }

    /// The target for what was seen.
    async fn choose(&self, session: &Session<'_>, seen: &Seen<'_>) -> Result<Arc<Node>, DialError> {
        choose(session, &self.hop, &Grant::anonymous(), seen).await
    }

    /// A connection to the target, which was sent its PROXY header.
    async fn connect(&self, session: &Session<'_>, node: &Node, port: u16) -> Result<(Upstream, Asked), HandlerError> {
        connect(session, node, Grant::anonymous(), port, self.settings.proxy_protocol).await
    }
}

/// The target of `hop` for what was seen.
pub(super) async fn choose(
    session: &Session<'_>,
    hop: &Hop,
    grant: &Grant,
    seen: &Seen<'_>,
) -> Result<Arc<Node>, DialError> {
    let chosen = session.parts.router.choose(hop, &session.info, &grant.client_id, seen).await;
    let nowhere = || HostPort { host: String::new(), port: 0 };
    let target = || seen.host.cloned().unwrap_or_else(nowhere);
    let missing = || DialError { target: target().to_string(), reason: DialReason::NoNode };
    let node = chosen.and_then(|node| node.ok_or_else(missing));
    session.note(|record| match &node {
        Ok(node) => record.node.clone_from(&node.name),
        Err(error) => record.err = error.to_string(),
    });
    node
}

/// A connection to the target, which was sent its PROXY header: that of `version` if it has no setting of its own.
pub(super) async fn connect(
    session: &Session<'_>,
    node: &Node,
    grant: Grant,
    port: u16,
    version: Option<Version>,
) -> Result<(Upstream, Asked), HandlerError> {
    let asked = grant.asked(match &node.addr {
        NodeAddr::Inet(address) if address.port == 0 => HostPort { port, ..address.clone() },
        NodeAddr::Inet(address) => address.clone(),
        NodeAddr::Unix(path) => HostPort { host: path.display().to_string(), port: 0 },
    });
    session.note(|record| {
        asked.note(record);
        if let NodeAddr::Unix(path) = &node.addr {
            (record.network, record.host) = (UNIX, path.display().to_string());
        }
    });
    let upstream = session.parts.router.forward(node, &session.info, &asked.client_id, port).await;
    session.note(|record| match &upstream {
        Ok(upstream) => upstream.note(record),
        Err(error) => record.err = error.to_string(),
    });
    let upstream = upstream?;
    if let Some(version) = node.proxy_protocol.or(version) {
        let header = proxy_header(version, &session.info);
        let broken = |error: std::io::Error| HandlerError::Upstream {
            target: asked.target.to_string(),
            reason: error.to_string(),
        };
        upstream.conn.stream.write_all(&header).await.map_err(broken)?;
    }
    Ok((upstream, asked))
}

fn anonymous(target: HostPort) -> Asked {
    Grant::anonymous().asked(target)
}
