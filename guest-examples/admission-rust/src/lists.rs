//! Who is let in.

use std::net::IpAddr;

use common::Network;

/// The networks of the config.
#[derive(Debug)]
pub struct Lists {
    allow: Vec<Network>,
    deny: Vec<Network>,
}

impl Lists {
    /// Reads networks between spaces or commas. One of the lists may be empty.
    pub fn parse(allow: &str, deny: &str) -> Result<Self, String> {
        let networks = |key: &str, text: &str| {
            let networks: Result<Vec<_>, _> = common::entries(text).map(Network::parse).collect();
            networks.map_err(|error| format!("`{key}`: {error}"))
        };
        let lists = Self {
            allow: networks("allow", allow)?,
            deny: networks("deny", deny)?,
        };
        if lists.allow.is_empty() && lists.deny.is_empty() {
            return Err("neither `allow` nor `deny` names a network: write `allow: \"192.0.2.0/24 …\"` under the plugin's `config`".into());
        }
        Ok(lists)
    }

    /// `deny` wins over `allow`; without an `allow` everybody else is let in.
    pub fn admit(&self, client: Option<IpAddr>) -> bool {
        let is_in = |list: &[Network]| {
            client.is_some_and(|client| list.iter().any(|network| network.contains(client)))
        };
        !is_in(&self.deny) && (self.allow.is_empty() || is_in(&self.allow))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admits(allow: &str, deny: &str, client: &str) -> bool {
        Lists::parse(allow, deny).unwrap().admit(common::ip(client))
    }

    #[test]
    fn deny_wins_over_allow() {
        assert!(admits("192.0.2.0/24", "192.0.2.7", "192.0.2.8:1"));
        assert!(!admits("192.0.2.0/24", "192.0.2.7", "192.0.2.7:1"));
        assert!(!admits("192.0.2.0/24", "192.0.2.7", "198.51.100.1:1"));
    }

    #[test]
    fn a_list_of_one_kind_is_enough() {
        assert!(admits("", "192.0.2.0/24", "198.51.100.1:1"));
        assert!(!admits("", "192.0.2.0/24", "192.0.2.1:1"));
        assert!(!admits("2001:db8::/32", "", "192.0.2.1:1"));
        assert!(admits("2001:db8::/32", "", "[2001:db8::1]:1"));
    }

    #[test]
    fn a_client_without_an_address_is_in_no_list() {
        assert!(Lists::parse("", "0.0.0.0/0 ::/0").unwrap().admit(None));
        assert!(!Lists::parse("0.0.0.0/0 ::/0", "").unwrap().admit(None));
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert!(Lists::parse("", " ").unwrap_err().contains("neither"));
        let error = Lists::parse("192.0.2.0/24", "example.org").unwrap_err();
        assert!(
            error.contains("`deny`") && error.contains("`example.org`"),
            "{error}"
        );
    }
}
