//! [`TunnelServer`]: leads visitors to whoever registered for them (GOST reference, dataplane 4); [`Entrypoint`]: where visitors
//! come in that know no tunnel.

mod bind;
mod connect;
mod connectors;
mod dial;
mod entrypoint;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use drawspan_modules::{Ingress, ServiceDiscovery};
use drawspan_smux as smux;
use drawspan_wire::relay::{Command, Network, Request, Response, Status};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub use self::dial::TunnelError;
pub use self::entrypoint::{Entrypoint, EntrypointSettings};

use self::connectors::Connectors;
use self::dial::Opened;
use super::handshake::{Client, Grant};
use super::session::{Asked, Session};
use super::{HandlerError, HandlerParts};
use crate::Conn;
use crate::net::Buffered;

/// Speaks the tunnel protocol with those who serve tunnels, and with visitors that know one.
pub struct TunnelServer {
    parts: HandlerParts,
    tunnels: Arc<Tunnels>,
    ingress: Option<Ingress>,
    settings: TunnelSettings,
}

/// The tunnels that end here: what a server shares with its entry points.
pub struct Tunnels {
    /// This gateway, among others.
    node: String,
    connectors: Connectors<smux::Session>,
    /// Is told of the tunnels here, and asked for those that aren't.
    sd: Option<ServiceDiscovery>,
}

impl Tunnels {
    /// None yet.
    #[must_use]
    pub fn new(sd: Option<ServiceDiscovery>) -> Self {
        Self { node: Uuid::new_v4().to_string(), connectors: Connectors::new(), sd }
    }
}

/// What can be set (GOST reference, config 7).
#[derive(Debug, Clone)]
pub struct TunnelSettings {
    /// `entrypoint.id`: who asks with this id visits by host name alone.
    pub public_id: Option<Uuid>,
    /// `tunnel.direct`: visitors get the tunnel that they name, whatever the ingress says.
    pub direct: bool,
    /// `tunnel.ttl`: how often service discovery is told that a tunnel is still here.
    pub ttl: Duration,
    /// `entrypoint`: where service discovery says that other gateways find tunnels.
    pub address: String,
    /// `readTimeout`: within it a client's request has to arrive.
    pub read_timeout: Duration,
    /// `idleTimeout`: ends what carries no byte for so long.
    pub idle_timeout: Option<Duration>,
    /// `mux`: how streams share the connection of who serves a tunnel.
    pub mux: smux::Config,
}

/// A visitor and the way that it got.
struct Visit {
    client: Buffered,
    opened: Opened,
    asked: Asked,
}

impl Visit {
    async fn run(self, session: &Session<'_>, idle: Option<Duration>) {
        let Self { client, opened, asked } = self;
        let Opened { conn, far, redirect: _, connector: _connector } = opened;
        session.pipe(client, conn, asked, &session.far_meters(far), idle).await;
    }
}

impl TunnelServer {
    /// A handler that asks `parts` and `ingress`.
    #[must_use]
    pub fn new(parts: HandlerParts, tunnels: Arc<Tunnels>, ingress: Option<Ingress>, settings: TunnelSettings) -> Self {
        // As in GOST only entry points keep records.
        Self { parts: HandlerParts { recorder: None, ..parts }, tunnels, ingress, settings }
    }

    /// As [`Handler::handle`](super::Handler::handle).
    pub(crate) async fn handle(&self, conn: Conn, drain: CancellationToken) -> Result<(), HandlerError> {
        let (session, conn) = Session::start(conn, "tunnel", &self.parts);
        // Boxed: what the handshake needs must not be carried along by the visit.
        if let Some(visit) = Box::pin(self.establish(&session, conn, &drain)).await? {
            visit.run(&session, self.settings.idle_timeout).await;
        }
        Ok(())
    }

    async fn establish(
        &self,
        session: &Session<'_>,
        conn: Buffered,
        drain: &CancellationToken,
    ) -> Result<Option<Visit>, HandlerError> {
        let Some(mut client) = Client::begin(session, conn, self.settings.read_timeout, drain).await? else {
            return Ok(None);
        };
        let mut request = client.receive(Request::parse).await?;
        let Some((tunnel, weight)) = named(&request) else {
            client.refuse(&Response::bare(Status::BAD_REQUEST)).await?;
            return Err(HandlerError::BadRequest("the request names no tunnel".to_owned()));
        };
        let user = request.features.user.take().unwrap_or_default();
        let Some(grant) = Grant::ask(&self.parts, session, user.username, &user.password).await else {
            client.refuse(&Response::bare(Status::UNAUTHORIZED)).await?;
            return Ok(None);
        };
        let udp = request.network() == Network::Udp;
        match request.command {
            Command::Connect => self.connect(client, grant, tunnel, udp, request.features).await,
            Command::Bind => {
                self.bind(client, tunnel, weight, udp, request.features, drain).await?;
                Ok(None)
            }
            command => {
                client.refuse(&Response::bare(Status::BAD_REQUEST)).await?;
                Err(HandlerError::BadRequest(format!("tunnel {command:?} is not supported")))
            }
        }
    }
}

/// The tunnel that a request is about, and the weight that it gives itself.
fn named(request: &Request) -> Option<(Uuid, u8)> {
    let tunnel = request.features.tunnel?;
    Some((Uuid::from_bytes(tunnel.id), tunnel.weight)).filter(|(id, _)| !id.is_nil())
}
