//! `connector` of a node: the protocol that is spoken with a proxy.

use std::fs;
use std::io::Read as _;
use std::time::Duration;

use uuid::Uuid;

use crate::auther::{self, Credentials};
use crate::decode::{Context, Item, Object, Unknown};
use crate::mux::{self, Mux};
use crate::tls::{self, ClientTls};
use crate::{At, Secret, header, ingress};

/// The protocol that is spoken with a proxy.
#[derive(Clone, Debug)]
pub struct Connector {
    /// Which.
    pub kind: ConnectorKind,
    /// The user that the proxy is told.
    pub auth: Option<At<Credentials>>,
    /// For the proxy's answer (`timeout`, a relay's `connectTimeout`); none: the dial's own limit.
    pub timeout: Option<Duration>,
}

/// The protocols of a [`Connector`].
#[derive(Clone, Debug)]
pub enum ConnectorKind {
    /// HTTP CONNECT.
    Http(HttpConnector),
    /// SOCKS 4 and 4a.
    Socks4 {
        /// Don't send names, but resolve them here (`disable4a`).
        disable_4a: bool,
    },
    /// SOCKS 5.
    Socks5(Box<Socks5Connector>),
    /// GOST's relay.
    Relay {
        /// Wait for the proxy's answer before anything is sent to the target (`nodelay`).
        no_delay: bool,
        /// How connections that it accepts for this machine share one.
        mux: Mux,
    },
    /// GOST's tunnel.
    Tunnel(TunnelConnector),
    /// GOST's router, for IP packets.
    Router {
        /// Which (`router.id`); none: the one without an id.
        id: Option<Uuid>,
    },
    /// None: the node leads to the target by itself (`tcp`, `unix`, `forward`).
    Forward,
    /// None, with the name in TLS or HTTP hidden from who watches.
    Sni {
        /// The name that is seen.
        host: Option<String>,
    },
    /// No proxy: this machine connects to the target (`direct`, `virtual`).
    Direct {
        /// Refuse all connections (`action: reject`).
        reject: bool,
    },
}

/// Settings of the `http` connector.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HttpConnector {
    /// Added to the request: valid names and values, names as written.
    pub header: Vec<(String, Secret)>,
}

/// Settings of the `socks5` connector.
#[derive(Clone, Debug)]
pub struct Socks5Connector {
    /// For GOST's private methods with TLS; none: they aren't offered (`notls`).
    pub tls: Option<ClientTls>,
    /// UDP by standard UDP ASSOCIATE (`relay: udp`) in place of GOST's tunnel through the TCP connection.
    pub udp_relay: bool,
    /// How long UDP may be silent (`udp.timeout`); none: for ever.
    pub udp_timeout: Option<Duration>,
    /// How connections that it accepts for this machine share one.
    pub mux: Mux,
}

/// Settings of the `tunnel` connector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TunnelConnector {
    /// The tunnel (`tunnel.id`); never nil. Without one it is one of its own, which nobody else knows.
    pub id: Option<Uuid>,
    /// How often who binds through this node is chosen, among others (`tunnel.weight`); while there is one with 255, nobody
    /// with less is.
    pub weight: u8,
    /// How visitors share the connection that they are accepted by.
    pub mux: Mux,
}

#[derive(Clone, Copy, PartialEq)]
enum Type {
    Http,
    Socks4,
    Socks5,
    Relay,
    Tunnel,
    Router,
    Forward,
    Sni,
    Direct,
}

const TYPES: [(&str, Type); 14] = [
    ("http", Type::Http),
    ("socks4", Type::Socks4),
    ("socks4a", Type::Socks4),
    ("socks5", Type::Socks5),
    ("socks", Type::Socks5),
    ("relay", Type::Relay),
    ("tunnel", Type::Tunnel),
    ("router", Type::Router),
    ("tcp", Type::Forward),
    ("forward", Type::Forward),
    ("unix", Type::Forward),
    ("sni", Type::Sni),
    ("direct", Type::Direct),
    ("virtual", Type::Direct),
];

/// Connector types that GOST knows and drawspan doesn't implement.
const OTHERS: [&str; 8] = ["http2", "http3", "masque", "ss", "ssu", "sshd", "ssh", "serial"];

const RELAYS: [(&str, bool); 2] = [("udp", true), ("tcp", false)];
const ACTIONS: [(&str, bool); 1] = [("reject", true)];

pub(super) fn is_direct(item: &Item<'_>) -> bool {
    item.peek("type").is_some_and(|kind| matches!(kind, "direct" | "virtual"))
}

/// Whether `name` is a connector's.
pub(crate) fn is_known(name: &str) -> bool {
    OTHERS.contains(&name) || TYPES.iter().any(|(known, _)| *known == name)
}

/// Reads a connector, by default `http`; `host` is the node's.
pub(super) fn decode(item: Option<&Item<'_>>, host: &str, cx: &mut Context) -> Option<Connector> {
    let Some(item) = item else {
        return Some(Connector { kind: ConnectorKind::Http(HttpConnector::default()), auth: None, timeout: None });
    };
    let mut object = Object::new(item, cx)?;
    let kind = object.kind("connector", &TYPES, Type::Http, &OTHERS, cx);
    let auth = object.take("auth").and_then(|item| credentials(&item, cx));
    // Without a type nobody can say what the other keys mean.
    let kind = kind?;
    let mut metadata = object.section("metadata", cx);
    let relays = matches!(kind, Type::Relay | Type::Tunnel | Type::Router);
    let timeout = metadata.seconds(if relays { "connectTimeout" } else { "timeout" }, cx);
    let tls_item = object.take("tls");
    let why = match kind {
        Type::Forward | Type::Direct | Type::Sni => Some("has no effect on this connector"),
        Type::Http | Type::Socks4 | Type::Relay | Type::Tunnel | Type::Router => {
            Some("has no effect on this connector: the dialer may speak TLS")
        }
        Type::Socks5 => None,
    };
    if let (Some(item), Some(why)) = (tls_item.as_ref().filter(|item| !item.node.value.is_zero()), why) {
        cx.push(item.warning(why));
    }
    let mut others: &[&'static str] = &[];
    let kind = match kind {
        Type::Http => {
            let header = metadata.take("header").map(|item| header::secret(&item, cx)).unwrap_or_default();
            Some(ConnectorKind::Http(HttpConnector { header }))
        }
        Type::Socks4 => Some(ConnectorKind::Socks4 { disable_4a: metadata.flag("disable4a", cx) }),
        Type::Socks5 => {
            others = &mux::NOT_IMPLEMENTED;
            socks5(tls_item.as_ref(), host, &mut metadata, cx).map(|socks5| ConnectorKind::Socks5(Box::new(socks5)))
        }
        Type::Relay => {
            others = &mux::NOT_IMPLEMENTED;
            let no_delay = metadata.flag("nodelay", cx);
            Some(ConnectorKind::Relay { no_delay, mux: mux::decode(&mut metadata, Mux::V1, cx) })
        }
        Type::Tunnel => {
            others = &TUNNEL_NOT_IMPLEMENTED;
            tunnel(&mut metadata, cx).map(ConnectorKind::Tunnel)
        }
        Type::Router => {
            let id = metadata.take("router.id").filter(|item| !item.node.value.is_zero());
            let id = id.and_then(|item| item.parsed("the id of a router, a UUID", cx, |text| text.parse().ok()));
            Some(ConnectorKind::Router { id: id.map(|at| at.value) })
        }
        Type::Forward => Some(ConnectorKind::Forward),
        Type::Sni => Some(ConnectorKind::Sni { host: metadata.text("host", cx) }),
        Type::Direct => {
            let action = metadata.take("action").filter(|item| !item.node.value.is_zero());
            let reject = action.and_then(|item| item.choice("action", &ACTIONS, cx)).unwrap_or(false);
            Some(ConnectorKind::Direct { reject })
        }
    };
    metadata.finish(others, Unknown::Warn, cx);
    object.finish(&[], Unknown::Warn, cx);
    Some(Connector { kind: kind?, auth, timeout })
}

/// Metadata of the `tunnel` connector that GOST knows and drawspan doesn't implement.
const TUNNEL_NOT_IMPLEMENTED: [&str; 2] = ["mux.maxStreamWindow", "record.mode"];

fn tunnel(metadata: &mut Object<'_>, cx: &mut Context) -> Option<TunnelConnector> {
    let ids = ["tunnelID", "tunnel.id"].map(|key| metadata.take(key).filter(|item| !item.node.value.is_zero()));
    let id = match ids.into_iter().flatten().next() {
        Some(item) => Some(item.checked(cx, ingress::tunnel_id)?.value),
        None => None,
    };
    let weight = metadata.integer("tunnel.weight", 0..=u8::MAX.into(), cx).unwrap_or(0);
    let mux = mux::decode(metadata, Mux::TUNNEL, cx);
    Some(TunnelConnector { id, weight: u8::try_from(weight).unwrap_or(u8::MAX), mux })
}

fn socks5(
    tls_item: Option<&Item<'_>>,
    host: &str,
    metadata: &mut Object<'_>,
    cx: &mut Context,
) -> Option<Socks5Connector> {
    let no_tls = metadata.flag("notls", cx);
    let relay = metadata.take("relay").filter(|item| !item.node.value.is_zero());
    metadata.without_effect(&["udp.bufferSize", "udpBufferSize"], "has no effect: datagrams of any size pass", cx);
    let tls = tls::client(tls_item, host, cx);
    Some(Socks5Connector {
        tls: if no_tls { None } else { Some(tls?) },
        udp_relay: relay.and_then(|item| item.choice("relay", &RELAYS, cx)).unwrap_or(false),
        udp_timeout: metadata.seconds("udp.timeout", cx),
        mux: mux::decode(metadata, Mux::V1, cx),
    })
}

/// `{username, password}`, or `{file}`: a file whose first line that isn't a comment has both.
fn credentials(item: &Item<'_>, cx: &mut Context) -> Option<At<Credentials>> {
    let Some(file) = item.child("file").filter(|file| !file.node.value.is_zero()) else {
        return auther::credentials(item, &["file"], cx);
    };
    let path = file.file(cx)?;
    let mut object = Object::new(item, cx)?;
    object.take("file");
    object.without_effect(&["username", "password"], "ignored, since there is a `file`", cx);
    object.finish(&[], Unknown::Refuse, cx);
    let mut text = String::new();
    let read = fs::File::open(&path.value).and_then(|file| file.take(1 << 16).read_to_string(&mut text));
    if let Err(error) = read {
        cx.push(file.error(format!("can't read `{}`: {error}", path.display())));
        return None;
    }
    let line = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'));
    let Some(line) = line else {
        cx.push(file.error("has no line with a user and a password"));
        return None;
    };
    let (username, password) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    Some(item.at(Credentials { username: username.to_owned(), password: Secret::new(password.trim()) }))
}
