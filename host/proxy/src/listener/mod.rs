//! What accepts client connections.

mod tcp;
mod udp;
mod unix;

use drawspan_modules::Addr;

pub use tcp::{AcceptError, Accepted, BindError, TcpListener, Transport};
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
}

impl Listener {
    /// The address that is listened on, with the port that the kernel chose.
    #[must_use]
    pub fn local_addr(&self) -> Addr {
        match self {
            Self::Tcp(tcp) => tcp.local_addr().into(),
            Self::Udp(udp) => udp.local_addr().into(),
            Self::Unix(unix) => unix.local_addr(),
        }
    }

    /// `tcp`, `udp` or `unix`.
    #[must_use]
    pub fn network(&self) -> &'static str {
        match self {
            Self::Tcp(_) => "tcp",
            Self::Udp(_) => "udp",
            Self::Unix(_) => "unix",
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
        }
    }
}
