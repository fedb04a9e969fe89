//! `resolvers[]`: DNS.

use std::net::IpAddr;
use std::time::Duration;

use crate::address::host_port;
use crate::decode::{Context, Item, Kind, Object, Unknown};
use crate::plugin::Plugin;
use crate::tree::Value;
use crate::{At, Diagnostic, HttpUrl};

/// Finds the addresses of host names.
#[derive(Clone, Debug)]
pub struct Resolver {
    /// Unique among resolvers.
    pub name: At<String>,
    /// How it finds them.
    pub kind: ResolverKind,
}

/// The forms of a [`Resolver`].
#[derive(Clone, Debug)]
pub enum ResolverKind {
    /// Tried in order until one returns addresses; at least one.
    Nameservers(Vec<Nameserver>),
    /// A plugin.
    Plugin(Box<Plugin>),
}

/// A DNS server and how it is asked.
#[derive(Clone, Debug)]
pub struct Nameserver {
    /// Where it is.
    pub addr: At<NameserverAddr>,
    /// The chain that leads to it; none: directly.
    pub chain: Option<At<String>>,
    /// The family that is asked for first (`prefer`), or alone (`only`).
    pub family: Family,
    /// EDNS client subnet.
    pub client_ip: Option<IpAddr>,
    /// The name that the server's certificate is verified for (`hostname`); none: by `https` it is for the URL's host, by
    /// `tls` it isn't verified. GOST: overlooks it.
    pub server_name: Option<String>,
    /// How long answers are kept.
    pub ttl: Ttl,
    /// For one exchange. Default 5 s, never 0.
    pub timeout: Duration,
    /// Answer with an expired answer, and ask again behind it (`async`).
    pub refresh_behind: bool,
}

/// Where a DNS server is and how it is spoken to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NameserverAddr {
    /// Plain DNS over UDP.
    Udp(HostAndPort),
    /// Plain DNS over TCP.
    Tcp(HostAndPort),
    /// DNS over TLS (`tls`, `dot`). GOST: port 53 unless one is given.
    Tls(HostAndPort),
    /// DNS over HTTPS.
    Https(HttpUrl),
}

/// A host name or IP address, and a port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HostAndPort {
    /// An IPv6 address has no brackets.
    pub host: String,
    /// Never 0.
    pub port: u16,
}

/// Which addresses are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// IPv4, and IPv6 when there are none.
    PreferV4,
    /// IPv6, and IPv4 when there are none.
    PreferV6,
    /// IPv4 alone.
    OnlyV4,
    /// IPv6 alone.
    OnlyV6,
}

/// How long answers are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ttl {
    /// As the answer says (the least of its records); 60 s when it says nothing.
    Answer,
    /// So long.
    Fixed(Duration),
    /// Not at all.
    Uncached,
}

const PREFER: [(&str, Family); 4] =
    [("ipv4", Family::PreferV4), ("ip4", Family::PreferV4), ("ipv6", Family::PreferV6), ("ip6", Family::PreferV6)];
const ONLY: [(&str, Family); 4] =
    [("ipv4", Family::OnlyV4), ("ip4", Family::OnlyV4), ("ipv6", Family::OnlyV6), ("ip6", Family::OnlyV6)];

pub(crate) const TIMEOUT: Duration = Duration::from_secs(5);

pub(crate) fn decode(item: &Item<'_>, cx: &mut Context) -> Option<Resolver> {
    let mut object = Object::new(item, cx)?;
    let name = object.named(Kind::Resolver, cx);
    let kind = match object.plugin(&["nameservers"], cx) {
        Some(plugin) => plugin.map(ResolverKind::Plugin),
        None => {
            let items = object.take("nameservers").map(|item| item.elements(cx)).unwrap_or_default();
            if items.is_empty() {
                cx.push(object.error("a resolver needs `nameservers` or a `plugin`"));
            }
            Some(ResolverKind::Nameservers(items.iter().filter_map(|item| nameserver(item, cx)).collect()))
        }
    };
    object.finish(&[], Unknown::Warn, cx);
    Some(Resolver { name: name?, kind: kind? })
}

fn nameserver(item: &Item<'_>, cx: &mut Context) -> Option<Nameserver> {
    let mut object = Object::new(item, cx)?;
    let addr = match object.take("addr") {
        Some(item) => item.checked(cx, parse),
        None => object.missing("addr", cx),
    };
    let mut family = |key, choices: &[(&str, Family)], cx: &mut Context| {
        let item = object.take(key).filter(|item| !item.node.value.is_zero());
        item.and_then(|item| item.choice("family", choices, cx))
    };
    let prefer = family("prefer", &PREFER, cx);
    let only = family("only", &ONLY, cx);
    let client_ip = object.take("clientIP").filter(|item| !item.node.value.is_zero());
    let nameserver = Nameserver {
        chain: object.reference("chain", Kind::Chain, cx),
        family: only.or(prefer).unwrap_or(Family::PreferV4),
        client_ip: client_ip
            .and_then(|item| item.parsed("an IP address", cx, |text| text.parse().ok()))
            .map(|ip| ip.value),
        server_name: object.text("hostname", cx),
        ttl: object.take("ttl").and_then(|item| ttl(&item, cx)).unwrap_or(Ttl::Answer),
        timeout: object.duration("timeout", cx).unwrap_or(TIMEOUT),
        refresh_behind: object.flag("async", cx),
        addr: match addr {
            Some(addr) => addr,
            None => {
                object.finish(&[], Unknown::Warn, cx);
                return None;
            }
        },
    };
    object.finish(&[], Unknown::Warn, cx);
    if let (NameserverAddr::Tls(_), None) = (&nameserver.addr.value, &nameserver.server_name) {
        cx.push(unverified(&nameserver.addr, &item.path, "write the name in its certificate as `hostname`"));
    }
    Some(nameserver)
}

/// Says that anybody may answer in a server's place.
pub(crate) fn unverified<T>(addr: &At<T>, path: &str, help: &str) -> Diagnostic {
    Diagnostic::warning(&addr.place, format!("{path}: the server's certificate isn't verified")).with_help(help)
}

impl NameserverAddr {
    /// Whether the certificate is verified when nothing else is said, as in GOST.
    pub fn is_verified(&self) -> bool {
        matches!(self, Self::Https(_))
    }

    /// Whether TLS is spoken with it.
    pub(crate) fn is_tls(&self) -> bool {
        matches!(self, Self::Tls(_) | Self::Https(_))
    }

    /// Where it is.
    pub fn at(&self) -> HostAndPort {
        match self {
            Self::Udp(at) | Self::Tcp(at) | Self::Tls(at) => at.clone(),
            Self::Https(url) => HostAndPort { host: url.host(), port: url.port() },
        }
    }
}

fn ttl(item: &Item<'_>, cx: &mut Context) -> Option<Ttl> {
    match is_negative(item) {
        true => Some(Ttl::Uncached),
        false => item.duration(cx).map(Ttl::of),
    }
}

/// Whether it is a duration below 0.
pub(crate) fn is_negative(item: &Item<'_>) -> bool {
    matches!(&item.node.value, Value::Text(text) | Value::Number(text) if text.starts_with('-'))
}

impl Ttl {
    /// 0 stands for what the answer says.
    pub(crate) fn of(ttl: Duration) -> Self {
        if ttl.is_zero() { Self::Answer } else { Self::Fixed(ttl) }
    }
}

/// `[scheme://]host[:port]`. GOST: an unknown scheme is `udp`.
pub(crate) fn parse(text: &str) -> Result<NameserverAddr, String> {
    let (scheme, rest) = text.split_once("://").unwrap_or(("udp", text));
    let at = || match host_port(rest.split('/').next().unwrap_or_default()) {
        Some((host, port)) if !host.is_empty() && port != Some(0) => Ok(HostAndPort { host, port: port.unwrap_or(53) }),
        _ => Err("expected a host with or without a port".to_owned()),
    };
    match scheme.to_ascii_lowercase().as_str() {
        "udp" | "" => at().map(NameserverAddr::Udp),
        "tcp" => at().map(NameserverAddr::Tcp),
        "tls" | "dot" => at().map(NameserverAddr::Tls),
        "https" | "doh" => {
            let url = HttpUrl::parse(&format!("https://{rest}")).ok_or("expected a URL")?;
            Ok(NameserverAddr::Https(url))
        }
        other => Err(format!("unknown scheme `{other}`; known: udp, tcp, tls, https")),
    }
}
