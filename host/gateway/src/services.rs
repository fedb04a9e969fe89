//! From the config's services to those of the data plane.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use drawspan_config::{
    At, Credentials, Diagnostic, DnsHandler, DnsListener, ForwarderHop, Handler, HandlerKind, HttpHandler,
    LimiterScope, ListenAddr, ListenerKind, NodeNetwork, ProbeResist, Record, ServerTls, Service, Socks5Handler, Ttl,
};
use drawspan_modules::{AnyOf, Authenticator, Recorder, UserTable};
use drawspan_proxy::handler::{
    self, Auto, Dns, DnsSettings, DnsTtl, Files, Forward, ForwardSettings, HandlerParts, HandlerRecorder,
    PacketEntrypoint, Page, Relay, RelaySettings, Sniffing, Socks4, Socks5, Socks5Settings, Tun, Udp, Web, WebSettings,
    http,
};
use drawspan_proxy::listener::{DnsMode, DnsStreams, TunSettings};
use drawspan_proxy::router::{HashSource, Hop, Router};
use drawspan_proxy::tls::TlsServer;
use drawspan_proxy::{
    ClientCounters, ClientReporter, Layer, Metrics, Reports, ServiceReporter, ServiceScope, Shaper, WsServer,
};
use drawspan_wire::http1::HostPort;
use drawspan_wit::boxed;
use prometheus_client::registry::Registry;
use tokio_util::task::TaskTracker;

use crate::chains::{Chains, direct, nameserver_hop, node_hop, proxy_version};
use crate::modules::{Modules, unimplemented};
use crate::{mux, routers, tls, tun, tunnels};

/// For a client's handshake, where nothing sets it.
pub(crate) const READ_TIMEOUT: Duration = Duration::from_secs(15);

/// What services are made of.
pub(crate) struct Objects {
    pub(crate) modules: Arc<Modules>,
    pub(crate) chains: Chains,
    /// What the end of the process waits for.
    pub(crate) tasks: TaskTracker,
    /// All metrics there are.
    pub(crate) registry: Arc<Registry>,
    /// Those of services, if they are kept.
    pub(crate) metrics: Option<Metrics>,
}

/// A service, and who reports on it.
pub(crate) struct Made {
    pub(crate) service: drawspan_proxy::Service,
    pub(crate) reporter: Option<ServiceReporter>,
    pub(crate) client_reporter: Option<ClientReporter>,
    /// The way to where its connections are accepted, if that is elsewhere.
    pub(crate) remote: Option<Router>,
    /// What listens beside it: a tunnel server's entry points.
    pub(crate) entrypoints: Vec<(ListenAddr, drawspan_proxy::Service)>,
    /// What a dns listener speaks; there exactly for such.
    pub(crate) dns: Option<DnsMode>,
    /// Where a router receives packets from others.
    pub(crate) packets: Option<(ListenAddr, PacketEntrypoint)>,
    /// What a tun listener makes.
    pub(crate) interface: Option<TunSettings>,
}

impl Made {
    /// A service that nobody reports on, with nothing beside it.
    pub(crate) fn bare(service: drawspan_proxy::Service) -> Self {
        let (reporter, client_reporter, remote, dns) = (None, None, None, None);
        let (entrypoints, packets, interface) = (Vec::new(), None, None);
        Self { service, reporter, client_reporter, remote, entrypoints, dns, packets, interface }
    }
}

impl Objects {
    /// Makes a service ready.
    ///
    /// # Errors
    /// If it can't be, at the place in the config that is why.
    pub(crate) fn service(&self, of: &Service) -> Result<Made, Diagnostic> {
        refuse_unimplemented(of)?;
        let name: Arc<str> = of.name.value.as_str().into();
        let observer =
            |name: &Option<At<String>>| name.as_ref().and_then(|name| self.modules.observers.get(&name.value));
        let reporter = observer(&of.observer).map(|observer| ServiceReporter {
            observer: observer.clone(),
            service: Arc::clone(&name),
            counters: of.metadata.enable_stats.then(Arc::default),
            reports: reports(&of.metadata.reports),
        });
        let client_reporter = observer(&of.handler.observer).map(|observer| ClientReporter {
            observer: observer.clone(),
            service: Arc::clone(&name),
            clients: Arc::default(),
            reports: reports(&of.handler.reports),
        });
        let modules = &self.modules;
        let limits = |name: &Option<At<String>>| name.as_ref().and_then(|name| modules.limits(&name.value));
        let scope = match of.metadata.limiter_scope {
            None => ServiceScope::Both,
            Some(LimiterScope::Service) => ServiceScope::Service,
            Some(LimiterScope::Connection) => ServiceScope::Connection,
        };
        let tls = of.listener.tls.as_ref().map(|settings| tls::server(&https(of, settings), &of.name)).transpose()?;
        let mut handshake_timeout = of.handler.read_timeout;
        let mut dns = None;
        let layer = match (&of.listener.kind, tls) {
            (ListenerKind::Dns(listener), tls) => {
                dns = Some(dns_mode(*listener, tls));
                Layer::Plain
            }
            (ListenerKind::Ws(ws) | ListenerKind::Wss(ws), tls) => {
                handshake_timeout = ws.handshake_timeout.unwrap_or(handshake_timeout);
                let (path, headers) = (ws.path.clone(), ws.header.clone());
                Layer::Ws(WsServer { path, headers, head_timeout: ws.read_header_timeout }, tls)
            }
            (_, Some(tls)) => Layer::Tls(tls),
            (_, None) => Layer::Plain,
        };
        let by_name = |name: &Option<At<String>>| name.as_ref().map(|name| name.value.clone());
        let clients = client_reporter.as_ref().map(|reporter| Arc::clone(&reporter.clients));
        let mut entrypoints = Vec::new();
        let service = drawspan_proxy::Service {
            name: Arc::clone(&name),
            accept_proxy: of.metadata.accept_proxy,
            admission: modules.admission(&of.admissions),
            conn_limiter: by_name(&of.climiter).and_then(|name| modules.climiters.get(&name).cloned()),
            rate_limiter: by_name(&of.rlimiter).and_then(|name| modules.rlimiters.get(&name).cloned()),
            shaper: limits(&of.limiter).map(|source| Shaper::new(source, of.metadata.limiter_refresh, scope)),
            client_recorder: self.recorder(of, Record::ClientAddress),
            counters: reporter.as_ref().and_then(|reporter| reporter.counters.clone()),
            metrics: self.metrics.as_ref().map(|metrics| metrics.service(&name)),
            layer,
            mux: of.listener.mux.map(mux::config),
            handshake_timeout,
            handler: self.handler(of, clients, &mut entrypoints)?,
        };
        let remote = match of.listener.kind {
            ListenerKind::Rtcp | ListenerKind::Rudp(_) => Some(Router {
                route: self.chains.route(of.listener.chains.as_ref()),
                retries: 0,
                ..self.parts(of).router
            }),
            _ => None,
        };
        let interface = tun::interface(of, &self.modules);
        let packets = routers::entrypoint(of, &service.handler);
        Ok(Made { service, reporter, client_reporter, remote, entrypoints, dns, packets, interface })
    }

    /// The handler, and what listens beside it.
    fn handler(
        &self,
        of: &Service,
        clients: Option<Arc<ClientCounters>>,
        entrypoints: &mut Vec<(ListenAddr, drawspan_proxy::Service)>,
    ) -> Result<handler::Handler, Diagnostic> {
        let parts = HandlerParts { clients, ..self.parts(of) };
        let read_timeout = of.handler.read_timeout;
        Ok(match &of.handler.kind {
            HandlerKind::Http(http) => handler::Handler::Http(http_handler(&of.handler, http, parts)?),
            HandlerKind::Socks4 => handler::Handler::Socks4(Socks4::new(parts, read_timeout)),
            HandlerKind::Socks5(socks) => handler::Handler::Socks5(socks5_handler(of, socks, parts)?),
            HandlerKind::Auto(http, socks) => handler::Handler::Auto(Box::new(Auto::new(
                http_handler(&of.handler, http, parts.clone())?,
                Socks4::new(parts.clone(), read_timeout),
                socks5_handler(of, socks, parts)?,
                read_timeout,
            ))),
            HandlerKind::Relay(relay) => {
                let settings = RelaySettings {
                    bind: relay.bind,
                    mux: mux::config(relay.mux),
                    read_timeout,
                    idle_timeout: of.handler.idle_timeout,
                };
                let hop = of.forwarder.as_ref().map(|_| self.targets(of)).transpose()?;
                handler::Handler::Relay(Relay::new(parts, hop, settings))
            }
            HandlerKind::Forward(forward) => {
                if is_udp(of) {
                    return Ok(handler::Handler::Udp(Udp::new(parts, self.targets(of)?, of.handler.idle_timeout)));
                }
                let settings = ForwardSettings {
                    proxy_protocol: forward.proxy_protocol.map(proxy_version),
                    http_keepalive: forward.http_keepalive,
                    idle_timeout: of.handler.idle_timeout,
                };
                handler::Handler::Forward(Forward::new(parts, self.targets(of)?, settings))
            }
            HandlerKind::Dns(dns) => {
                let hop = self.nameservers(of, dns, &parts.router)?;
                handler::Handler::Dns(Dns::new(parts, hop, dns_settings(dns)))
            }
            HandlerKind::Tunnel(tunnel) => {
                let (server, beside) = tunnels::server(of, tunnel, parts, &self.modules);
                *entrypoints = beside;
                handler::Handler::Tunnel(server)
            }
            HandlerKind::File(file) => {
                let page = Page::Files(Files::new(file.dir.value.clone(), file.put));
                handler::Handler::Web(Web::new(parts, page, web_settings(&of.handler)))
            }
            HandlerKind::Metrics(metrics) => {
                // GOST: what it does isn't recorded.
                let parts = HandlerParts { recorder: None, ..parts };
                let page = Page::Metrics(metrics.path.clone(), Arc::clone(&self.registry));
                handler::Handler::Web(Web::new(parts, page, web_settings(&of.handler)))
            }
            HandlerKind::Router(router) => {
                handler::Handler::Router(Box::new(routers::packet_router(router, parts, &self.modules, read_timeout)))
            }
            HandlerKind::Tun(tun) => {
                let hop = of.forwarder.as_ref().map(|_| self.targets(of)).transpose()?;
                handler::Handler::Tun(Tun::new(parts, hop, tun::router(of, &self.modules), tun::settings(tun)))
            }
        })
    }

    /// What a handler forwards to.
    fn targets(&self, of: &Service) -> Result<Arc<Hop>, Diagnostic> {
        // The config was checked: a forwarder is there, and so is a hop that it names.
        let (place, hop) = match of.forwarder.as_ref().map(|forwarder| &forwarder.hop) {
            Some(ForwarderHop::Targets(nodes)) => {
                let network = if is_udp(of) { NodeNetwork::Udp } else { NodeNetwork::Tcp };
                for node in &nodes.nodes {
                    check_target(node, network)?;
                }
                let place = nodes.nodes.first().map_or(&of.name.place, |node| &node.addr.place);
                (place, Arc::new(Hop::Nodes(node_hop(of.name.value.clone(), nodes, &self.modules)?)))
            }
            Some(ForwarderHop::Named(name)) => {
                let missing = || Diagnostic::error(&name.place, format!("there is no hop `{}`", name.value));
                (&name.place, self.chains.hops.get(&name.value).cloned().ok_or_else(missing)?)
            }
            None => return Err(Diagnostic::error(&of.name.place, "a handler that forwards needs a `forwarder`")),
        };
        // GOST: they are ignored, `auth` with them.
        let forwards = matches!(of.handler.kind, HandlerKind::Forward(_));
        if (of.handler.sniffing.is_none() || !forwards)
            && let Hop::Nodes(nodes) = &*hop
            && let Some(node) = nodes.nodes.iter().find(|node| node.http.is_some() || node.tls.is_some())
        {
            let why = format!("`http` and `tls` of node `{}` mean nothing to a handler that sees no HTTP", node.name);
            let help = if forwards { "set `sniffing: true` in the handler's `metadata`" } else { "use a tcp handler" };
            return Err(Diagnostic::error(place, why).with_help(help));
        }
        Ok(hop)
    }

    /// What a dns handler asks.
    fn nameservers(&self, of: &Service, dns: &DnsHandler, router: &Router) -> Result<Arc<Hop>, Diagnostic> {
        // The config was checked: they are there.
        let Some(ForwarderHop::Targets(nodes)) = of.forwarder.as_ref().map(|forwarder| &forwarder.hop) else {
            return Err(Diagnostic::error(&of.name.place, "a dns handler needs a `forwarder` with `nodes`"));
        };
        for node in &nodes.nodes {
            let refuse = |reason: &str| Err(Diagnostic::error(&node.addr.place, reason));
            // GOST: overlooks them.
            match node {
                node if node.network.is_some() => {
                    return refuse("the scheme of a nameserver's `addr` is its `network`");
                }
                node if node.proxy_protocol.is_some() => return refuse("a nameserver is sent no PROXY header"),
                node if node.http.is_some() => return refuse("`http` of a node means nothing to a dns handler"),
                _ => {}
            }
        }
        let hop = nameserver_hop(of.name.value.clone(), nodes, &self.modules, router, dns.timeout)?;
        Ok(Arc::new(Hop::Nodes(hop)))
    }

    fn parts(&self, of: &Service) -> HandlerParts {
        let (modules, handler) = (&self.modules, &of.handler);
        let shaper = handler.limiter.as_ref().and_then(|name| modules.limits(&name.value));
        HandlerParts {
            authenticator: self
                .authenticator(&handler.authers, handler.auth.as_ref())
                .map(|authenticator| authenticator.sparing(handler.skip_auth.iter().copied())),
            bypass: modules.bypass(&of.bypasses),
            shaper: shaper.map(|source| Shaper::new(source, handler.limiter_refresh, ServiceScope::Both)),
            clients: None,
            recorder: self.handler_recorder(of),
            sniffing: handler
                .sniffing
                .map(|sniffing| Sniffing { timeout: sniffing.timeout, read_timeout: handler.read_timeout }),
            websocket: handler.websocket,
            router: Router {
                dial_timeout: of.dial_timeout,
                direct: direct(&of.egress),
                retries: handler.retries,
                hosts: of.hosts.as_ref().and_then(|name| modules.hosts.get(&name.value).cloned()),
                resolver: of.resolver.as_ref().and_then(|name| modules.resolvers.get(&name.value).cloned()),
                route: self.chains.route(handler.chains.as_ref()),
                hash: match handler.hash {
                    drawspan_config::HashSource::Client => HashSource::Client,
                    drawspan_config::HashSource::Target => HashSource::Target,
                },
                dial_recorder: self.recorder(of, Record::DialAddress),
                dial_error_recorder: self.recorder(of, Record::DialError),
            },
        }
    }

    fn handler_recorder(&self, of: &Service) -> Option<HandlerRecorder> {
        let used = of.recorders.iter().find(|used| used.record == Record::Handler)?;
        let http_body = used.http_body.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX));
        Some(HandlerRecorder { recorder: self.recorder(of, Record::Handler)?, tasks: self.tasks.clone(), http_body })
    }

    /// Who is told that of a service.
    fn recorder(&self, of: &Service, record: Record) -> Option<Recorder> {
        let used = of.recorders.iter().find(|used| used.record == record)?;
        let plugin = self.modules.recorders.get(&used.recorder.value)?;
        Some(Recorder::new(Arc::clone(plugin), used.metadata.clone()))
    }

    /// Named authers in order, else the inline user, else nobody is asked.
    pub(crate) fn authenticator(&self, names: &[At<String>], user: Option<&At<Credentials>>) -> Option<Authenticator> {
        // The config was checked: every name is there.
        let authers = &self.modules.authers;
        let mut named: Vec<_> = names.iter().filter_map(|name| authers.get(&name.value).cloned()).collect();
        let plugin = match (named.len(), user) {
            (0, None) => return None,
            (0, Some(auth)) => boxed(UserTable::new([(auth.username.clone(), auth.password.expose().to_owned())])),
            (1, _) => named.remove(0),
            _ => boxed(AnyOf::new(named)),
        };
        Some(Authenticator::new(plugin))
    }
}

fn is_udp(of: &Service) -> bool {
    of.listener.kind.is_udp() || matches!(of.listener.kind, ListenerKind::Tun(_))
}

fn is_dns(of: &Service) -> bool {
    matches!(of.listener.kind, ListenerKind::Dns(_))
}

fn dns_settings(of: &DnsHandler) -> DnsSettings {
    let ttl = match of.ttl {
        Ttl::Answer => DnsTtl::Answer,
        Ttl::Fixed(ttl) => DnsTtl::Fixed(ttl),
        Ttl::Uncached => DnsTtl::Uncached,
    };
    DnsSettings { client_ip: of.client_ip, ttl, refresh_behind: of.refresh_behind }
}

/// A listener's TLS; one for HTTPS, which nobody has said the protocols of, knows both of its versions.
fn https<'t>(of: &Service, tls: &'t ServerTls) -> Cow<'t, ServerTls> {
    let is_https = matches!(&of.listener.kind, ListenerKind::Dns(dns) if dns.mode == drawspan_config::DnsMode::Https);
    if !is_https || !tls.options.alpn.is_empty() {
        return Cow::Borrowed(tls);
    }
    let mut tls = tls.clone();
    tls.options.alpn = ["h2", "http/1.1"].map(str::to_owned).to_vec();
    Cow::Owned(tls)
}

/// What a dns listener speaks; `tls` is there in the modes that need it.
fn dns_mode(of: DnsListener, tls: Option<TlsServer>) -> DnsMode {
    match of.mode {
        drawspan_config::DnsMode::Udp => DnsMode::Udp,
        mode => DnsMode::Streams(DnsStreams {
            tls,
            https: mode == drawspan_config::DnsMode::Https,
            read_timeout: of.read_timeout,
            write_timeout: of.write_timeout,
        }),
    }
}

/// Refuses a target that the service can't have. GOST: overlooks its network, or writes datagrams into a stream.
fn check_target(node: &drawspan_config::Node, network: NodeNetwork) -> Result<(), Diagnostic> {
    let refuse = |reason: &str| Err(Diagnostic::error(&node.addr.place, reason));
    match (network, node.network) {
        (NodeNetwork::Udp, Some(NodeNetwork::Tcp)) => refuse("a udp service can't forward by tcp"),
        (NodeNetwork::Udp, Some(NodeNetwork::Unix)) => refuse("a udp service can't forward to a unix socket"),
        (NodeNetwork::Udp, _) if node.proxy_protocol.is_some() => refuse("a udp service sends no PROXY header"),
        (NodeNetwork::Tcp, Some(NodeNetwork::Udp)) => refuse("only a udp service can forward by udp"),
        _ => Ok(()),
    }
}

fn reports(of: &drawspan_config::Reports) -> Reports {
    Reports { period: of.period, reset_traffic: of.reset_traffic }
}

/// What the config's language has and the gateway hasn't: refused, so that nothing is silently left out.
pub(crate) fn refuse_unimplemented(of: &Service) -> Result<(), Diagnostic> {
    let Service { handler, metadata, .. } = of;
    let sends_proxy = matches!(&handler.kind, HandlerKind::Forward(forward) if forward.proxy_protocol.is_some());
    let is_missing = [
        (is_dns(of) && metadata.accept_proxy, "`proxyProtocol` of a dns service"),
        (is_dns(of) && handler.sniffing.is_some(), "`sniffing` of questions by DNS"),
        (is_udp(of) && (metadata.accept_proxy || sends_proxy), "`proxyProtocol` of a udp service"),
        (is_udp(of) && handler.sniffing.is_some(), "`sniffing` of datagrams"),
        (!metadata.labels.is_empty(), "`labels`"),
    ];
    if let Some((_, what)) = is_missing.into_iter().find(|(is_missing, _)| *is_missing) {
        return Err(unimplemented(&of.name, what));
    }
    Ok(())
}

fn web_settings(of: &Handler) -> WebSettings {
    WebSettings { read_timeout: of.read_timeout, idle_timeout: of.idle_timeout }
}

fn http_handler(of: &Handler, http: &HttpHandler, parts: HandlerParts) -> Result<http::Http, Diagnostic> {
    let settings = http::Settings {
        headers: http.header.clone(),
        probe_resist: match &http.probe_resist {
            Some(resist) => Some(probe_resist(resist).map_err(|reason| Diagnostic::error(&resist.place, reason))?),
            None => None,
        },
        knock: http.knock.clone(),
        realm: http.auth_basic_realm.clone(),
        agent: http.proxy_agent.clone(),
        udp: http.udp,
        keepalive: http.keepalive,
        compression: http.compression,
        read_timeout: of.read_timeout,
        idle_timeout: of.idle_timeout,
    };
    Ok(http::Http::new(parts, settings))
}

fn socks5_handler(of: &Service, socks: &Socks5Handler, parts: HandlerParts) -> Result<Socks5, Diagnostic> {
    let tls = socks.tls.as_ref().map(|settings| tls::server(settings, &of.name)).transpose()?;
    let settings = Socks5Settings {
        tls,
        udp: socks.udp,
        bind: socks.bind,
        public_addr: socks.public_addr.clone(),
        mux: mux::config(socks.mux),
        compatible: socks.compatible,
        read_timeout: of.handler.read_timeout,
    };
    Ok(Socks5::new(parts, settings))
}

fn probe_resist(resist: &ProbeResist) -> Result<http::ProbeResist, String> {
    Ok(match resist {
        ProbeResist::Code(code) => http::ProbeResist::Code(*code),
        ProbeResist::Web(url) => http::ProbeResist::Web(url.expose().as_str().parse().map_err(|e| format!("{e}"))?),
        ProbeResist::Host(host) => http::ProbeResist::Host(HostPort::parse(host, 80).map_err(|e| e.to_string())?),
        ProbeResist::File(path) => http::ProbeResist::File(path.clone()),
    })
}
