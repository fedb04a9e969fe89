//! The list of domains.

use std::collections::BTreeSet;

/// Names and suffixes, in lower case.
#[derive(Debug, Default)]
pub struct Domains {
    names: BTreeSet<String>,
    /// Without the leading dot.
    below: BTreeSet<String>,
}

impl Domains {
    /// Reads entries between spaces or commas: `example.org` is that name alone, `*.example.org` every name below it,
    /// `.example.org` both.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut domains = Self::default();
        for entry in common::entries(text) {
            let (name, itself, below) = if let Some(name) = entry.strip_prefix("*.") {
                (name, false, true)
            } else if let Some(name) = entry.strip_prefix('.') {
                (name, true, true)
            } else {
                (entry, true, false)
            };
            // `com*` or `a.*.b` would otherwise match nothing in silence.
            if name.is_empty() || name.contains(['*', ':', '/']) {
                return Err(format!(
                    "`{entry}` is none of example.org, .example.org and *.example.org"
                ));
            }
            let name = common::host(name);
            if below {
                domains.below.insert(name.clone());
            }
            if itself {
                domains.names.insert(name);
            }
        }
        if domains.names.is_empty() && domains.below.is_empty() {
            return Err("`domains` is missing or empty: write `domains: \"example.org .example.net\"` under the plugin's `config`".into());
        }
        Ok(domains)
    }

    /// Whether the host of `address`, with or without a port, is in the list.
    pub fn contain(&self, address: &str) -> bool {
        let host = common::host(address);
        let mut parents = host.match_indices('.').map(|(dot, _)| &host[dot + 1..]);
        self.names.contains(&host) || parents.any(|parent| self.below.contains(parent))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_matches_what_it_says() {
        let domains = Domains::parse("exact.example, .both.example *.Below.Example").unwrap();
        for (address, expected) in [
            ("exact.example:443", true),
            ("www.exact.example:443", false),
            ("notexact.example", false),
            ("both.example", true),
            ("a.b.both.example:80", true),
            ("notboth.example", false),
            ("below.example", false),
            ("www.below.example.:443", true),
            ("WWW.BELOW.EXAMPLE", true),
            ("192.0.2.1:443", false),
            ("[2001:db8::1]:443", false),
            ("", false),
        ] {
            assert_eq!(domains.contain(address), expected, "{address}");
        }
    }

    #[test]
    fn other_patterns_are_refused() {
        for text in [
            "ads*",
            "a.*.b",
            "*",
            "*.",
            ".",
            "example.org:443",
            "192.0.2.0/24",
        ] {
            let error = Domains::parse(text).unwrap_err();
            assert!(error.contains(text), "{error}");
        }
        assert!(Domains::parse("").unwrap_err().contains("missing"));
    }
}
