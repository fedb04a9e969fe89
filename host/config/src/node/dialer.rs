//! `dialer` of a node: the transport to a proxy.

use std::time::Duration;

use crate::decode::{Context, Item, Object, Unknown};
use crate::mux::{self, Mux};
use crate::tls::{self, ClientTls};
use crate::{Secret, header};

/// The transport to a proxy.
#[derive(Clone, Debug)]
pub enum Dialer {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// TLS over TCP.
    Tls {
        /// How it is spoken.
        tls: ClientTls,
        /// For the handshake (`handshakeTimeout`); none: the dial's own limit.
        handshake_timeout: Option<Duration>,
    },
    /// WebSocket over TCP.
    Ws(WsDialer),
    /// WebSocket over TLS.
    Wss(WsDialer, ClientTls),
    /// Many connections in one of TCP, TLS or a websocket (`mtcp`, `mtls`, `mws`, `mwss`).
    Mux(Box<Dialer>, Mux),
    /// A unix socket.
    Unix,
    /// None: goes with [`crate::ConnectorKind::Direct`].
    Direct,
}

/// Settings of the `ws` and `wss` dialers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WsDialer {
    /// The `Host` header; none: the node's address.
    pub host: Option<String>,
    /// Of the request; starts with `/`. Default `/ws`.
    pub path: String,
    /// Added to the request: valid names and values, names as written.
    pub header: Vec<(String, Secret)>,
    /// How often a ping is sent (`keepalive`, `ttl`; 15 s when only the first is set); none: never.
    pub ping: Option<Duration>,
    /// For the handshakes (`handshakeTimeout`); none: the dial's own limit.
    pub handshake_timeout: Option<Duration>,
}

#[derive(Clone, Copy, PartialEq)]
enum Type {
    Tcp,
    Udp,
    Tls,
    Ws,
    Wss,
    Mtcp,
    Mtls,
    Mws,
    Mwss,
    Unix,
    Direct,
}

impl Type {
    /// What connections are made by, and, if each carries many, how.
    fn carrier(self) -> (Self, Option<Mux>) {
        match self {
            Self::Mtcp => (Self::Tcp, Some(Mux::V2)),
            Self::Mtls => (Self::Tls, Some(Mux::V1)),
            Self::Mws => (Self::Ws, Some(Mux::V1)),
            Self::Mwss => (Self::Wss, Some(Mux::V1)),
            other => (other, None),
        }
    }
}

const TYPES: [(&str, Type); 12] = [
    ("tcp", Type::Tcp),
    ("udp", Type::Udp),
    ("tls", Type::Tls),
    ("ws", Type::Ws),
    ("wss", Type::Wss),
    ("mtcp", Type::Mtcp),
    ("mtls", Type::Mtls),
    ("mws", Type::Mws),
    ("mwss", Type::Mwss),
    ("unix", Type::Unix),
    ("direct", Type::Direct),
    ("virtual", Type::Direct),
];

/// Dialer types that GOST knows and drawspan doesn't implement.
const OTHERS: [&str; 24] = [
    "h2",
    "h2c",
    "http2",
    "http3",
    "wt",
    "quic",
    "grpc",
    "kcp",
    "pht",
    "phts",
    "ssh",
    "sshd",
    "serial",
    "icmp",
    "icmp6",
    "ohttp",
    "otls",
    "ftcp",
    "dtls",
    "utls",
    "obfs-http",
    "obfs-tls",
    "h3-masque",
    "wg",
];

const PING: Duration = Duration::from_secs(15);

pub(super) fn is_unix(item: &Item<'_>) -> bool {
    item.peek("type") == Some("unix")
}

/// Whether `name` is a dialer's.
pub(crate) fn is_known(name: &str) -> bool {
    OTHERS.contains(&name) || TYPES.iter().any(|(known, _)| *known == name)
}

/// Reads a dialer, by default `tcp`; `host` is the node's.
pub(super) fn decode(item: Option<&Item<'_>>, host: &str, cx: &mut Context) -> Option<Dialer> {
    let Some(item) = item else {
        return Some(Dialer::Tcp);
    };
    let mut object = Object::new(item, cx)?;
    let (kind, mux) = object.kind("dialer", &TYPES, Type::Tcp, &OTHERS, cx)?.carrier();
    object.without_effect(&["auth"], "has no effect on this dialer: the connector may have an `auth`", cx);
    let mut metadata = object.section("metadata", cx);
    let tls = match kind {
        Type::Tls | Type::Wss => tls::client(object.take("tls").as_ref(), host, cx),
        _ => {
            object.without_effect(
                &["tls"],
                "has no effect on this dialer; `tls`, `wss`, `mtls` and `mwss` speak TLS",
                cx,
            );
            None
        }
    };
    let mut others = Vec::new();
    let mux = mux.map(|default| {
        others.extend(mux::NOT_IMPLEMENTED);
        mux::decode(&mut metadata, default, cx)
    });
    let dialer = match kind {
        Type::Tcp => Some(Dialer::Tcp),
        Type::Udp => Some(Dialer::Udp),
        Type::Unix => Some(Dialer::Unix),
        Type::Direct => Some(Dialer::Direct),
        Type::Tls => {
            let handshake_timeout = metadata.seconds("handshakeTimeout", cx);
            tls.map(|tls| Dialer::Tls { tls, handshake_timeout })
        }
        Type::Ws | Type::Wss => {
            others.extend(["enableCompression", "ws.enableCompression"]);
            let ws = ws(&mut metadata, cx);
            if kind == Type::Ws { Some(Dialer::Ws(ws)) } else { tls.map(|tls| Dialer::Wss(ws, tls)) }
        }
        // Their carriers stand above.
        Type::Mtcp | Type::Mtls | Type::Mws | Type::Mwss => None,
    };
    if mux.is_some() && kind == Type::Tcp {
        metadata.without_effect(&["handshakeTimeout"], "has no effect: there is no handshake", cx);
    }
    metadata.finish(&others, Unknown::Warn, cx);
    object.finish(&[], Unknown::Warn, cx);
    match mux {
        Some(mux) => dialer.map(|dialer| Dialer::Mux(Box::new(dialer), mux)),
        None => dialer,
    }
}

/// GOST: each key may be written with `ws.` in front.
fn ws(metadata: &mut Object<'_>, cx: &mut Context) -> WsDialer {
    let keepalive =
        metadata.take_any(&["ws.keepalive", "keepalive"]).and_then(|item| item.boolean(cx)).unwrap_or(false);
    let ttl = metadata.seconds_any(&["ttl", "keepalive.interval"], cx);
    let buffers = ["readBufferSize", "writeBufferSize", "ws.readBufferSize", "ws.writeBufferSize"];
    metadata.without_effect(&buffers, "has no effect: buffers grow as needed", cx);
    let header = metadata.take_any(&["ws.header", "header"]);
    let path = metadata.take_any(&["ws.path", "path"]).and_then(|item| url_path(&item, cx));
    WsDialer {
        host: metadata.take_any(&["ws.host", "host"]).and_then(|item| item.name(cx)).map(|host| host.value),
        path: path.unwrap_or_else(|| "/ws".into()),
        header: header.map(|item| header::secret(&item, cx)).unwrap_or_default(),
        ping: keepalive.then_some(ttl.unwrap_or(PING)),
        handshake_timeout: metadata.seconds_any(&["ws.handshakeTimeout", "handshakeTimeout"], cx),
    }
}

/// The path of a URL; empty text counts as absent.
pub(crate) fn url_path(item: &Item<'_>, cx: &mut Context) -> Option<String> {
    let text = item.name(cx)?;
    if !text.starts_with('/') || text.contains(|c: char| c.is_whitespace() || c.is_control() || c == '#') {
        cx.push(item.error("expected a path that starts with `/`"));
        return None;
    }
    Some(text.value)
}
