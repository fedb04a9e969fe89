//! From the config's router handlers to what passes packets.

use std::time::Duration;

use drawspan_config::{HandlerKind, ListenAddr, RouterHandler, Service};
use drawspan_proxy::handler::{Discovery, Handler, HandlerParts, PacketEntrypoint, PacketRouter, Routers};

use crate::modules::Modules;

pub(crate) fn packet_router(
    of: &RouterHandler,
    parts: HandlerParts,
    modules: &Modules,
    read_timeout: Duration,
) -> PacketRouter {
    // The config was checked: every name is there.
    let sd = of.sd.as_ref().and_then(|name| modules.sds.get(&name.value).cloned());
    let ingress = of.ingress.as_ref().and_then(|name| modules.ingresses.get(&name.value).cloned());
    let routers = Routers {
        by_id: modules.routers_with_ids().collect(),
        common: of.router.as_ref().and_then(|name| modules.router(&name.value).cloned()),
        cache: of.route_cache,
    };
    let discovery = sd.map(|sd| Discovery::new(sd, of.address.clone(), of.sd_renew, of.sd_cache));
    PacketRouter::new(parts, ingress, routers, discovery, read_timeout)
}

/// Where packets come in for a service's clients, if it is a router that has such a place.
pub(crate) fn entrypoint(of: &Service, handler: &Handler) -> Option<(ListenAddr, PacketEntrypoint)> {
    let (HandlerKind::Router(router), Handler::Router(made)) = (&of.handler.kind, handler) else { return None };
    Some((router.entrypoint.as_ref()?.value.clone(), made.entrypoint()))
}
