//! [`Rule`]: which requests a node is for (GOST reference, config 5.3).

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;

use drawspan_modules::{Admission, Bypass, ConnInfo, Target};
use ipnet::IpNet;
use regex::Regex;

/// Brackets and negations within each other; no rule that a person wrote has more.
const MAX_DEPTH: usize = 32;

/// A condition on a request.
pub enum Rule {
    /// All of them.
    All(Vec<Rule>),
    /// Any of them.
    Any(Vec<Rule>),
    /// Not that.
    Not(Box<Rule>),
    /// `ClientIP`.
    ClientIp(Vec<IpNet>),
    /// `Network`, by its beginning: `tcp` is `tcp4` too.
    Network(String),
    /// `Host`: a name, or with a leading dot those below it.
    Host(String),
    /// `HostRegexp`.
    HostRegexp(Regex),
    /// A filter's host: also a suffix that starts within a label.
    HostSuffix(String),
    /// `Proto`, or a filter's protocol.
    Proto(String),
    /// `Method`.
    Method(String),
    /// `Path`.
    Path(String),
    /// `PathPrefix`, or a filter's path.
    PathPrefix(String),
    /// `PathRegexp`.
    PathRegexp(Regex),
    /// `Bypass`: the host is *not* in it.
    Bypass(Bypass),
    /// `Admission`: the client is admitted.
    Admission(Admission),
}

/// What a rule may look at; `None` is what isn't known here.
#[derive(Clone, Copy)]
pub(crate) struct Facts<'a> {
    pub(crate) info: &'a ConnInfo,
    pub(crate) network: &'a str,
    /// Without port.
    pub(crate) host: &'a str,
    /// As sniffed.
    pub(crate) proto: Option<&'a str>,
    pub(crate) method: Option<&'a str>,
    pub(crate) path: Option<&'a str>,
}

/// Why a text isn't a rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RuleError {
    /// Not the grammar.
    #[error("expected {expected} at `{at}`")]
    Syntax {
        /// What would fit.
        expected: &'static str,
        /// The rest of the text.
        at: String,
    },
    /// Too many brackets or negations within each other.
    #[error("nested too deep, {MAX_DEPTH} levels at most")]
    TooDeep,
    /// No function of that name, or none that can be used here.
    #[error("unknown function `{0}`")]
    Function(String),
    /// A wrong number of arguments.
    #[error("`{0}` takes another number of arguments")]
    Arity(String),
    /// An argument can't be used.
    #[error("{function}: {reason}")]
    Argument {
        /// Whose.
        function: String,
        /// Why.
        reason: String,
    },
}

/// Modules that rules name.
pub trait Names {
    /// The bypass of that name.
    fn bypass(&self, name: &str) -> Option<Bypass>;
    /// The admission of that name.
    fn admission(&self, name: &str) -> Option<Admission>;
}

impl Rule {
    /// Reads a rule, such as ``Host(`example.com`) && !ClientIP(`10.0.0.0/8`)``. GOST: a bad rule is logged and ignored.
    ///
    /// # Errors
    /// If it isn't one.
    pub fn parse(text: &str, names: &dyn Names) -> Result<Self, RuleError> {
        let mut parser = Parser { rest: text, names };
        let rule = parser.any(0)?;
        match parser.rest.trim_start() {
            "" => Ok(rule),
            _ => Err(parser.expected("`&&`, `||` or the end")),
        }
    }

    /// A filter's host: exact, `*.example.com`, `.example.com`. GOST tests the suffix without regard to labels.
    #[must_use]
    pub fn filter_host(host: &str) -> Self {
        match host.strip_prefix('*').unwrap_or(host).strip_prefix('.') {
            Some(suffix) => Self::HostSuffix(suffix.to_ascii_lowercase()),
            None => Self::Host(host.to_ascii_lowercase()),
        }
    }

    pub(crate) fn matches<'a>(&'a self, facts: Facts<'a>) -> Pin<Box<dyn Future<Output = bool> + Send + 'a>> {
        Box::pin(async move {
            let host = facts.host.to_ascii_lowercase();
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
                Self::ClientIp(nets) => {
                    facts.info.client.ip().is_some_and(|ip| nets.iter().any(|net| net.contains(&ip)))
                }
                Self::Network(prefix) => facts.network.starts_with(prefix.as_str()),
                Self::Host(name) => match name.strip_prefix('.') {
                    Some(domain) => host.strip_suffix(domain).is_some_and(|sub| sub.ends_with('.')),
                    None => host == *name,
                },
                Self::HostSuffix(suffix) => host.ends_with(suffix.as_str()),
                Self::HostRegexp(regex) => regex.is_match(facts.host),
                Self::Proto(proto) => facts.proto == Some(proto),
                Self::Method(method) => facts.method == Some(method),
                Self::Path(path) => facts.path == Some(path),
                Self::PathPrefix(prefix) => facts.path.is_some_and(|path| path.starts_with(prefix.as_str())),
                Self::PathRegexp(regex) => facts.path.is_some_and(|path| regex.is_match(path)),
                Self::Bypass(bypass) => {
                    let target =
                        Target { network: "tcp".to_owned(), address: facts.host.to_owned(), ..Target::default() };
                    !bypass.contains(None, None, &target).await
                }
                Self::Admission(admission) => admission.admits(facts.info, "ip").await,
            }
        })
    }
}

struct Parser<'a> {
    rest: &'a str,
    names: &'a dyn Names,
}

impl<'a> Parser<'a> {
    fn any(&mut self, depth: usize) -> Result<Rule, RuleError> {
        let mut rules = vec![self.all(depth)?];
        while self.eat("||") {
            rules.push(self.all(depth)?);
        }
        Ok(if rules.len() == 1 { rules.remove(0) } else { Rule::Any(rules) })
    }

    fn all(&mut self, depth: usize) -> Result<Rule, RuleError> {
        let mut rules = vec![self.one(depth)?];
        while self.eat("&&") {
            rules.push(self.one(depth)?);
        }
        Ok(if rules.len() == 1 { rules.remove(0) } else { Rule::All(rules) })
    }

    fn one(&mut self, depth: usize) -> Result<Rule, RuleError> {
        if depth > MAX_DEPTH {
            return Err(RuleError::TooDeep);
        }
        if self.eat("!") {
            return Ok(Rule::Not(Box::new(self.one(depth + 1)?)));
        }
        if self.eat("(") {
            let rule = self.any(depth + 1)?;
            return if self.eat(")") { Ok(rule) } else { Err(self.expected("`)`")) };
        }
        let rest = self.rest.trim_start();
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
        let (function, rest) = rest.split_at(end);
        if function.is_empty() {
            return Err(self.expected("a function"));
        }
        self.rest = rest;
        if !self.eat("(") {
            return Err(self.expected("`(`"));
        }
        let mut arguments = Vec::new();
        while !self.eat(")") {
            if !arguments.is_empty() && !self.eat(",") {
                return Err(self.expected("`,` or `)`"));
            }
            arguments.push(self.text()?);
        }
        self.function(function, &arguments)
    }

    fn text(&mut self) -> Result<&'a str, RuleError> {
        for quote in ['`', '"'] {
            if let Some(rest) = self.rest.trim_start().strip_prefix(quote)
                && let Some((text, rest)) = rest.split_once(quote)
            {
                self.rest = rest;
                return Ok(text);
            }
        }
        Err(self.expected("a quoted argument"))
    }

    fn eat(&mut self, token: &str) -> bool {
        let rest = self.rest.trim_start().strip_prefix(token);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn expected(&self, expected: &'static str) -> RuleError {
        RuleError::Syntax { expected, at: self.rest.trim_start().chars().take(30).collect() }
    }

    fn function(&self, function: &str, arguments: &[&str]) -> Result<Rule, RuleError> {
        let &[argument] = arguments else {
            return Err(RuleError::Arity(function.to_owned()));
        };
        let bad = |reason: String| RuleError::Argument { function: function.to_owned(), reason };
        let regex = || Regex::new(argument).map_err(|error| bad(error.to_string()));
        let path = || match argument.starts_with('/') {
            true => Ok(argument.to_owned()),
            false => Err(bad(format!("`{argument}` doesn't start with `/`"))),
        };
        Ok(match function {
            "ClientIP" => {
                let net = argument.parse().or_else(|_| argument.parse::<IpAddr>().map(IpNet::from));
                Rule::ClientIp(vec![net.map_err(|_| bad(format!("`{argument}` is no IP address and no CIDR")))?])
            }
            "Network" => Rule::Network(argument.to_owned()),
            "Proto" => Rule::Proto(argument.to_owned()),
            "Host" => Rule::Host(argument.strip_prefix('*').unwrap_or(argument).to_ascii_lowercase()),
            "HostRegexp" => Rule::HostRegexp(regex()?),
            "Method" => Rule::Method(argument.to_ascii_uppercase()),
            "Path" => Rule::Path(path()?),
            "PathPrefix" => Rule::PathPrefix(path()?),
            "PathRegexp" => Rule::PathRegexp(regex()?),
            "Bypass" => Rule::Bypass(
                self.names.bypass(argument).ok_or_else(|| bad(format!("there is no bypass `{argument}`")))?,
            ),
            "Admission" => Rule::Admission(
                self.names.admission(argument).ok_or_else(|| bad(format!("there is no admission `{argument}`")))?,
            ),
            _ => return Err(RuleError::Function(function.to_owned())),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Nobody;

    impl Names for Nobody {
        fn bypass(&self, _: &str) -> Option<Bypass> {
            None
        }
        fn admission(&self, _: &str) -> Option<Admission> {
            None
        }
    }

    async fn matches(rule: &Rule, host: &str) -> bool {
        let client: std::net::SocketAddr = "10.1.2.3:4".parse().unwrap();
        let info = ConnInfo { service: "s".into(), sid: "".into(), client: client.into(), local: client.into() };
        let facts = Facts { info: &info, network: "tcp", host, proto: None, method: None, path: Some("/a/b") };
        rule.matches(facts).await
    }

    #[tokio::test]
    async fn rules_are_read_and_applied() {
        for (text, host, expected) in [
            ("Host(`example.com`)", "Example.com", true),
            ("Host(\"*.example.com\")", "a.example.com", true),
            ("Host(`.example.com`)", "example.com", false),
            ("Host(`.example.com`)", "badexample.com", false),
            ("!Host(`a`)&&ClientIP(`10.0.0.0/8`)", "b", true),
            ("Host(`a`) || Host(`b`) && ClientIP(`10.1.2.4`)", "a", true),
            ("(Host(`a`) || Host(`b`)) && ClientIP(`10.1.2.4`)", "a", false),
            ("HostRegexp(`^a.*z$`) && Network(`tc`)", "abcz", true),
            ("PathPrefix(`/a`) && Path(`/a/b`) && PathRegexp(`b$`)", "", true),
            ("Method(`get`) || Proto(`http`)", "", false),
        ] {
            let rule = Rule::parse(text, &Nobody).unwrap();
            assert_eq!(matches(&rule, host).await, expected, "{text} on {host}");
        }
        assert!(matches(&Rule::filter_host("*.example.com"), "badexample.com").await);
        assert!(!matches(&Rule::filter_host("example.com"), "a.example.com").await);
    }

    #[test]
    fn bad_rules_say_where() {
        let of = |text: &str| Rule::parse(text, &Nobody).err().map(|error| error.to_string()).unwrap();
        assert_eq!(of(""), "expected a function at ``");
        assert_eq!(of("Host(`a`) Host(`b`)"), "expected `&&`, `||` or the end at `Host(`b`)`");
        assert_eq!(of("Host(`a"), "expected a quoted argument at ``a`");
        assert_eq!(of("Hast(`a`)"), "unknown function `Hast`");
        assert_eq!(of("Host(`a`, `b`)"), "`Host` takes another number of arguments");
        assert_eq!(of("ClientIP(`x`)"), "ClientIP: `x` is no IP address and no CIDR");
        assert_eq!(of("Bypass(`x`)"), "Bypass: there is no bypass `x`");
        assert_eq!(of(&"!".repeat(10_000)), "nested too deep, 32 levels at most");
        assert_eq!(of(&"(".repeat(10_000)), "nested too deep, 32 levels at most");
    }
}
