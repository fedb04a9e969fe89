//! Metadata of the `http` handler.

use std::path::PathBuf;
use std::time::Duration;

use crate::address::host_port;
use crate::decode::{Context, Item, Object, Unknown};
use crate::{At, HttpUrl};

/// Settings of an HTTP proxy.
#[derive(Clone, Debug)]
pub struct HttpHandler {
    /// Added to the proxy's own responses (`header`): valid names and values, names as written.
    pub header: Vec<(String, String)>,
    /// What an unauthenticated client sees instead of 407 (`probeResist`).
    pub probe_resist: Option<At<ProbeResist>>,
    /// Hosts that an unauthenticated client asks for to see 407 in spite of `probe_resist` (`knock`).
    pub knock: Vec<String>,
    /// Realm of the 407 response (`authBasicRealm`), default `gost`.
    pub auth_basic_realm: String,
    /// The `Proxy-Agent` header (`proxyAgent`), default `gost/3.0`.
    pub proxy_agent: String,
    /// How long a client may take to send a request's head (`readTimeout`), default 15 s.
    pub read_timeout: Duration,
    /// How long a tunnel may be silent (`idleTimeout`); none = for ever, the default.
    pub idle_timeout: Option<Duration>,
}

/// The decoy of a proxy that must not be recognised as one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProbeResist {
    /// Answer with this status, 200 to 599.
    Code(u16),
    /// Answer what this `http` URL answers.
    Web(HttpUrl),
    /// Pass the connection on to this `host:port`.
    Host(String),
    /// Answer 200 with this file.
    File(PathBuf),
}

/// Metadata that GOST knows and drawspan doesn't implement.
pub(crate) const METADATA_KEYS: [&str; 22] = [
    "hash",
    "observePeriod",
    "observer.period",
    "observer.resetTraffic",
    "observerResetTraffic",
    "limiter.refreshInterval",
    "limiter.cleanupInterval",
    "sniffing",
    "sniffing.timeout",
    "sniffing.websocket",
    "sniffing.websocket.sampleRate",
    "mitm.certFile",
    "mitm.keyFile",
    "mitm.caCertFile",
    "mitm.caKeyFile",
    "mitm.alpn",
    "mitm.bypass",
    "skipauth",
    "udp",
    "udp.bufferSize",
    "compression",
    "keepalive",
];

const READ_TIMEOUT: Duration = Duration::from_secs(15);

/// Reads the metadata; without any, all defaults.
pub(crate) fn decode(metadata: Option<&Item<'_>>, cx: &mut Context) -> Option<HttpHandler> {
    let mut handler = HttpHandler {
        header: Vec::new(),
        probe_resist: None,
        knock: Vec::new(),
        auth_basic_realm: "gost".into(),
        proxy_agent: "gost/3.0".into(),
        read_timeout: READ_TIMEOUT,
        idle_timeout: None,
    };
    let Some(metadata) = metadata else {
        return Some(handler);
    };
    let mut object = Object::new(metadata, cx)?;
    if let Some(item) = object.take("header") {
        handler.header = header(&item, cx);
    }
    for key in ["probe_resist", "probeResist"] {
        if let Some(item) = object.take_guard(key, cx) {
            handler.probe_resist = probe_resist(&item, cx);
        }
    }
    if let Some(item) = object.take("knock") {
        handler.knock = item.names(cx).into_iter().map(|name| name.value).collect();
    }
    if let Some(realm) = object.take("authBasicRealm").and_then(|item| header_text(&item, cx)) {
        handler.auth_basic_realm = realm;
    }
    if let Some(agent) = object.take("proxyAgent").and_then(|item| header_text(&item, cx)) {
        handler.proxy_agent = agent;
    }
    // GOST: 0 means the default for readTimeout, and no limit for idleTimeout.
    let read_timeout = object.take("readTimeout").and_then(|item| item.metadata_duration(cx));
    handler.read_timeout = read_timeout.filter(|timeout| !timeout.is_zero()).unwrap_or(READ_TIMEOUT);
    let idle_timeout = object.take("idleTimeout").and_then(|item| item.metadata_duration(cx));
    handler.idle_timeout = idle_timeout.filter(|timeout| !timeout.is_zero());
    object.finish(&METADATA_KEYS, Unknown::Warn, cx);
    Some(handler)
}

fn header(item: &Item<'_>, cx: &mut Context) -> Vec<(String, String)> {
    let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    let mut header = Vec::new();
    for (name, value) in item.text_map(cx) {
        if name.is_empty() || !name.chars().all(is_token) || !is_header_value(&value) {
            cx.push(crate::Diagnostic::error(&value.place, format!("{}: not a valid header", item.path)));
        } else {
            header.push((name, value.value));
        }
    }
    header
}

/// Text that may stand in a header; empty text counts as absent.
fn header_text(item: &Item<'_>, cx: &mut Context) -> Option<String> {
    let text = item.name(cx)?;
    if !is_header_value(&text) {
        cx.push(item.error("can't be sent in a header"));
        return None;
    }
    Some(text.value)
}

fn is_header_value(text: &str) -> bool {
    text.chars().all(|c| c == '\t' || !c.is_control())
}

fn probe_resist(item: &Item<'_>, cx: &mut Context) -> Option<At<ProbeResist>> {
    let text = item.text(cx)?;
    let parsed = match text.split_once(':') {
        Some(("code", code)) => match code.parse() {
            Ok(code @ 200..=599) => Ok(ProbeResist::Code(code)),
            _ => Err("`code:` takes a status from 200 to 599".to_owned()),
        },
        Some(("web", url)) => web(url),
        Some(("host", host)) => match host_port(host) {
            Some((name, Some(_))) if !name.is_empty() => Ok(ProbeResist::Host(host.to_owned())),
            _ => Err("`host:` takes host and port".to_owned()),
        },
        Some(("file", path)) => Ok(ProbeResist::File(item.readable(item.in_folder(path), cx)?.value)),
        _ => Err("expected `code:`, `web:`, `host:` or `file:`".to_owned()),
    };
    match parsed {
        Ok(parsed) => Some(item.at(parsed)),
        Err(message) => {
            cx.push(item.error(message));
            None
        }
    }
}

/// GOST: a URL without a scheme is `http`.
fn web(url: &str) -> Result<ProbeResist, String> {
    let full = if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
    match HttpUrl::parse(&full) {
        Some(url) if url.is_tls() => Err("`web:` with https is not implemented".to_owned()),
        Some(url) => Ok(ProbeResist::Web(url)),
        None => Err("`web:` takes an http URL".to_owned()),
    }
}
