//! Configuration of drawspan: GOST's YAML or JSON, and its command line URLs, to a typed [`Config`].
//!
//! Text becomes a tree of values with positions (`yaml`, `command_line`), and one decoder (`decode`) reads the tree.
//! All errors are reported at once, each with its place. A key that GOST knows is either implemented or refused.

mod address;
mod admission;
mod auther;
mod chain;
mod command_line;
mod decode;
mod diagnostic;
mod header;
mod hop;
mod hosts;
mod ingress;
mod input;
mod limit;
mod load;
mod log;
mod metrics;
mod mux;
mod network;
mod node;
mod observer;
mod pattern;
mod plugin;
mod recorder;
mod render;
mod reply;
mod resolver;
mod router;
mod rule;
mod secret;
mod selector;
mod service;
mod source;
mod tls;
mod tree;
mod yaml;

pub use address::{HttpUrl, ListenAddr};
pub use admission::{Admission, AdmissionKind, Bypass, BypassKind, Rules};
pub use auther::{Auther, AutherKind, Credentials};
pub use chain::{Chain, ChainGroup, ChainHop};
pub use diagnostic::{Diagnostic, Severity};
pub use hop::{Hop, HopKind, HopNodes};
pub use hosts::{HostMapping, HostPattern, Hosts, HostsKind};
pub use ingress::{Ingress, IngressKind, IngressRule, TunnelEndpoint};
pub use input::{CommandLine, Input};
pub use limit::{ConnLimit, ConnLimiter, LimitKey, Limiter, LimiterKind, RateLimit, RateLimiter, TrafficLimit};
pub use load::{Format, load, load_plugin, render};
pub use log::{Log, LogFormat, LogLevel, LogOutput};
pub use metrics::Metrics;
pub use mux::Mux;
pub use network::{Egress, Interface, InterfaceSource, ProxyVersion};
pub use node::{
    BodyRewrite, Connector, ConnectorKind, Dialer, HttpConnector, MediaTypes, Node, NodeAddr, NodeFilter, NodeHttp,
    NodeNetwork, Rewrite, Socks5Connector, TunnelConnector, UrlRewrite, WsDialer,
};
pub use observer::{Observer, Rewriter, ServiceDiscovery};
pub use pattern::{AdmissionPattern, BypassPattern};
pub use plugin::{
    Addresses, Backing, Cache, ComponentAddr, GrpcTarget, HostName, HttpHost, Instance, Mount, OnError, Plugin,
    RedisStore, Shadow, Store, Tls, TlsIdentity, WasmPlugin, overlaps,
};
pub use recorder::{Recorder, RecorderKind, RedisRecorder, RedisRecords};
pub use reply::{MAX_NODE, decode_node};
pub use resolver::{Family, HostAndPort, Nameserver, NameserverAddr, Resolver, ResolverKind, Ttl};
pub use router::{Route, Router, RouterKind};
pub use rule::{Matcher, Rule};
pub use secret::Secret;
pub use selector::{Selector, Strategy};
pub use service::{
    DnsHandler, DnsListener, DnsMode, Entrypoint, FileHandler, ForwardHandler, Forwarder, ForwarderHop, Handler,
    HandlerKind, HashSource, HttpHandler, LimiterScope, Listener, ListenerKind, MetricsHandler, ProbeResist, Record,
    RecorderUse, RelayHandler, Reports, RouterHandler, Service, ServiceMetadata, Sniffing, Socks5Handler, TcpKeepalive,
    TunHandler, TunListener, TunnelHandler, TunnelIngress, UdpListener, UnixListener, WsListener,
};
pub use source::{At, Place, Source};
pub use tls::{Certificate, CipherSuite, ClientTls, GeneratedCertificate, ServerTls, TlsOptions, TlsVersion};

/// A checked configuration: names are unique, references lead somewhere and never in a circle, files are readable.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// What accepts connections.
    pub services: Vec<Service>,
    /// Ways to targets.
    pub chains: Vec<Chain>,
    /// Parts of such ways that several may share.
    pub hops: Vec<Hop>,
    /// What decides who may use a handler.
    pub authers: Vec<Auther>,
    /// What decides which clients may connect.
    pub admissions: Vec<Admission>,
    /// What decides which targets are left alone.
    pub bypasses: Vec<Bypass>,
    /// DNS.
    pub resolvers: Vec<Resolver>,
    /// Addresses of host names.
    pub hosts: Vec<Hosts>,
    /// Tunnels of public host names.
    pub ingresses: Vec<Ingress>,
    /// Who knows which gateway holds a tunnel.
    pub sds: Vec<ServiceDiscovery>,
    /// Gateways of IP networks.
    pub routers: Vec<Router>,
    /// Bytes per second.
    pub limiters: Vec<Limiter>,
    /// Connections at a time.
    pub climiters: Vec<ConnLimiter>,
    /// Connections per second.
    pub rlimiters: Vec<RateLimiter>,
    /// Who is told statistics and states.
    pub observers: Vec<Observer>,
    /// Who keeps records.
    pub recorders: Vec<Recorder>,
    /// Who changes bodies of HTTP messages.
    pub rewriters: Vec<Rewriter>,
    /// Metrics by HTTP on an address of their own.
    pub metrics: Option<Metrics>,
    /// Where log lines go.
    pub log: Log,
}

/// What [`load`] gives.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// What is worth fixing in it.
    pub warnings: Vec<Diagnostic>,
    /// All that the inputs say besides their `plugin` blocks, in one line of JSON: two loads have the same if nothing else
    /// changed between them. It may hold secrets.
    pub besides_plugins: Secret,
}

#[cfg(test)]
mod tests;
