//! [`Hosts`]: whom a component may ask.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;

use ipnet::IpNet;

/// A host that a component may send requests to.
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

impl HttpHost {
    fn has_port(&self, port: u16, is_tls: bool) -> bool {
        let default = if is_tls { 443 } else { 80 };
        self.ports.as_ref().map_or(port == default, |ports| ports.contains(&port))
    }
}

/// Whom a component may ask, and where a name may lead.
pub(super) struct Hosts(Vec<HttpHost>);

impl Hosts {
    pub(super) fn new(hosts: Vec<HttpHost>) -> Self {
        Self(hosts)
    }

    /// Whether `host`, a name or an address as it stands in a URL, may be asked.
    pub(super) fn lists(&self, host: &str, port: u16, is_tls: bool) -> bool {
        match address(host) {
            Some(address) => self.lists_address(address, port, is_tls),
            None => {
                let host = bare(host);
                let is_it = |name: &HostName| matches!(name, HostName::Name(name) if name.eq_ignore_ascii_case(host));
                self.0.iter().any(|listed| is_it(&listed.host) && listed.has_port(port, is_tls))
            }
        }
    }

    /// Whether a listed name may lead to `address`: a name must not open a way to what only this machine or its network
    /// reaches, unless the address is listed too.
    pub(super) fn may_lead_to(&self, address: IpAddr, port: u16, is_tls: bool) -> bool {
        is_public(address) || self.lists_address(address, port, is_tls)
    }

    fn lists_address(&self, address: IpAddr, port: u16, is_tls: bool) -> bool {
        let address = address.to_canonical();
        let covers = |name: &HostName| matches!(name, HostName::Net(net) if net.contains(&address));
        self.0.iter().any(|listed| covers(&listed.host) && listed.has_port(port, is_tls))
    }
}

/// The address that a URL's host is, if it isn't a name.
pub(super) fn address(host: &str) -> Option<IpAddr> {
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    host.parse().ok()
}

/// A name without the dot that may end it.
pub(super) fn bare(name: &str) -> &str {
    name.strip_suffix('.').unwrap_or(name)
}

/// Whether everybody on the internet means the same host by `address`.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => match embedded(address) {
            Some(address) => is_public_v4(address),
            None => is_public_v6(address),
        },
    }
}

/// Against IANA's registry of special-purpose addresses.
fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    !(a == 0
        || address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_documentation()
        // Shared with a provider's NAT.
        || (a == 100 && b & 0xc0 == 64)
        || (a == 192 && b == 0 && c == 0)
        // Benchmarks.
        || (a == 198 && b & 0xfe == 18)
        // Multicast, reserved, broadcast.
        || a >= 224)
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let [a, b, ..] = address.segments();
    // Only 2000::/3 is given out, and of it not Teredo and its neighbours, and documentation.
    a & 0xe000 == 0x2000 && !(a == 0x2001 && b < 0x200) && !(a == 0x2001 && b == 0xdb8) && !(a == 0x3fff && b < 0x1000)
}

/// The IPv4 address that packets to `address` end up at: mapped, translated (NAT64) or tunnelled (6to4).
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let [a, b, c, d, e, f, g, h] = address.segments();
    let v4 = |high: u16, low: u16| Some(Ipv4Addr::from(u32::from(high) << 16 | u32::from(low)));
    match (a, b) {
        (0, 0) => address.to_ipv4_mapped(),
        (0x64, 0xff9b) if [c, d, e, f] == [0; 4] => v4(g, h),
        (0x2002, _) => v4(b, c),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(list: &[(&str, Option<RangeInclusive<u16>>)]) -> Hosts {
        let host = |text: &str| match text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from)) {
            Ok(net) => HostName::Net(net),
            Err(_) => HostName::Name(text.into()),
        };
        Hosts(list.iter().map(|(text, ports)| HttpHost { host: host(text), ports: ports.clone() }).collect())
    }

    #[test]
    fn only_what_is_listed_is_asked() {
        let hosts = hosts(&[
            ("api.example", None),
            ("db.example", Some(8000..=8001)),
            ("10.0.0.0/8", Some(80..=80)),
            ("2001:db8::1", None),
        ]);
        for (host, port, is_tls, expected) in [
            ("api.example", 443, true, true),
            ("API.Example.", 80, false, true),
            ("api.example", 80, true, false),
            ("api.example", 8080, false, false),
            ("api.example.evil", 443, true, false),
            ("x.api.example", 443, true, false),
            ("db.example", 8001, true, true),
            ("db.example", 8002, true, false),
            ("10.1.2.3", 80, false, true),
            ("10.1.2.3", 443, true, false),
            ("[::ffff:10.1.2.3]", 80, false, true),
            ("11.1.2.3", 80, false, false),
            ("[2001:db8::1]", 443, true, true),
            ("[2001:db8::2]", 443, true, false),
            // What some resolvers take for 10.0.0.1 is a name here, and not a listed one.
            ("167772161", 80, false, false),
            ("0x0a.1", 80, false, false),
        ] {
            assert_eq!(hosts.lists(host, port, is_tls), expected, "{host}:{port} {is_tls}");
        }
        assert!(hosts.may_lead_to([10, 0, 0, 1].into(), 80, false));
        assert!(!hosts.may_lead_to([10, 0, 0, 1].into(), 443, true));
        assert!(hosts.may_lead_to([1, 1, 1, 1].into(), 443, true));
    }

    #[test]
    fn special_addresses_are_not_public() {
        for address in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.1",
            "127.0.0.1",
            "127.8.8.8",
            "169.254.169.254",
            "172.16.0.1",
            "192.0.0.8",
            "192.0.2.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::127.0.0.1",
            "64:ff9b::10.0.0.1",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "2002:a00:1::1",
            "3fff::1",
            "5f00::1",
            "fc00::1",
            "fd00::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert!(!is_public(address.parse().unwrap()), "{address}");
        }
        for address in [
            "1.1.1.1",
            "100.63.255.255",
            "100.128.0.1",
            "172.32.0.1",
            "198.20.0.1",
            "223.255.255.255",
            "::ffff:8.8.8.8",
            "64:ff9b::8.8.8.8",
            "2001:4860:4860::8888",
            "2002:808:808::1",
            "2606:4700::1111",
        ] {
            assert!(is_public(address.parse().unwrap()), "{address}");
        }
    }
}
