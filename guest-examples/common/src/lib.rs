//! What several guests need: reading the `config` map, host names, IP networks; and, where the standard library is compiled for a
//! target without WASI, an allocator that makes fresh instances cheap.

#[cfg(all(target_family = "wasm", target_os = "unknown"))]
mod heap;

use std::net::{IpAddr, SocketAddr};

/// The values of the keys `known`, in that order; what isn't configured is empty.
///
/// A key that nobody reads is more likely a typing error than a wish, so it is refused.
pub fn settings<'c, const N: usize>(
    config: &'c [(String, String)],
    known: [&str; N],
) -> Result<[&'c str; N], String> {
    let mut values = [""; N];
    for (key, value) in config {
        let Some(index) = known.iter().position(|known| known == key) else {
            let known = known.join("`, `");
            return Err(format!(
                "unknown config key `{key}`; this plugin reads `{known}`"
            ));
        };
        values[index] = value;
    }
    Ok(values)
}

/// The entries of a list: what is between spaces, commas and newlines.
pub fn entries(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| c == ',' || c.is_whitespace())
        .filter(|entry| !entry.is_empty())
}

/// The lines of a table, without what follows a `#`, and without empty ones; each with its number.
pub fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    (1..).zip(text.lines()).filter_map(|(number, line)| {
        let line = line.split('#').next().unwrap_or_default().trim();
        (!line.is_empty()).then_some((number, line))
    })
}

/// A host name as it is compared: without port and trailing dot, in lower case.
pub fn host(address: &str) -> String {
    let host = match address
        .strip_prefix('[')
        .and_then(|rest| rest.split_once(']'))
    {
        Some((ip, _)) => ip,
        // More than one colon is an IPv6 address without brackets.
        None => match address.split_once(':') {
            Some((host, port)) if !port.contains(':') => host,
            _ => address,
        },
    };
    host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase()
}

/// The IP address in `ip:port`, or a bare one. An IPv4 address is one, however it is written.
pub fn ip(address: &str) -> Option<IpAddr> {
    let ip = match address.parse::<SocketAddr>() {
        Ok(address) => address.ip(),
        Err(_) => address.parse().ok()?,
    };
    Some(ip.to_canonical())
}

/// An IP network, or a single address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

impl Network {
    /// Reads `192.0.2.0/24`, `2001:db8::/32`, `192.0.2.7`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let bad =
            || format!("`{text}` is neither an IP address nor a network such as 192.0.2.0/24");
        let address: IpAddr = address.parse().map_err(|_| bad())?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            Some(bits) => bits
                .parse()
                .ok()
                .filter(|bits| *bits <= longest)
                .ok_or_else(bad)?,
            None => longest,
        };
        Ok(Self { address, bits })
    }

    /// The length of the prefix: the longer, the more it says.
    pub fn bits(&self) -> u8 {
        self.bits
    }

    /// Whether `ip` is in it.
    pub fn contains(&self, ip: IpAddr) -> bool {
        // A shift by the whole width is what a prefix of length 0 asks for, and what Rust has no result for.
        match (self.address, ip) {
            (IpAddr::V4(net), IpAddr::V4(ip)) => {
                (net.to_bits() ^ ip.to_bits())
                    .checked_shr(32 - u32::from(self.bits))
                    .unwrap_or(0)
                    == 0
            }
            (IpAddr::V6(net), IpAddr::V6(ip)) => {
                (net.to_bits() ^ ip.to_bits())
                    .checked_shr(128 - u32::from(self.bits))
                    .unwrap_or(0)
                    == 0
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_in_order_and_strangers_are_named() {
        let config = [("b".to_owned(), "2".to_owned())];
        assert_eq!(settings(&config, ["a", "b"]).unwrap(), ["", "2"]);
        let error = settings(&config, ["a", "c"]).unwrap_err();
        assert!(
            error.contains("`b`") && error.contains("`a`, `c`"),
            "{error}"
        );
    }

    #[test]
    fn lines_keep_their_numbers() {
        let lines: Vec<_> = lines("# none\n\n a b # c\nd").collect();
        assert_eq!(lines, [(3, "a b"), (4, "d")]);
    }

    #[test]
    fn hosts_are_compared_without_port_dot_and_case() {
        for (address, expected) in [
            ("Example.ORG:443", "example.org"),
            ("example.org.:443", "example.org"),
            ("example.org", "example.org"),
            ("[2001:DB8::1]:443", "2001:db8::1"),
            ("2001:db8::1", "2001:db8::1"),
            ("192.0.2.1:80", "192.0.2.1"),
            ("", ""),
        ] {
            assert_eq!(host(address), expected);
        }
    }

    #[test]
    fn networks_contain_what_their_prefix_says() {
        for (network, address, expected) in [
            ("192.0.2.0/24", "192.0.2.255:80", true),
            ("192.0.2.0/24", "192.0.3.0", false),
            ("192.0.2.9/24", "192.0.2.1", true),
            ("192.0.2.7", "192.0.2.7", true),
            ("192.0.2.7", "192.0.2.8", false),
            ("0.0.0.0/0", "203.0.113.1", true),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("192.0.2.0/24", "[::ffff:192.0.2.1]:80", true),
            ("2001:db8::/33", "[2001:db8:7fff::1]:80", true),
            ("2001:db8::/33", "2001:db8:8000::1", false),
            ("::/0", "2001:db8::1", true),
        ] {
            let contains = Network::parse(network)
                .unwrap()
                .contains(ip(address).unwrap());
            assert_eq!(contains, expected, "{network} {address}");
        }
    }

    #[test]
    fn what_is_no_network_is_quoted() {
        for text in [
            "192.0.2.0/33",
            "::/129",
            "192.0.2/24",
            "example.org",
            "192.0.2.0/-1",
            "/8",
            "",
        ] {
            assert!(Network::parse(text).unwrap_err().contains(text));
        }
    }
}
