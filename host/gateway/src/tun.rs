//! From the config's tun services to interfaces and what carries their packets.

use drawspan_config::{HandlerKind, ListenerKind, Service, TunHandler, TunListener};
use drawspan_modules::{RouteTable, Router};
use drawspan_proxy::handler::TunHandlerSettings;
use drawspan_proxy::listener::TunSettings;
use drawspan_wit::boxed;

use crate::modules::Modules;

/// The interface of a service, if it has one.
pub(crate) fn interface(of: &Service, modules: &Modules) -> Option<TunSettings> {
    let tun = listener(of)?;
    let named = tun.router.iter().flat_map(|name| modules.routes(name));
    let routes = named.filter_map(|route| Some((route.net, Some(route.next_hop()?))));
    Some(TunSettings {
        name: tun.name.clone(),
        nets: tun.nets.clone(),
        mtu: tun.mtu,
        routes: tun.routes.iter().copied().chain(routes).collect(),
        dns: tun.dns.clone(),
        serves: of.forwarder.is_none(),
    })
}

/// What knows the gateways of a service's packets: a router of the config, else the listener's own routes.
pub(crate) fn router(of: &Service, modules: &Modules) -> Option<Router> {
    let tun = listener(of)?;
    if let Some(name) = &tun.router {
        return modules.router(name).cloned();
    }
    let routes = tun.routes.iter().filter_map(|(net, gateway)| Some((*net, gateway.as_ref()?.to_string())));
    Some(Router::new(boxed(RouteTable::new(routes))))
}

pub(crate) fn settings(from: &TunHandler) -> TunHandlerSettings {
    TunHandlerSettings {
        keepalive: from.keepalive,
        ttl: from.ttl,
        passphrase: from.passphrase.as_ref().map(|text| text.expose().as_bytes().to_vec()).unwrap_or_default(),
        p2p: from.p2p,
    }
}

fn listener(of: &Service) -> Option<&TunListener> {
    match (&of.listener.kind, &of.handler.kind) {
        (ListenerKind::Tun(listener), HandlerKind::Tun(_)) => Some(listener),
        _ => None,
    }
}
