//! Metadata of the `socks5` handler.

use crate::decode::{Context, Item, Object};
use crate::mux::{self, Mux};
use crate::tls::{self, ServerBlock, ServerTls};

/// Settings of a SOCKS 5 proxy.
#[derive(Clone, Debug)]
pub struct Socks5Handler {
    /// For GOST's private methods with TLS; none: they aren't chosen (`notls`).
    pub tls: Option<ServerTls>,
    /// Clients may relay UDP: by UDP ASSOCIATE, and by GOST's tunnel through the TCP connection.
    pub udp: bool,
    /// Clients may have the proxy listen (BIND).
    pub bind: bool,
    /// The host that replies to UDP ASSOCIATE name (`publicAddr`); none: the address that the client connected to.
    pub public_addr: Option<String>,
    /// How the connections that are accepted for a client share its own (GOST's multiplexed BIND).
    pub mux: Mux,
    /// Those begin with what the client's peer says, and not with its address (`comp`: as GOST 2 has it).
    pub compatible: bool,
    /// `tls` as it is written, until the default certificate is known.
    pub(crate) block: Option<ServerBlock>,
}

/// Metadata that GOST knows and drawspan doesn't implement.
pub(super) const NOT_IMPLEMENTED: [&str; 5] =
    [mux::NOT_IMPLEMENTED[0], "udp.resolveDomain", "udp.bindRange.min", "udp.bindRange.max", "tor"];

pub(super) fn decode(block: Option<&Item<'_>>, metadata: &mut Object<'_>, cx: &mut Context) -> Socks5Handler {
    let no_tls = metadata.flag("notls", cx);
    let block = block.and_then(|item| tls::server(item, false, cx)).unwrap_or_default();
    buffer_size(metadata, cx);
    let public_addr = metadata.take_any(&["socks.publicAddr", "publicAddr"]);
    Socks5Handler {
        tls: None,
        udp: metadata.flag("udp", cx),
        bind: metadata.flag("bind", cx),
        public_addr: public_addr.and_then(|item| item.name(cx)).map(|name| name.value),
        mux: mux::decode(metadata, Mux::V1, cx),
        compatible: metadata.flag("comp", cx),
        block: (!no_tls).then_some(block),
    }
}

/// Datagrams of any size pass. GOST: cuts them off.
pub(super) fn buffer_size(metadata: &mut Object<'_>, cx: &mut Context) {
    let why = "has no effect: datagrams of any size pass";
    metadata.without_effect(&["udp.bufferSize", "udpBufferSize"], why, cx);
}
