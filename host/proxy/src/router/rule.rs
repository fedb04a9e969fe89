//! [`Rule`]: which requests a node is for (GOST reference, config 5.3).

use std::future::Future;
use std::pin::Pin;

use drawspan_modules::{Admission, Bypass, ConnInfo, Target};
use drawspan_wire::http1::Headers;
use ipnet::IpNet;
use regex::Regex;

/// A condition on a request. What isn't known of one doesn't match.
pub enum Rule {
    /// All of them.
    All(Vec<Rule>),
    /// Any of them.
    Any(Vec<Rule>),
    /// Not that.
    Not(Box<Rule>),
    /// The client's address is in the network.
    ClientIp(IpNet),
    /// The host is this one, in lower case; with `subdomains` also one below it.
    Host {
        /// Without a leading dot.
        name: String,
        /// Those below it too.
        subdomains: bool,
    },
    /// The host contains a match.
    HostRegexp(Regex),
    /// The sniffed protocol is this.
    Protocol(String),
    /// The method, in upper case, is this.
    Method(String),
    /// The path is this.
    Path(String),
    /// The path starts with this.
    PathPrefix(String),
    /// The path contains a match.
    PathRegexp(Regex),
    /// One of the values of the header is this, or, without a value, the header is there.
    Header(String, Option<String>),
    /// One of the values of the header contains a match, or, without an expression, the header is there.
    HeaderRegexp(String, Option<Regex>),
    /// As [`Rule::Header`], for a parameter of the query.
    Query(String, Option<String>),
    /// As [`Rule::HeaderRegexp`], for a parameter of the query.
    QueryRegexp(String, Option<Regex>),
    /// The bypass does *not* contain the host.
    Bypass(Bypass),
    /// The client is admitted.
    Admission(Admission),
}

/// What a rule may look at; `None` is what isn't known here.
#[derive(Clone, Copy)]
pub(crate) struct Facts<'a> {
    pub(crate) info: &'a ConnInfo,
    /// Without port.
    pub(crate) host: Option<&'a str>,
    /// As sniffed.
    pub(crate) protocol: Option<&'a str>,
    pub(crate) method: Option<&'a str>,
    /// Without query.
    pub(crate) path: Option<&'a str>,
    pub(crate) query: Option<&'a str>,
    pub(crate) headers: Option<&'a Headers<'a>>,
}

impl Facts<'_> {
    fn header(&self, name: &str, value_fits: impl Fn(&str) -> bool) -> bool {
        self.headers
            .is_some_and(|headers| headers.get_all(name).any(|value| value_fits(&String::from_utf8_lossy(value))))
    }

    fn parameter(&self, name: &str, value_fits: impl Fn(&str) -> bool) -> bool {
        let mut parameters = form_urlencoded::parse(self.query.unwrap_or_default().as_bytes());
        parameters.any(|(key, value)| key == name && value_fits(&value))
    }
}

fn is(wanted: &Option<String>) -> impl Fn(&str) -> bool + '_ {
    move |value| wanted.as_ref().is_none_or(|wanted| wanted == value)
}

fn contains(wanted: &Option<Regex>) -> impl Fn(&str) -> bool + '_ {
    move |value| wanted.as_ref().is_none_or(|wanted| wanted.is_match(value))
}

impl Rule {
    pub(crate) fn matches<'a>(&'a self, facts: Facts<'a>) -> Pin<Box<dyn Future<Output = bool> + Send + 'a>> {
        Box::pin(async move {
            match self {
                Self::All(rules) => {
                    for rule in rules {
                        if !rule.matches(facts).await {
                            return false;
                        }
                    }
                    true
                }
                Self::Any(rules) => {
                    for rule in rules {
                        if rule.matches(facts).await {
                            return true;
                        }
                    }
                    false
                }
                Self::Not(rule) => !rule.matches(facts).await,
                Self::ClientIp(net) => facts.info.client.ip().is_some_and(|ip| net.contains(&ip)),
                Self::Host { name, subdomains } => {
                    let host = facts.host.map(str::to_ascii_lowercase);
                    match host.as_ref().and_then(|host| host.strip_suffix(name.as_str())) {
                        Some("") => true,
                        Some(below) => *subdomains && below.ends_with('.'),
                        None => false,
                    }
                }
                Self::HostRegexp(regex) => facts.host.is_some_and(|host| regex.is_match(host)),
                Self::Protocol(protocol) => facts.protocol == Some(protocol),
                Self::Method(method) => facts.method == Some(method),
                Self::Path(path) => facts.path == Some(path),
                Self::PathPrefix(prefix) => facts.path.is_some_and(|path| path.starts_with(prefix.as_str())),
                Self::PathRegexp(regex) => facts.path.is_some_and(|path| regex.is_match(path)),
                Self::Header(name, value) => facts.header(name, is(value)),
                Self::HeaderRegexp(name, regex) => facts.header(name, contains(regex)),
                Self::Query(name, value) => facts.parameter(name, is(value)),
                Self::QueryRegexp(name, regex) => facts.parameter(name, contains(regex)),
                Self::Bypass(bypass) => {
                    let Some(host) = facts.host else { return false };
                    let (network, address) = ("tcp".to_owned(), host.to_owned());
                    let target = Target { network, address, ..Target::default() };
                    !bypass.contains(None, None, &target).await
                }
                Self::Admission(admission) => admission.admits(facts.info, "ip").await,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use drawspan_wire::http1::RequestHead;

    use super::*;

    #[tokio::test]
    async fn what_is_known_is_compared_and_what_is_not_does_not_match() {
        let client: std::net::SocketAddr = "10.1.2.3:4".parse().unwrap();
        let info = ConnInfo {
            certificate: None,
            service: "s".into(),
            sid: "".into(),
            client: client.into(),
            local: client.into(),
        };
        let request = RequestHead::parse(b"GET / HTTP/1.1\r\nX-A: 1\r\nx-a: 22\r\n\r\n").unwrap();
        let facts = Facts {
            info: &info,
            host: Some("A.Example.com"),
            protocol: None,
            method: None,
            path: Some("/a/b"),
            query: Some("q=a+b&flag&q=%63"),
            headers: Some(&request.headers),
        };
        let value = |text: &str| Some(text.to_owned());
        let host = |name: &str, subdomains| Rule::Host { name: name.to_owned(), subdomains };
        let regex = |text| Regex::new(text).unwrap();
        for (rule, expected) in [
            (host("a.example.com", false), true),
            (host("example.com", true), true),
            (host("example.com", false), false),
            (host("ample.com", true), false),
            (Rule::HostRegexp(regex("^A")), true),
            (Rule::ClientIp("10.0.0.0/8".parse().unwrap()), true),
            (Rule::PathPrefix("/a".to_owned()), true),
            (Rule::Path("/a".to_owned()), false),
            (Rule::PathRegexp(regex("b$")), true),
            (Rule::Method("GET".to_owned()), false),
            (Rule::Not(Box::new(Rule::Protocol("http".to_owned()))), true),
            (Rule::All(vec![host("a.example.com", false), host("b", false)]), false),
            (Rule::Any(vec![host("b", false), host("a.example.com", false)]), true),
            (Rule::Any(vec![]), false),
            (Rule::Header("X-a".to_owned(), None), true),
            (Rule::Header("X-a".to_owned(), value("22")), true),
            (Rule::Header("X-a".to_owned(), value("2")), false),
            (Rule::Header("X-B".to_owned(), None), false),
            (Rule::HeaderRegexp("x-a".to_owned(), Some(regex("^2"))), true),
            (Rule::HeaderRegexp("x-a".to_owned(), Some(regex("3"))), false),
            (Rule::Query("flag".to_owned(), None), true),
            (Rule::Query("q".to_owned(), value("a b")), true),
            (Rule::Query("q".to_owned(), value("c")), true),
            (Rule::Query("Q".to_owned(), None), false),
            (Rule::QueryRegexp("q".to_owned(), Some(regex("^a"))), true),
        ] {
            assert_eq!(rule.matches(facts).await, expected);
        }
    }
}
