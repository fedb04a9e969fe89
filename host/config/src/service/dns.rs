//! The dns listener and handler.

use std::net::IpAddr;
use std::time::Duration;

use crate::decode::{Context, Item, Object};
use crate::hop::HopNodes;
use crate::node::{self, Node};
use crate::resolver::{TIMEOUT, Ttl, is_negative};
use crate::selector::Selector;

/// Settings of the `dns` handler.
#[derive(Clone, Debug)]
pub struct DnsHandler {
    /// How long answers are kept, and, when it is fixed, clients are told to keep them.
    pub ttl: Ttl,
    /// For one exchange with a server. Default 5 s, never 0.
    pub timeout: Duration,
    /// EDNS client subnet.
    pub client_ip: Option<IpAddr>,
    /// Answer with an expired answer, and ask again behind it (`async`).
    pub refresh_behind: bool,
    /// `dns`: nodes for a service without forwarder.
    pub(super) nodes: Vec<Node>,
}

/// Settings of the `dns` listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DnsListener {
    /// What carries questions.
    pub mode: DnsMode,
    /// How long a connection may be silent, or take for a message. Default 8 s.
    pub read_timeout: Duration,
    /// How long a client may take to receive an answer. Default 2 s.
    pub write_timeout: Duration,
}

/// What carries questions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum DnsMode {
    Udp,
    Tcp,
    Tls,
    Https,
}

const MODES: [(&str, DnsMode); 4] =
    [("udp", DnsMode::Udp), ("tcp", DnsMode::Tcp), ("tls", DnsMode::Tls), ("https", DnsMode::Https)];

pub(super) fn handler(metadata: &mut Object<'_>, cx: &mut Context) -> DnsHandler {
    metadata.without_effect(&["bufferSize"], "has no effect: messages of any size pass", cx);
    let client_ip = metadata.take("clientIP").filter(|item| !item.node.value.is_zero());
    let ttl = |item: Item<'_>, cx: &mut Context| match is_negative(&item) {
        true => Some(Ttl::Uncached),
        false => item.metadata_duration(cx).map(Ttl::of),
    };
    let servers = metadata.take("dns").filter(|item| !item.node.value.is_zero());
    DnsHandler {
        ttl: metadata.take("ttl").and_then(|item| ttl(item, cx)).unwrap_or(Ttl::Answer),
        timeout: metadata.seconds("timeout", cx).unwrap_or(TIMEOUT),
        client_ip: client_ip
            .and_then(|item| item.parsed("an IP address", cx, |text| text.parse().ok()))
            .map(|ip| ip.value),
        refresh_behind: metadata.flag("async", cx),
        nodes: servers.map(|item| node::nameservers(&item, cx)).unwrap_or_default(),
    }
}

/// What a dns handler without forwarder forwards to.
pub(super) fn hop(handler: &DnsHandler) -> Option<HopNodes> {
    let nodes = handler.nodes.clone();
    (!nodes.is_empty()).then(|| HopNodes { selector: Selector::default(), bypasses: Vec::new(), nodes })
}

/// GOST: an unknown mode is `udp`.
pub(super) fn mode(metadata: &mut Object<'_>, cx: &mut Context) -> Option<DnsMode> {
    match metadata.take("mode").filter(|item| !item.node.value.is_zero()) {
        Some(item) => item.choice("mode", &MODES, cx),
        None => Some(DnsMode::Udp),
    }
}

pub(super) fn listener(mode: DnsMode, metadata: &mut Object<'_>, cx: &mut Context) -> DnsListener {
    metadata.without_effect(&["readBufferSize"], "has no effect: what is needed is used", cx);
    metadata.without_effect(&["backlog"], "has no effect: questions don't wait to be accepted", cx);
    if mode == DnsMode::Udp {
        metadata.without_effect(&["readTimeout", "writeTimeout"], "has no effect on datagrams", cx);
    }
    DnsListener {
        mode,
        read_timeout: metadata.seconds("readTimeout", cx).unwrap_or(Duration::from_secs(8)),
        write_timeout: metadata.seconds("writeTimeout", cx).unwrap_or(Duration::from_secs(2)),
    }
}
