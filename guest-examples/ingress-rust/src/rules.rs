//! The rules of the config, and what any rule must look like.

use std::collections::BTreeMap;

/// Hosts, in lower case, with their tunnels.
#[derive(Debug)]
pub struct Rules(BTreeMap<String, String>);

impl Rules {
    /// Reads `host=tunnel` between spaces, commas or newlines. There may be none.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut rules = BTreeMap::new();
        for entry in common::entries(text) {
            let (host, endpoint) = entry
                .split_once('=')
                .ok_or_else(|| format!("`{entry}` is not of the form host=tunnel"))?;
            let host = common::host(host);
            check(&host, endpoint)?;
            rules.insert(host, endpoint.to_owned());
        }
        Ok(Self(rules))
    }

    /// The tunnel of a host.
    pub fn get(&self, host: &str) -> Option<&str> {
        self.0.get(host).map(String::as_str)
    }
}

/// Whether `endpoint` is a tunnel's UUID, with a `$` before it if it is private. Anything else would be taken for no tunnel at
/// all, far from here.
pub fn check(host: &str, endpoint: &str) -> Result<(), String> {
    let uuid = endpoint.strip_prefix('$').unwrap_or(endpoint);
    let is_uuid = uuid.len() == 36
        && uuid.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        });
    if host.is_empty() || !is_uuid {
        return Err(format!(
            "`{host}={endpoint}` is not a host and a tunnel's UUID"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TUNNEL: &str = "4d21094e-b74c-4916-86c1-d9fa36ea677b";

    #[test]
    fn hosts_have_their_tunnels() {
        let rules =
            Rules::parse(&format!("Example.org={TUNNEL}, private.example=${TUNNEL}")).unwrap();
        assert_eq!(rules.get("example.org"), Some(TUNNEL));
        assert_eq!(rules.get("private.example").unwrap(), format!("${TUNNEL}"));
        assert_eq!(rules.get("other.example"), None);
        assert_eq!(Rules::parse("").unwrap().get(""), None);
    }

    #[test]
    fn what_is_wrong_is_quoted() {
        for text in [
            "example.org",
            "example.org=tunnel",
            &format!("={TUNNEL}"),
            &format!("a={TUNNEL}0"),
            &format!("a=$${TUNNEL}"),
        ] {
            assert!(Rules::parse(text).unwrap_err().contains('`'), "{text}");
        }
    }
}
