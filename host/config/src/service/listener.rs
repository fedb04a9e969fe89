//! `services[].listener`: how connections are accepted.

use std::time::Duration;

use crate::decode::{Context, Item, Object, Unknown};
use crate::header;
use crate::node::url_path;
use crate::tls::{self, ServerBlock, ServerTls};

/// How a service accepts connections.
#[derive(Clone, Debug)]
pub struct Listener {
    /// The transport.
    pub kind: ListenerKind,
    /// How TLS is spoken; there exactly for [`ListenerKind::Tls`] and [`ListenerKind::Wss`].
    pub tls: Option<ServerTls>,
    /// Of the TCP connections below.
    pub keepalive: TcpKeepalive,
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

#[derive(Clone, Copy, PartialEq)]
enum Type {
    Tcp,
    Udp,
    Tls,
    Ws,
    Wss,
    Unix,
}

const TYPES: [(&str, Type); 6] = [
    ("tcp", Type::Tcp),
    ("udp", Type::Udp),
    ("tls", Type::Tls),
    ("ws", Type::Ws),
    ("wss", Type::Wss),
    ("unix", Type::Unix),
];

/// Listener types that GOST knows and drawspan doesn't implement.
const OTHERS: [&str; 34] = [
    "rtcp", "rudp", "runix", "mtls", "mtcp", "mws", "mwss", "h2", "h2c", "http2", "http3", "wt", "quic", "grpc", "kcp",
    "pht", "phts", "ssh", "sshd", "dns", "tun", "tungo", "tap", "red", "redirect", "redu", "serial", "icmp", "icmp6",
    "ohttp", "otls", "ftcp", "stdio", "dtls",
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
    let kind = object.kind("listener", &TYPES, Type::Tcp, &OTHERS, cx)?;
    let mut metadata = object.section("metadata", cx);
    let block = match kind {
        Type::Tls | Type::Wss => {
            let item = object.take("tls");
            let block = item.as_ref().and_then(|item| tls::server(item, false, cx));
            Some(block.unwrap_or_default())
        }
        _ => {
            object.without_effect(&["tls"], "has no effect on this listener; `tls` and `wss` speak TLS", cx);
            None
        }
    };
    let mut others: &[&'static str] = &[];
    let keepalive = if kind == Type::Udp { KEEPALIVE } else { keepalive(&mut metadata, cx) };
    let kind = match kind {
        Type::Tcp => {
            others = &["mptcp", "reuseport"];
            ListenerKind::Tcp
        }
        Type::Udp => {
            others = &["stateless"];
            ListenerKind::Udp(udp(&mut metadata, cx))
        }
        Type::Tls => ListenerKind::Tls,
        Type::Ws | Type::Wss => {
            others = &["enableCompression"];
            let ws = ws(&mut metadata, cx);
            if kind == Type::Ws { ListenerKind::Ws(ws) } else { ListenerKind::Wss(ws) }
        }
        Type::Unix => ListenerKind::Unix(UnixListener { mode: metadata.take("mode").and_then(|item| mode(&item, cx)) }),
    };
    metadata.finish(others, Unknown::Warn, cx);
    object.without_effect(&["chain", "chainGroup"], "has no effect on this listener", cx);
    object.finish(&NOT_IMPLEMENTED, Unknown::Warn, cx);
    Some(Listener { kind, tls: None, keepalive, block })
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

fn udp(metadata: &mut Object<'_>, cx: &mut Context) -> UdpListener {
    metadata.without_effect(&["readBufferSize"], "has no effect: datagrams of any size pass", cx);
    UdpListener {
        keepalive: metadata.flag("keepalive", cx),
        ttl: metadata.seconds("ttl", cx).unwrap_or(Duration::from_secs(5)),
        read_queue: metadata.integer("readQueueSize", 1..=65_536, cx).unwrap_or(128),
        backlog: metadata.integer("backlog", 1..=65_536, cx).unwrap_or(128),
    }
}

fn ws(metadata: &mut Object<'_>, cx: &mut Context) -> WsListener {
    let buffers = ["readBufferSize", "writeBufferSize", "backlog"];
    metadata.without_effect(&buffers, "has no effect: what is needed is used", cx);
    let path = metadata.take("path").and_then(|item| url_path(&item, cx));
    WsListener {
        path: path.unwrap_or_else(|| "/ws".into()),
        header: metadata.take("header").map(|item| header::decode(&item, cx)).unwrap_or_default(),
        read_header_timeout: metadata.seconds("readHeaderTimeout", cx),
        handshake_timeout: metadata.seconds("handshakeTimeout", cx),
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
