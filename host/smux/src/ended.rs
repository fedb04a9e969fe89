//! [`Ended`]: why a session is over.

use std::io;

use drawspan_wire::smux::SmuxError;

/// Why a session is over.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Ended {
    /// It was dropped here.
    #[error("the mux session was closed")]
    Dropped,
    /// The peer closed the connection.
    #[error("the peer closed the mux session")]
    Closed,
    /// The connection failed.
    #[error("the mux session failed: {1}")]
    Io(io::ErrorKind, String),
    /// Nothing came for so long that the peer counts as dead.
    #[error("the peer of the mux session is dead: nothing came in time")]
    Dead,
    /// The peer speaks something else.
    #[error("the mux session failed: {0}")]
    Protocol(#[from] SmuxError),
    /// The peer broke a rule.
    #[error("the peer of the mux session {0}")]
    Broken(&'static str),
    /// All numbers that streams can have were used.
    #[error("the mux session has had all streams that it can have")]
    Exhausted,
}

impl From<Ended> for io::Error {
    fn from(ended: Ended) -> Self {
        let kind = match &ended {
            Ended::Dropped | Ended::Exhausted => io::ErrorKind::NotConnected,
            Ended::Closed => io::ErrorKind::UnexpectedEof,
            Ended::Io(kind, _) => *kind,
            Ended::Dead => io::ErrorKind::TimedOut,
            Ended::Protocol(_) | Ended::Broken(_) => io::ErrorKind::InvalidData,
        };
        Self::new(kind, ended)
    }
}
