//! `services[].forwarder`, and metadata of the handlers that use it.

use super::dns;
use super::handler::{Handler, HandlerKind};
use crate::decode::{Context, Kind, Object, Unknown};
use crate::hop::{self, HopNodes};
use crate::network::{self, ProxyVersion};
use crate::node::{Inherited, Role};
use crate::selector;
use crate::{At, Diagnostic};

/// What a service forwards to.
#[derive(Clone, Debug)]
pub struct Forwarder {
    /// The candidates.
    pub hop: ForwarderHop,
}

/// The forms of a [`Forwarder`].
#[derive(Clone, Debug)]
pub enum ForwarderHop {
    /// An entry of `hops[]`; only the addresses of its nodes count, not their connectors and dialers.
    Named(At<String>),
    /// Its own targets, at least one.
    Targets(HopNodes),
}

/// Settings of the handlers `tcp`, `udp` and `forward`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForwardHandler {
    /// The PROXY header that targets are sent (`proxyProtocol`); a target's own setting wins.
    pub proxy_protocol: Option<ProxyVersion>,
    /// Keep an HTTP connection open for further requests (`http.keepalive`); means something with sniffing.
    pub http_keepalive: bool,
}

pub(super) fn handler(metadata: &mut Object<'_>, cx: &mut Context) -> ForwardHandler {
    ForwardHandler {
        proxy_protocol: network::proxy_version(metadata, cx),
        http_keepalive: metadata.flag("http.keepalive", cx),
    }
}

pub(super) fn decode(service: &mut Object<'_>, handler: Option<&Handler>, cx: &mut Context) -> Option<Forwarder> {
    let dns = handler.and_then(|handler| if let HandlerKind::Dns(dns) = &handler.kind { Some(dns) } else { None });
    let forwards = dns.is_some() || handler.is_none_or(|handler| matches!(handler.kind, HandlerKind::Forward(_)));
    let Some(item) = service.take("forwarder").filter(|item| !item.node.value.is_zero()) else {
        if let Some(hop) = dns.and_then(dns::hop) {
            return Some(Forwarder { hop: ForwarderHop::Targets(hop) });
        }
        // GOST: dials port 0, and fails; a dns handler without nameservers answers nothing.
        if handler.is_some() && forwards {
            cx.push(service.error("the handler needs a `forwarder`"));
        }
        return None;
    };
    let may_forward =
        handler.is_some_and(|handler| matches!(handler.kind, HandlerKind::Relay(_) | HandlerKind::Tun(_)));
    if !forwards && !may_forward {
        cx.push(item.warning("has no effect on this handler; tcp, udp, forward, relay, dns and tun use it"));
    }
    if dns.is_some_and(|dns| !dns.nodes.is_empty()) {
        cx.push(item.warning("is used, and `dns` of the handler's metadata isn't"));
    }
    let mut object = Object::new(&item, cx)?;
    let hop = object.reference("hop", Kind::Hop, cx);
    let old = object.reference("name", Kind::Hop, cx);
    let role = if dns.is_some() { Role::Nameserver } else { Role::Target };
    let hop = match hop.or(old) {
        Some(name) if dns.is_some() => {
            let error = Diagnostic::error(&name.place, "a hop of nameservers is not implemented");
            cx.push(error.with_help("write them as `nodes` of the forwarder"));
            return None;
        }
        Some(name) => {
            object.without_effect(&["nodes", "selector"], "ignored, since there is a `hop`", cx);
            ForwarderHop::Named(name)
        }
        None => {
            let selector = selector::decode(&mut object, cx);
            let nodes = hop::nodes(&mut object, role, &Inherited::default(), cx);
            if nodes.is_empty() {
                cx.push(object.error("needs `nodes` or a `hop`"));
            }
            ForwarderHop::Targets(HopNodes { selector, bypasses: Vec::new(), nodes })
        }
    };
    object.finish(&["hopGroup"], Unknown::Warn, cx);
    (forwards || may_forward).then_some(Forwarder { hop })
}
