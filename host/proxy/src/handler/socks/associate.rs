//! UDP for a client: beside its connection (UDP ASSOCIATE), or within it (GOST's tunnel).

use std::io;
use std::net::{IpAddr, SocketAddr};

use drawspan_modules::Target;
use drawspan_wire::socks::Address;
use drawspan_wire::socks::v5::{Reply, Status};

use super::bind::succeeded;
use super::{Client, Grant, HandlerError, Session, Socks5};
use crate::handler::session::Asked;
use crate::net::{Activity, Datagrams, Flow, Relayed, Udp, ended};

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
            outcome = relay(session, asked, &mut datagrams, &mut upstream) => outcome,
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
            match Datagrams::bind(here) {
                Ok(datagrams) => datagrams,
                Err(error) => return fail(client, error).await,
            }
        };
        let here = match &upstream {
            Datagrams::Plain(socket) => socket.local_addr().map_err(HandlerError::Datagrams)?.into(),
            Datagrams::Framed(_) | Datagrams::Relayed(_) => Address::UNSPECIFIED,
        };
        client.send(&succeeded(&here)?).await?;
        relay(session, asked, &mut Datagrams::Framed(client.conn), &mut upstream).await
    }
}

async fn fail(client: Client<'_>, error: io::Error) -> Result<(), HandlerError> {
    client.refuse(&Reply::bare(Status::FAILED)).await?;
    Err(HandlerError::Datagrams(error))
}

/// Passes datagrams on in both directions until one of them ends. Each is judged by itself, by where it goes to or comes
/// from; one that is refused is dropped without a word.
async fn relay(
    session: &Session<'_>,
    asked: Asked,
    client: &mut Datagrams,
    upstream: &mut Datagrams,
) -> Result<(), HandlerError> {
    let names = upstream.takes_names();
    let (mut from_client, to_client) = client.split();
    let (mut from_upstream, to_upstream) = upstream.split();
    let meters = session.meters(&asked).await;
    let activity = Activity::new();
    let (up, down) = Flow::both(&session.traffic, &meters, &activity);
    let piping = session.piping(asked.clone());
    let to_targets = async {
        let mut data = Vec::new();
        loop {
            let (address, length) = match from_client.receive(&mut data).await {
                Ok(received) => received,
                // How a client ends.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
                Err(error) => return Err(error),
            };
            up.moved(length).await;
            let Ok(named) = address.host_port() else { continue };
            let target = if names {
                address
            } else {
                match session.parts.router.resolve_datagram(&address, &asked.client_id).await {
                    Some(target) => target.into(),
                    None => continue,
                }
            };
            let Ok(resolved) = target.host_port() else { continue };
            let host = (resolved != named).then(|| named.to_string());
            if !session.bypasses(&asked, Target { address: resolved.to_string(), host, ..udp() }).await {
                to_upstream.send(&target, &data).await?;
            }
        }
    };
    let to_client = async {
        let mut data = Vec::new();
        loop {
            let (address, _) = from_upstream.receive(&mut data).await?;
            let Ok(source) = address.host_port() else { continue };
            if !session.bypasses(&asked, Target { address: source.to_string(), ..udp() }).await {
                down.moved(to_client.send(&address, &data).await?).await;
            }
        }
    };
    let outcome: io::Result<()> = tokio::select! {
        outcome = to_targets => outcome,
        outcome = to_client => outcome,
    };
    drop(piping);
    outcome.map_err(HandlerError::Datagrams)
}

fn udp() -> Target {
    Target { network: "udp".to_owned(), ..Target::default() }
}
