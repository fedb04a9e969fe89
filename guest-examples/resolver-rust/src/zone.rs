//! The zone.

use std::{collections::BTreeMap, net::IpAddr};

/// Names, in lower case, with their addresses in the order of the text. A wildcard is kept as it is written.
#[derive(Debug)]
pub struct Zone(BTreeMap<String, Vec<IpAddr>>);

impl Zone {
    /// Reads lines such as `www.example A 192.0.2.1` and `*.example AAAA 2001:db8::1`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut zone: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (number, line) in common::lines(text) {
            let bad = || {
                format!(
                    "line {number} of `zone` is not of the form `name A address` or `name AAAA address`"
                )
            };
            let mut words = line.split_whitespace();
            let (Some(name), Some(kind), Some(address), None) =
                (words.next(), words.next(), words.next(), words.next())
            else {
                return Err(bad());
            };
            let address: IpAddr = address.parse().map_err(|_| bad())?;
            let expected = if address.is_ipv4() { "A" } else { "AAAA" };
            if kind != expected || name.strip_prefix("*.").unwrap_or(name).contains('*') {
                return Err(bad());
            }
            zone.entry(common::host(name)).or_default().push(address);
        }
        if zone.is_empty() {
            return Err("`zone` is missing or empty: write lines such as `www.example A 192.0.2.1` under the plugin's `config`".into());
        }
        Ok(Self(zone))
    }

    /// The addresses of a name: its own, else those of the nearest wildcard. An address is its own: the gateway asks for those
    /// too.
    pub fn resolve(&self, name: &str) -> Vec<IpAddr> {
        if let Some(ip) = common::ip(name) {
            return vec![ip];
        }
        let name = common::host(name);
        let wildcards = name
            .match_indices('.')
            .map(|(dot, _)| format!("*{}", &name[dot..]));
        let mut found = std::iter::once(name.clone())
            .chain(wildcards)
            .filter_map(|name| self.0.get(&name));
        found.next().cloned().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ZONE: &str = "
        www.example A 192.0.2.1     # two of them
        www.example. AAAA 2001:db8::1
        *.example A 192.0.2.2
        *.deep.example A 192.0.2.3
        only6.example AAAA 2001:db8::6
    ";

    #[test]
    fn the_name_itself_wins_and_then_the_nearest_wildcard() {
        let zone = Zone::parse(ZONE).unwrap();
        for (name, expected) in [
            ("WWW.example.", "192.0.2.1 2001:db8::1"),
            ("other.example", "192.0.2.2"),
            ("a.b.example", "192.0.2.2"),
            ("a.deep.example", "192.0.2.3"),
            ("deep.example", "192.0.2.2"),
            ("only6.example", "2001:db8::6"),
            ("example", ""),
            ("example.org", ""),
            ("192.0.2.9", "192.0.2.9"),
            ("2001:db8::9", "2001:db8::9"),
        ] {
            let addresses: Vec<_> = zone.resolve(name).iter().map(ToString::to_string).collect();
            assert_eq!(addresses.join(" "), expected, "{name}");
        }
    }

    #[test]
    fn a_bad_line_is_counted() {
        for line in [
            "www",
            "www A",
            "www A 2001:db8::1",
            "www AAAA 192.0.2.1",
            "www A 192.0.2.1 60",
            "a.*.b A 192.0.2.1",
        ] {
            assert!(
                Zone::parse(&format!("\n{line}"))
                    .unwrap_err()
                    .contains("line 2"),
                "{line}"
            );
        }
        assert!(Zone::parse("").unwrap_err().contains("missing"));
    }
}
