//! The websocket protocol (RFC 6455) as a tunnel of bytes.
//!
//! Messages have no meaning here: their payload is one stream, handed on as it comes, and no message is ever put together,
//! however large it says it is. Extensions are never negotiated.

mod decoder;
mod frame;
mod handshake;
mod overheard;

pub use decoder::{Decoder, Event, MAX_CONTROL, Step};
pub use frame::{FrameHead, Opcode, apply_mask};
pub use handshake::{HandshakeError, accept, check_request, check_response};
pub use overheard::{Frame, Overheard};

/// Which end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Sends masked frames and receives plain ones.
    Client,
    /// The other way round.
    Server,
}

/// Why what a peer sent breaks the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WebsocketError {
    /// A bit that only an extension gives a meaning.
    #[error("websocket frame with reserved bits set")]
    Reserved,
    /// No such opcode.
    #[error("unknown websocket opcode {0}")]
    Opcode(u8),
    /// A client's frame that isn't masked, or a server's that is.
    #[error("websocket frame with the wrong masking")]
    Masking,
    /// A control frame that is too long or in pieces.
    #[error("malformed websocket control frame")]
    Control,
    /// A piece without a message before it, or a message within another.
    #[error("websocket frame out of sequence")]
    Sequence,
    /// More than 63 bits.
    #[error("websocket frame with an impossible length")]
    Length,
}
