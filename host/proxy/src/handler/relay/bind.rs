//! BIND: connections and datagrams from elsewhere, and datagrams to anywhere.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use drawspan_wire::relay::{Features, Response, Status};
use drawspan_wire::socks::{Address, SocksError};

use super::{Client, Grant, HandlerError, Relay, Tunnel, fail};
use crate::handler::bind::{Binding, listen};
use crate::handler::datagrams::relay;
use crate::net::{Datagrams, Udp};

const ANYWHERE: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

impl Relay {
    /// Has the connections that come to `address` passed on in the client's own.
    pub(super) async fn bind_tcp(
        &self,
        client: Client<'_>,
        grant: Grant,
        address: Option<Address>,
    ) -> Result<Option<Tunnel>, HandlerError> {
        let here = match address.unwrap_or(Address::UNSPECIFIED).host_port() {
            Ok(here) => here,
            Err(error) => return fail(client, Status::SERVICE_UNAVAILABLE, error).await,
        };
        let listener = match listen(client.session, &here).await {
            Ok(listener) => listener,
            Err(error) => return fail(client, Status::SERVICE_UNAVAILABLE, error).await,
        };
        client.send(&answer(listener.local_addr())?).await?;
        let (config, idle) = (self.settings.mux, self.settings.idle_timeout);
        Binding { listener, config, greeting: Some(answer), idle }.serve(client.session, client.conn, grant).await?;
        Ok(None)
    }

    /// Passes on datagrams between frames in the client's connection and whoever they name. Without a port they leave as
    /// all datagrams of the service do. GOST: from a socket of this machine then too, past the chain.
    pub(super) async fn bind_udp(
        &self,
        client: Client<'_>,
        grant: Grant,
        address: Option<Address>,
    ) -> Result<Option<Tunnel>, HandlerError> {
        let session = client.session;
        let address = address.unwrap_or(Address::UNSPECIFIED);
        let here = match address.host_port() {
            Ok(here) => here,
            Err(error) => return fail(client, Status::SERVICE_UNAVAILABLE, error).await,
        };
        let asked = grant.asked(here);
        let mut upstream = if address.port() == 0 {
            match session.associate(&asked).await {
                Ok(association) => association.datagrams,
                Err(error) => return fail(client, Status::SERVICE_UNAVAILABLE, error).await,
            }
        } else {
            let here = session.parts.router.resolve_datagram(&address, &asked.client_id).await;
            match Udp::bind(here.unwrap_or_else(|| SocketAddr::new(ANYWHERE, address.port()))) {
                Ok(socket) => Datagrams::Plain(socket),
                // GOST: closes without a reply.
                Err(error) => return fail(client, Status::SERVICE_UNAVAILABLE, HandlerError::Datagrams(error)).await,
            }
        };
        session.note(|record| (record.src, record.dst) = upstream.ends());
        let here = match &upstream {
            Datagrams::Plain(socket) => socket.local_addr().map_err(HandlerError::Datagrams)?.into(),
            Datagrams::Framed(_) | Datagrams::Single(..) | Datagrams::Relayed(_) => Address::UNSPECIFIED,
        };
        let features = Features { address: Some(here), ..Features::default() };
        client.send(&Response { status: Status::OK, features }.encode()?).await?;
        let mut datagrams = Datagrams::Framed(client.conn);
        relay(session, asked, &mut datagrams, &mut upstream, self.settings.idle_timeout).await?;
        Ok(None)
    }
}

/// The answer that names an address: where we listen, or who has connected to it.
fn answer(address: SocketAddr) -> Result<Vec<u8>, SocksError> {
    let features = Features { address: Some(address.into()), ..Features::default() };
    Response { status: Status::OK, features }.encode()
}
