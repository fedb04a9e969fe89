//! `services[]`: a handler behind a listener.

mod dns;
mod file;
mod forwarder;
mod handler;
mod http;
mod listener;
mod metadata;
mod recorders;
mod relay;
mod router;
mod socks5;
mod tun;
mod tunnel;

use std::time::Duration;

pub use dns::{DnsHandler, DnsListener, DnsMode};
pub use file::{FileHandler, MetricsHandler};
pub use forwarder::{ForwardHandler, Forwarder, ForwarderHop};
pub use handler::{Handler, HandlerKind, HashSource, Reports, Sniffing};
pub use http::{HttpHandler, ProbeResist};
pub use listener::{Listener, ListenerKind, TcpKeepalive, UdpListener, UnixListener, WsListener};
pub use metadata::{LimiterScope, ServiceMetadata};
pub use recorders::{Record, RecorderUse};
pub use relay::RelayHandler;
pub use router::RouterHandler;
pub use socks5::Socks5Handler;
pub use tun::{TunHandler, TunListener};
pub use tunnel::{Entrypoint, TunnelHandler, TunnelIngress};

pub(crate) use handler::is_known as is_handler;
pub(crate) use listener::is_known as is_listener;

use crate::decode::{Context, Item, Kind, Object, Unknown};
use crate::network::{self, Egress};
use crate::{At, ListenAddr};

/// Something that accepts connections.
#[derive(Clone, Debug)]
pub struct Service {
    /// Unique among services.
    pub name: At<String>,
    /// Where it listens: a path exactly for a unix listener.
    pub addr: At<ListenAddr>,
    /// Names of admissions; all must admit a client.
    pub admissions: Vec<At<String>>,
    /// Names of bypasses; what they contain is refused.
    pub bypasses: Vec<At<String>>,
    /// For the names of targets.
    pub resolver: Option<At<String>>,
    /// For the names of targets, before the resolver.
    pub hosts: Option<At<String>>,
    /// Limits the traffic of the service and of its connections.
    pub limiter: Option<At<String>>,
    /// Limits open connections.
    pub climiter: Option<At<String>>,
    /// Limits new connections.
    pub rlimiter: Option<At<String>>,
    /// Is told the states of the service, and its statistics if they are kept.
    pub observer: Option<At<String>>,
    /// Who is told what, at most one for each kind of record.
    pub recorders: Vec<RecorderUse>,
    /// What the handlers `tcp`, `udp`, `forward` and `dns` forward to; there for them, and perhaps for `relay`.
    pub forwarder: Option<Forwarder>,
    /// What it does with connections.
    pub handler: Handler,
    /// How it accepts them.
    pub listener: Listener,
    /// How outgoing connections leave when no node says otherwise.
    pub egress: Egress,
    /// The rest of its settings.
    pub metadata: ServiceMetadata,
    /// How long one attempt to reach a target may take: resolving, routing and connecting. `metadata.dialTimeout`,
    /// default 15 s.
    pub dial_timeout: Duration,
}

const NOT_IMPLEMENTED: [&str; 4] = ["quotas", "logger", "loggers", "cache"];

const DIAL_TIMEOUT: Duration = Duration::from_secs(15);

pub(crate) fn decode(item: &Item<'_>, cx: &mut Context) -> Option<Service> {
    let mut object = Object::new(item, cx)?;
    // GOST: one without a name holds its port and never answers.
    let name = object.named(Kind::Service, cx);
    let listener = listener::decode(&mut object, cx);
    let is_unix = listener.as_ref().is_some_and(|listener| matches!(listener.kind, ListenerKind::Unix(_)));
    let addr = match object.take("addr") {
        Some(item) => listen_addr(&item, is_unix, cx),
        None => object.missing("addr", cx),
    };
    let mut section = object.section("metadata", cx);
    let handler = handler::decode(&mut object, cx);
    let egress = network::egress(&mut object, &mut section, cx);
    let dial_timeout = section.seconds("dialTimeout", cx).unwrap_or(DIAL_TIMEOUT);
    let metadata = metadata::decode(&mut section, cx);
    section.finish(&metadata::NOT_IMPLEMENTED, Unknown::Warn, cx);
    let forwarder = forwarder::decode(&mut object, handler.as_ref(), cx);
    if let Some(item) = object.take("rewriter").filter(|item| !item.node.value.is_zero()) {
        // GOST: reads it, and does nothing.
        let help = "name it in `rewriteRequestBody` or `rewriteResponseBody` of a node's `http`";
        cx.push(item.error("a service has no use for a rewriter").with_help(help));
    }
    let admissions = object.guards("admission", "admissions", Kind::Admission, cx);
    let bypasses = object.guards("bypass", "bypasses", Kind::Bypass, cx);
    let resolver = object.reference("resolver", Kind::Resolver, cx);
    let hosts = object.reference("hosts", Kind::Hosts, cx);
    let limiter = object.guard("limiter", Kind::Limiter, cx);
    let climiter = object.guard("climiter", Kind::ConnLimiter, cx);
    let rlimiter = object.guard("rlimiter", Kind::RateLimiter, cx);
    let observer = object.reference("observer", Kind::Observer, cx);
    let recorders = recorders::decode(&mut object, cx);
    // Filled by GOST's API in a saved config; means nothing as input.
    object.take("status");
    object.finish(&NOT_IMPLEMENTED, Unknown::Warn, cx);
    let mut service = Service {
        name: name?,
        addr: addr?,
        admissions,
        bypasses,
        resolver,
        hosts,
        limiter,
        climiter,
        rlimiter,
        observer,
        recorders,
        forwarder,
        handler: handler?,
        listener: listener?,
        egress,
        metadata,
        dial_timeout,
    };
    if service.metadata.ignore_chain {
        service.handler.chains = None;
        service.listener.chains = None;
    }
    check(&service, cx);
    Some(service)
}

/// Reports a listener and a handler that can't work together. GOST: runs, and answers nothing that makes sense.
fn check(service: &Service, cx: &mut Context) {
    let fits = matches!(service.handler.kind, HandlerKind::Forward(_) | HandlerKind::Dns(_));
    if service.listener.kind.is_udp() && !fits {
        let message =
            format!("service `{}`: a udp listener goes with a tcp, udp or forward handler", service.name.value);
        cx.push(crate::Diagnostic::error(&service.addr.place, message));
    }
    let answers = matches!(service.handler.kind, HandlerKind::Dns(_));
    if matches!(service.listener.kind, ListenerKind::Dns(_)) != answers {
        let message = format!("service `{}`: a dns listener and a dns handler go together", service.name.value);
        let help = "its `mode` says what carries questions: udp, tcp, tls or https";
        cx.push(crate::Diagnostic::error(&service.addr.place, message).with_help(help));
    }
    match (&service.listener.kind, &service.handler.kind) {
        (_, HandlerKind::Router(_)) => router::check(service, cx),
        (ListenerKind::Tun(listener), HandlerKind::Tun(handler)) => tun::check(service, listener, handler, cx),
        (ListenerKind::Tun(_), _) | (_, HandlerKind::Tun(_)) => {
            let message = format!("service `{}`: a tun listener and a tun handler go together", service.name.value);
            cx.push(crate::Diagnostic::error(&service.addr.place, message));
        }
        _ => {}
    }
}

fn listen_addr(item: &Item<'_>, is_unix: bool, cx: &mut Context) -> Option<At<ListenAddr>> {
    let text = item.text(cx)?;
    if is_unix && !text.is_empty() {
        return Some(item.at(ListenAddr::Unix(item.in_folder(&text))));
    }
    let addr = ListenAddr::parse(&text);
    if addr.is_none() {
        let error = item.error("not an address to listen on");
        let is_port = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let example = if is_port { format!("`:{text}`") } else { "`:8080` or `127.0.0.1:8080`".to_owned() };
        cx.push(error.with_help(format!("write {example}; a range of ports can't be used here")));
    }
    addr.map(|addr| item.at(addr))
}
