//! Metadata of the `http` handler.

use std::path::PathBuf;

use super::socks5;
use crate::address::host_port;
use crate::decode::{Context, Item, Object};
use crate::{At, HttpUrl, header};

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
    /// Clients may relay UDP through CONNECT, GOST's way (`udp`).
    pub udp: bool,
    /// A connection to an origin is kept for the client's next request to it (`keepalive`).
    pub keepalive: bool,
    /// Origins may compress what a client gets plain (`compression`).
    pub compression: bool,
}

/// The decoy of a proxy that must not be recognised as one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProbeResist {
    /// Answer with this status, 200 to 599.
    Code(u16),
    /// Answer what this URL answers.
    Web(HttpUrl),
    /// Pass the connection on to this `host:port`.
    Host(String),
    /// Answer 200 with this file.
    File(PathBuf),
}

pub(super) fn decode(metadata: &mut Object<'_>, cx: &mut Context) -> HttpHandler {
    let header =
        metadata.take_any(&["http.header", "header"]).map(|item| header::decode(&item, cx)).unwrap_or_default();
    let mut resist = None;
    for key in ["probe_resist", "probeResist"] {
        if let Some(item) = metadata.take_guard(key, cx) {
            resist = probe_resist(&item, cx);
        }
    }
    let knock = metadata.take("knock").map(|item| item.names(cx)).unwrap_or_default();
    let realm = metadata.take("authBasicRealm").and_then(|item| header::text(&item, cx));
    let agent = metadata.take_any(&["http.proxyAgent", "proxyAgent"]).and_then(|item| header::text(&item, cx));
    let mut flag = |keys: &[&'static str]| metadata.take_any(keys).and_then(|item| item.boolean(cx)).unwrap_or(false);
    let (keepalive, compression) = (flag(&["http.keepalive", "keepalive"]), flag(&["http.compression", "compression"]));
    socks5::buffer_size(metadata, cx);
    HttpHandler {
        header,
        probe_resist: resist,
        knock: knock.into_iter().map(|name| name.value).collect(),
        auth_basic_realm: realm.unwrap_or_else(|| "gost".into()),
        proxy_agent: agent.unwrap_or_else(|| "gost/3.0".into()),
        udp: metadata.flag("udp", cx),
        keepalive,
        compression,
    }
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

fn web(url: &str) -> Result<ProbeResist, String> {
    match HttpUrl::parse_bare(url) {
        Some(url) => Ok(ProbeResist::Web(url)),
        None => Err("`web:` takes an http or https URL".to_owned()),
    }
}
