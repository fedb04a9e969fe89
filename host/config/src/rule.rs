//! `matcher.rule`: which requests a node is for.

mod parse;

use ipnet::IpNet;
use regex::Regex;

use crate::At;
use crate::decode::{Context, Item, Kind, Object, Unknown};
use crate::hosts::HostPattern;

/// `matcher` of a node.
#[derive(Clone, Debug)]
pub struct Matcher {
    /// The node is a candidate only for what it matches.
    pub rule: Rule,
    /// Among the matching nodes the highest above 0 wins outright. The rule's length in bytes unless one is set; -1 opts out.
    pub priority: i32,
}

/// A condition. What isn't known of a request (a host without sniffing, a header of what isn't HTTP) doesn't match.
#[derive(Clone, Debug)]
pub enum Rule {
    /// Every one holds (`&&`); at least two.
    All(Vec<Rule>),
    /// At least one holds (`||`); at least two.
    Any(Vec<Rule>),
    /// It doesn't hold (`!`).
    Not(Box<Rule>),
    /// The client's address is in the network.
    ClientIp(IpNet),
    /// The sniffed protocol is this: `http`, `tls`, `ssh`.
    Protocol(String),
    /// The host, without its port.
    Host(HostPattern),
    /// The host, without its port, contains a match.
    HostRegexp(Regex),
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
    /// The bypass of this name does *not* contain the host.
    Bypass(At<String>),
    /// The admission of this name admits the client.
    Admission(At<String>),
}

/// Reads a `matcher`.
pub(crate) fn decode(item: &Item<'_>, cx: &mut Context) -> Option<Matcher> {
    let mut object = Object::new(item, cx)?;
    let rule = object.take("rule").filter(|item| !item.node.value.is_zero());
    let priority = object.take("priority").and_then(|item| item.parsed("a whole number", cx, |text| text.parse().ok()));
    object.finish(&["bodySize"], Unknown::Warn, cx);
    let item = rule?;
    let text = item.text(cx)?;
    let rule = match parse::rule(&text, item.place(), cx) {
        Ok(rule) => rule,
        // GOST: is logged, and the node matches everything.
        Err(reason) => {
            cx.push(item.error(reason));
            return None;
        }
    };
    refer(&rule, &item.path, cx);
    let length = i32::try_from(text.len()).unwrap_or(i32::MAX);
    Some(Matcher { rule, priority: priority.map(|at| at.value).filter(|priority| *priority != 0).unwrap_or(length) })
}

fn refer(rule: &Rule, path: &str, cx: &mut Context) {
    match rule {
        Rule::All(rules) | Rule::Any(rules) => rules.iter().for_each(|rule| refer(rule, path, cx)),
        Rule::Not(rule) => refer(rule, path, cx),
        Rule::Bypass(name) => cx.names.refer(Kind::Bypass, path, name),
        Rule::Admission(name) => cx.names.refer(Kind::Admission, path, name),
        _ => {}
    }
}

#[cfg(test)]
mod tests;
