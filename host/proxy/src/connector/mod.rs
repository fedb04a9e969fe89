//! How a node is asked to connect further.

use std::io;

use drawspan_wire::http1::HostPort;

use crate::net::Buffered;

mod http;

pub use http::Http;

/// A way to ask a node.
pub enum Connector {
    /// By CONNECT of HTTP.
    Http(Http),
    /// It isn't asked: whatever is sent to it goes where it sends it.
    Forward,
}

/// Why a node did not connect further.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The connection to the node failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The node's answer is no answer.
    #[error("broken answer: {0}")]
    Broken(String),
    /// The node can't or doesn't want to.
    #[error("refused: {0}")]
    Refused(String),
    /// The connector's own time is over.
    #[error("timed out")]
    TimedOut,
}

impl Connector {
    /// Asks the node at the other end of `conn` to connect to `target` by TCP. Dropping the future closes `conn`.
    ///
    /// # Errors
    /// If it does not.
    pub async fn connect(&self, conn: Buffered, target: &HostPort) -> Result<Buffered, ConnectError> {
        match self {
            Self::Http(http) => http.connect(conn, target).await,
            Self::Forward => Ok(conn),
        }
    }
}
