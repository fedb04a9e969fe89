//! [`Tunnel`]: GOST's tunnel (GOST reference, dataplane 4).

use std::time::Duration;

use drawspan_modules::Addr;
use drawspan_wire::http1::{Credentials, HostPort};
use drawspan_wire::relay::{Command, Features, Network, Request, Response, Status, TunnelId};
use drawspan_wire::socks::Address;
use uuid::Uuid;

use super::{ConnectError, exchange, within};
use crate::listener::{Bound, Streams, UdpSettings};
use crate::net::{Buffered, Datagrams};

/// Asks a tunnel server.
#[derive(Clone)]
pub struct Tunnel {
    /// The tunnel; never nil.
    pub id: Uuid,
    /// `tunnel.weight`: how often who binds is chosen, among others.
    pub weight: u8,
    /// How visitors share the connection that they are accepted by.
    pub mux: drawspan_smux::Config,
    /// User name and password.
    pub auth: Option<(String, String)>,
    /// `connectTimeout`: for the whole exchange; `None`: as long as the dial may take.
    pub timeout: Option<Duration>,
}

impl Tunnel {
    /// A connection to who serves `target` in the tunnel, as a visitor from `source`.
    pub(super) async fn connect(
        &self,
        conn: Buffered,
        target: &HostPort,
        source: &Addr,
    ) -> Result<Buffered, ConnectError> {
        let request = self.request(Command::Connect, false, source, target.into());
        within(self.timeout, exchange(conn, &request)).await.map(|(conn, _)| conn)
    }

    /// The same for datagrams.
    pub(super) async fn associate(
        &self,
        conn: Buffered,
        target: Option<&HostPort>,
        source: &Addr,
    ) -> Result<Datagrams, ConnectError> {
        // Who serves a tunnel has but one target.
        let target = target.map(Address::from).ok_or(ConnectError::NoDatagrams)?;
        let request = self.request(Command::Connect, true, source, target.clone());
        let (conn, _) = within(self.timeout, exchange(conn, &request)).await?;
        Ok(Datagrams::Single(conn, target))
    }

    /// Serves the tunnel: has visitors' connections, or datagrams, passed on. `address` is what they may ask for.
    pub(super) async fn bind(
        &self,
        conn: Buffered,
        address: Address,
        udp: Option<UdpSettings>,
    ) -> Result<Bound, ConnectError> {
        // To stable servers no name at all means the tunnel's own.
        let address = match address {
            Address::Ip(address) if address.ip().is_unspecified() => Address::Name(Vec::new(), address.port()),
            other => other,
        };
        let source = conn.stream.local_addr();
        let request = self.request(Command::Bind, udp.is_some(), &source, address);
        let (conn, Features { address, tunnel, .. }) = within(self.timeout, exchange(conn, &request)).await?;
        let host = address.and_then(|address| address.host_port().ok()).map(|host| host.to_string());
        let connector = tunnel.map(|tunnel| Uuid::from_bytes(tunnel.id));
        tracing::info!(kind = "connector", tunnel = %self.id, connector = ?connector, host, "serves a tunnel");
        let visitor = |bytes: &[u8]| match Response::parse(bytes).map_err(|error| error.to_string())? {
            Some((Response { status: Status::OK, features }, length)) => {
                Ok(Some((features.source.or(features.address), length)))
            }
            Some((Response { status, .. }, _)) => Err(status.to_string()),
            None => Ok(None),
        };
        let streams = Streams::new(conn, self.mux, source, visitor, udp);
        streams.map(Bound::Streams).map_err(|error| ConnectError::Broken(error.to_string()))
    }

    fn request(&self, command: Command, udp: bool, source: &Addr, target: Address) -> Request {
        let user = self.auth.clone().map(|(username, password)| Credentials {
            username: username.into_bytes(),
            password: password.into_bytes(),
        });
        let source = match source {
            Addr::Inet(address) => (*address).into(),
            Addr::Unix(_) => Address::UNSPECIFIED,
        };
        let features = Features {
            network: udp.then_some(Network::Udp),
            user,
            source: Some(source),
            address: Some(target),
            tunnel: Some(TunnelId { id: self.id.into_bytes(), udp: false, weight: self.weight }),
        };
        Request { command, udp, features }
    }
}
