//! From the config's hops and chains to routes.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use drawspan_config::{
    At, ChainGroup, ChainHop, ClientTls, Config, ConnectorKind, Credentials, Diagnostic, Dialer, Egress, HopKind,
    HopNodes, InterfaceSource, MediaTypes, NodeAddr, NodeNetwork, Place, Secret, WsDialer, decode_node,
};
use drawspan_modules::{Authenticator, UserTable};
use drawspan_proxy::connector::{self, Connector};
use drawspan_proxy::dialer::{self, Dialer as ProxyDialer, Layered};
use drawspan_proxy::direct::{Interface, Source};
use drawspan_proxy::router::{
    self, BodyRewrite, Chain, FailFilter, Hop, Node, NodeHop, NodeHttp, PluginHop, Rewrite, Route, Router, Rule,
    Selector,
};
use drawspan_proxy::{Direct, Metrics, WsClient};
use drawspan_wire::http1::HostPort;
use drawspan_wire::proxy_protocol::Version;
use drawspan_wit::{Module, boxed};
use uuid::Uuid;

use crate::modules::Modules;
use crate::plugins::Plugins;
use crate::{mux, resolvers, tls};

/// The config's named chains and hops.
pub(crate) struct Chains {
    chains: HashMap<String, Arc<Chain>>,
    pub(crate) hops: HashMap<String, Arc<Hop>>,
}

impl Chains {
    /// Makes them ready.
    ///
    /// # Errors
    /// All that can't be used, at their places in the config.
    pub(crate) async fn load(
        config: &Config,
        modules: &Arc<Modules>,
        plugins: &mut Plugins,
        metrics: Option<&Metrics>,
    ) -> Result<Self, Vec<Diagnostic>> {
        let mut loaded = Self { chains: HashMap::new(), hops: HashMap::new() };
        let mut errors = Vec::new();
        for hop in &config.hops {
            match load_hop(hop, modules, plugins).await {
                Ok(made) => {
                    loaded.hops.insert(hop.name.value.clone(), Arc::new(made));
                }
                Err(error) => errors.push(error),
            }
        }
        for chain in &config.chains {
            let mut hops = Vec::with_capacity(chain.hops.len());
            for hop in &chain.hops {
                match hop {
                    // It is there, or it has an error of its own.
                    ChainHop::Named(name) => hops.extend(loaded.hops.get(&name.value).cloned()),
                    ChainHop::Inline(hop) => match load_hop(hop, modules, plugins).await {
                        Ok(made) => hops.push(Arc::new(made)),
                        Err(error) => errors.push(error),
                    },
                }
            }
            let name = chain.name.value.clone();
            let mut made = Chain::new(name.clone(), hops);
            made.metrics = metrics.map(|metrics| metrics.chain(&name));
            loaded.chains.insert(name, Arc::new(made));
        }
        modules.tie(&loaded.chains);
        if errors.is_empty() { Ok(loaded) } else { Err(errors) }
    }

    /// The way that a handler's connections go.
    pub(crate) fn route(&self, group: Option<&ChainGroup>) -> Route {
        let Some(group) = group else { return Route::Direct };
        let mut chains: Vec<_> = group.chains.iter().filter_map(|name| self.chains.get(&name.value).cloned()).collect();
        if chains.len() == 1 {
            return Route::Chain(chains.remove(0));
        }
        let (selector, fail_filter) = selector(&group.selector);
        Route::Group(Arc::new(router::ChainGroup { chains, selector, fail_filter }))
    }
}

async fn load_hop(
    hop: &drawspan_config::Hop,
    modules: &Arc<Modules>,
    plugins: &mut Plugins,
) -> Result<Hop, Diagnostic> {
    let name = hop.name.value.clone();
    match &hop.kind {
        HopKind::Nodes(nodes) => {
            nodes.nodes.iter().try_for_each(check_proxy)?;
            Ok(Hop::Nodes(node_hop(name, nodes, modules)?))
        }
        HopKind::Plugin(plugin) => {
            let client = plugins.load(&name, Module::Hop, plugin).await?;
            let modules = Arc::clone(modules);
            let trusted = plugin.trusted.as_ref().is_some_and(|trusted| trusted.value);
            let decode = move |json: &str| {
                let node = decode_node(json, trusted)?;
                if let Some(missing) = modules.missing(&node) {
                    return Err(format!("it refers to `{missing}`, which is not in the config"));
                }
                let (_, fails) = selector(&drawspan_config::Selector::default());
                check_proxy(&node).map_err(|error| error.message)?;
                proxy_node(&node, fails, &modules).map_err(|error| error.message)
            };
            Ok(Hop::Plugin(PluginHop {
                name,
                plugin: drawspan_modules::Hop::new(boxed(client)),
                decode: Arc::new(decode),
            }))
        }
    }
}

pub(crate) fn node_hop(name: String, hop: &HopNodes, modules: &Modules) -> Result<NodeHop, Diagnostic> {
    made_hop(name, hop, modules, |_, _| Ok(()))
}

/// Nameservers: `router` leads to them, and each has so much time for an answer.
pub(crate) fn nameserver_hop(
    name: String,
    hop: &HopNodes,
    modules: &Modules,
    router: &Router,
    timeout: Duration,
) -> Result<NodeHop, Diagnostic> {
    made_hop(name, hop, modules, |node, made| {
        if let Some(addr) = &node.nameserver {
            let addr = At { value: addr.clone(), place: node.addr.place.clone() };
            let default = || ClientTls { secure: addr.value.is_verified(), ..ClientTls::default() };
            let (tls, router) = (node.tls.clone().unwrap_or_else(default), router.towards(made).into_owned());
            made.nameserver = Some(resolvers::server(&addr, &tls, timeout, router)?);
        }
        Ok(())
    })
}

fn made_hop(
    name: String,
    hop: &HopNodes,
    modules: &Modules,
    finish: impl Fn(&drawspan_config::Node, &mut Node) -> Result<(), Diagnostic>,
) -> Result<NodeHop, Diagnostic> {
    let (selector, fails) = selector(&hop.selector);
    let nodes = hop.nodes.iter().map(|node| {
        let mut made = proxy_node(node, fails, modules)?;
        finish(node, &mut made)?;
        Ok(Arc::new(made))
    });
    Ok(NodeHop { name, bypass: modules.bypass(&hop.bypasses), nodes: nodes.collect::<Result<_, _>>()?, selector })
}

/// What a PROXY header is written as.
pub(crate) fn proxy_version(version: drawspan_config::ProxyVersion) -> Version {
    match version {
        drawspan_config::ProxyVersion::V1 => Version::V1,
        drawspan_config::ProxyVersion::V2 => Version::V2,
    }
}

/// How connections leave this machine.
pub(crate) fn direct(egress: &Egress) -> Direct {
    let interfaces = egress.interfaces.iter().map(|interface| Interface {
        source: match &interface.source {
            InterfaceSource::Name(name) => Source::Device(name.clone()),
            InterfaceSource::Addr(ip) => Source::Address(*ip),
        },
        strict: interface.strict,
    });
    Direct { interfaces: interfaces.collect(), mark: egress.mark }
}

fn selector(selector: &drawspan_config::Selector) -> (Selector, FailFilter) {
    let strategy = match selector.strategy {
        drawspan_config::Strategy::Round => router::Strategy::Round,
        drawspan_config::Strategy::Random => router::Strategy::Random,
        drawspan_config::Strategy::Fifo => router::Strategy::Fifo,
        drawspan_config::Strategy::Hash => router::Strategy::Hash,
    };
    let fails = FailFilter { max_fails: selector.max_fails, fail_timeout: selector.fail_timeout };
    (Selector::new(strategy), fails)
}

fn proxy_node(node: &drawspan_config::Node, fails: FailFilter, modules: &Modules) -> Result<Node, Diagnostic> {
    let place = &node.addr.place;
    let addr = match &node.addr.value {
        NodeAddr::Inet { host, port } => router::NodeAddr::Inet(HostPort { host: host.clone(), port: *port }),
        NodeAddr::Unix(path) => router::NodeAddr::Unix(path.clone()),
    };
    let rule = match (&node.matcher, &node.filter) {
        (Some(matcher), _) => Some(rule(&matcher.rule, modules)),
        (None, Some(filter)) => Some(Rule::All(
            [
                filter.protocol.clone().map(Rule::Protocol),
                filter.host.as_ref().map(host_rule),
                filter.path.clone().map(Rule::PathPrefix),
            ]
            .into_iter()
            .flatten()
            .collect(),
        )),
        (None, None) => None,
    };
    if matches!(node.dialer, Dialer::Udp) && node.proxy_protocol.is_some() {
        return Err(Diagnostic::error(place, "a udp dialer has no stream to begin with a PROXY header"));
    }
    let dialer = proxy_dialer(&node.dialer, &addr, place)?;
    let mut made = Node::new(addr, proxy_connector(&node.connector, place)?, dialer);
    made.name = node.name.clone();
    made.direct = (node.egress != Egress::default()).then(|| direct(&node.egress));
    made.bypass = modules.bypass(&node.bypasses);
    made.hosts = node.hosts.as_ref().and_then(|name| modules.hosts.get(&name.value).cloned());
    made.resolver = node.resolver.as_ref().and_then(|name| modules.resolvers.get(&name.value).cloned());
    made.rule = rule;
    made.http = node.http.as_ref().map(|http| node_http(http, modules));
    made.tls = node.tls.as_ref().map(|settings| client(settings, place)).transpose()?;
    made.priority = node.matcher.as_ref().map_or(0, |matcher| i64::from(matcher.priority.max(0)));
    made.weight = node.weight;
    made.backup = node.backup;
    made.proxy_protocol = node.proxy_protocol.map(proxy_version);
    made.fail_filter = FailFilter {
        max_fails: node.max_fails.unwrap_or(fails.max_fails),
        fail_timeout: node.fail_timeout.unwrap_or(fails.fail_timeout),
    };
    Ok(made)
}

/// Refuses a proxy whose transport contradicts what else is said of it. GOST: has connections that are none.
fn check_proxy(node: &drawspan_config::Node) -> Result<(), Diagnostic> {
    let refuse = |reason: &str| Err(Diagnostic::error(&node.addr.place, reason));
    match (&node.dialer, &node.connector.kind) {
        (Dialer::Direct, kind) if !matches!(kind, ConnectorKind::Direct { .. }) => {
            refuse("a direct dialer goes with a direct connector")
        }
        (Dialer::Udp, kind) if !matches!(kind, ConnectorKind::Forward | ConnectorKind::Direct { .. }) => {
            refuse("a udp dialer goes with a tcp or forward connector")
        }
        (Dialer::Udp, _) => Ok(()),
        (_, _) if node.network == Some(NodeNetwork::Udp) => refuse("`network: udp` goes with a udp dialer"),
        _ => Ok(()),
    }
}

fn node_http(from: &drawspan_config::NodeHttp, modules: &Modules) -> NodeHttp {
    let rewrites = |rules: &[drawspan_config::BodyRewrite]| rules.iter().map(|of| body_rewrite(of, modules)).collect();
    let user = |auth: &Credentials| [(auth.username.clone(), auth.password.expose().to_owned())];
    let expose = |(name, value): &(String, Secret)| (name.clone(), value.expose().to_owned());
    NodeHttp {
        host: from.host.clone(),
        request_headers: from.request_header.iter().map(expose).collect(),
        response_headers: from.response_header.clone(),
        rewrite_url: from.rewrite_url.iter().map(|rule| (rule.pattern.clone(), rule.replacement.clone())).collect(),
        rewrite_request_body: rewrites(&from.rewrite_request_body),
        rewrite_response_body: rewrites(&from.rewrite_response_body),
        auth: from.auth.as_ref().map(|auth| Authenticator::new(boxed(UserTable::new(user(auth))))),
    }
}

fn body_rewrite(from: &drawspan_config::BodyRewrite, modules: &Modules) -> BodyRewrite {
    BodyRewrite {
        types: match &from.types {
            MediaTypes::Any => None,
            MediaTypes::These(types) => Some(types.clone()),
        },
        pattern: from.pattern.clone(),
        rewrite: match &from.rewrite {
            drawspan_config::Rewrite::Replace(text) => Rewrite::Replace(text.clone()),
            // The config was checked, and so is what a plugin names: it is there.
            drawspan_config::Rewrite::Rewriter(name) => match modules.rewriters.get(&name.value) {
                Some(rewriter) => Rewrite::Ask(rewriter.clone()),
                None => Rewrite::Replace("$0".to_owned()),
            },
        },
        max_size: usize::try_from(from.max_size).unwrap_or(usize::MAX),
    }
}

fn proxy_connector(from: &drawspan_config::Connector, place: &Place) -> Result<Connector, Diagnostic> {
    let timeout = from.timeout;
    let auth = from.auth.as_ref().map(|auth| {
        let Credentials { username, password } = &auth.value;
        (username.clone(), password.expose().to_owned())
    });
    Ok(match &from.kind {
        ConnectorKind::Http(http) => {
            let headers = http.header.iter().map(|(name, value)| (name.clone(), value.expose().to_owned())).collect();
            Connector::Http(connector::Http { auth, headers, timeout })
        }
        ConnectorKind::Socks4 { disable_4a } => {
            let user = auth.map(|(user, _)| user);
            Connector::Socks4(connector::Socks4 { user, disable_4a: *disable_4a, timeout })
        }
        ConnectorKind::Socks5(socks) => {
            let tls = socks.tls.as_ref().map(|settings| client(settings, place)).transpose()?;
            Connector::Socks5(connector::Socks5 {
                auth,
                tls,
                udp_relay: socks.udp_relay,
                udp_timeout: socks.udp_timeout,
                mux: mux::config(socks.mux),
                timeout,
            })
        }
        ConnectorKind::Relay { no_delay, mux } => {
            Connector::Relay(connector::Relay { auth, no_delay: *no_delay, mux: mux::config(*mux), timeout })
        }
        ConnectorKind::Tunnel(tunnel) => Connector::Tunnel(connector::Tunnel {
            id: tunnel.id.unwrap_or_else(Uuid::new_v4),
            weight: tunnel.weight,
            mux: mux::config(tunnel.mux),
            auth,
            timeout,
        }),
        ConnectorKind::Router { id } => {
            Connector::Router(connector::Router { auth, id: id.map(Uuid::into_bytes), timeout })
        }
        ConnectorKind::Sni { host } => Connector::Sni(connector::Sni { host: host.clone() }),
        ConnectorKind::Forward => Connector::Forward,
        ConnectorKind::Direct { reject } => Connector::Direct { reject: *reject },
    })
}

fn proxy_dialer(from: &Dialer, addr: &router::NodeAddr, place: &Place) -> Result<ProxyDialer, Diagnostic> {
    Ok(match from {
        // A direct dialer goes with a direct connector, which has no use for it.
        Dialer::Tcp | Dialer::Unix | Dialer::Direct => ProxyDialer::Tcp,
        Dialer::Udp => ProxyDialer::Udp,
        Dialer::Tls { .. } | Dialer::Ws(_) | Dialer::Wss(..) => ProxyDialer::Layered(layered(from, addr, place)?),
        Dialer::Mux(over, config) => {
            ProxyDialer::Mux(dialer::Mux::new(layered(over, addr, place)?, mux::config(*config)))
        }
    })
}

/// The handshakes of a dialer; none if it has none.
fn layered(from: &Dialer, addr: &router::NodeAddr, place: &Place) -> Result<Layered, Diagnostic> {
    Ok(match from {
        Dialer::Tls { tls, handshake_timeout } => {
            Layered { tls: Some(client(tls, place)?), ws: None, handshake_timeout: *handshake_timeout }
        }
        Dialer::Ws(ws) => Layered { tls: None, ws: Some(websocket(ws, addr)), handshake_timeout: ws.handshake_timeout },
        Dialer::Wss(ws, tls) => Layered {
            tls: Some(client(tls, place)?),
            ws: Some(websocket(ws, addr)),
            handshake_timeout: ws.handshake_timeout,
        },
        Dialer::Tcp | Dialer::Udp | Dialer::Unix | Dialer::Direct | Dialer::Mux(..) => Layered::default(),
    })
}

fn websocket(ws: &WsDialer, addr: &router::NodeAddr) -> WsClient {
    WsClient {
        host: ws.host.clone().unwrap_or_else(|| addr.to_string()),
        path: ws.path.clone(),
        headers: ws.header.iter().map(|(name, value)| (name.clone(), value.expose().to_owned())).collect(),
        ping: ws.ping,
    }
}

fn client(settings: &drawspan_config::ClientTls, place: &Place) -> Result<drawspan_proxy::tls::TlsClient, Diagnostic> {
    tls::client(settings).map_err(|error| Diagnostic::error(place, format!("TLS can't be set up: {error}")))
}

fn host_rule(pattern: &drawspan_config::HostPattern) -> Rule {
    Rule::Host { name: pattern.name.clone(), subdomains: pattern.subdomains }
}

fn rule(from: &drawspan_config::Rule, modules: &Modules) -> Rule {
    use drawspan_config::Rule as From;
    let all = |rules: &[From]| rules.iter().map(|of| rule(of, modules)).collect();
    match from {
        From::All(rules) => Rule::All(all(rules)),
        From::Any(rules) => Rule::Any(all(rules)),
        From::Not(of) => Rule::Not(Box::new(rule(of, modules))),
        From::ClientIp(net) => Rule::ClientIp(*net),
        From::Protocol(protocol) => Rule::Protocol(protocol.clone()),
        From::Host(pattern) => host_rule(pattern),
        From::HostRegexp(regex) => Rule::HostRegexp(regex.clone()),
        From::Method(method) => Rule::Method(method.clone()),
        From::Path(path) => Rule::Path(path.clone()),
        From::PathPrefix(path) => Rule::PathPrefix(path.clone()),
        From::PathRegexp(regex) => Rule::PathRegexp(regex.clone()),
        From::Header(name, value) => Rule::Header(name.clone(), value.clone()),
        From::HeaderRegexp(name, regex) => Rule::HeaderRegexp(name.clone(), regex.clone()),
        From::Query(name, value) => Rule::Query(name.clone(), value.clone()),
        From::QueryRegexp(name, regex) => Rule::QueryRegexp(name.clone(), regex.clone()),
        // Names of the config are there; a plugin's that aren't must not make a rule match.
        From::Bypass(name) => {
            modules.bypass(std::slice::from_ref(name)).map_or_else(|| Rule::Any(Vec::new()), Rule::Bypass)
        }
        From::Admission(name) => {
            modules.admission(std::slice::from_ref(name)).map_or_else(|| Rule::Any(Vec::new()), Rule::Admission)
        }
    }
}
