//! The server's side: clients tell their addresses, and packets go to and fro between them and the interface.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use drawspan_modules::{Admission, Authenticator, ConnInfo};
use drawspan_wire::http1::HostPort;
use drawspan_wire::tun::{Keepalive, MAX_PACKET, Packet, Seen};
use subtle::ConstantTimeEq as _;
use tokio::task::JoinSet;

use super::Tun;
use super::peers::Peers;
use crate::handler::handshake::Grant;
use crate::handler::session::Session;
use crate::listener::TunDevice;
use crate::net::{Activity, Flow, Udp};

/// Clients that wait for the authenticator; further ones aren't heard. GOST: asks in the loop that all packets pass.
const WAITING: usize = 64;

/// What a client's keepalive is judged by.
#[derive(Clone)]
struct Gate {
    info: ConnInfo,
    admission: Option<Admission>,
    authenticator: Option<Authenticator>,
    passphrase: Arc<[u8]>,
    own: Arc<[IpAddr]>,
}

impl Gate {
    /// Whether the client at `from` may have the addresses that it tells. Each is a user, the key its password.
    async fn admits(mut self, from: SocketAddr, keepalive: &Keepalive) -> bool {
        self.info.client = from.into();
        if keepalive.addresses.iter().any(|address| self.own.contains(address)) {
            tracing::debug!(client = %from, "tun: it has an address of the server's");
            return false;
        }
        if let Some(admission) = &self.admission
            && !admission.admits(&self.info, "udp").await
        {
            tracing::debug!(kind = "admission", client = %from, "the client is refused");
            return false;
        }
        let Some(authenticator) = &self.authenticator else {
            // GOST: doesn't look at the passphrase of a server.
            return self.passphrase.is_empty() || self.passphrase.ct_eq(&keepalive.key).into();
        };
        for address in &keepalive.addresses {
            let user = address.to_string();
            if authenticator.authenticate(&self.info, user.as_bytes(), &keepalive.key).await.is_none() {
                tracing::debug!(kind = "auther", client = %from, user, "the client is refused");
                return false;
            }
        }
        true
    }

    /// Nobody else is asked.
    fn is_quick(&self) -> bool {
        self.admission.is_none() && self.authenticator.is_none()
    }
}

impl Tun {
    /// Serves clients until the interface is gone.
    pub(super) async fn serve(
        &self,
        session: &Session<'_>,
        device: &TunDevice,
        socket: &Arc<Udp>,
        admission: Option<&Admission>,
    ) -> io::Result<()> {
        let peers = Arc::new(Peers::new(self.settings.ttl, self.settings.p2p));
        let gate = Gate {
            info: session.info.clone(),
            admission: admission.cloned(),
            authenticator: self.parts.authenticator.clone(),
            passphrase: self.settings.passphrase.as_slice().into(),
            own: device.addresses().collect(),
        };
        let everywhere = Grant::anonymous().asked(HostPort { host: String::new(), port: 0 });
        let meters = session.meters_of("udp", &everywhere).await;
        let activity = Activity::new();
        let (up, down) = Flow::both(&session.traffic, &meters, &activity);
        let to_clients = async {
            let mut buffer = vec![0; MAX_PACKET];
            loop {
                let length = device.receive(&mut buffer).await?;
                let packet = &buffer[..length];
                up.moved(packet.len()).await;
                let Ok(Packet { destination, .. }) = Packet::parse(packet) else { continue };
                match self.client_for(&peers, destination).await {
                    Some(client) => socket.send(packet, client).await,
                    None => tracing::debug!("no client has {destination}: a packet is dropped"),
                }
            }
        };
        let from_clients = async {
            let (mut data, mut waiting) = (Vec::new(), JoinSet::new());
            loop {
                let from = socket.receive(|bytes, from| {
                    data.clear();
                    data.extend_from_slice(bytes);
                    Some(from)
                });
                let from = from.await?;
                while waiting.try_join_next().is_some() {}
                if let Some(keepalive) = Keepalive::parse(&data) {
                    let welcome = welcome(gate.clone(), Arc::clone(&peers), Arc::clone(socket), from, keepalive);
                    if gate.is_quick() {
                        welcome.await;
                    } else if waiting.len() < WAITING {
                        waiting.spawn(welcome);
                    } else {
                        tracing::debug!(client = %from, "tun: {WAITING} clients wait to be admitted already");
                    }
                    continue;
                }
                let Some(destination) = self.accepts(&peers, from, &data).await else { continue };
                down.moved(data.len()).await;
                let other = if self.settings.p2p { None } else { self.client_for(&peers, destination).await };
                match other {
                    // GOST: sends it back, as often as the two of them like.
                    Some(client) if client == from => {
                        tracing::debug!(client = %from, "a packet to {destination} would go back: dropped");
                    }
                    Some(client) => socket.send(&data, client).await,
                    None => device.send(&data).await?,
                }
            }
        };
        tokio::select! {
            outcome = to_clients => outcome,
            outcome = from_clients => outcome,
        }
    }

    /// Where a client's packet goes; `None` if it isn't one, or not the client's own: its source must be an address that
    /// the client told, or behind one of those. GOST: lets in whatever comes, from whomever.
    async fn accepts(&self, peers: &Peers, from: SocketAddr, data: &[u8]) -> Option<IpAddr> {
        let Ok(Packet { source, destination }) = Packet::parse(data) else {
            tracing::debug!(client = %from, "{} bytes that aren't a packet: dropped", data.len());
            return None;
        };
        if !peers.hear(from) {
            tracing::debug!(client = %from, "a packet of no client: dropped");
            return None;
        }
        let is_own = async { !is_of_a_link(source) && self.client_for(peers, source).await == Some(from) };
        if !self.settings.p2p && !is_own.await {
            tracing::debug!(client = %from, "a packet from {source}, which isn't the client's: dropped");
            return None;
        }
        Some(destination)
    }

    /// The client that has an address, or is the gateway to it.
    async fn client_for(&self, peers: &Peers, address: IpAddr) -> Option<SocketAddr> {
        if let Some(client) = peers.find(address) {
            return Some(client);
        }
        let router = self.router.as_ref().filter(|_| !self.settings.p2p)?;
        let gateway: IpAddr = router.route(address, None).await?.gateway.parse().ok()?;
        peers.find(gateway)
    }
}

/// Whether nobody but those at the same link can have the address: it is nobody's in a tunnel.
fn is_of_a_link(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_link_local() || ip.is_unspecified(),
        IpAddr::V6(ip) => ip.is_unicast_link_local() || ip.is_unspecified(),
    }
}

/// Answers a client's keepalive, if it may come in.
async fn welcome(gate: Gate, peers: Arc<Peers>, socket: Arc<Udp>, from: SocketAddr, keepalive: Keepalive) {
    let service = Arc::clone(&gate.info.service);
    if !gate.admits(from, &keepalive).await {
        return;
    }
    let addresses = keepalive.addresses;
    if peers.learn(from, addresses.clone()) {
        tracing::info!(kind = "handler", handler = "tun", %service, client = %from, "a client has {addresses:?}");
    } else {
        tracing::debug!(kind = "handler", handler = "tun", %service, client = %from, "a client keeps {addresses:?}");
    }
    socket.send(&Seen(from.ip()).encode(), from).await;
}
