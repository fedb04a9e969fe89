//! `connect` and `httpHosts`: whom a component may talk to.

use std::net::{IpAddr, Ipv6Addr};
use std::ops::RangeInclusive;

use ipnet::{IpNet, Ipv6Net};

use crate::decode::{Context, Item};

/// Addresses that a component may connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// The hosts.
    pub net: IpNet,
    /// Their ports, none of them 0.
    pub ports: RangeInclusive<u16>,
}

/// A host that a component may send HTTP requests to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpHost {
    /// By name or by address.
    pub host: HostName,
    /// Its ports; none: 80 for `http`, 443 for `https`.
    pub ports: Option<RangeInclusive<u16>>,
}

/// How hosts are listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostName {
    /// A name in lower case, without a dot at its end.
    Name(String),
    /// An address, or several.
    Net(IpNet),
}

pub(super) fn connect(item: &Item<'_>, cx: &mut Context) -> Vec<Addresses> {
    each(item, cx, |text| {
        let expected =
            "expected an address or a range, and a port: `10.0.0.7:5432`, `10.0.0.0/8:8000-8099`, `[fd00::/8]:*`";
        let (host, ports) = split(text).ok_or(expected)?;
        Ok(Addresses { net: net(host).ok_or(expected)??, ports: ports.ok_or(expected)? })
    })
}

pub(super) fn http_hosts(item: &Item<'_>, cx: &mut Context) -> Vec<HttpHost> {
    each(item, cx, |text| {
        let expected =
            "expected a host, and a port if it isn't the usual one: `api.example.com`, `api.example.com:8443`";
        let (host, ports) = split(text).ok_or(expected)?;
        let host = match net(host) {
            Some(net) => HostName::Net(net?),
            None => HostName::Name(name(host).ok_or(expected)?),
        };
        Ok(HttpHost { host, ports })
    })
}

fn each<T>(item: &Item<'_>, cx: &mut Context, read: impl Fn(&str) -> Result<T, &'static str>) -> Vec<T> {
    let mut all = Vec::new();
    for item in item.elements(cx) {
        let Some(text) = item.text(cx) else { continue };
        match read(&text) {
            Ok(value) => all.push(value),
            Err(message) => cx.push(item.error(message)),
        }
    }
    all
}

/// Host and ports of `host`, `host:port`, `[v6]`, `[v6]:port`; a range of addresses may stand for the host, and the port
/// may be `*` or a range.
fn split(text: &str) -> Option<(&str, Option<RangeInclusive<u16>>)> {
    if text.parse::<Ipv6Addr>().is_ok() || text.parse::<Ipv6Net>().is_ok() {
        return Some((text, None));
    }
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']')?;
            (host, if rest.is_empty() { None } else { Some(rest.strip_prefix(':')?) })
        }
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    match port {
        Some(port) => Some((host, Some(ports(port)?))),
        None => Some((host, None)),
    }
}

fn ports(text: &str) -> Option<RangeInclusive<u16>> {
    let port = |text: &str| text.parse().ok().filter(|port| *port != 0);
    let (first, last) = match text.split_once('-') {
        Some((first, last)) => (port(first)?, port(last)?),
        None if text == "*" => (1, u16::MAX),
        None => (port(text)?, port(text)?),
    };
    (first <= last).then_some(first..=last)
}

/// The addresses that `host` stands for, if it isn't a name.
fn net(host: &str) -> Option<Result<IpNet, &'static str>> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Some(Ok(address.to_canonical().into()));
    }
    let net = host.parse::<IpNet>().ok()?;
    let is_exact = net.addr() == net.network();
    Some(if is_exact {
        Ok(net)
    } else {
        Err("has bits behind its prefix length; a range begins with its first address")
    })
}

fn name(host: &str) -> Option<String> {
    let name = host.strip_suffix('.').unwrap_or(host);
    let is_label =
        |label: &str| !label.is_empty() && label.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
    name.split('.').all(is_label).then(|| name.to_ascii_lowercase())
}
