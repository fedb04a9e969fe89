//! [`BypassRules`]: a bypass whose patterns stand in the config (GOST reference, modules 4.3).

use std::collections::HashMap;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;

use drawspan_wit::bypass::{BypassRequest, Match};
use drawspan_wit::{CallError, Plugin};
use globset::{Glob, GlobSet, GlobSetBuilder};
use ipnet::IpNet;

use crate::IpTable;

/// Ports that a pattern is for.
type Ports = RangeInclusive<u16>;

const ANY_PORT: Ports = 0..=u16::MAX;

/// Patterns of targets. A look-up in a million of them costs about what it does in a thousand: only globs that are more
/// than `*.` and a domain, and ranges of addresses, cost more the more there are.
#[derive(Debug, Default)]
pub struct BypassRules {
    whitelist: bool,
    network: Option<String>,
    ips: IpTable<()>,
    /// Sorted, and none within another.
    ranges: Vec<(IpAddr, IpAddr)>,
    names: HashMap<String, Vec<Ports>>,
    /// Of `.example.com`: it and all below it.
    domains: HashMap<String, Vec<Ports>>,
    /// Of `*.example.com`: all below it.
    below: HashMap<String, Vec<Ports>>,
    globs: GlobSet,
    glob_ports: Vec<Ports>,
}

/// A pattern that can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a pattern: {0}")]
pub struct PatternError(String);

impl BypassRules {
    /// Reads patterns: CIDR, glob, IP address or range, host name or `.domain`, the last two and globs with a port or a
    /// range of ports. With `whitelist` everything else is bypassed; with `network` only targets of that network are.
    ///
    /// # Errors
    /// The index of the first pattern that can't be used, and why.
    pub fn new<'p>(
        patterns: impl IntoIterator<Item = &'p str>,
        whitelist: bool,
        network: Option<String>,
    ) -> Result<Self, (usize, PatternError)> {
        let mut rules = Self { whitelist, network, ..Self::default() };
        let mut globs = GlobSetBuilder::new();
        let bad = |index: usize| move |error: globset::Error| (index, PatternError(error.kind().to_string()));
        let mut last = 0;
        for (index, pattern) in patterns.into_iter().enumerate() {
            last = index;
            if let Some(glob) = rules.add(pattern) {
                globs.add(Glob::new(&glob).map_err(bad(index))?);
            }
        }
        rules.globs = globs.build().map_err(bad(last))?;
        rules.merge_ranges();
        Ok(rules)
    }

    /// Adds a pattern; a glob is left to the caller.
    fn add(&mut self, pattern: &str) -> Option<String> {
        let pattern = pattern.trim().to_ascii_lowercase();
        if let Ok(net) = pattern.parse::<IpNet>() {
            self.ips.insert(net, ());
            return None;
        }
        if pattern.contains(['*', '?']) {
            let (host, ports) = split_ports(&pattern);
            match host.strip_prefix("*.") {
                Some(domain) if !domain.contains(['*', '?', '[', ']', '{', '}', '\\']) => {
                    self.below.entry(domain.to_owned()).or_default().push(ports);
                }
                _ => {
                    self.glob_ports.push(ports);
                    return Some(host.to_owned());
                }
            }
            return None;
        }
        if let Ok(ip) = pattern.parse::<IpAddr>() {
            self.ips.insert(ip.into(), ());
        } else if let Some((from, to)) = pattern.split_once('-')
            && let (Ok(from), Ok(to)) = (from.parse::<IpAddr>(), to.parse::<IpAddr>())
        {
            self.ranges.push((from.to_canonical(), to.to_canonical()));
        } else {
            let (host, ports) = split_ports(&pattern);
            match host.strip_prefix('.') {
                Some(domain) => self.domains.entry(domain.to_owned()).or_default().push(ports),
                None => self.names.entry(host.to_owned()).or_default().push(ports),
            }
        }
        None
    }

    fn merge_ranges(&mut self) {
        self.ranges.retain(|(from, to)| from <= to && from.is_ipv4() == to.is_ipv4());
        self.ranges.sort_unstable();
        self.ranges.dedup_by(|next, kept| {
            let overlaps = next.0 <= kept.1;
            if overlaps {
                kept.1 = kept.1.max(next.1);
            }
            overlaps
        });
    }

    /// Whether a pattern is for `target`, which is `host` or `host:port`.
    fn matches(&self, target: &str) -> bool {
        let (host, port) = split_target(target);
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        let holds = |ports: &Vec<Ports>| ports.iter().any(|ports| ports.contains(&port));
        if let Ok(ip) = host.parse::<IpAddr>() {
            let ip = ip.to_canonical();
            let before = self.ranges.partition_point(|(from, _)| *from <= ip);
            if self.ips.widest(ip).is_some() || before.checked_sub(1).is_some_and(|at| ip <= self.ranges[at].1) {
                return true;
            }
        }
        if self.names.get(&host).is_some_and(holds) || self.domains.get(&host).is_some_and(holds) {
            return true;
        }
        let parents = host.match_indices('.').map(|(at, _)| &host[at + 1..]);
        if parents
            .into_iter()
            .any(|parent| self.domains.get(parent).is_some_and(holds) || self.below.get(parent).is_some_and(holds))
        {
            return true;
        }
        self.globs.matches(&host).into_iter().any(|index| self.glob_ports[index].contains(&port))
    }

    fn contains(&self, request: &BypassRequest) -> bool {
        if request.target_address.is_empty() {
            return false;
        }
        if self.network.as_ref().is_some_and(|network| *network != request.network) {
            return false;
        }
        // At hop and node level the address is resolved, and the name that the client used is beside it.
        let matched =
            self.matches(&request.target_address) || request.host.as_deref().is_some_and(|host| self.matches(host));
        matched != self.whitelist
    }
}

impl Plugin<BypassRequest> for BypassRules {
    async fn call(&self, call: Arc<BypassRequest>) -> Result<Match, CallError> {
        Ok(if self.contains(&call) { Match::Matched } else { Match::Unmatched })
    }
}

/// A pattern's host and ports; a part behind the colon that isn't one means any port, as in GOST.
fn split_ports(pattern: &str) -> (&str, Ports) {
    let Some((host, ports)) = pattern.rsplit_once(':').filter(|(host, _)| !host.contains(':') || host.ends_with(']'))
    else {
        return (pattern, ANY_PORT);
    };
    let ports = match ports.split_once('-') {
        Some((min, max)) => min.parse().ok().zip(max.parse().ok()).map(|(min, max)| min..=max),
        None => ports.parse().ok().map(|port| port..=port),
    };
    (host.trim_start_matches('[').trim_end_matches(']'), ports.unwrap_or(ANY_PORT))
}

/// A target's host and port; 0 if it has none.
fn split_target(target: &str) -> (&str, u16) {
    let split = target.rsplit_once(':').filter(|(host, _)| !host.contains(':') || host.ends_with(']'));
    match split {
        Some((host, port)) => (host.trim_start_matches('[').trim_end_matches(']'), port.parse().unwrap_or(0)),
        None => (target, 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(patterns: &[&str]) -> BypassRules {
        BypassRules::new(patterns.iter().copied(), false, None).unwrap()
    }

    #[test]
    fn patterns_are_read_as_gost_reads_them() {
        for (pattern, matched, unmatched) in [
            ("10.0.0.0/8", vec!["10.1.2.3:80", "10.1.2.3"], vec!["11.0.0.1:80", "10.example.com:80"]),
            ("fd00::/8", vec!["[fd01::1]:80", "fd01::1"], vec!["[fe80::1]:80"]),
            ("192.0.2.7", vec!["192.0.2.7:1", "[::ffff:192.0.2.7]:1"], vec!["192.0.2.8:1"]),
            ("192.0.2.7:80", vec!["192.0.2.7:80"], vec!["192.0.2.7:81"]),
            ("10.0.0.1-10.0.0.9", vec!["10.0.0.1:1", "10.0.0.9:1"], vec!["10.0.0.10:1", "10.0.0.0:1"]),
            ("example.com", vec!["example.com:1", "Example.COM"], vec!["a.example.com:1"]),
            ("example.com:80-90", vec!["example.com:80", "example.com:90"], vec!["example.com:91", "example.com"]),
            (".example.com", vec!["example.com:1", "a.b.example.com:2"], vec!["badexample.com:1"]),
            ("*.example.com:443", vec!["a.b.example.com:443"], vec!["example.com:443", "a.example.com:80"]),
            ("a?.e*le.com", vec!["ab.example.com:1", "ab.ele.com:1"], vec!["a.example.com:1"]),
            ("*{a,b}[0-9].org:80-81", vec!["xa1.org:81", "b0.org:80"], vec!["xc1.org:80", "a1.org:82"]),
            ("[::1]:80", vec!["[::1]:80"], vec!["[::1]:81"]),
        ] {
            let rules = rules(&[pattern]);
            for target in matched {
                assert!(rules.matches(target), "{pattern} on {target}");
            }
            for target in unmatched {
                assert!(!rules.matches(target), "{pattern} on {target}");
            }
        }
        assert_eq!(BypassRules::new(["a", "*[", "b"], false, None).unwrap_err().0, 1);
    }

    #[test]
    fn overlapping_ranges_and_several_ports_are_all_kept() {
        let rules = rules(&["10.0.0.5-10.0.0.9", "10.0.0.1-10.0.0.20", "9.9.9.9-1.1.1.1", "a:1", "a:3"]);
        assert!(rules.matches("10.0.0.15:1") && rules.matches("10.0.0.1:1") && !rules.matches("10.0.0.21:1"));
        assert!(!rules.matches("5.5.5.5:1"));
        assert!(rules.matches("a:1") && rules.matches("a:3") && !rules.matches("a:2"));
    }

    #[test]
    fn whitelists_networks_and_names_beside_addresses() {
        let request = |network: &str, address: &str, host: Option<&str>| BypassRequest {
            network: network.to_owned(),
            target_address: address.to_owned(),
            host: host.map(str::to_owned),
            path: None,
            client_id: None,
            service: None,
        };
        let white = BypassRules::new(["example.com"], true, None).unwrap();
        assert!(!white.contains(&request("tcp", "example.com:80", None)));
        assert!(white.contains(&request("tcp", "example.org:80", None)));
        assert!(!white.contains(&request("tcp", "192.0.2.1:80", Some("example.com:80"))));
        assert!(!white.contains(&request("tcp", "", None)));
        assert!(BypassRules::new([], true, None).unwrap().contains(&request("tcp", "a:1", None)));
        let udp = BypassRules::new(["a"], false, Some("udp".to_owned())).unwrap();
        assert!(udp.contains(&request("udp", "a:1", None)) && !udp.contains(&request("tcp", "a:1", None)));
    }
}
