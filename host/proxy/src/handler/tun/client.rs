//! The client's side: everything goes to one server, and comes from there.

use std::convert::Infallible;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use drawspan_wire::http1::HostPort;
use drawspan_wire::tun::{Keepalive, MAX_PACKET, Packet, Seen};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep};

use super::Tun;
use crate::handler::handshake::Grant;
use crate::handler::session::Session;
use crate::listener::TunDevice;
use crate::net::{Activity, Flow, Meters};
use crate::router::{Hop, UdpUpstream};

/// Between two attempts to reach the server.
const PAUSE: Duration = Duration::from_secs(1);

/// How a visit ends.
enum End {
    /// The interface is gone.
    Interface(io::Error),
    /// The server is out of reach.
    Server(String),
}

/// What came and went since it was last looked at.
#[derive(Default)]
struct Signs {
    sent: AtomicBool,
    received: AtomicBool,
}

impl Tun {
    /// Carries packets to and from one target of `hop` after the other, until the interface is gone. GOST: stays with the
    /// first one.
    pub(super) async fn visit(&self, session: &Session<'_>, device: &TunDevice, hop: &Hop) -> io::Result<()> {
        let nobody = Grant::anonymous().asked(HostPort { host: String::new(), port: 0 });
        let meters = session.meters_of("udp", &nobody).await;
        loop {
            let reached = self.parts.router.forward_packets(hop, &session.info, &nobody.client_id).await;
            let end = match reached {
                Ok(upstream) => self.carry(session, device, upstream, &meters).await,
                Err(error) => End::Server(error.to_string()),
            };
            match end {
                End::Interface(error) => return Err(error),
                End::Server(reason) => {
                    let service = &session.info.service;
                    tracing::warn!(kind = "handler", handler = "tun", %service, "{reason}; trying again in {PAUSE:?}");
                }
            }
            sleep(PAUSE).await;
        }
    }

    async fn carry(&self, session: &Session<'_>, device: &TunDevice, upstream: UdpUpstream, meters: &Meters) -> End {
        let UdpUpstream { mut datagrams, target, route } = upstream;
        tracing::info!(kind = "handler", handler = "tun", service = %session.info.service, "packets go to {route}");
        let (mut from_server, to_server) = datagrams.split();
        let (activity, signs) = (Activity::new(), Signs::default());
        let (up, down) = Flow::both(&session.traffic, meters, &activity);
        let lost = |error: io::Error| End::Server(error.to_string());
        let out = async {
            let mut buffer = vec![0; MAX_PACKET];
            loop {
                let length = device.receive(&mut buffer).await.map_err(End::Interface)?;
                let packet = &buffer[..length];
                if Packet::parse(packet).is_err() {
                    continue;
                }
                up.moved(packet.len()).await;
                signs.sent.store(true, Relaxed);
                to_server.send(&target, packet).await.map_err(lost)?;
            }
        };
        let back = async {
            let mut data = Vec::new();
            loop {
                from_server.receive(&mut data).await.map_err(lost)?;
                signs.received.store(true, Relaxed);
                if Seen::parse(&data).is_some() {
                    continue;
                }
                if Packet::parse(&data).is_err() {
                    tracing::debug!("{} bytes from the server that aren't a packet: dropped", data.len());
                    continue;
                }
                down.moved(data.len()).await;
                device.send(&data).await.map_err(End::Interface)?;
            }
        };
        // Packets that go on to a router aren't a server's business: only datagrams to a port are kept alive.
        let alive = async {
            if target.port() == 0 {
                return std::future::pending().await;
            }
            let hello =
                Keepalive { key: self.settings.passphrase.clone(), addresses: device.addresses().collect() }.encode();
            to_server.send(&target, &hello).await.map_err(lost)?;
            let period = self.settings.ttl;
            let mut ticks = interval_at(Instant::now() + period, period);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let mut silent = 0;
            loop {
                ticks.tick().await;
                let (sent, received) = (signs.sent.swap(false, Relaxed), signs.received.swap(false, Relaxed));
                silent = if received { 0 } else { silent + 1 };
                if self.settings.keepalive && silent >= 3 {
                    return Err(End::Server(format!("no sign of life for three times {period:?}")));
                }
                // A server that was started anew doesn't know us. GOST: notices only if the kernel says that nobody is
                // there.
                if self.settings.keepalive || (sent && !received) {
                    to_server.send(&target, &hello).await.map_err(lost)?;
                }
            }
        };
        let end: Result<Infallible, End> = tokio::select! {
            end = out => end,
            end = back => end,
            end = alive => end,
        };
        match end {
            Err(end) => end,
            Ok(never) => match never {},
        }
    }
}
