//! [`Tunnels::dial`]: from a visitor to whoever serves its tunnel, here or at another gateway.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use drawspan_modules::{CallError, ConnInfo, Service};
use drawspan_smux::Session as Mux;
use drawspan_wire::http1::HostPort;
use drawspan_wire::relay::{Command, Features, Network, Request, Response, Status, TunnelId};
use drawspan_wire::socks::Address;
use tokio::time::timeout;
use uuid::Uuid;

use super::Tunnels;
use super::connectors::Connector;
use crate::connector::exchange;
use crate::handler::session::Session;
use crate::net::{Buffered, Far, Stream};

/// Who comes, and what for.
pub(super) struct Visitor {
    pub(super) tunnel: Uuid,
    pub(super) udp: bool,
    /// Where it comes from.
    pub(super) source: Address,
    /// What it asked for.
    pub(super) target: Address,
}

/// A way into a tunnel.
pub(super) struct Opened {
    pub(super) conn: Buffered,
    /// What its bytes count for at the other end.
    pub(super) far: Far,
    /// The gateway that it leads through, if that is another one.
    pub(super) redirect: Option<String>,
    /// Its session lasts at least as long.
    pub(super) connector: Option<Arc<Connector<Mux>>>,
}

/// Why a visitor doesn't get into a tunnel.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TunnelError {
    /// The ingress knows no tunnel for the host, or another one.
    #[error("no route to the host")]
    NoRoute,
    /// The tunnel is for those only who know its id.
    #[error("the host's tunnel is private")]
    Private,
    /// The request has been here already.
    #[error("the request goes round in a circle")]
    Circle,
    /// Nobody serves the tunnel.
    #[error("nobody serves the tunnel")]
    Unavailable,
    /// Those who serve it don't answer; this is what the last one came to.
    #[error("the tunnel doesn't answer: {0}")]
    Broken(#[source] io::Error),
    /// Nobody can tell which other gateway has the tunnel.
    #[error("service discovery: {0}")]
    Discovery(#[source] CallError),
}

impl Tunnels {
    /// A way into the visitor's tunnel. Each who might serve it is tried for a dial's time at most.
    pub(super) async fn dial(&self, session: &Session<'_>, visitor: &Visitor) -> Result<Opened, TunnelError> {
        match (self.dial_here(session, visitor).await, &self.sd) {
            (Err(TunnelError::Unavailable), Some(_)) => self.dial_elsewhere(session, visitor).await,
            (outcome, _) => outcome,
        }
    }

    /// The same, only to those who registered here.
    pub(super) async fn dial_here(&self, session: &Session<'_>, visitor: &Visitor) -> Result<Opened, TunnelError> {
        let limit = session.parts.router.dial_timeout;
        let (mut tried, mut reason) = (Vec::new(), TunnelError::Unavailable);
        while let Some(connector) = self.connectors.choose(visitor.tunnel, visitor.udp, &tried) {
            match within(limit, open(&connector, visitor)).await {
                Ok(conn) => {
                    let tunnel = visitor.tunnel.to_string().into();
                    let far = session.far(&connector.info, connector.limits.clone(), network(visitor.udp), &tunnel);
                    let far = far.await;
                    return Ok(Opened { conn, far, redirect: None, connector: Some(connector) });
                }
                Err(error) => {
                    complain(session, visitor, "a connector", &error);
                    reason = TunnelError::Broken(error);
                    tried.push(connector);
                }
            }
        }
        Err(reason)
    }

    /// The same at other gateways, the first of which answers.
    async fn dial_elsewhere(&self, session: &Session<'_>, visitor: &Visitor) -> Result<Opened, TunnelError> {
        let mut reason = TunnelError::Unavailable;
        let Some(sd) = &self.sd else { return Err(reason) };
        let services = sd.services(&visitor.tunnel.to_string()).await.map_err(TunnelError::Discovery)?;
        let fits = |service: &&Service| service.node != self.node && service.network == network(visitor.udp);
        for service in services.iter().filter(fits) {
            let Ok(address) = HostPort::parse(&service.address, 0) else { continue };
            match within(session.parts.router.dial_timeout, visit(session, &address, visitor)).await {
                Ok(conn) => {
                    let redirect = Some(service.node.clone());
                    return Ok(Opened { conn, far: Far::default(), redirect, connector: None });
                }
                Err(error) => {
                    complain(session, visitor, &service.address, &error);
                    reason = TunnelError::Broken(error);
                }
            }
        }
        Err(reason)
    }
}

/// A stream to a connector, which was told of the visitor.
async fn open(connector: &Connector<Mux>, visitor: &Visitor) -> io::Result<Buffered> {
    let stream = connector.session.open().map_err(io::Error::other)?;
    let stream = Stream::layered(stream, connector.info.local.clone(), connector.info.client.clone());
    let features =
        Features { source: Some(visitor.source.clone()), address: Some(visitor.target.clone()), ..Features::default() };
    let told = Response { status: Status::OK, features }.encode().map_err(io::Error::other)?;
    stream.write_all(&told).await?;
    Ok(Buffered::new(stream))
}

/// A connection to the tunnel at another gateway's entry point.
///
/// GOST: sends the visitor's own bytes there, a private visitor's credentials among them; the other gateway looks for the
/// host again, and the visitor's address is lost.
async fn visit(session: &Session<'_>, address: &HostPort, visitor: &Visitor) -> io::Result<Buffered> {
    let stream = session.parts.router.direct(address).await.map_err(io::Error::other)?;
    let features = Features {
        network: visitor.udp.then_some(Network::Udp),
        user: None,
        source: Some(visitor.source.clone()),
        address: Some(visitor.target.clone()),
        tunnel: Some(TunnelId { id: visitor.tunnel.into_bytes(), ..TunnelId::default() }),
    };
    let request = Request { command: Command::Connect, udp: visitor.udp, features };
    exchange(Buffered::new(stream), &request).await.map_err(io::Error::other).map(|(conn, _)| conn)
}

fn complain(session: &Session<'_>, visitor: &Visitor, who: &str, error: &io::Error) {
    let ConnInfo { service, sid, .. } = &session.info;
    tracing::debug!(%service, %sid, tunnel = %visitor.tunnel, "{who} doesn't answer: {error}");
}

/// Its name, as modules are told it.
pub(super) const fn network(udp: bool) -> &'static str {
    if udp { "udp" } else { "tcp" }
}

async fn within<T>(limit: Duration, work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(limit, work).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}
