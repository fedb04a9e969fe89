//! TLS as far as a proxy looks into it: the ClientHello, in the clear (RFC 8446 §4.1.2, RFC 6066 §3, RFC 7301).

mod client_hello;
mod disguise;
mod extensions;

pub use client_hello::ClientHello;
pub use disguise::disguise;

/// Bytes of a ClientHello with its record headers; a longer one is refused. With post-quantum keys they have about 2 KiB.
pub const MAX_CLIENT_HELLO: usize = 16 * 1024;

/// Why bytes are not a ClientHello.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// The first bytes already belong to something else.
    #[error("not a TLS ClientHello")]
    NotClientHello,
    /// Longer than [`MAX_CLIENT_HELLO`].
    #[error("ClientHello is larger than {MAX_CLIENT_HELLO} bytes")]
    TooLarge,
    /// Its lengths contradict each other.
    #[error("malformed ClientHello")]
    Malformed,
    /// The server's name isn't one.
    #[error("invalid server name in ClientHello")]
    ServerName,
    /// The new server's name doesn't fit.
    #[error("no room for the new server name in ClientHello")]
    NoRoom,
}
