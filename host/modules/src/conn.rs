//! [`ConnInfo`]: what is known of a client connection.

use std::net::SocketAddr;
use std::sync::Arc;

/// What is known of a client connection before its first byte is read.
#[derive(Clone, Debug)]
pub struct ConnInfo {
    /// The service that accepted it.
    pub service: Arc<str>,
    /// The session's id: 20 characters, unique per connection, `sid` in logs and records.
    pub sid: Arc<str>,
    /// The client's address.
    pub client: SocketAddr,
    /// The address that the client connected to.
    pub local: SocketAddr,
}

/// What a client asks for.
#[derive(Clone, Debug, Default)]
pub struct Target {
    /// `tcp`, `udp` and so on.
    pub network: String,
    /// `host:port`, resolved if it was.
    pub address: String,
    /// The `host:port` as the client named it, where `address` is resolved.
    pub host: Option<String>,
    /// The request URI of a sniffed HTTP request.
    pub path: Option<String>,
}
