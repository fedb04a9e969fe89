//! BIND: a client serves a tunnel.

use std::sync::Arc;

use drawspan_modules::{ConnInfo, Endpoint, Service};
use drawspan_smux::Session as Mux;
use drawspan_wire::relay::{Features, Response, Status, TunnelId};
use drawspan_wire::socks::Address;
use md5::{Digest as _, Md5};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::TunnelServer;
use super::connect::Ends;
use super::connectors::Connector;
use super::dial::network;
use crate::handler::HandlerError;
use crate::handler::announce::{announce, withdraw};
use crate::handler::handshake::Client;

impl TunnelServer {
    /// Leads visitors to the client until it goes away.
    pub(super) async fn bind(
        &self,
        client: Client<'_>,
        tunnel: Uuid,
        weight: u8,
        udp: bool,
        features: Features,
        drain: &CancellationToken,
    ) -> Result<(), HandlerError> {
        let session = client.session;
        let connector = Uuid::new_v4();
        let id = TunnelId { id: connector.into_bytes(), udp, weight };
        let ends = Ends::of(features);
        let own = own_host(tunnel);
        let host = self.host(&session.info.service, tunnel, &ends).await;
        let address = Address::Name(host.as_ref().unwrap_or(&own).clone().into_bytes(), ends.target.port());
        let features = Features { address: Some(address), tunnel: Some(id), ..Features::default() };
        client.send(&Response { status: Status::OK, features }.encode()?).await?;
        let conn = session.traffic.below(client.conn);
        let mux = Mux::client(conn.into_stream(), self.settings.mux);
        let mux = mux.map_err(|error| HandlerError::BadRequest(error.to_string()))?;
        let ConnInfo { service, sid, client, .. } = &session.info;
        let shown = host.as_ref().unwrap_or(&own);
        let served = Connector { id, info: session.info.clone(), limits: session.limits(), session: mux };
        let registration = self.tunnels.connectors.add(tunnel, served);
        tracing::info!(kind = "handler", %service, %sid, %client, %tunnel, %connector, weight, host = shown, "served");
        let served = Arc::clone(&registration.connector);
        let announcement = Service {
            id: connector.to_string(),
            name: tunnel.to_string(),
            node: self.tunnels.node.clone(),
            network: network(udp).to_owned(),
            address: self.settings.address.clone(),
        };
        let announced = async {
            // GOST: sets the tunnel's own host twice when there is no other.
            for host in [Some(own), host].into_iter().flatten() {
                self.serve_host(service, &host, tunnel).await;
            }
            match &self.tunnels.sd {
                Some(sd) => announce(sd, &announcement, self.settings.ttl).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = closed(&served.session) => {}
            () = announced => {}
            // Visitors that are there hold the session.
            () = drain.cancelled() => {}
        }
        drop(registration);
        if let Some(sd) = &self.tunnels.sd {
            withdraw(sd, &announcement).await;
        }
        tracing::info!(kind = "handler", %service, %sid, %client, %tunnel, %connector, "not served any more");
        Ok(())
    }

    /// The host that the client asks for, if it can have it: not one that is another tunnel's.
    async fn host(&self, service: &str, tunnel: Uuid, ends: &Ends) -> Option<String> {
        let ingress = self.ingress.as_ref()?;
        let host = ends.target.host_port().ok().filter(|_| !ends.names_none())?.host;
        if host == own_host(tunnel) {
            return None;
        }
        let own = Endpoint { tunnel, private: false };
        match ingress.endpoint(&host, service).await {
            Some(endpoint) if endpoint != own => None,
            _ => Some(host),
        }
    }

    async fn serve_host(&self, service: &str, host: &str, tunnel: Uuid) {
        if let Some(ingress) = &self.ingress
            && let Err(error) = ingress.set(host, Endpoint { tunnel, private: false }, service).await
        {
            tracing::debug!(kind = "ingress", service, "can't have {host} lead to {tunnel}: {error}");
        }
    }
}

/// The host that every tunnel has.
fn own_host(tunnel: Uuid) -> String {
    Md5::digest(tunnel.to_string())[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Waits until a client is gone. Streams that it opens mean nothing.
async fn closed(mux: &Mux) {
    while mux.accept().await.is_some() {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_host_is_gosts() {
        // echo -n ID | md5sum
        let tunnel = "4d21094e-b74c-4916-86c1-d9fa36ea677b".parse().unwrap();
        assert_eq!(own_host(tunnel), "a6265c6d9847a4be");
    }
}
