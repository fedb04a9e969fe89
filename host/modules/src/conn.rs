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
