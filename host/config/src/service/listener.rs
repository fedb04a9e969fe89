//! `services[].listener`: how connections are accepted.

use std::time::Duration;

use super::dns::{self, DnsListener, DnsMode};
use crate::chain::{self, ChainGroup};
use crate::decode::{Context, Item, Object, Unknown};
use crate::header;
use crate::mux::{self, Mux};
use crate::node::url_path;
use crate::tls::{self, ServerBlock, ServerTls};

use super::tun::{self, TunListener};

/// How a service accepts connections.
#[derive(Clone, Debug)]
pub struct Listener {
    /// The transport.
    pub kind: ListenerKind,
    /// How TLS is spoken; there exactly for [`ListenerKind::Tls`], [`ListenerKind::Wss`] and the modes of
    /// [`ListenerKind::Dns`] that speak it.
    pub tls: Option<ServerTls>,
    /// Connections carry many (`mtcp`, `mtls`, `mws`, `mwss`).
    pub mux: Option<Mux>,
    /// The way to where [`ListenerKind::Rtcp`] and [`ListenerKind::Rudp`] have connections accepted; none: this machine.
    pub chains: Option<ChainGroup>,
    /// Of the TCP connections below.
    pub keepalive: TcpKeepalive,
    /// Accept Multipath TCP too, where the kernel knows it (`mptcp`).
    pub mptcp: bool,
    /// Others may listen on the same address, and the kernel shares the connections out (`reuseport`).
    pub reuse_port: bool,
    /// `tls` as it is written, until the default certificate is known.
    pub(crate) block: Option<ServerBlock>,
}

/// The transport of a [`Listener`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenerKind {
    /// TCP.
    Tcp,
    /// UDP; a client's datagrams are its connection.
    Udp(UdpListener),
    /// TLS over TCP.
    Tls,
    /// WebSocket over TCP.
    Ws(WsListener),
    /// WebSocket over TLS.
    Wss(WsListener),
    /// A unix socket.
    Unix(UnixListener),
    /// TCP at the far end of a chain.
    Rtcp,
    /// UDP at the far end of a chain.
    Rudp(UdpListener),
    /// Questions by DNS, over UDP, TCP, TLS or HTTPS.
    Dns(DnsListener),
    /// A network interface of its own.
    Tun(Box<TunListener>),
}

impl ListenerKind {
    /// Whether datagrams are accepted, and not connections.
    #[must_use]
    pub fn is_udp(&self) -> bool {
        matches!(self, Self::Udp(_) | Self::Rudp(_) | Self::Dns(DnsListener { mode: DnsMode::Udp, .. }))
    }
}

/// TCP keepalive, always on as in Go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpKeepalive {
    /// Silence before the first probe (`keepalive.idle`). Default 15 s.
    pub idle: Duration,
    /// Between probes (`keepalive.interval`). Default 15 s.
    pub interval: Duration,
    /// Unanswered probes that end the connection (`keepalive.count`). Default 9.
    pub count: u32,
}

/// Settings of the `udp` listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UdpListener {
    /// A session lives on after the first reply, until it is silent for `ttl`.
    pub keepalive: bool,
    /// Default 5 s, never 0.
    pub ttl: Duration,
    /// Datagrams of a client that wait to be forwarded (`readQueueSize`); further ones are dropped. Default 128.
    pub read_queue: u32,
    /// Clients that wait to be accepted; datagrams of further ones are dropped. Default 128.
    pub backlog: u32,
}

/// Settings of the `ws` and `wss` listeners.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WsListener {
    /// What is asked for; others get 404. Default `/ws`.
    pub path: String,
    /// Added to the response: valid names and values, names as written.
    pub header: Vec<(String, String)>,
    /// For the request's head (`readHeaderTimeout`); none: the handshake's.
    pub read_header_timeout: Option<Duration>,
    /// For the handshake as a whole (`handshakeTimeout`); none: the handler's `readTimeout`.
    pub handshake_timeout: Option<Duration>,
}

/// Settings of the `unix` listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnixListener {
    /// Permissions of the socket; none: as the process's mask leaves them.
    pub mode: Option<u32>,
}

impl Listener {
    /// By TCP, with all defaults.
    #[must_use]
    pub fn tcp() -> Self {
        Self {
            kind: ListenerKind::Tcp,
            tls: None,
            mux: None,
            chains: None,
            keepalive: KEEPALIVE,
            mptcp: false,
            reuse_port: false,
            block: None,
        }
    }
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
    Rtcp,
    Rudp,
    Dns,
    Tun,
}

impl Type {
    /// What connections are accepted by, and, if each carries many, how.
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

const TYPES: [(&str, Type); 14] = [
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
    ("rtcp", Type::Rtcp),
    ("rudp", Type::Rudp),
    ("dns", Type::Dns),
    ("tun", Type::Tun),
];

/// Listener types that GOST knows and drawspan doesn't implement.
const OTHERS: [&str; 26] = [
    "runix", "h2", "h2c", "http2", "http3", "wt", "quic", "grpc", "kcp", "pht", "phts", "ssh", "sshd", "tungo", "tap",
    "red", "redirect", "redu", "serial", "icmp", "icmp6", "ohttp", "otls", "ftcp", "stdio", "dtls",
];

/// Whether `name` is a listener's.
pub(crate) fn is_known(name: &str) -> bool {
    OTHERS.contains(&name) || TYPES.iter().any(|(known, _)| *known == name)
}

/// Only other listeners use these; a guard that guards nothing is refused.
const NOT_IMPLEMENTED: [&str; 3] = ["auther", "authers", "auth"];

const SECONDS_15: Duration = Duration::from_secs(15);

/// Reads `listener`, by default `tcp`.
pub(super) fn decode(service: &mut Object<'_>, cx: &mut Context) -> Option<Listener> {
    let mut object = service.section("listener", cx);
    // Without a type nobody can say what the other keys mean.
    let (kind, mux) = object.kind("listener", &TYPES, Type::Tcp, &OTHERS, cx)?.carrier();
    let mut metadata = object.section("metadata", cx);
    let dns = if kind == Type::Dns { dns::mode(&mut metadata, cx)? } else { DnsMode::Udp };
    let block = match (kind, dns) {
        (Type::Tls | Type::Wss, _) | (Type::Dns, DnsMode::Tls | DnsMode::Https) => {
            let item = object.take("tls");
            let block = item.as_ref().and_then(|item| tls::server(item, false, cx));
            Some(block.unwrap_or_default())
        }
        _ => {
            object.without_effect(
                &["tls"],
                "has no effect on this listener; `tls`, `wss`, `mtls` and `mwss` speak TLS, and `dns` in some modes",
                cx,
            );
            None
        }
    };
    let mut others = Vec::new();
    let mux = mux.map(|default| {
        others.extend(mux::NOT_IMPLEMENTED);
        if let Type::Tcp | Type::Tls = kind {
            metadata.without_effect(&["backlog"], "has no effect: what is needed is used", cx);
        }
        mux::decode(&mut metadata, default, cx)
    });
    let is_udp = matches!(kind, Type::Udp | Type::Rudp) || (kind == Type::Dns && dns == DnsMode::Udp);
    let is_tcp = !is_udp && !matches!(kind, Type::Unix | Type::Rtcp | Type::Tun);
    let keepalive = if is_tcp || kind == Type::Unix { keepalive(&mut metadata, cx) } else { KEEPALIVE };
    let takes_options = is_tcp && kind != Type::Dns;
    let mptcp = takes_options && metadata.flag("mptcp", cx);
    let reuse_port = takes_options && metadata.flag("reuseport", cx);
    let chains = if let Type::Rtcp | Type::Rudp = kind { chain::group(&mut object, cx) } else { None };
    let kind = match kind {
        Type::Tcp => ListenerKind::Tcp,
        Type::Udp => {
            others.push("stateless");
            ListenerKind::Udp(udp(&mut metadata, UDP, cx))
        }
        Type::Rtcp => ListenerKind::Rtcp,
        Type::Rudp => ListenerKind::Rudp(udp(&mut metadata, RUDP, cx)),
        Type::Tls => ListenerKind::Tls,
        Type::Ws | Type::Wss => {
            others.extend(["enableCompression", "ws.enableCompression"]);
            let ws = ws(&mut metadata, cx);
            if kind == Type::Ws { ListenerKind::Ws(ws) } else { ListenerKind::Wss(ws) }
        }
        Type::Dns => {
            others.push("mptcp");
            ListenerKind::Dns(dns::listener(dns, &mut metadata, cx))
        }
        Type::Tun => ListenerKind::Tun(Box::new(tun::listener(&mut metadata, cx))),
        Type::Unix => ListenerKind::Unix(UnixListener { mode: metadata.take("mode").and_then(|item| mode(&item, cx)) }),
        // Their carriers stand above.
        Type::Mtcp | Type::Mtls | Type::Mws | Type::Mwss => return None,
    };
    metadata.finish(&others, Unknown::Warn, cx);
    if !matches!(kind, ListenerKind::Rtcp | ListenerKind::Rudp(_)) {
        object.without_effect(
            &["chain", "chainGroup"],
            "has no effect on this listener; `rtcp` and `rudp` have chains",
            cx,
        );
    }
    object.finish(&NOT_IMPLEMENTED, Unknown::Warn, cx);
    Some(Listener { kind, tls: None, mux, chains, keepalive, mptcp, reuse_port, block })
}

const KEEPALIVE: TcpKeepalive = TcpKeepalive { idle: SECONDS_15, interval: SECONDS_15, count: 9 };

fn keepalive(metadata: &mut Object<'_>, cx: &mut Context) -> TcpKeepalive {
    // GOST: `false` leaves the system's defaults, which are on.
    metadata.flag("keepalive", cx);
    TcpKeepalive {
        idle: metadata.seconds("keepalive.idle", cx).unwrap_or(KEEPALIVE.idle),
        interval: metadata.seconds("keepalive.interval", cx).unwrap_or(KEEPALIVE.interval),
        count: metadata.integer("keepalive.count", 1..=127, cx).unwrap_or(KEEPALIVE.count),
    }
}

const UDP: UdpListener = UdpListener { keepalive: false, ttl: Duration::from_secs(5), read_queue: 128, backlog: 128 };
/// GOST: a session at the far end of a chain lives on whatever `keepalive` says.
const RUDP: UdpListener = UdpListener { keepalive: true, read_queue: 1024, ..UDP };

fn udp(metadata: &mut Object<'_>, default: UdpListener, cx: &mut Context) -> UdpListener {
    let sizes = ["readBufferSize", "udp.bufferSize"];
    metadata.without_effect(&sizes, "has no effect: datagrams of any size pass", cx);
    let queue = metadata.take_any(&["readQueueSize", "recvQueueSize"]).filter(|item| !item.node.value.is_zero());
    UdpListener {
        keepalive: metadata.flag("keepalive", cx) || default.keepalive,
        ttl: metadata.seconds_any(&["ttl", "keepalive.ttl"], cx).unwrap_or(default.ttl),
        read_queue: queue.and_then(|item| item.integer(1..=65_536, cx)).unwrap_or(default.read_queue),
        backlog: metadata.integer("backlog", 1..=65_536, cx).unwrap_or(default.backlog),
    }
}

/// GOST: each key may be written with `ws.` in front.
fn ws(metadata: &mut Object<'_>, cx: &mut Context) -> WsListener {
    let buffers =
        ["readBufferSize", "writeBufferSize", "backlog", "ws.readBufferSize", "ws.writeBufferSize", "ws.backlog"];
    metadata.without_effect(&buffers, "has no effect: what is needed is used", cx);
    let path = metadata.take_any(&["ws.path", "path"]).and_then(|item| url_path(&item, cx));
    let header = metadata.take_any(&["ws.header", "header"]);
    WsListener {
        path: path.unwrap_or_else(|| "/ws".into()),
        header: header.map(|item| header::decode(&item, cx)).unwrap_or_default(),
        read_header_timeout: metadata.seconds_any(&["ws.readHeaderTimeout", "readHeaderTimeout"], cx),
        handshake_timeout: metadata.seconds_any(&["ws.handshakeTimeout", "handshakeTimeout"], cx),
    }
}

/// Octal digits; YAML's own `0o660` is left as it is spelled too.
fn mode(item: &Item<'_>, cx: &mut Context) -> Option<u32> {
    let read = |text: &str| {
        let digits = text.strip_prefix("0o").unwrap_or(text);
        u32::from_str_radix(digits, 8).ok().filter(|mode| *mode <= 0o777)
    };
    item.parsed("permissions as octal digits such as 0660", cx, read).map(|mode| mode.value)
}
