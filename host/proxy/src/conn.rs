//! [`Conn`]: a client connection on its way to a handler.

use drawspan_modules::ConnInfo;
use tokio::net::TcpStream;

/// An accepted connection and what is known of it.
#[derive(Debug)]
pub struct Conn {
    /// The bytes. Nothing has been read yet.
    pub stream: TcpStream,
    /// Who, where and for which service.
    pub info: ConnInfo,
}
