//! ASSOCIATE: a client's packets, to and fro.

use std::io;

use bytes::Buf as _;
use drawspan_wire::http1::HostPort;
use drawspan_wire::relay::{self, Features, Network, Response, Status, TunnelId};
use drawspan_wire::socks::Address;
use drawspan_wire::tun::Packet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::entrypoint::encode;
use super::{Client, HandlerError, PacketRouter};
use crate::net::{Activity, Buffered, Flow, fill};

/// A client's router.
struct Id {
    uuid: Uuid,
    text: String,
}

impl PacketRouter {
    /// Carries the client's packets until it ends, or `drain` is cancelled.
    pub(super) async fn associate(
        &self,
        client: Client<'_>,
        network: Network,
        features: Features,
        drain: &CancellationToken,
    ) -> Result<(), HandlerError> {
        let session = client.session;
        let router = Uuid::from_bytes(features.tunnel.unwrap_or_default().id);
        let router = Id { uuid: router, text: router.to_string() };
        let name = name(&features);
        // GOST: who names no router passes where the ingress has no rule.
        if let Some(ingress) = self.ingress.as_ref().filter(|_| !name.is_empty())
            && ingress.endpoint(&name, &session.info.service).await.map(|endpoint| endpoint.tunnel) != Some(router.uuid)
        {
            client.refuse(&Response::bare(Status::HOST_UNREACHABLE)).await?;
            return Err(HandlerError::BadRequest(format!("the ingress has no route to {name} by {}", router.text)));
        }
        let connector = Uuid::new_v4();
        let tunnel = Some(TunnelId { id: connector.into_bytes(), ..TunnelId::default() });
        client
            .send(&Response { status: Status::OK, features: Features { tunnel, ..Features::default() } }.encode()?)
            .await?;
        let client_id = format!("{name}@{}", router.text);
        let asked = super::Grant::anonymous().asked(HostPort { host: client_id.clone(), port: 0 });
        let meters = session.meters_to(network.as_str(), &client_id.clone().into(), "").await;
        let activity = Activity::new();
        let (up, down) = Flow::both(&session.traffic, &meters, &activity);
        let _piping = session.piping(asked);
        let registration = self.clients.add(router.uuid, &name);
        let service = self.discovery.as_ref().map(|discovery| (discovery, discovery.service(connector, &client_id)));
        let Buffered { stream, mut received } = client.conn;
        let from_client = async {
            let mut packet = Vec::new();
            loop {
                if let Some((length, head)) = relay::datagram(&received)
                    && received.len() >= head + length
                {
                    received.advance(head);
                    packet.clear();
                    packet.extend_from_slice(&received.split_to(length));
                    up.moved(head + length).await;
                    self.forward(&router, &packet).await;
                } else if fill(&stream, &mut received).await? == 0 {
                    return Ok(());
                }
            }
        };
        let to_client = async {
            let mut packets = Vec::new();
            loop {
                registration.outbox.take(&mut packets).await;
                stream.write_all(&packets).await?;
                down.moved(packets.len()).await;
            }
        };
        let announced = async {
            match &service {
                Some((discovery, service)) => discovery.announce(service).await,
                None => std::future::pending().await,
            }
        };
        let outcome: io::Result<()> = tokio::select! {
            outcome = from_client => outcome,
            outcome = to_client => outcome,
            () = announced => Ok(()),
            () = drain.cancelled() => Ok(()),
        };
        if let Some((discovery, service)) = &service {
            discovery.withdraw(service).await;
        }
        outcome.map_err(HandlerError::Client)
    }

    /// Passes a packet on to the client that is the gateway to its destination, here or at another gateway. What has no
    /// route is dropped.
    async fn forward(&self, router: &Id, packet: &[u8]) {
        let Ok(Packet { destination, .. }) = Packet::parse(packet) else {
            return tracing::debug!(router = router.text, "{} bytes that aren't a packet: dropped", packet.len());
        };
        let Some(gateway) = self.routes.find(router.uuid, &router.text, destination).await else {
            return tracing::debug!(router = router.text, "no route to {destination}: a packet is dropped");
        };
        if self.clients.pass(router.uuid, &gateway, packet) {
            return;
        }
        let elsewhere = match &self.discovery {
            Some(discovery) => discovery.find(&format!("{gateway}@{}", router.text)).await,
            None => None,
        };
        match (elsewhere, self.clients.socket.get(), encode(router.uuid, &gateway, packet)) {
            (Some(address), Some(socket), Some(bytes)) => socket.send(&bytes, address).await,
            _ => tracing::debug!(router = router.text, "{gateway} is nowhere: a packet is dropped"),
        }
    }
}

/// What the client is called: the second of the request's addresses; GOST knows it by nothing if there is only one.
fn name(features: &Features) -> String {
    match (&features.source, &features.address) {
        (Some(_), Some(Address::Ip(address))) => address.ip().to_string(),
        (Some(_), Some(Address::Name(name, _))) => String::from_utf8_lossy(name).into_owned(),
        _ => String::new(),
    }
}
