//! [`Socks4`]: SOCKS4 and SOCKS4a, CONNECT only, as with GOST.

use std::time::Duration;

use drawspan_wire::socks::v4::{self, Request};
use tokio_util::sync::CancellationToken;

use super::{Client, Grant, HandlerError, HandlerParts, Session, Tunnel};
use crate::Conn;
use crate::net::Buffered;

/// Speaks SOCKS4 and SOCKS4a with clients.
pub struct Socks4 {
    parts: HandlerParts,
    read_timeout: Duration,
}

impl Socks4 {
    /// A handler that asks `parts`; within `read_timeout` a client's request has to arrive.
    #[must_use]
    pub fn new(parts: HandlerParts, read_timeout: Duration) -> Self {
        Self { parts, read_timeout }
    }

    /// As [`Handler::handle`](crate::handler::Handler::handle).
    pub(crate) async fn handle(&self, conn: Conn, drain: CancellationToken) -> Result<(), HandlerError> {
        let (session, conn) = Session::start(conn, "socks4", &self.parts);
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
        let Some(mut client) = Client::begin(session, conn, self.read_timeout, drain).await? else {
            return Ok(None);
        };
        let request = client.receive(Request::parse).await?;
        session.note(|record| {
            record.host = request.address.host_port().map(|target| target.to_string()).unwrap_or_default();
            record.client_id = String::from_utf8_lossy(&request.user_id).into_owned();
        });
        // The user id takes the place of a password too: there is none.
        let Some(grant) = Grant::ask(&self.parts, session, request.user_id, b"").await else {
            client.refuse(&v4::reply(v4::BAD_USER_ID)).await?;
            return Ok(None);
        };
        if request.command != v4::CONNECT {
            // Without a word, as GOST does.
            return Err(HandlerError::BadRequest(format!("SOCKS4 command {} is not supported", request.command)));
        }
        session.count_for(&grant.client_id);
        let target = match request.address.host_port() {
            Ok(target) => target,
            // Nothing of that name can be connected to.
            Err(error) => {
                client.refuse(&v4::reply(v4::REJECTED)).await?;
                return Err(error.into());
            }
        };
        let asked = grant.asked(target);
        if session.refuses(&asked, "tcp").await {
            client.refuse(&v4::reply(v4::FORBIDDEN)).await?;
            return Ok(None);
        }
        match session.dial(&asked).await {
            Ok(upstream) => {
                client.send(&v4::reply(v4::GRANTED)).await?;
                Ok(Some(Tunnel { client: client.conn, upstream: upstream.conn, asked, sniffed: true, idle: None }))
            }
            Err(error) => {
                client.refuse(&v4::reply(v4::REJECTED)).await?;
                Err(error.into())
            }
        }
    }
}
