//! [`IpTable`]: values by IP address and network.

use std::collections::HashMap;
use std::net::IpAddr;

use ipnet::IpNet;

/// Values of networks and single addresses. A look-up costs the same however many there are: one probe for each prefix
/// length in use.
#[derive(Clone, Debug)]
pub struct IpTable<V> {
    /// By address family and prefix length, the shortest first.
    lengths: Vec<((bool, u8), HashMap<IpAddr, V>)>,
}

impl<V> Default for IpTable<V> {
    fn default() -> Self {
        Self { lengths: Vec::new() }
    }
}

impl<V> IpTable<V> {
    /// Adds the value of a network; the first of the same network counts.
    pub fn insert(&mut self, net: IpNet, value: V) {
        let net = canonical(net);
        let length = (net.addr().is_ipv4(), net.prefix_len());
        let at = match self.lengths.binary_search_by_key(&length, |(length, _)| *length) {
            Ok(at) => at,
            Err(at) => {
                self.lengths.insert(at, (length, HashMap::new()));
                at
            }
        };
        self.lengths[at].1.entry(net.network()).or_insert(value);
    }

    /// The value of the widest network that has `ip` in it.
    #[must_use]
    pub fn widest(&self, ip: IpAddr) -> Option<&V> {
        self.all(ip).next()
    }

    /// The values of all networks that have `ip` in them, the widest first.
    pub fn all(&self, ip: IpAddr) -> impl Iterator<Item = &V> {
        let ip = ip.to_canonical();
        self.lengths.iter().filter_map(move |((ipv4, length), values)| {
            let fits = *ipv4 == ip.is_ipv4();
            let net = fits.then(|| IpNet::new(ip, *length).ok()).flatten()?;
            values.get(&net.network())
        })
    }

    /// The value of `ip` itself.
    #[must_use]
    pub fn exact(&self, ip: IpAddr) -> Option<&V> {
        let ip = ip.to_canonical();
        let length = IpNet::from(ip).prefix_len();
        let at = self.lengths.binary_search_by_key(&(ip.is_ipv4(), length), |(length, _)| *length).ok()?;
        self.lengths[at].1.get(&ip)
    }

    /// Whether nothing is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lengths.is_empty()
    }
}

/// `::ffff:10.0.0.0/104` is `10.0.0.0/8`.
fn canonical(net: IpNet) -> IpNet {
    match (net.addr().to_canonical(), net.prefix_len()) {
        (ip @ IpAddr::V4(_), length) if net.addr().is_ipv6() && length >= 96 => {
            IpNet::new(ip, length - 96).unwrap_or(net)
        }
        _ => net,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_found() {
        let mut table = IpTable::default();
        for (value, net) in ["10.0.0.0/8", "10.1.0.0/16", "10.1.2.3/32", "fd00::/8", "::ffff:192.0.2.0/120", "::1/128"]
            .iter()
            .enumerate()
        {
            table.insert(net.parse().unwrap(), value);
        }
        for (ip, widest, exact) in [
            ("10.1.2.3", Some(0), Some(2)),
            ("10.9.9.9", Some(0), None),
            ("11.0.0.1", None, None),
            ("fd12::1", Some(3), None),
            ("192.0.2.200", Some(4), None),
            ("::ffff:10.1.2.3", Some(0), Some(2)),
            ("::1", Some(5), Some(5)),
            ("::2", None, None),
        ] {
            let ip = ip.parse().unwrap();
            assert_eq!((table.widest(ip).copied(), table.exact(ip).copied()), (widest, exact), "{ip}");
        }
    }
}
