//! `services[].handler`: what is done with connections.

use std::time::Duration;

use ipnet::IpNet;

use super::dns::{self, DnsHandler};
use super::file::{self, FileHandler, MetricsHandler};
use super::forwarder::{self, ForwardHandler};
use super::http::{self, HttpHandler};
use super::relay::{self, RelayHandler};
use super::router::{self, RouterHandler};
use super::socks5::{self, Socks5Handler};
use super::tun::{self, TunHandler};
use super::tunnel::{self, TunnelHandler};
use crate::auther::{self, Credentials};
use crate::chain::{self, ChainGroup};
use crate::decode::{Context, Kind, Object, Unknown};
use crate::pattern::net;
use crate::{At, Diagnostic, mux};

/// What a service does with connections.
#[derive(Clone, Debug)]
pub struct Handler {
    /// The protocol.
    pub kind: HandlerKind,
    /// Names of existing authers; any one may accept a user.
    pub authers: Vec<At<String>>,
    /// The only user; ignored when an auther is named.
    pub auth: Option<At<Credentials>>,
    /// Clients from there are let in without being asked who they are (`skipauth`).
    pub skip_auth: Vec<IpNet>,
    /// Further attempts to reach a target after the first.
    pub retries: u32,
    /// The way to targets; none: directly.
    pub chains: Option<ChainGroup>,
    /// Limits the traffic of each client.
    pub limiter: Option<At<String>>,
    /// How long its answer is good for (`limiter.refreshInterval`). Default 30 s, at least 1 s.
    pub limiter_refresh: Duration,
    /// Is told the statistics of each client.
    pub observer: Option<At<String>>,
    /// How it is told.
    pub reports: Reports,
    /// How long a client may take for its handshake, or a request's head (`readTimeout`). Default 15 s.
    pub read_timeout: Duration,
    /// How long a connection may be silent (`idleTimeout`); none = for ever, the default.
    pub idle_timeout: Option<Duration>,
    /// What [`crate::Strategy::Hash`] hashes when nobody has logged in.
    pub hash: HashSource,
    /// Look into what is tunnelled or forwarded (`sniffing`).
    pub sniffing: Option<Sniffing>,
    /// Record the frames of websockets (`sniffing.websocket`): so many a second of each side
    /// (`sniffing.websocket.sampleRate`, default 10), or all of them if infinite.
    pub websocket: Option<f64>,
}

/// The protocol of a [`Handler`].
#[derive(Clone, Debug)]
pub enum HandlerKind {
    /// HTTP proxy.
    Http(Box<HttpHandler>),
    /// SOCKS 4 and 4a proxy.
    Socks4,
    /// SOCKS 5 proxy.
    Socks5(Box<Socks5Handler>),
    /// Whichever of the three a client speaks.
    Auto(Box<HttpHandler>, Box<Socks5Handler>),
    /// GOST's relay, to what clients name or to the service's forwarder.
    Relay(RelayHandler),
    /// Leads visitors to whoever registered for them.
    Tunnel(Box<TunnelHandler>),
    /// Passes IP packets between clients.
    Router(Box<RouterHandler>),
    /// Forwards to the service's forwarder (`tcp`, `udp`, `unix`, `forward`, `rtcp`, `rudp`; the listener says which
    /// network).
    Forward(ForwardHandler),
    /// Answers by DNS, from the service's hosts or by asking its forwarder's nameservers.
    Dns(DnsHandler),
    /// IP packets of the interface that the listener makes: to the service's forwarder, or from and to clients.
    Tun(TunHandler),
    /// Files by HTTP.
    File(FileHandler),
    /// Metrics by HTTP.
    Metrics(MetricsHandler),
}

/// What a hash selector uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HashSource {
    /// The client's IP address.
    #[default]
    Client,
    /// The target's address (`hash: host`).
    Target,
}

/// How an observer is told statistics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reports {
    /// How often (`observer.period`). Default 5 s, at least 1 s.
    pub period: Duration,
    /// Bytes since the last report, in place of totals (`observer.resetTraffic`).
    pub reset_traffic: bool,
}

/// How what is tunnelled or forwarded is looked into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sniffing {
    /// How long the client's first bytes are waited for (`sniffing.timeout`); none: for ever.
    pub timeout: Option<Duration>,
}

#[derive(Clone, Copy, PartialEq)]
enum Type {
    Auto,
    Http,
    Socks4,
    Socks5,
    Relay,
    Tunnel,
    Router,
    Forward,
    Dns,
    Tun,
    File,
    Metrics,
}

const TYPES: [(&str, Type); 19] = [
    ("auto", Type::Auto),
    ("http", Type::Http),
    ("socks4", Type::Socks4),
    ("socks4a", Type::Socks4),
    ("socks5", Type::Socks5),
    ("socks", Type::Socks5),
    ("relay", Type::Relay),
    ("tunnel", Type::Tunnel),
    ("router", Type::Router),
    ("tcp", Type::Forward),
    ("udp", Type::Forward),
    ("forward", Type::Forward),
    ("unix", Type::Forward),
    ("rtcp", Type::Forward),
    ("rudp", Type::Forward),
    ("dns", Type::Dns),
    ("tun", Type::Tun),
    ("file", Type::File),
    ("metrics", Type::Metrics),
];

/// Handler types that GOST knows and drawspan doesn't implement.
const OTHERS: [&str; 13] =
    ["http2", "http3", "red", "redirect", "redu", "tungo", "tap", "ss", "ssu", "api", "sni", "serial", "sshd"];

/// Whether `name` is a handler's.
pub(crate) fn is_known(name: &str) -> bool {
    OTHERS.contains(&name) || TYPES.iter().any(|(known, _)| *known == name)
}

/// Metadata of proxies and forwarders that GOST knows and drawspan doesn't implement.
const COMMON: [&str; 9] = [
    "sniffing.fallback",
    "mitm.certFile",
    "mitm.keyFile",
    "mitm.caCertFile",
    "mitm.caKeyFile",
    "mitm.alpn",
    "mitm.bypass",
    "stateless",
    "bufferSize",
];

const CONNECTS_TO_NOTHING: &str = "has no effect on this handler, which connects to nothing";

const HASHES: [(&str, HashSource); 1] = [("host", HashSource::Target)];

const READ_TIMEOUT: Duration = Duration::from_secs(15);
const SAMPLE_RATE: f64 = 10.0;
const SECOND: Duration = Duration::from_secs(1);

/// Reads `handler`, by default `auto`.
pub(super) fn decode(service: &mut Object<'_>, cx: &mut Context) -> Option<Handler> {
    let mut object = service.section("handler", cx);
    let kind = object.kind("handler", &TYPES, Type::Auto, &OTHERS, cx);
    let serves = matches!(kind, Some(Type::File | Type::Metrics));
    if serves {
        object.without_effect(&["retries", "chainGroup"], CONNECTS_TO_NOTHING, cx);
    }
    let authers = object.guards("auther", "authers", Kind::Auther, cx);
    let auth = object.take_guard("auth", cx);
    if let (Some(auth), false) = (&auth, authers.is_empty()) {
        cx.push(auth.warning("ignored, since an auther is named"));
    }
    let auth = auth.and_then(|item| auther::credentials(&item, &["file"], cx));
    let retries = object.integer("retries", 0..=1000, cx).unwrap_or(0);
    let chains = chain::group(&mut object, cx);
    let limiter = object.guard("limiter", Kind::Limiter, cx);
    let observer = object.reference("observer", Kind::Observer, cx);
    // Without a type nobody can say what the other keys mean.
    let kind = kind?;
    let mut metadata = object.section("metadata", cx);
    if serves {
        metadata.without_effect(
            &["hash", "sniffing", "sniffing.timeout", "sniffing.websocket"],
            CONNECTS_TO_NOTHING,
            cx,
        );
    }
    let tls = if let Type::Socks5 | Type::Auto = kind { object.take("tls") } else { None };
    let mut others: Vec<&'static str> = COMMON.to_vec();
    let handler_kind = match kind {
        Type::Http => HandlerKind::Http(Box::new(http::decode(&mut metadata, cx))),
        Type::Socks4 => HandlerKind::Socks4,
        Type::Socks5 => {
            others.extend(socks5::NOT_IMPLEMENTED);
            HandlerKind::Socks5(Box::new(socks5::decode(tls.as_ref(), &mut metadata, cx)))
        }
        Type::Auto => {
            others.extend(socks5::NOT_IMPLEMENTED);
            let http = http::decode(&mut metadata, cx);
            let udp = http.udp;
            let socks5 = Socks5Handler { udp, ..socks5::decode(tls.as_ref(), &mut metadata, cx) };
            HandlerKind::Auto(Box::new(http), Box::new(socks5))
        }
        Type::Relay => {
            others.extend(mux::NOT_IMPLEMENTED);
            HandlerKind::Relay(relay::decode(&mut metadata, cx))
        }
        Type::Tunnel => {
            others.extend(mux::NOT_IMPLEMENTED.iter().chain(&tunnel::NOT_IMPLEMENTED));
            if let Some(chain) = chains.as_ref().and_then(|group| group.chains.first()) {
                // GOST: ignores it.
                cx.push(Diagnostic::warning(&chain.place, "a tunnel handler has no use for a chain"));
            }
            HandlerKind::Tunnel(Box::new(tunnel::decode(&mut metadata, cx)))
        }
        Type::Router => HandlerKind::Router(Box::new(router::decode(&mut metadata, cx))),
        Type::Forward => HandlerKind::Forward(forwarder::handler(&mut metadata, cx)),
        Type::Dns => {
            // It serves everybody, as in GOST.
            for place in authers.iter().map(|name| &name.place).chain(auth.iter().map(|auth| &auth.place)) {
                cx.push(Diagnostic::error(place, "a dns handler asks nobody for a password: it would guard nothing"));
            }
            metadata.without_effect(&["idleTimeout"], "has no effect on questions by DNS", cx);
            // `bufferSize` means something else here, and nothing.
            others.retain(|key| *key != "bufferSize");
            HandlerKind::Dns(dns::handler(&mut metadata, cx))
        }
        Type::Tun => HandlerKind::Tun(tun::handler(&mut metadata, cx)),
        Type::File => HandlerKind::File(file::decode(&mut metadata, cx)?),
        Type::Metrics => HandlerKind::Metrics(file::metrics(&mut metadata, cx)),
    };
    object.without_effect(&["tls"], "has no effect on this handler: the listener may speak TLS", cx);
    let hash = metadata.take("hash").filter(|item| !item.node.value.is_zero());
    let handler = Handler {
        kind: handler_kind,
        authers,
        auth,
        skip_auth: skip_auth(&mut metadata, cx),
        retries,
        chains,
        limiter,
        limiter_refresh: limiter_refresh(&mut metadata, cx),
        observer,
        reports: reports(&mut metadata, &["observePeriod", "observer.period", "observer.observePeriod"], cx),
        read_timeout: metadata.seconds("readTimeout", cx).unwrap_or(READ_TIMEOUT),
        idle_timeout: metadata.seconds("idleTimeout", cx),
        hash: hash.and_then(|item| item.choice("hash source", &HASHES, cx)).unwrap_or_default(),
        sniffing: sniffing(&mut metadata, cx),
        websocket: websocket(&mut metadata, cx),
    };
    metadata.finish(&others, Unknown::Warn, cx);
    object.finish(&[], Unknown::Warn, cx);
    Some(handler)
}

fn skip_auth(metadata: &mut Object<'_>, cx: &mut Context) -> Vec<IpNet> {
    let Some(item) = metadata.take("skipauth") else {
        return Vec::new();
    };
    let parse = |text: &str| net(text).ok_or_else(|| format!("`{text}` is not an IP address or a network"));
    item.each(cx, parse).into_iter().map(|network| network.value).collect()
}

fn sniffing(metadata: &mut Object<'_>, cx: &mut Context) -> Option<Sniffing> {
    let is_on = metadata.flag("sniffing", cx);
    let timeout = metadata.seconds("sniffing.timeout", cx);
    is_on.then_some(Sniffing { timeout })
}

fn websocket(metadata: &mut Object<'_>, cx: &mut Context) -> Option<f64> {
    let is_on = metadata.flag("sniffing.websocket", cx);
    let rate = metadata.take("sniffing.websocket.sampleRate");
    let rate = rate.and_then(|item| item.parsed("a number of frames a second", cx, |text| text.parse::<f64>().ok()));
    let rate = match rate.map_or(0.0, |rate| rate.value) {
        rate if rate > 0.0 => rate,
        rate if rate < 0.0 => f64::INFINITY,
        _ => SAMPLE_RATE,
    };
    is_on.then_some(rate)
}

/// Reads how an observer is told; the first of the period's `keys` that is there counts.
pub(super) fn reports(metadata: &mut Object<'_>, keys: &[&'static str], cx: &mut Context) -> Reports {
    let period = metadata.seconds_any(keys, cx).unwrap_or(5 * SECOND).max(SECOND);
    let [old, new] = ["observerResetTraffic", "observer.resetTraffic"].map(|key| metadata.flag(key, cx));
    Reports { period, reset_traffic: old || new }
}

/// Reads how long a traffic limiter's answer is good for.
pub(super) fn limiter_refresh(metadata: &mut Object<'_>, cx: &mut Context) -> Duration {
    metadata.without_effect(&["limiter.cleanupInterval"], "has no effect, nor in GOST", cx);
    metadata.seconds("limiter.refreshInterval", cx).unwrap_or(30 * SECOND).max(SECOND)
}
