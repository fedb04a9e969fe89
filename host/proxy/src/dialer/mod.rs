//! How a node is connected to.

mod mux;

use std::io;
use std::path::Path;
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::time::{Instant, timeout};

use crate::net::{Buffered, Stream};
use crate::router::{DialReason, NodeAddr};
use crate::tls::TlsClient;
use crate::{Direct, WsClient};

pub use mux::Mux;

/// A connection to a socket of this machine.
pub(crate) async fn connect_unix(path: &Path) -> Result<UnixStream, DialReason> {
    let failed = |error: io::Error| DialReason::Unix { path: path.to_owned(), error };
    UnixStream::connect(path).await.map_err(failed)
}

/// A transport to a node.
pub enum Dialer {
    /// Plain TCP, or a unix socket if the address is one.
    Tcp,
    /// A protocol over that.
    Layered(Layered),
    /// Many connections in one.
    Mux(Mux),
    /// UDP: for datagrams to a node that passes them on by itself; no connection goes over it.
    Udp,
}

/// A transport with handshakes, or with none.
#[derive(Default)]
pub struct Layered {
    /// First TLS, if there is any.
    pub tls: Option<TlsClient>,
    /// Then a websocket, if there is one.
    pub ws: Option<WsClient>,
    /// For both; `None`: as long as the dial may take.
    pub handshake_timeout: Option<Duration>,
}

impl Layered {
    /// Speaks the transport's protocol over `conn`.
    async fn handshake(&self, conn: Buffered) -> io::Result<Buffered> {
        match self.handshake_timeout {
            Some(limit) => {
                timeout(limit, self.shake(conn)).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
            }
            None => self.shake(conn).await,
        }
    }

    async fn shake(&self, mut conn: Buffered) -> io::Result<Buffered> {
        if let Some(tls) = &self.tls {
            conn = Buffered::new(tls.connect(conn).await?);
        }
        if let Some(ws) = &self.ws {
            conn = Buffered::new(ws.connect(conn).await?);
        }
        Ok(conn)
    }
}

impl Dialer {
    /// Makes the connection that the transport goes over.
    pub(crate) async fn dial(&self, direct: &Direct, addr: &NodeAddr, deadline: Instant) -> Result<Stream, DialReason> {
        match addr {
            NodeAddr::Inet(address) => Ok(direct.connect(address, deadline).await?.into()),
            NodeAddr::Unix(path) => Ok(connect_unix(path).await?.into()),
        }
    }

    /// Speaks the transport's protocol over `conn`.
    pub(crate) async fn handshake(&self, conn: Buffered) -> io::Result<Buffered> {
        match self {
            Self::Tcp | Self::Udp => Ok(conn),
            Self::Layered(layered) | Self::Mux(Mux { over: layered, .. }) => layered.handshake(conn).await,
        }
    }
}
