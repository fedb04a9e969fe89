//! From the config's tunnel handlers to tunnel servers and their entry points.

use std::sync::Arc;

use drawspan_config::{ListenAddr, Service, TunnelHandler, TunnelIngress};
use drawspan_modules::Ingress;
use drawspan_proxy::Layer;
use drawspan_proxy::handler::{
    Entrypoint, EntrypointSettings, Handler, HandlerParts, TunnelServer, TunnelSettings, Tunnels,
};

use crate::modules::{Modules, ingress_rules};
use crate::mux;

/// A tunnel server, and what listens for its visitors beside it.
pub(crate) fn server(
    of: &Service,
    tunnel: &TunnelHandler,
    parts: HandlerParts,
    modules: &Modules,
) -> (TunnelServer, Vec<(ListenAddr, drawspan_proxy::Service)>) {
    // The config was checked: every name is there.
    let named = |name: &str| modules.ingresses.get(name).cloned();
    let ingress = match &tunnel.ingress {
        TunnelIngress::Named(name) => named(name),
        TunnelIngress::Rules(rules) if rules.is_empty() => None,
        TunnelIngress::Rules(rules) => Some(ingress_rules(rules)),
    };
    let sd = tunnel.sd.as_ref().and_then(|name| modules.sds.get(&name.value).cloned());
    let tunnels = Arc::new(Tunnels::new(sd));
    let idle_timeout = of.handler.idle_timeout;
    let entrypoint = |ingress: Option<Ingress>| {
        let settings =
            EntrypointSettings { keepalive: tunnel.keepalive, read_timeout: tunnel.read_timeout, idle_timeout };
        drawspan_proxy::Service {
            name: of.name.value.as_str().into(),
            accept_proxy: tunnel.accept_proxy,
            // As in GOST an entry point is for everyone, and counts for nobody.
            admission: None,
            conn_limiter: None,
            rate_limiter: None,
            shaper: None,
            client_recorder: None,
            counters: None,
            metrics: None,
            layer: Layer::Plain,
            mux: None,
            handshake_timeout: tunnel.read_timeout,
            handler: Handler::Entrypoint(Entrypoint::new(parts.clone(), Arc::clone(&tunnels), ingress, settings)),
        }
    };
    let entrypoints = tunnel.entrypoints.iter().map(|of| {
        let own = of.ingress.as_ref().and_then(|name| named(name));
        (of.addr.value.clone(), entrypoint(own.or_else(|| ingress.clone())))
    });
    let entrypoints: Vec<_> = entrypoints.collect();
    let settings = TunnelSettings {
        public_id: tunnel.public_id,
        direct: tunnel.direct,
        ttl: tunnel.ttl,
        address: tunnel.address.clone(),
        read_timeout: of.handler.read_timeout,
        idle_timeout,
        mux: mux::config(tunnel.mux),
    };
    (TunnelServer::new(parts, tunnels, ingress, settings), entrypoints)
}
