//! The table.

use std::net::IpAddr;

use common::Network;

/// Networks as they are written, with their gateways; the longest prefix first.
#[derive(Debug)]
pub struct Routes(Vec<(Network, String, String)>);

impl Routes {
    /// Reads `network=gateway` between spaces, commas or newlines.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut routes: Vec<(Network, String, String)> = Vec::new();
        for entry in common::entries(text) {
            let (network, gateway) = entry
                .split_once('=')
                .filter(|(_, gateway)| !gateway.is_empty())
                .ok_or_else(|| format!("`{entry}` is not of the form network=gateway"))?;
            routes.push((
                Network::parse(network)?,
                network.to_owned(),
                gateway.to_owned(),
            ));
        }
        if routes.is_empty() {
            return Err("`routes` is missing or empty: write `routes: \"10.0.0.0/8=gateway …\"` under the plugin's `config`".into());
        }
        // Stable: of two equal networks the first one counts.
        routes.sort_by_key(|(network, ..)| std::cmp::Reverse(network.bits()));
        Ok(Self(routes))
    }

    /// The network with the longest prefix that `destination` is in, and its gateway.
    pub fn find(&self, destination: IpAddr) -> Option<(&str, &str)> {
        let mut routes = self.0.iter();
        let route = routes.find(|(network, ..)| network.contains(destination));
        route.map(|(_, network, gateway)| (network.as_str(), gateway.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_prefix_wins() {
        let routes = Routes::parse(
            "0.0.0.0/0=out 10.0.0.0/8=office\n10.1.0.0/16=lab, 10.1.0.0/16=late 10.1.2.3=desk",
        )
        .unwrap();
        for (destination, expected) in [
            ("192.0.2.1", Some(("0.0.0.0/0", "out"))),
            ("10.9.9.9", Some(("10.0.0.0/8", "office"))),
            ("10.1.9.9", Some(("10.1.0.0/16", "lab"))),
            ("10.1.2.3", Some(("10.1.2.3", "desk"))),
            ("2001:db8::1", None),
        ] {
            assert_eq!(
                routes.find(destination.parse().unwrap()),
                expected,
                "{destination}"
            );
        }
    }

    #[test]
    fn what_is_wrong_is_quoted() {
        for text in [
            "10.0.0.0/8",
            "10.0.0.0/8=",
            "10.0.0.0/40=a",
            "office=10.0.0.0/8",
        ] {
            assert!(Routes::parse(text).unwrap_err().contains('`'), "{text}");
        }
        assert!(Routes::parse("").unwrap_err().contains("missing"));
    }
}
