//! The SOCKS proxies (RFC 1928, RFC 1929; GOST reference, dataplane 6).

mod associate;
mod bind;
mod v4;
mod v5;

#[cfg(test)]
mod tests;

pub use self::v4::Socks4;
pub use self::v5::{Socks5, Socks5Settings};

use super::handshake::{Client, Grant, Tunnel};
use super::session::Session;
use super::{HandlerError, HandlerParts};
