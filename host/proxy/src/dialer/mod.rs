//! How a node is connected to.

use std::io;

use tokio::time::Instant;

use crate::Direct;
use crate::net::{Buffered, Stream};
use crate::router::{DialReason, NodeAddr};

/// A transport to a node.
pub enum Dialer {
    /// Plain TCP, or a unix socket if the address is one.
    Tcp,
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
        }
    }
}
