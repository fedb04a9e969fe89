//! [`Entrypoint`]: where visitors come in that know no tunnel, and those that another gateway sends.

mod http;

use std::sync::Arc;
use std::time::Duration;

use drawspan_modules::{Addr, Ingress};
use drawspan_wire::http1::HostPort;
use drawspan_wire::relay::{self, Network, Request, Response, Status};
use drawspan_wire::socks::Address;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::connect::Ends;
use super::dial::{Opened, TunnelError, Visitor};
use super::{Tunnels, Visit, named};
use crate::Conn;
use crate::handler::handshake::{Client, Grant};
use crate::handler::session::{Asked, Session};
use crate::handler::sniff::{self, Sniffing};
use crate::handler::{HandlerError, HandlerParts};
use crate::net::Buffered;

/// The first byte of a TLS connection.
const TLS: u8 = 0x16;

/// Finds the tunnel of a visitor by the host that it names in HTTP or TLS; or by its id, for another gateway.
pub struct Entrypoint {
    parts: HandlerParts,
    tunnels: Arc<Tunnels>,
    ingress: Option<Ingress>,
    settings: EntrypointSettings,
}

/// What can be set (GOST reference, config 7).
#[derive(Debug, Clone, Copy)]
pub struct EntrypointSettings {
    /// `entrypoint.keepalive`: a connection through the tunnel stays open for the next HTTP request.
    pub keepalive: bool,
    /// `entrypoint.readTimeout`: for what a visitor begins, and for the answer to it.
    pub read_timeout: Duration,
    /// `idleTimeout`: ends what carries no byte for so long.
    pub idle_timeout: Option<Duration>,
}

impl Entrypoint {
    /// A handler that finds tunnels by `ingress` in `tunnels`. Of `parts` neither an authenticator nor a bypass counts: it is for
    /// everyone.
    #[must_use]
    pub fn new(
        parts: HandlerParts,
        tunnels: Arc<Tunnels>,
        ingress: Option<Ingress>,
        settings: EntrypointSettings,
    ) -> Self {
        Self { parts: HandlerParts { authenticator: None, bypass: None, ..parts }, tunnels, ingress, settings }
    }

    /// As [`Handler::handle`](crate::handler::Handler::handle).
    pub(crate) async fn handle(&self, conn: Conn, drain: CancellationToken) -> Result<(), HandlerError> {
        let (session, conn) = Session::start(conn, "tunnel-ep", &self.parts);
        session.note(|record| record.node.clone_from(&self.tunnels.node));
        let Some(client) = Client::begin(&session, conn, self.settings.read_timeout, &drain).await? else {
            return Ok(());
        };
        match client.conn.received.first().copied() {
            Some(relay::VERSION) => {
                if let Some(visit) = Box::pin(self.relayed(client)).await? {
                    visit.run(&session, self.settings.idle_timeout).await;
                }
                Ok(())
            }
            Some(TLS) => Box::pin(self.tls(&session, client.conn)).await,
            _ => Box::pin(self.http(&session, client.conn, &drain)).await,
        }
    }

    /// A visitor that another gateway sends: it was judged there, and is for who registered here.
    async fn relayed(&self, mut client: Client<'_>) -> Result<Option<Visit>, HandlerError> {
        let session = client.session;
        let request = client.receive(Request::parse).await?;
        let Some((tunnel, _)) = named(&request) else {
            client.refuse(&Response::bare(Status::BAD_REQUEST)).await?;
            return Err(HandlerError::BadRequest("the request names no tunnel".to_owned()));
        };
        let udp = request.network() == Network::Udp;
        let ends = Ends::of(request.features);
        let target = ends.target.host_port().unwrap_or_else(|_| HostPort { host: String::new(), port: 0 });
        let asked = Asked { client_id: tunnel.to_string().into(), ..Grant::anonymous().asked(target) };
        session.note(|record| record.client_id = tunnel.to_string());
        let visitor = Visitor { tunnel, udp, source: ends.source, target: ends.target };
        match self.tunnels.dial_here(session, &visitor).await {
            Ok(opened) => {
                client.send(&Response::bare(Status::OK)).await?;
                Ok(Some(Visit { client: client.conn, opened, asked }))
            }
            Err(reason) => {
                client.refuse(&Response::bare(Status::SERVICE_UNAVAILABLE)).await?;
                Err(failed(session, &asked.target, reason))
            }
        }
    }

    async fn tls(&self, session: &Session<'_>, mut client: Buffered) -> Result<(), HandlerError> {
        let sniffing = Sniffing { timeout: None, read_timeout: self.settings.read_timeout };
        let (hello, length) = sniff::client_hello(session, &mut client, sniffing.read_timeout).await?;
        let Some(host) = sniff::server_name(&hello) else { return Ok(()) };
        session.note(|record| record.host = host.to_string());
        let found = match self.tunnel_of(session, &host).await {
            Ok(tunnel) => {
                session.note(|record| record.client_id = tunnel.to_string());
                let asked = Asked { client_id: tunnel.to_string().into(), ..Grant::anonymous().asked(host.clone()) };
                self.enter(session, tunnel, source(&session.info.client), &host).await.map(|opened| (opened, asked))
            }
            Err(reason) => Err(reason),
        };
        let (opened, asked) = found.map_err(|reason| failed(session, &host, reason))?;
        let Opened { conn, far, redirect, connector: _connector } = opened;
        session.note(|record| record.redirect = redirect.unwrap_or_default());
        let (meters, idle) = (session.far_meters(far), self.settings.idle_timeout);
        sniff::tunnel_tls(session, client, conn, asked, length, &meters, idle, sniffing).await
    }

    /// The tunnel that serves `host` for everyone.
    async fn tunnel_of(&self, session: &Session<'_>, host: &HostPort) -> Result<Uuid, TunnelError> {
        let Some(ingress) = &self.ingress else { return Err(TunnelError::NoRoute) };
        match ingress.endpoint(&host.to_string(), &session.info.service).await {
            None => Err(TunnelError::NoRoute),
            Some(endpoint) if endpoint.private => Err(TunnelError::Private),
            Some(endpoint) => Ok(endpoint.tunnel),
        }
    }

    async fn enter(
        &self,
        session: &Session<'_>,
        tunnel: Uuid,
        source: Address,
        host: &HostPort,
    ) -> Result<Opened, TunnelError> {
        self.tunnels.dial(session, &Visitor { tunnel, udp: false, source, target: host.into() }).await
    }
}

/// A visitor's address, for whom it visits.
fn source(client: &Addr) -> Address {
    match client {
        Addr::Inet(address) => (*address).into(),
        Addr::Unix(_) => Address::UNSPECIFIED,
    }
}

fn failed(session: &Session<'_>, host: &HostPort, reason: TunnelError) -> HandlerError {
    let error = HandlerError::Tunnel { host: host.to_string(), reason };
    session.note(|record| record.err = error.to_string());
    error
}
