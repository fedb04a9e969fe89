//! BIND: one connection from elsewhere, for a client; or, in GOST's form, many.

use std::io;
use std::net::{IpAddr, SocketAddr};

use drawspan_wire::http1::HostPort;
use drawspan_wire::socks::v5::{Reply, Status};
use drawspan_wire::socks::{Address, SocksError};

use super::{Client, Grant, HandlerError, Socks5, Tunnel};
use crate::handler::bind::{Binding, Greeting, listen};
use crate::net::Buffered;

impl Socks5 {
    /// Listens at `address`, tells the client where, and waits for a connection as long as the client does.
    pub(super) async fn bind(
        &self,
        mut client: Client<'_>,
        grant: Grant,
        address: &Address,
    ) -> Result<Option<Tunnel>, HandlerError> {
        let listener = match listen(client.session, &address.host_port()?).await {
            Ok(listener) => listener,
            Err(error) => {
                client.refuse(&Reply::bare(Status::FAILED)).await?;
                return Err(error.into());
            }
        };
        let here = self.reachable_at(&client, listener.local_addr().port());
        client.send(&succeeded(&here)?).await?;
        tracing::debug!(
            service = %client.session.info.service,
            sid = %client.session.info.sid,
            "socks5: waiting for a connection at {}",
            listener.local_addr()
        );
        let accepted = tokio::select! {
            accepted = listener.accept_tcp() => accepted,
            outcome = left(&mut client.conn) => return outcome.map(|()| None).map_err(HandlerError::Client),
        };
        // It is for one connection only.
        drop(listener);
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                client.refuse(&Reply::bare(Status::FAILED)).await?;
                return Err(HandlerError::Accept(error));
            }
        };
        let peer = Address::Ip(peer);
        client.send(&succeeded(&peer)?).await?;
        let asked = grant.asked(peer.host_port()?);
        Ok(Some(Tunnel { client: client.conn, upstream: Buffered::new(stream), asked, sniffed: false, idle: None }))
    }

    /// Listens at `address`, tells the client where, and passes on in its connection all that come.
    pub(super) async fn bind_many(
        &self,
        client: Client<'_>,
        grant: Grant,
        address: &Address,
    ) -> Result<(), HandlerError> {
        let listener = match listen(client.session, &address.host_port()?).await {
            Ok(listener) => listener,
            Err(error) => {
                client.refuse(&Reply::bare(Status::FAILED)).await?;
                return Err(error.into());
            }
        };
        client.send(&succeeded(&self.reachable_at(&client, listener.local_addr().port()))?).await?;
        let greet: Greeting = |peer| succeeded(&peer.into());
        let greeting = if self.settings.compatible { None } else { Some(greet) };
        let binding = Binding { listener, config: self.settings.mux, greeting, idle: None };
        binding.serve(client.session, client.conn, grant).await
    }

    /// Where a client is told that it, or its peers, can reach `port`: at the host where it reached us, unless another is
    /// configured.
    pub(super) fn reachable_at(&self, client: &Client<'_>, port: u16) -> Address {
        match (&self.settings.public_addr, client.session.info.local.ip()) {
            (Some(host), _) => Address::from(&HostPort { host: host.clone(), port }),
            (None, Some(ip)) => SocketAddr::new(ip, port).into(),
            (None, None) => SocketAddr::new(IpAddr::from([0, 0, 0, 0]), port).into(),
        }
    }
}

/// Resolves when the client has ended the connection. Bytes that it sends are kept for its peer; behind them its end
/// can't be seen, unless the connection breaks.
async fn left(conn: &mut Buffered) -> io::Result<()> {
    if conn.received.is_empty() && conn.fill().await? == 0 {
        return Ok(());
    }
    Err(conn.stream.failed().await)
}

/// The answer that names an address.
pub(super) fn succeeded(address: &Address) -> Result<Vec<u8>, SocksError> {
    Reply { status: Status::SUCCEEDED, address: address.clone() }.encode()
}
