//! [`Clients`]: who has packets carried here; [`PacketEntrypoint`]: where those for them come in from other gateways.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use drawspan_wire::relay::{Command, Features, Request, TunnelId};
use drawspan_wire::socks::Address;
use drawspan_wire::tun::Packet;
use uuid::Uuid;

use super::outbox::Outbox;
use crate::listener::{BindError, locate};
use crate::net::Udp;

/// By router, and by the name that routes have for their gateway.
type ByName = HashMap<(Uuid, String), Vec<Arc<Outbox>>>;

/// The clients of all routers.
#[derive(Default)]
pub(super) struct Clients {
    by_name: Mutex<ByName>,
    /// Counts on from one packet to the next.
    turn: AtomicUsize,
    /// Where packets come in from other gateways, and go out to them.
    pub(super) socket: OnceLock<Udp>,
}

/// A client, which is one until this is dropped.
pub(super) struct Registration<'c> {
    clients: &'c Clients,
    key: (Uuid, String),
    pub(super) outbox: Arc<Outbox>,
}

impl Clients {
    fn by_name(&self) -> MutexGuard<'_, ByName> {
        self.by_name.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn add(&self, router: Uuid, name: &str) -> Registration<'_> {
        let (key, outbox) = ((router, name.to_owned()), Arc::new(Outbox::default()));
        self.by_name().entry(key.clone()).or_default().push(Arc::clone(&outbox));
        Registration { clients: self, key, outbox }
    }

    /// Passes a packet on to the client of that name, to several by turns; false if there is none. GOST: to any of them.
    pub(super) fn pass(&self, router: Uuid, name: &str, packet: &[u8]) -> bool {
        let chosen = {
            let clients = self.by_name();
            let Some(all) = clients.get(&(router, name.to_owned())) else { return false };
            // Who is gone leaves no empty list.
            Arc::clone(&all[self.turn.fetch_add(1, Relaxed) % all.len()])
        };
        if !chosen.push(packet) {
            tracing::debug!(%router, name, "the client takes packets too slowly: one is dropped");
        }
        true
    }
}

impl Drop for Registration<'_> {
    fn drop(&mut self) {
        let mut clients = self.clients.by_name();
        if let Some(all) = clients.get_mut(&self.key) {
            all.retain(|outbox| !Arc::ptr_eq(outbox, &self.outbox));
            if all.is_empty() {
                clients.remove(&self.key);
            }
        }
    }
}

/// Takes in packets that other gateways pass on (`entrypoint`): each a relay request for a router and the name of one of
/// its clients, and the packet behind it. Whoever can send there and knows a router's id can send packets to its clients,
/// as in GOST.
pub struct PacketEntrypoint {
    clients: Arc<Clients>,
}

impl PacketEntrypoint {
    pub(super) fn new(clients: Arc<Clients>) -> Self {
        Self { clients }
    }

    /// Receives at `address` from now on, written as for [`TcpListener::bind`](crate::listener::TcpListener::bind); where
    /// that is.
    ///
    /// # Errors
    /// If that is impossible.
    pub async fn bind(&self, address: &str) -> Result<SocketAddr, BindError> {
        let open = |address| {
            let socket = Udp::open(address, |_| Ok(()))?;
            let local = socket.local_addr()?;
            Ok((socket, local))
        };
        let (socket, local) = locate(address).await?.bind(open)?;
        // It is bound once.
        let _ = self.clients.socket.set(socket);
        Ok(local)
    }

    /// Passes packets on for as long as it isn't dropped.
    pub async fn run(self) {
        let Some(socket) = self.clients.socket.get() else { return };
        let pass = |bytes: &[u8], from: SocketAddr| {
            if let Some((router, name, packet)) = parse(bytes) {
                tracing::trace!(%router, name, %from, "a packet from another gateway");
                self.clients.pass(router, &name, packet);
            }
            None::<()>
        };
        if let Err(error) = socket.receive(pass).await {
            tracing::error!(kind = "handler", handler = "router", "the entry point is over: {error}");
        }
    }
}

/// A packet on its way to another gateway.
pub(super) fn encode(router: Uuid, name: &str, packet: &[u8]) -> Option<Vec<u8>> {
    let features = Features {
        address: Some(Address::Name(name.as_bytes().to_vec(), 0)),
        tunnel: Some(TunnelId { id: router.into_bytes(), ..TunnelId::default() }),
        ..Features::default()
    };
    let mut out = Request { command: Command::Associate, udp: false, features }.encode().ok()?;
    out.extend_from_slice(packet);
    Some(out)
}

/// The router, the client's name and the packet of what another gateway sends; `None` if it is anything else.
fn parse(bytes: &[u8]) -> Option<(Uuid, String, &[u8])> {
    let (request, length) = Request::parse(bytes).ok().flatten()?;
    let packet = bytes.get(length..)?;
    Packet::parse(packet).ok()?;
    let name = match request.features.address? {
        Address::Name(name, _) => String::from_utf8(name).ok()?,
        Address::Ip(address) => address.ip().to_string(),
    };
    let router = Uuid::from_bytes(request.features.tunnel?.id);
    (request.command == Command::Associate).then_some((router, name, packet))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_out_comes_in() {
        let packet = [&[0x45, 0, 0, 20, 0, 0, 0, 0, 64, 17, 0, 0][..], &[10, 0, 0, 1, 10, 0, 0, 2]].concat();
        let router = Uuid::from_u128(7);
        let sent = encode(router, "peer-1", &packet).unwrap();
        assert_eq!(sent[..4], *b"\x01\x03\x00\x24");
        assert_eq!(parse(&sent), Some((router, "peer-1".to_owned(), &packet[..])));
        for end in 0..sent.len() {
            assert_eq!(parse(&sent[..end]), None, "{end} bytes");
        }
        let connect = [&b"\x01\x01"[..], &sent[2..]].concat();
        assert_eq!(parse(&connect), None);
        assert_eq!(encode(router, &"n".repeat(256), &packet), None);
    }

    #[test]
    fn clients_of_one_name_share_its_packets_while_they_are_there() {
        let clients = Clients::default();
        let router = Uuid::from_u128(1);
        assert!(!clients.pass(router, "a", b"x"));
        let (first, second) = (clients.add(router, "a"), clients.add(router, "a"));
        assert!((0..100).all(|_| clients.pass(router, "a", b"x")));
        assert!(!clients.pass(router, "b", b"x") && !clients.pass(Uuid::from_u128(2), "a", b"x"));
        drop(first);
        assert!(clients.pass(router, "a", b"x"));
        drop(second);
        assert!(!clients.pass(router, "a", b"x"));
        assert!(clients.by_name().is_empty());
    }
}
