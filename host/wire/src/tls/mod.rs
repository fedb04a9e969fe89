//! TLS as far as a proxy looks into it: both hellos, in the clear (RFC 8446 §4.1.2, RFC 6066 §3, RFC 7301).

mod client_hello;
mod disguise;
mod extensions;
mod server_hello;

pub use client_hello::ClientHello;
pub use disguise::disguise;
pub use server_hello::ServerHello;

/// Bytes of a ClientHello with its record headers; a longer one is refused. With post-quantum keys they have about 2 KiB.
pub const MAX_CLIENT_HELLO: usize = 16 * 1024;

/// Why bytes are not a hello.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// The first bytes already belong to something else.
    #[error("not the hello of a TLS handshake")]
    NotHello,
    /// Longer than [`MAX_CLIENT_HELLO`].
    #[error("hello is larger than {MAX_CLIENT_HELLO} bytes")]
    TooLarge,
    /// Its lengths contradict each other.
    #[error("malformed hello")]
    Malformed,
    /// The server's name isn't one.
    #[error("invalid server name in ClientHello")]
    ServerName,
    /// The new server's name doesn't fit.
    #[error("no room for the new server name in ClientHello")]
    NoRoom,
}
