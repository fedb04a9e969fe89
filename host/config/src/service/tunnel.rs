//! Metadata of the `tunnel` handler.

use std::time::Duration;

use uuid::Uuid;

use crate::decode::{Context, Item, Kind, Object, Unknown};
use crate::ingress::{self, IngressRule};
use crate::mux::{self, Mux};
use crate::{At, HostPattern, ListenAddr};

/// Settings of a tunnel server.
#[derive(Clone, Debug)]
pub struct TunnelHandler {
    /// Where visitors come in that know no tunnel (`entrypoint`, then `entrypoints`).
    pub entrypoints: Vec<Entrypoint>,
    /// Other gateways' way to `entrypoint`, as it is written; empty without one.
    pub address: String,
    /// Who asks with this id visits by host name alone (`entrypoint.id`).
    pub public_id: Option<Uuid>,
    /// Entry points read a PROXY header if one comes (`entrypoint.ProxyProtocol` above 0).
    pub accept_proxy: bool,
    /// Entry points leave a connection through the tunnel open for the next HTTP request (`entrypoint.keepalive`).
    pub keepalive: bool,
    /// For the answer to a request of an entry point (`entrypoint.readTimeout`). Default 15 s.
    pub read_timeout: Duration,
    /// Which tunnel serves a host.
    pub ingress: TunnelIngress,
    /// Who is told of the tunnels here, and asked for those that aren't.
    pub sd: Option<At<String>>,
    /// Visitors that name a tunnel get it, whatever the ingress says of the host (`tunnel.direct`).
    pub direct: bool,
    /// How often `sd` is told that a tunnel is still here (`tunnel.ttl`). Default 15 s.
    pub ttl: Duration,
    /// How visitors share the connection of who serves a tunnel.
    pub mux: Mux,
}

/// Which tunnel serves a host.
#[derive(Clone, Debug)]
pub enum TunnelIngress {
    /// An entry of `ingresses[]`.
    Named(At<String>),
    /// These rules (`tunnel: host:id,…`); none: no host is served.
    Rules(Vec<IngressRule>),
}

/// Where visitors come in.
#[derive(Clone, Debug)]
pub struct Entrypoint {
    /// What is listened on, by TCP.
    pub addr: At<ListenAddr>,
    /// Its own ingress; none: that of the handler.
    pub ingress: Option<At<String>>,
}

/// Metadata that GOST knows and drawspan doesn't implement.
pub(super) const NOT_IMPLEMENTED: [&str; 1] = ["entrypoint.compression"];

pub(super) fn decode(metadata: &mut Object<'_>, cx: &mut Context) -> TunnelHandler {
    let first = metadata.take("entrypoint").filter(|item| !item.node.value.is_zero());
    let address = first.as_ref().and_then(|item| item.text(cx)).unwrap_or_default();
    let mut entrypoints: Vec<_> =
        first.and_then(|item| Some(Entrypoint { addr: addr(&item, cx)?, ingress: None })).into_iter().collect();
    metadata.list("entrypoints", &mut entrypoints, entrypoint, cx);
    let rules = metadata.take("tunnel");
    let ingress = match metadata.reference("ingress", Kind::Ingress, cx) {
        Some(name) => {
            if let Some(rules) = rules {
                cx.push(rules.warning("ignored, since there is an `ingress`"));
            }
            TunnelIngress::Named(name)
        }
        None => {
            let rules = rules.map(|item| item.each(cx, rule)).unwrap_or_default();
            TunnelIngress::Rules(rules.into_iter().map(|rule| rule.value).collect())
        }
    };
    let public_id = metadata.take("entrypoint.id").filter(|item| !item.node.value.is_zero());
    let accept_proxy = metadata.take("entrypoint.ProxyProtocol").and_then(|item| item.integer(0..=2, cx));
    TunnelHandler {
        entrypoints,
        address,
        public_id: public_id.and_then(|item| item.checked(cx, ingress::tunnel_id)).map(|id| id.value),
        accept_proxy: accept_proxy.unwrap_or(0) > 0,
        keepalive: metadata.flag("entrypoint.keepalive", cx),
        read_timeout: metadata.seconds("entrypoint.readTimeout", cx).unwrap_or(SECONDS_15),
        ingress,
        sd: metadata.reference("sd", Kind::Sd, cx),
        direct: metadata.flag("tunnel.direct", cx),
        ttl: metadata.seconds("tunnel.ttl", cx).unwrap_or(SECONDS_15),
        mux: mux::decode(metadata, Mux::TUNNEL, cx),
    }
}

const SECONDS_15: Duration = Duration::from_secs(15);

fn entrypoint(item: &Item<'_>, cx: &mut Context) -> Option<Entrypoint> {
    let mut object = Object::new(item, cx)?;
    let addr = match object.take("addr") {
        Some(item) => addr(&item, cx),
        None => object.missing("addr", cx),
    };
    let ingress = object.reference("ingress", Kind::Ingress, cx);
    // For GOST's log lines.
    object.text("name", cx);
    object.finish(&[], Unknown::Warn, cx);
    Some(Entrypoint { addr: addr?, ingress })
}

fn addr(item: &Item<'_>, cx: &mut Context) -> Option<At<ListenAddr>> {
    item.parsed("an address to listen on such as `:8080` or `127.0.0.1:8080`", cx, ListenAddr::parse)
}

/// A rule as one word, `host:id`.
fn rule(text: &str) -> Result<IngressRule, String> {
    let missing = || format!("`{text}` is not a host name and the id of a tunnel, `host:id`");
    let (hostname, endpoint) = text.split_once(':').ok_or_else(missing)?;
    Ok(IngressRule { hostname: HostPattern::parse(hostname)?, endpoint: endpoint.parse()? })
}
