//! UDP for a client: beside its connection (UDP ASSOCIATE), or within it (GOST's tunnel).

use std::io;
use std::net::{IpAddr, SocketAddr};

use drawspan_wire::socks::Address;
use drawspan_wire::socks::v5::{Reply, Status};

use super::bind::succeeded;
use super::{Client, Grant, HandlerError, Socks5};
use crate::handler::datagrams::relay;
use crate::net::{Datagrams, Relayed, Udp, ended};

const ANYWHERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED);

impl Socks5 {
    /// Relays datagrams between a socket of the client's own, and its targets, as long as its connection lasts.
    pub(super) async fn associate(
        &self,
        client: Client<'_>,
        grant: Grant,
        address: &Address,
    ) -> Result<(), HandlerError> {
        let session = client.session;
        // A client that comes over a unix socket has no address that its datagrams could come from.
        let bound = match (session.info.client.ip(), Udp::bind(SocketAddr::new(ANYWHERE, 0))) {
            (Some(from), Ok(socket)) => socket.local_addr().map(|here| (from, socket, here)),
            (None, _) => Err(io::ErrorKind::AddrNotAvailable.into()),
            (_, Err(error)) => Err(error),
        };
        let (from, socket, here) = match bound {
            Ok(bound) => bound,
            Err(error) => return fail(client, error).await,
        };
        client.send(&succeeded(&self.reachable_at(&client, here.port()))?).await?;
        let asked = grant.asked(address.host_port()?);
        let mut upstream = session.associate(&asked).await?.datagrams;
        let mut datagrams = Datagrams::Relayed(Relayed::server(socket, from));
        tokio::select! {
            outcome = relay(session, asked, &mut datagrams, &mut upstream, None) => outcome,
            // That is how it is meant to end.
            _ = ended(&client.conn.stream) => Ok(()),
        }
    }

    /// Relays datagrams between frames in the client's connection and their targets, or, if the client names a port,
    /// whoever sends to that.
    pub(super) async fn tunnel_udp(
        &self,
        client: Client<'_>,
        grant: Grant,
        address: &Address,
    ) -> Result<(), HandlerError> {
        let session = client.session;
        let asked = grant.asked(address.host_port()?);
        let mut upstream = if address.port() == 0 {
            // GOST: closes without a reply.
            match session.associate(&asked).await {
                Ok(association) => association.datagrams,
                Err(error) => {
                    client.refuse(&Reply::bare(Status::FAILED)).await?;
                    return Err(error.into());
                }
            }
        } else {
            let here = session.parts.router.resolve_datagram(address, &asked.client_id).await;
            let here = here.unwrap_or_else(|| SocketAddr::new(ANYWHERE, address.port()));
            match Udp::bind(here) {
                Ok(socket) => Datagrams::Plain(socket),
                Err(error) => return fail(client, error).await,
            }
        };
        session.note(|record| (record.src, record.dst) = upstream.ends());
        let here = match &upstream {
            Datagrams::Plain(socket) => socket.local_addr().map_err(HandlerError::Datagrams)?.into(),
            Datagrams::Framed(_) | Datagrams::Single(..) | Datagrams::Relayed(_) => Address::UNSPECIFIED,
        };
        client.send(&succeeded(&here)?).await?;
        relay(session, asked, &mut Datagrams::Framed(client.conn), &mut upstream, None).await
    }
}

async fn fail(client: Client<'_>, error: io::Error) -> Result<(), HandlerError> {
    client.refuse(&Reply::bare(Status::FAILED)).await?;
    Err(HandlerError::Datagrams(error))
}
