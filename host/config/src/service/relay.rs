//! Metadata of the `relay` handler.

use super::socks5;
use crate::decode::{Context, Object};
use crate::mux::{self, Mux};

/// Settings of a relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RelayHandler {
    /// Clients may have connections and datagrams accepted for them, or datagrams sent wherever they like (`bind`).
    pub bind: bool,
    /// How the connections that are accepted for a client share its own.
    pub mux: Mux,
}

pub(super) fn decode(metadata: &mut Object<'_>, cx: &mut Context) -> RelayHandler {
    socks5::buffer_size(metadata, cx);
    // GOST: without it, an answer waits for the target's first bytes. Here it never waits.
    metadata.flag("nodelay", cx);
    RelayHandler { bind: metadata.flag("bind", cx), mux: mux::decode(metadata, Mux::V1, cx) }
}
