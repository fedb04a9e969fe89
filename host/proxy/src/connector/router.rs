//! [`Router`]: IP packets by the relay protocol (GOST reference, dataplane 3.4).

use std::time::Duration;

use drawspan_modules::Addr;
use drawspan_wire::http1::{Credentials, HostPort};
use drawspan_wire::relay::{Command, Features, Network, Request, TunnelId};
use drawspan_wire::socks::Address;

use super::relay::exchange;
use super::{ConnectError, within};
use crate::net::{Buffered, Datagrams};

/// Asks a router for its packets.
#[derive(Clone, Default)]
pub struct Router {
    /// User name and password.
    pub auth: Option<(String, String)>,
    /// `router.id`: which router; a UUID's bytes.
    pub id: Option<[u8; 16]>,
    /// `connectTimeout`: for the whole exchange; `None`: as long as the dial may take.
    pub timeout: Option<Duration>,
}

impl Router {
    /// Packets, each in a frame of `conn`. The host of `target` is what the router knows us by: its routes have it as their
    /// gateway.
    pub(super) async fn associate(
        &self,
        conn: Buffered,
        target: Option<&HostPort>,
        source: &Addr,
    ) -> Result<Datagrams, ConnectError> {
        let target = target.ok_or(ConnectError::OnlyPackets)?;
        let user = self.auth.clone().map(|(username, password)| Credentials {
            username: username.into_bytes(),
            password: password.into_bytes(),
        });
        let source = match source {
            Addr::Inet(address) => (*address).into(),
            Addr::Unix(_) => Address::UNSPECIFIED,
        };
        let features = Features {
            network: Some(if target.port == 0 { Network::Ip } else { Network::Udp }),
            user,
            source: Some(source),
            address: Some(target.into()),
            tunnel: self.id.map(|id| TunnelId { id, ..TunnelId::default() }),
        };
        let request = Request { command: Command::Associate, udp: false, features };
        let (conn, _) = within(self.timeout, exchange(conn, &request)).await?;
        Ok(Datagrams::Single(conn, target.into()))
    }
}
