//! How a node is connected to.

use std::io;
use std::time::Duration;

use tokio::time::{Instant, timeout};

use crate::Direct;
use crate::net::{Buffered, Stream};
use crate::router::{DialReason, NodeAddr};
use crate::tls::TlsClient;

/// A transport to a node.
pub enum Dialer {
    /// Plain TCP, or a unix socket if the address is one.
    Tcp,
    /// TLS over that.
    Tls(Tls),
}

/// A transport with a handshake.
pub struct Tls {
    /// How it is spoken.
    pub client: TlsClient,
    /// For the handshake; `None`: as long as the dial may take.
    pub handshake_timeout: Option<Duration>,
}

impl Dialer {
    /// Makes the connection that the transport goes over.
    pub(crate) async fn dial(&self, direct: &Direct, addr: &NodeAddr, deadline: Instant) -> Result<Stream, DialReason> {
        match addr {
            NodeAddr::Inet(address) => Ok(direct.connect(address, deadline).await?.into()),
            NodeAddr::Unix(path) => {
                let failed = |error: io::Error| DialReason::Unix { path: path.clone(), error };
                Ok(tokio::net::UnixStream::connect(path).await.map_err(failed)?.into())
            }
        }
    }

    /// Speaks the transport's protocol over `conn`.
    pub(crate) async fn handshake(&self, conn: Buffered) -> io::Result<Buffered> {
        match self {
            Self::Tcp => Ok(conn),
            Self::Tls(tls) => {
                let shake = tls.client.connect(conn);
                let stream = match tls.handshake_timeout {
                    Some(limit) => timeout(limit, shake).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())),
                    None => shake.await,
                };
                stream.map(Buffered::new)
            }
        }
    }
}
