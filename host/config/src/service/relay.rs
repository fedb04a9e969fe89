//! Metadata of the `relay` handler.

use super::socks5;
use crate::decode::{Context, Object};

/// Settings of a relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RelayHandler {
    /// Clients may have datagrams accepted for them, or sent wherever they like (`bind`).
    pub bind: bool,
}

/// Metadata that GOST knows and drawspan doesn't implement.
pub(super) const NOT_IMPLEMENTED: [&str; 8] = [
    "mux.version",
    "mux.keepaliveDisabled",
    "mux.keepaliveInterval",
    "mux.keepaliveTimeout",
    "mux.maxFrameSize",
    "mux.maxReceiveBuffer",
    "mux.maxStreamBuffer",
    "mux.type",
];

pub(super) fn decode(metadata: &mut Object<'_>, cx: &mut Context) -> RelayHandler {
    socks5::buffer_size(metadata, cx);
    // GOST: without it, an answer waits for the target's first bytes. Here it never waits.
    metadata.flag("nodelay", cx);
    RelayHandler { bind: metadata.flag("bind", cx) }
}
