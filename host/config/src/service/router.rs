//! Metadata of the `router` handler.

use std::time::Duration;

use super::Service;
use crate::decode::{Context, Kind, Object};
use crate::{At, Diagnostic, ListenAddr};

/// Settings of what passes IP packets between clients.
#[derive(Clone, Debug)]
pub struct RouterHandler {
    /// Where other gateways pass on packets for clients, by UDP.
    pub entrypoint: Option<At<ListenAddr>>,
    /// `entrypoint` as it is written: what service discovery is told.
    pub address: String,
    /// The existing ingress that knows which router a client's name belongs to.
    pub ingress: Option<At<String>>,
    /// The existing service discovery by which gateways find each other's clients; there only with an `entrypoint`.
    pub sd: Option<At<String>>,
    /// How long its answers are good for (`sd.cache.expiration`). Default 1 s.
    pub sd_cache: Duration,
    /// How often it is told that a client is still there (`sd.renewInterval`). Default 15 s, at least 1 s.
    pub sd_renew: Duration,
    /// The existing router that knows the routes of all; one whose name is a client's router's id is asked before.
    pub router: Option<At<String>>,
    /// How long their answers are good for (`router.cache.expiration`, default 1 s); none: each packet is asked about
    /// (`router.cache: false`, the default).
    pub route_cache: Option<Duration>,
}

const SECOND: Duration = Duration::from_secs(1);
const RENEW: Duration = Duration::from_secs(15);

pub(super) fn decode(metadata: &mut Object<'_>, cx: &mut Context) -> RouterHandler {
    let sizes = ["bufferSize", "router.bufferSize"];
    metadata.without_effect(&sizes, "has no effect: packets of any size pass", cx);
    let entrypoint = metadata.take("entrypoint").filter(|item| !item.node.value.is_zero());
    let address = entrypoint.as_ref().and_then(|item| item.text(cx)).unwrap_or_default();
    let entrypoint = entrypoint.and_then(|item| super::listen_addr(&item, false, cx));
    let sd = metadata.reference("sd", Kind::Sd, cx);
    if let (Some(sd), None) = (&sd, &entrypoint) {
        // GOST: fails at the first packet for elsewhere.
        let error = Diagnostic::error(&sd.place, "`sd` needs an `entrypoint`, where other gateways send packets to");
        cx.push(error.with_help("set `entrypoint: HOST:PORT`, an address that the other gateways can reach"));
    }
    let ttl = metadata.seconds("router.cache.expiration", cx).unwrap_or(SECOND);
    RouterHandler {
        entrypoint,
        address,
        ingress: metadata.guard("ingress", Kind::Ingress, cx),
        sd,
        sd_cache: metadata.seconds("sd.cache.expiration", cx).unwrap_or(SECOND),
        sd_renew: metadata.seconds("sd.renewInterval", cx).filter(|renew| *renew >= SECOND).unwrap_or(RENEW),
        router: metadata.reference("router", Kind::Router, cx),
        route_cache: metadata.flag("router.cache", cx).then_some(ttl),
    }
}

/// Reports what guards nothing. GOST: ignores it.
pub(super) fn check(service: &Service, cx: &mut Context) {
    for bypass in &service.bypasses {
        let (name, bypass) = (&service.name.value, bypass);
        let message = format!("service `{name}`: `{}` would guard nothing: a router has no targets", bypass.value);
        cx.push(Diagnostic::error(&bypass.place, message));
    }
    if service.handler.sniffing.is_some() {
        let message = format!("service `{}`: `sniffing` of packets is not implemented", service.name.value);
        cx.push(Diagnostic::error(&service.name.place, message));
    }
}
