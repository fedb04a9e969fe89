//! `services[]`: a handler behind a listener.

use std::time::Duration;

use crate::auther::{self, Credentials};
use crate::decode::{Context, Item, Kind, Object, Unknown};
use crate::http::{self, HttpHandler};
use crate::tree::Value;
use crate::{At, ListenAddr};

/// Something that accepts connections.
#[derive(Clone, Debug)]
pub struct Service {
    /// Unique among services.
    pub name: At<String>,
    /// Where it listens.
    pub addr: At<ListenAddr>,
    /// What it does with connections.
    pub handler: Handler,
    /// How it accepts them.
    pub listener: Listener,
    /// How long one attempt to reach a target may take: resolving, routing and connecting. `metadata.dialTimeout`,
    /// default 15 s.
    pub dial_timeout: Duration,
}

/// What a service does with connections.
#[derive(Clone, Debug)]
pub struct Handler {
    /// The protocol.
    pub kind: HandlerKind,
    /// Names of existing authers; any one may accept a user.
    pub authers: Vec<At<String>>,
    /// The only user; ignored when an auther is named.
    pub auth: Option<At<Credentials>>,
    /// Further attempts to reach a target after the first.
    pub retries: u32,
}

/// The protocol of a [`Handler`].
#[derive(Clone, Debug)]
pub enum HandlerKind {
    /// HTTP proxy.
    Http(HttpHandler),
}

/// How a service accepts connections.
#[derive(Clone, Debug)]
pub struct Listener {
    /// The transport.
    pub kind: ListenerKind,
}

/// The transport of a [`Listener`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListenerKind {
    /// Plain TCP.
    Tcp,
}

const DIAL_TIMEOUT: Duration = Duration::from_secs(15);

const SERVICE_KEYS: [&str; 19] = [
    "interface",
    "sockopts",
    "admission",
    "admissions",
    "bypass",
    "bypasses",
    "resolver",
    "hosts",
    "limiter",
    "quotas",
    "climiter",
    "rlimiter",
    "logger",
    "loggers",
    "observer",
    "rewriter",
    "cache",
    "recorders",
    "forwarder",
];

/// Service metadata that GOST knows and drawspan doesn't implement.
pub(crate) const METADATA_KEYS: [&str; 19] = [
    "proxyProtocol",
    "interface",
    "so_mark",
    "netns",
    "netns.out",
    "preUp",
    "postUp",
    "preDown",
    "postDown",
    "ignoreChain",
    "enableStats",
    "observePeriod",
    "observer.period",
    "observer.resetTraffic",
    "limiter.refreshInterval",
    "limiter.cleanupInterval",
    "limiter.scope",
    "labels",
    "observerResetTraffic",
];

const HANDLER_KEYS: [&str; 5] = ["chain", "chainGroup", "tls", "limiter", "observer"];

const LISTENER_KEYS: [&str; 6] = ["chain", "chainGroup", "auther", "authers", "auth", "tls"];

/// Metadata of the tcp listener that GOST knows and drawspan doesn't implement.
pub(crate) const TCP_METADATA_KEYS: [&str; 6] =
    ["mptcp", "reuseport", "keepalive", "keepalive.idle", "keepalive.interval", "keepalive.count"];

/// Handler types that GOST knows and drawspan doesn't implement.
pub(crate) const OTHER_HANDLERS: [&str; 31] = [
    "auto", "http2", "http3", "socks4", "socks4a", "socks5", "socks", "relay", "tunnel", "tcp", "udp", "forward",
    "rtcp", "rudp", "dns", "red", "redirect", "redu", "router", "tun", "tungo", "tap", "ss", "ssu", "file", "api",
    "metrics", "sni", "serial", "unix", "sshd",
];

/// Listener types that GOST knows and drawspan doesn't implement.
pub(crate) const OTHER_LISTENERS: [&str; 38] = [
    "udp", "rtcp", "rudp", "runix", "tls", "mtls", "mtcp", "ws", "wss", "mws", "mwss", "h2", "h2c", "http2", "http3",
    "wt", "quic", "grpc", "kcp", "pht", "phts", "ssh", "sshd", "dns", "tun", "tungo", "tap", "unix", "red", "redirect",
    "redu", "serial", "icmp", "icmp6", "ohttp", "otls", "ftcp", "stdio",
];

pub(crate) fn decode(item: &Item<'_>, cx: &mut Context) -> Option<Service> {
    let mut object = Object::new(item, cx)?;
    let name = object.take("name").and_then(|item| item.name(cx));
    match &name {
        Some(name) => cx.names.define(Kind::Service, name),
        // GOST: holds its port and never answers.
        None => cx.push(object.error("a service needs a name")),
    }
    let addr = match object.take("addr") {
        Some(item) => listen_addr(&item, cx),
        None => {
            cx.push(object.error("`addr` is missing"));
            None
        }
    };
    let handler = match object.take("handler") {
        Some(item) => handler(&item, cx),
        None => {
            cx.push(object.error("handler type `auto` is not implemented").with_help("write `handler: {type: http}`"));
            None
        }
    };
    let listener = match object.take("listener") {
        Some(item) => listener(&item, cx),
        None => Some(Listener { kind: ListenerKind::Tcp }),
    };
    let dial_timeout =
        object.take("metadata").and_then(|item| metadata(&item, cx)).filter(|timeout| !timeout.is_zero());
    // Filled by GOST's API in a saved config; means nothing as input.
    object.take("status");
    object.finish(&SERVICE_KEYS, Unknown::Warn, cx);
    let dial_timeout = dial_timeout.unwrap_or(DIAL_TIMEOUT);
    Some(Service { name: name?, addr: addr?, handler: handler?, listener: listener?, dial_timeout })
}

fn listen_addr(item: &Item<'_>, cx: &mut Context) -> Option<At<ListenAddr>> {
    let text = item.text(cx)?;
    let addr = ListenAddr::parse(&text);
    if addr.is_none() {
        let error = item.error("not an address to listen on");
        let is_port = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let example = if is_port { format!("`:{text}`") } else { "`:8080` or `127.0.0.1:8080`".to_owned() };
        cx.push(error.with_help(format!("write {example}; a range of ports can't be used here")));
    }
    addr.map(|addr| item.at(addr))
}

fn metadata(item: &Item<'_>, cx: &mut Context) -> Option<Duration> {
    let mut object = Object::new(item, cx)?;
    let dial_timeout = object.take("dialTimeout").and_then(|item| item.metadata_duration(cx));
    object.finish(&METADATA_KEYS, Unknown::Warn, cx);
    dial_timeout
}

fn handler(item: &Item<'_>, cx: &mut Context) -> Option<Handler> {
    let mut object = Object::new(item, cx)?;
    let is_http = match object.take("type") {
        Some(item) => is_type(&item, "handler", "http", &OTHER_HANDLERS, cx),
        None => {
            cx.push(object.error("handler type `auto` is not implemented").with_help("write `type: http`"));
            false
        }
    };
    let mut authers = Vec::new();
    for key in ["auther", "authers"] {
        let Some(item) = object.take_guard(key, cx) else {
            continue;
        };
        let names = if key == "auther" { item.name(cx).into_iter().collect::<Vec<_>>() } else { item.names(cx) };
        // A value such as `","` isn't empty, but asks nobody either.
        if names.is_empty() && matches!(item.node.value, Value::Text(_) | Value::List(_)) {
            cx.push(item.error("names no auther"));
        }
        for name in names {
            cx.names.refer(Kind::Auther, &item.path, &name);
            authers.push(name);
        }
    }
    let auth = object.take_guard("auth", cx);
    if let (Some(auth), false) = (&auth, authers.is_empty()) {
        cx.push(auth.warning("ignored, since an auther is named"));
    }
    let auth = auth.and_then(|item| auther::credentials(&item, &["file"], cx));
    let retries = object.take("retries").and_then(|item| item.integer(0..=1000, cx));
    let metadata = object.take("metadata");
    let http = if is_http { http::decode(metadata.as_ref(), cx) } else { None };
    object.finish(&HANDLER_KEYS, Unknown::Warn, cx);
    Some(Handler { kind: HandlerKind::Http(http?), authers, auth, retries: retries.unwrap_or(0) })
}

fn listener(item: &Item<'_>, cx: &mut Context) -> Option<Listener> {
    let mut object = Object::new(item, cx)?;
    let kind = object.take("type");
    let is_tcp = kind.is_none_or(|item| is_type(&item, "listener", "tcp", &OTHER_LISTENERS, cx));
    let metadata = object.take("metadata");
    if let (true, Some(metadata)) = (is_tcp, metadata.and_then(|item| Object::new(&item, cx))) {
        metadata.finish(&TCP_METADATA_KEYS, Unknown::Warn, cx);
    }
    object.finish(&LISTENER_KEYS, Unknown::Warn, cx);
    is_tcp.then_some(Listener { kind: ListenerKind::Tcp })
}

/// Whether the type is `known`, the only one there is so far; reports any other. GOST compares types with case.
fn is_type(item: &Item<'_>, noun: &str, known: &str, others: &[&str], cx: &mut Context) -> bool {
    let Some(text) = item.text(cx) else {
        return false;
    };
    if text == known {
        return true;
    }
    let message = match others.contains(&text.as_str()) {
        true => format!("{noun} type `{text}` is not implemented"),
        false => format!("unknown {noun} type `{text}`"),
    };
    let help = match text.as_str() {
        "auto" => format!("write `type: {known}`"),
        _ => format!("known: {known}"),
    };
    cx.push(item.error(message).with_help(help));
    false
}
