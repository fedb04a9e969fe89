//! How a node is asked to connect further.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use bytes::Buf as _;
use drawspan_modules::Addr;
use drawspan_smux::Config;
use drawspan_wire::http1::HostPort;
use drawspan_wire::socks::{Address, SocksError};
use tokio::time;

use crate::Direct;
use crate::listener::{Bound, Greeting, Streams, UdpListener, UdpSettings, addr};
use crate::net::{Buffered, Datagrams, eof};
use crate::router::DialReason;

mod http;
mod relay;
mod router;
mod sni;
mod socks4;
mod socks5;
mod tunnel;

pub use http::Http;
pub use relay::Relay;
pub use router::Router;
pub use sni::Sni;
pub use socks4::Socks4;
pub use socks5::Socks5;
pub use tunnel::Tunnel;

pub(crate) use relay::exchange;

/// A way to ask a node.
pub enum Connector {
    /// By CONNECT of HTTP.
    Http(Http),
    /// By SOCKS4 or SOCKS4a.
    Socks4(Socks4),
    /// By SOCKS5.
    Socks5(Socks5),
    /// By GOST's relay protocol.
    Relay(Relay),
    /// By GOST's tunnel protocol.
    Tunnel(Tunnel),
    /// By the relay protocol, for IP packets.
    Router(Router),
    /// By the name in the client's first bytes.
    Sni(Sni),
    /// It isn't asked: whatever is sent to it goes where it sends it.
    Forward,
    /// There is nobody to ask: connections go on from this machine (`direct`, `virtual`).
    Direct {
        /// They end at once (`action: reject`).
        reject: bool,
    },
}

/// Why a node did not connect further.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The connection to the node failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The connector's protocol has no words for what is wanted.
    #[error("can't ask for that: {0}")]
    Request(#[source] SocksError),
    /// The node's answer is no answer.
    #[error("broken answer: {0}")]
    Broken(String),
    /// The node can't or doesn't want to.
    #[error("refused: {0}")]
    Refused(String),
    /// Its relay for datagrams can't be reached.
    #[error("its relay: {0}")]
    Relay(#[from] DialReason),
    /// It has no way for them.
    #[error("datagrams can't be sent through such a node")]
    NoDatagrams,
    /// It has no word for unix sockets.
    #[error("a unix socket can't be reached through such a node: a relay connector can")]
    NoUnix,
    /// It accepts nothing for others.
    #[error("such a node accepts no connections for others: relay, socks5 and tunnel do")]
    NoBind,
    /// It carries IP packets, to one target.
    #[error("a router connector carries nothing but the packets of a tun service")]
    OnlyPackets,
    /// The connector's own time is over.
    #[error("timed out")]
    TimedOut,
}

impl Connector {
    /// Asks the node at the other end of `conn` to connect to `target` by TCP, for a client at `source`. Dropping the future closes `conn`.
    ///
    /// # Errors
    /// If it does not.
    pub async fn connect(&self, conn: Buffered, target: &HostPort, source: &Addr) -> Result<Buffered, ConnectError> {
        match self {
            Self::Http(http) => http.connect(conn, target).await,
            Self::Socks4(socks) => socks.connect(conn, target).await,
            Self::Socks5(socks) => socks.connect(conn, target).await,
            Self::Relay(relay) => relay.connect(conn, target).await,
            Self::Tunnel(tunnel) => tunnel.connect(conn, target, source).await,
            Self::Router(_) => Err(ConnectError::OnlyPackets),
            Self::Sni(sni) => Ok(sni.connect(conn)),
            Self::Forward | Self::Direct { .. } => Ok(conn),
        }
    }

    /// Asks the node at the other end of `conn` to connect to the unix socket at `path`, of its machine. Dropping the future closes
    /// `conn`.
    ///
    /// # Errors
    /// If it does not.
    pub(crate) async fn connect_unix(&self, conn: Buffered, path: &Path) -> Result<Buffered, ConnectError> {
        match self {
            Self::Relay(relay) => relay.connect_unix(conn, path).await,
            Self::Forward | Self::Direct { .. } => Ok(conn),
            Self::Http(_) | Self::Socks4(_) | Self::Socks5(_) | Self::Tunnel(_) | Self::Router(_) | Self::Sni(_) => {
                Err(ConnectError::NoUnix)
            }
        }
    }

    /// Asks the node at the other end of `conn` to accept connections at `address` from now on, or, with `udp`, datagrams.
    /// Dropping the future closes `conn`.
    ///
    /// # Errors
    /// If it does not.
    pub(crate) async fn bind(
        &self,
        conn: Buffered,
        address: Address,
        udp: Option<UdpSettings>,
    ) -> Result<Bound, ConnectError> {
        match self {
            Self::Socks5(socks) => socks.bind(conn, address, udp).await,
            Self::Relay(relay) => relay.bind(conn, address, udp).await,
            Self::Tunnel(tunnel) => tunnel.bind(conn, address, udp).await,
            Self::Http(_) | Self::Socks4(_) | Self::Router(_) | Self::Sni(_) | Self::Forward | Self::Direct { .. } => {
                Err(ConnectError::NoBind)
            }
        }
    }

    /// Asks the node at the other end of `conn` to pass datagrams on, to `target` or wherever they say; those that go beside
    /// `conn` leave by `direct`. Dropping the future closes `conn`.
    ///
    /// # Errors
    /// If it does not.
    pub(crate) async fn associate(
        &self,
        conn: Buffered,
        target: Option<&HostPort>,
        source: &Addr,
        direct: &Direct,
    ) -> Result<Datagrams, ConnectError> {
        match self {
            Self::Socks5(socks) => socks.associate(conn, direct).await,
            Self::Http(http) => http.associate(conn, target).await.map(Datagrams::Framed),
            Self::Relay(relay) => relay.associate(conn, target).await,
            Self::Tunnel(tunnel) => tunnel.associate(conn, target, source).await,
            Self::Router(router) => router.associate(conn, target, source).await,
            Self::Socks4(_) | Self::Sni(_) | Self::Forward | Self::Direct { .. } => Err(ConnectError::NoDatagrams),
        }
    }
}

/// What a node accepts from now on `here` and passes on in `conn`: datagrams with those settings, or connections.
fn bound(
    conn: Buffered,
    here: Option<Address>,
    udp: Option<UdpSettings>,
    mux: Config,
    greeting: Greeting,
) -> Result<Bound, ConnectError> {
    let here = addr(here);
    if let Some(settings) = udp {
        let anywhere = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0);
        let here = if let Addr::Inet(here) = here { here } else { anywhere };
        return Ok(Bound::Udp(UdpListener::over(Datagrams::Framed(conn), here, settings)));
    }
    let streams = Streams::new(conn, mux, here, greeting, None);
    streams.map(Bound::Streams).map_err(|error| ConnectError::Broken(error.to_string()))
}

/// What `asking` leads to, within the connector's own time.
async fn within<T>(
    limit: Option<Duration>,
    asking: impl Future<Output = Result<T, ConnectError>>,
) -> Result<T, ConnectError> {
    match limit {
        Some(limit) => time::timeout(limit, asking).await.unwrap_or(Err(ConnectError::TimedOut)),
        None => asking.await,
    }
}

/// A node's next message.
async fn receive<T, E: ToString>(
    conn: &mut Buffered,
    parse: impl Fn(&[u8]) -> Result<Option<(T, usize)>, E>,
) -> Result<T, ConnectError> {
    loop {
        let found = parse(&conn.received).map_err(|error| ConnectError::Broken(error.to_string()))?;
        if let Some((message, length)) = found {
            conn.received.advance(length);
            return Ok(message);
        }
        if conn.fill().await? == 0 {
            return Err(eof().into());
        }
    }
}
