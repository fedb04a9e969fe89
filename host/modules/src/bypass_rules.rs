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

/// A pattern of targets. Host names are in lower case; ports are `None` for any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TargetPattern {
    /// The host is an address in the network.
    Net(IpNet),
    /// The host is an address from the first to the second.
    Range(IpAddr, IpAddr),
    /// The host matches: `*` is any text, `?` any character, `[…]` and `{a,b}` as in shells.
    Glob(String, Option<RangeInclusive<u16>>),
    /// The host is this.
    Name(String, Option<RangeInclusive<u16>>),
    /// The host is this or below it.
    Domain(String, Option<RangeInclusive<u16>>),
}

impl BypassRules {
    /// With those patterns. With `whitelist` everything else is bypassed.
    ///
    /// # Errors
    /// The index of the first pattern that can't be used, and why.
    pub fn new(
        patterns: impl IntoIterator<Item = TargetPattern>,
        whitelist: bool,
    ) -> Result<Self, (usize, globset::Error)> {
        let mut rules = Self { whitelist, ..Self::default() };
        let mut globs = GlobSetBuilder::new();
        let mut last = 0;
        for (index, pattern) in patterns.into_iter().enumerate() {
            last = index;
            if let Some(glob) = rules.add(pattern) {
                globs.add(Glob::new(&glob).map_err(|error| (index, error))?);
            }
        }
        rules.globs = globs.build().map_err(|error| (last, error))?;
        rules.merge_ranges();
        Ok(rules)
    }

    /// Adds a pattern; a glob is left to the caller.
    fn add(&mut self, pattern: TargetPattern) -> Option<String> {
        let any = |ports: Option<Ports>| ports.unwrap_or(ANY_PORT);
        match pattern {
            TargetPattern::Net(net) => self.ips.insert(net, ()),
            TargetPattern::Range(from, to) => self.ranges.push((from.to_canonical(), to.to_canonical())),
            TargetPattern::Name(name, ports) => match name.parse::<IpAddr>() {
                Ok(ip) => self.names.entry(ip.to_canonical().to_string()).or_default().push(any(ports)),
                Err(_) => self.names.entry(name).or_default().push(any(ports)),
            },
            TargetPattern::Domain(name, ports) => self.domains.entry(name).or_default().push(any(ports)),
            TargetPattern::Glob(glob, ports) => match glob.strip_prefix("*.") {
                Some(domain) if !domain.contains(['*', '?', '[', ']', '{', '}', '\\']) => {
                    self.below.entry(domain.to_owned()).or_default().push(any(ports));
                }
                _ => {
                    self.glob_ports.push(any(ports));
                    return Some(glob);
                }
            },
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
        let mut host = host.trim_end_matches('.').to_ascii_lowercase();
        let holds = |ports: &Vec<Ports>| ports.iter().any(|ports| ports.contains(&port));
        if let Ok(ip) = host.parse::<IpAddr>() {
            let ip = ip.to_canonical();
            host = ip.to_string();
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

    use TargetPattern::{Domain, Glob, Name, Net, Range};

    fn rules(patterns: impl IntoIterator<Item = TargetPattern>) -> BypassRules {
        BypassRules::new(patterns, false).unwrap()
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn patterns_match_as_in_gost() {
        let name = |name: &str, ports| Name(name.to_owned(), ports);
        let domain = |name: &str, ports| Domain(name.to_owned(), ports);
        let glob = |name: &str, ports| Glob(name.to_owned(), ports);
        let net = |net: &str| Net(net.parse().unwrap());
        for (pattern, matched, unmatched) in [
            (net("10.0.0.0/8"), vec!["10.1.2.3:80", "10.1.2.3"], vec!["11.0.0.1:80", "10.example.com:80"]),
            (net("fd00::/8"), vec!["[fd01::1]:80", "fd01::1"], vec!["[fe80::1]:80"]),
            (net("192.0.2.7/32"), vec!["192.0.2.7:1", "[::ffff:192.0.2.7]:1"], vec!["192.0.2.8:1"]),
            (name("192.0.2.7", Some(80..=80)), vec!["192.0.2.7:80"], vec!["192.0.2.7:81"]),
            (
                Range(ip("10.0.0.1"), ip("10.0.0.9")),
                vec!["10.0.0.1:1", "10.0.0.9:1"],
                vec!["10.0.0.10:1", "10.0.0.0:1"],
            ),
            (name("example.com", None), vec!["example.com:1", "Example.COM"], vec!["a.example.com:1"]),
            (
                name("example.com", Some(80..=90)),
                vec!["example.com:80", "example.com:90"],
                vec!["example.com:91", "example.com"],
            ),
            (domain("example.com", None), vec!["example.com:1", "a.b.example.com:2"], vec!["badexample.com:1"]),
            (
                glob("*.example.com", Some(443..=443)),
                vec!["a.b.example.com:443"],
                vec!["example.com:443", "a.example.com:80"],
            ),
            (glob("a?.e*le.com", None), vec!["ab.example.com:1", "ab.ele.com:1"], vec!["a.example.com:1"]),
            (glob("*{a,b}[0-9].org", Some(80..=81)), vec!["xa1.org:81", "b0.org:80"], vec!["xc1.org:80", "a1.org:82"]),
            (name("::1", Some(80..=80)), vec!["[::1]:80", "[0::1]:80"], vec!["[::1]:81"]),
        ] {
            let rules = rules([pattern.clone()]);
            for target in matched {
                assert!(rules.matches(target), "{pattern:?} on {target}");
            }
            for target in unmatched {
                assert!(!rules.matches(target), "{pattern:?} on {target}");
            }
        }
        assert_eq!(BypassRules::new([name("a", None), glob("*[", None)], false).unwrap_err().0, 1);
    }

    #[test]
    fn overlapping_ranges_and_several_ports_are_all_kept() {
        let range = |from, to| Range(ip(from), ip(to));
        let port = |port| Name("a".to_owned(), Some(port..=port));
        let rules = rules([
            range("10.0.0.5", "10.0.0.9"),
            range("10.0.0.1", "10.0.0.20"),
            range("9.9.9.9", "1.1.1.1"),
            port(1),
            port(3),
        ]);
        assert!(rules.matches("10.0.0.15:1") && rules.matches("10.0.0.1:1") && !rules.matches("10.0.0.21:1"));
        assert!(!rules.matches("5.5.5.5:1"));
        assert!(rules.matches("a:1") && rules.matches("a:3") && !rules.matches("a:2"));
    }

    #[test]
    fn whitelists_and_names_beside_addresses() {
        let request = |address: &str, host: Option<&str>| BypassRequest {
            network: "tcp".to_owned(),
            target_address: address.to_owned(),
            host: host.map(str::to_owned),
            path: None,
            client_id: None,
            service: None,
        };
        let white = BypassRules::new([Name("example.com".to_owned(), None)], true).unwrap();
        assert!(!white.contains(&request("example.com:80", None)));
        assert!(white.contains(&request("example.org:80", None)));
        assert!(!white.contains(&request("192.0.2.1:80", Some("example.com:80"))));
        assert!(!white.contains(&request("", None)));
        assert!(BypassRules::new([], true).unwrap().contains(&request("a:1", None)));
    }
}
