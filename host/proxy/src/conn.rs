//! [`Conn`]: a client connection on its way to a handler.

use std::sync::Arc;

use drawspan_modules::ConnInfo;

use crate::net::{Buffered, Counters, Limits, Stream};

/// An accepted connection and what is known of it: bytes, a [client's datagrams](crate::listener::UdpSession), a
/// [question](crate::listener::DnsQuestion), or an [interface's packets](crate::listener::TunDevice).
#[derive(Debug)]
pub struct Conn<S = Buffered> {
    /// What comes and goes. Whoever looked at the first bytes has left them there.
    pub stream: S,
    /// Who, where and for which service.
    pub info: ConnInfo,
    /// Bandwidth limits of its service and of itself; all apply.
    pub limits: Vec<Arc<Limits>>,
    /// Where its bytes are counted beside its own.
    pub counters: Box<[Arc<Counters>]>,
}

impl Conn {
    /// A connection without limits, that nobody counts.
    #[must_use]
    pub fn new(stream: impl Into<Stream>, info: ConnInfo) -> Self {
        Self { stream: Buffered::new(stream), info, limits: Vec::new(), counters: Box::default() }
    }
}
