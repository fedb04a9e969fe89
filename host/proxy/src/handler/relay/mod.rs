//! [`Relay`]: GOST's relay protocol (GOST reference, dataplane 3).

mod bind;
mod connect;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use drawspan_smux::{Config, Version};
use drawspan_wire::relay::{Command, Network, Request, Response, Status};
use tokio_util::sync::CancellationToken;

use super::handshake::{Client, Grant, Tunnel};
use super::session::Session;
use super::{HandlerError, HandlerParts};
use crate::Conn;
use crate::net::Buffered;
use crate::router::Hop;

/// Speaks the relay protocol with clients.
pub struct Relay {
    parts: HandlerParts,
    hop: Option<Arc<Hop>>,
    settings: RelaySettings,
}

/// What can be set (GOST reference, config 7).
#[derive(Debug, Clone, Copy)]
pub struct RelaySettings {
    /// `bind`: clients may have connections and datagrams accepted for them, or datagrams sent wherever they like.
    pub bind: bool,
    /// `mux.*`: how connections that are accepted for a client share its own.
    pub mux: Config,
    /// `readTimeout`: within it a client's request has to arrive.
    pub read_timeout: Duration,
    /// `idleTimeout`: ends what carries no byte for so long.
    pub idle_timeout: Option<Duration>,
}

impl Default for RelaySettings {
    fn default() -> Self {
        Self { bind: false, mux: Config::new(Version::V1), read_timeout: Duration::from_secs(15), idle_timeout: None }
    }
}

impl Relay {
    /// A handler that asks `parts`. With a `hop` clients are connected to its targets, whatever they ask for.
    #[must_use]
    pub fn new(parts: HandlerParts, hop: Option<Arc<Hop>>, settings: RelaySettings) -> Self {
        Self { parts, hop, settings }
    }

    /// As [`Handler::handle`](super::Handler::handle).
    pub(crate) async fn handle(&self, conn: Conn, drain: CancellationToken) -> Result<(), HandlerError> {
        let (session, conn) = Session::start(conn, "relay", &self.parts);
        // Boxed: what the handshake needs must not be carried along by the tunnel.
        if let Some(tunnel) = Box::pin(self.establish(&session, conn, &drain)).await? {
            return tunnel.run(&session, &drain).await;
        }
        Ok(())
    }

    async fn establish(
        &self,
        session: &Session<'_>,
        conn: Buffered,
        drain: &CancellationToken,
    ) -> Result<Option<Tunnel>, HandlerError> {
        let Some(mut client) = Client::begin(session, conn, self.settings.read_timeout, drain).await? else {
            return Ok(None);
        };
        let request = client.receive(Request::parse).await?;
        let network = request.network();
        let user = request.features.user.unwrap_or_default();
        session.note(|record| {
            record.network = network.as_str();
            record.client_id = String::from_utf8_lossy(&user.username).into_owned();
        });
        let Some(grant) = Grant::ask(&self.parts, session, user.username, &user.password).await else {
            client.refuse(&Response::bare(Status::UNAUTHORIZED)).await?;
            return Ok(None);
        };
        let address = request.features.address;
        if let Some(address) = &address {
            grant.note(session, address);
        }
        session.count_for(&grant.client_id);
        match (&self.hop, request.command) {
            (Some(hop), _) => self.forward(client, grant, hop, network).await,
            (None, Command::Connect) => self.connect(client, grant, network, address).await,
            (None, Command::Bind) if !self.settings.bind => {
                tracing::debug!(service = %session.info.service, sid = %session.info.sid, "relay: BIND is disabled");
                client.refuse(&Response::bare(Status::FORBIDDEN)).await?;
                Ok(None)
            }
            (None, Command::Bind) if network == Network::Udp => self.bind_udp(client, grant, address).await,
            (None, Command::Bind) if network == Network::Tcp => self.bind_tcp(client, grant, address).await,
            (None, command) => {
                client.refuse(&Response::bare(Status::BAD_REQUEST)).await?;
                let network = network.as_str();
                Err(HandlerError::BadRequest(format!("relay {command:?} of {network} is not supported")))
            }
        }
    }
}

/// Refuses, because of `error`.
async fn fail<T>(client: Client<'_>, status: Status, error: impl Into<HandlerError>) -> Result<T, HandlerError> {
    client.refuse(&Response::bare(status)).await?;
    Err(error.into())
}
