//! Patterns that admissions, bypasses and limits name addresses by.

use std::fmt;
use std::net::IpAddr;
use std::ops::RangeInclusive;

use ipnet::IpNet;

/// A pattern of an admission. Ports don't count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdmissionPattern {
    /// A network; an address is a network of one.
    Net(IpNet),
    /// A host name, to be resolved when the configuration is loaded.
    Host(String),
}

/// A pattern of a bypass, tested against a target. Host names are in lower case and are compared so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BypassPattern {
    /// The target's host is an address in this network; any port.
    Net(IpNet),
    /// The target's host is an address from the first to the second, both of one family; any port.
    Range(IpAddr, IpAddr),
    /// The target's host matches as a whole. `*` is any text, `?` any character, also across dots; `[…]` and `{a,b}` as in
    /// shells.
    Glob {
        /// With at least one `*` or `?`.
        pattern: String,
        /// The target's port must be among them; none: any.
        ports: Option<RangeInclusive<u16>>,
    },
    /// The target's host is this one.
    Host {
        /// Without the leading dot. An IPv6 address has no brackets.
        name: String,
        /// Written with a leading dot: all subdomains too.
        subdomains: bool,
        /// The target's port must be among them; none: any.
        ports: Option<RangeInclusive<u16>>,
    },
}

/// Reads a network or an address.
pub(crate) fn net(text: &str) -> Option<IpNet> {
    text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}

impl AdmissionPattern {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if let Some(net) = net(text) {
            return Ok(Self::Net(net));
        }
        let is_host = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_');
        // What has no letter would be an address or a range of them.
        match text.chars().any(char::is_alphabetic) && text.chars().all(is_host) {
            true => Ok(Self::Host(text.to_owned())),
            // GOST: is resolved as a host name, which fails, and is dropped.
            false => Err(format!("`{text}` is not an IP address, a network such as `10.0.0.0/8`, or a host name")),
        }
    }
}

impl BypassPattern {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if let Ok(net) = text.parse() {
            return Ok(Self::Net(net));
        }
        let text = text.to_lowercase();
        if text.contains(['*', '?']) {
            let (pattern, ports) = split_ports(&text)?;
            if !is_balanced(&pattern) {
                return Err(format!("`{text}` has an open bracket"));
            }
            return Ok(Self::Glob { pattern, ports });
        }
        if let Ok(addr) = text.parse::<IpAddr>() {
            return Ok(Self::Net(addr.into()));
        }
        if let Some((Ok(first), Ok(last))) = text.split_once('-').map(|(a, b)| (a.parse(), b.parse())) {
            let (first, last): (IpAddr, IpAddr) = (first, last);
            return match first.is_ipv4() == last.is_ipv4() && first <= last {
                true => Ok(Self::Range(first, last)),
                false => Err(format!("`{text}` is not a range of addresses")),
            };
        }
        let (host, ports) = split_ports(&text)?;
        let (name, subdomains) = match host.strip_prefix('.') {
            Some(name) => (name.to_owned(), true),
            None => (host, false),
        };
        let is_host = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | ':');
        match !name.is_empty() && name.chars().all(is_host) {
            true => Ok(Self::Host { name, subdomains, ports }),
            false => Err(format!("`{text}` is not an address, a network, a range of addresses or a host name")),
        }
    }
}

impl fmt::Display for BypassPattern {
    /// The pattern as it may be written.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ports = match self {
            Self::Net(net) => return net.fmt(f),
            Self::Range(first, last) => return write!(f, "{first}-{last}"),
            Self::Glob { pattern, ports } => {
                f.write_str(pattern)?;
                ports
            }
            Self::Host { name, subdomains, ports } => {
                let dot = if *subdomains { "." } else { "" };
                match name.contains(':') && ports.is_some() {
                    true => write!(f, "[{name}]")?,
                    false => write!(f, "{dot}{name}")?,
                }
                ports
            }
        };
        match ports {
            Some(ports) if ports.start() == ports.end() => write!(f, ":{}", ports.start()),
            Some(ports) => write!(f, ":{}-{}", ports.start(), ports.end()),
            None => Ok(()),
        }
    }
}

/// `host[:port|:min-max]`. GOST: ports that can't be read are any.
fn split_ports(text: &str) -> Result<(String, Option<RangeInclusive<u16>>), String> {
    let (host, ports) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, rest)) if host.contains(':') => (host, rest.strip_prefix(':')),
        _ => match text.rsplit_once(':') {
            Some((host, ports)) => (host, Some(ports)),
            None => (text, None),
        },
    };
    let Some(ports) = ports else {
        return Ok((host.to_owned(), None));
    };
    let (min, max) = ports.split_once('-').unwrap_or((ports, ports));
    match (min.parse::<u16>(), max.parse::<u16>()) {
        (Ok(min), Ok(max)) if min <= max => Ok((host.to_owned(), Some(min..=max))),
        _ => Err(format!("`{ports}` is not a port or a range of ports")),
    }
}

fn is_balanced(pattern: &str) -> bool {
    let count = |c| pattern.matches(c).count();
    count('[') == count(']') && count('{') == count('}')
}
