//! [`ConnInfo`]: what is known of a client connection.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

pub use drawspan_wit::authenticator::ClientCertificate;

/// What is known of a client connection before its first byte is read.
#[derive(Clone, Debug)]
pub struct ConnInfo {
    /// The service that accepted it.
    pub service: Arc<str>,
    /// The session's id: 20 characters, unique per connection, `sid` in logs and records.
    pub sid: Arc<str>,
    /// The client's address: where the connection comes from, or where a PROXY header says it does.
    pub client: Addr,
    /// The address that the client connected to.
    pub local: Addr,
    /// What the client proved to be by TLS, if the listener asked for that.
    pub certificate: Option<Arc<ClientCertificate>>,
}

/// An end of a connection.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Addr {
    /// An IP address and a port. IPv4 addresses aren't mapped into IPv6.
    Inet(SocketAddr),
    /// The path of a unix socket; `None` if it has none, as clients' sockets.
    Unix(Option<Arc<Path>>),
}

impl Addr {
    /// An end that nobody can name.
    #[must_use]
    pub const fn unnamed() -> Self {
        Self::Unix(None)
    }

    /// The IP address, if it has one.
    #[must_use]
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Inet(address) => Some(address.ip()),
            Self::Unix(_) => None,
        }
    }

    /// The IP address or the path: what records and rules know a client by.
    #[must_use]
    pub fn host(&self) -> String {
        self.ip().map_or_else(|| self.to_string(), |ip| ip.to_string())
    }
}

impl From<SocketAddr> for Addr {
    fn from(address: SocketAddr) -> Self {
        Self::Inet(SocketAddr::new(address.ip().to_canonical(), address.port()))
    }
}

impl From<tokio::net::unix::SocketAddr> for Addr {
    fn from(address: tokio::net::unix::SocketAddr) -> Self {
        Self::Unix(address.as_pathname().map(Into::into))
    }
}

/// As Go writes it: `ip:port`, a path, or `@`.
impl fmt::Display for Addr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inet(address) => address.fmt(f),
            Self::Unix(Some(path)) => path.display().fmt(f),
            Self::Unix(None) => f.write_str("@"),
        }
    }
}

/// What a client asks for.
#[derive(Clone, Debug, Default)]
pub struct Target {
    /// `tcp`, `udp` and so on.
    pub network: String,
    /// `host:port`, resolved if it was.
    pub address: String,
    /// The `host:port` as the client named it, where `address` is resolved.
    pub host: Option<String>,
    /// The request URI of a sniffed HTTP request.
    pub path: Option<String>,
}
