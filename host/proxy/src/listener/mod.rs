//! What accepts client connections.

mod dns;
mod remote;
mod tcp;
mod tun;
mod udp;
mod unix;

pub use dns::{DnsListener, DnsMode, DnsQuestion, DnsStreams};
pub use remote::{Bound, RemoteListener, Streams};
pub(crate) use remote::{Greeting, addr};
pub(crate) use tcp::locate;
pub use tcp::{AcceptError, Accepted, BindError, TcpListener, TcpOptions, Transport};
pub use tun::{TunDevice, TunListener, TunSettings};
pub use udp::{UdpListener, UdpSession, UdpSettings};
pub use unix::UnixListener;

/// A socket that accepts connections.
#[derive(Debug)]
pub enum Listener {
    /// TCP.
    Tcp(TcpListener),
    /// UDP; a client's datagrams are its connection.
    Udp(UdpListener),
    /// A unix socket.
    Unix(UnixListener),
    /// Another machine's TCP or UDP.
    Remote(Box<RemoteListener>),
    /// Whatever carries DNS; a question is a connection.
    Dns(DnsListener),
    /// A network interface; while it is there, its packets are the only connection.
    Tun(TunListener),
}

impl Listener {
    /// The address that is listened on, with the port that the kernel chose; of another machine, the one that is asked for.
    #[must_use]
    pub fn address(&self) -> String {
        match self {
            Self::Tcp(tcp) => tcp.local_addr().to_string(),
            Self::Udp(udp) => udp.local_addr().to_string(),
            Self::Unix(unix) => unix.local_addr().to_string(),
            Self::Remote(remote) => remote.address.to_string(),
            Self::Dns(dns) => dns.local_addr().to_string(),
            Self::Tun(tun) => tun.local_addr().to_string(),
        }
    }

    /// `tcp`, `udp` or `unix`.
    #[must_use]
    pub fn network(&self) -> &'static str {
        match self {
            Self::Tcp(_) => "tcp",
            Self::Udp(_) | Self::Tun(_) => "udp",
            Self::Unix(_) => "unix",
            Self::Remote(remote) => remote.network(),
            Self::Dns(dns) => dns.network(),
        }
    }

    /// Waits for the next connection. Dropping the future loses none.
    ///
    /// # Errors
    /// The caller pauses after a [temporary](AcceptError::Temporary) one and ends after a fatal one.
    pub async fn accept(&self) -> Result<Accepted, AcceptError> {
        match self {
            Self::Tcp(tcp) => tcp.accept().await,
            Self::Udp(udp) => udp.accept().await,
            Self::Unix(unix) => unix.accept().await,
            Self::Remote(remote) => remote.accept().await,
            Self::Dns(dns) => dns.accept().await,
            Self::Tun(tun) => tun.accept().await,
        }
    }
}
