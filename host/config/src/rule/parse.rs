//! The language of rules: functions with quoted texts, `!`, `&&`, `||`, parentheses.

use super::Rule;
use crate::decode::Context;
use crate::hosts::HostPattern;
use crate::{At, Place, pattern};

/// Rules within rules. A rule may come from a plugin.
const DEPTH: u32 = 50;

const FUNCTIONS: &str = "ClientIP, Proto, Host, HostRegexp, Method, Path, PathPrefix, PathRegexp, Header, HeaderRegexp, \
                         Query, QueryRegexp, Bypass, Admission";

/// Reads a rule that stands at `place`.
pub(super) fn rule(text: &str, place: &Place, cx: &mut Context) -> Result<Rule, String> {
    let mut parser = Parser { text, at: 0, place, cx };
    let rule = parser.any(0)?;
    match parser.peek() {
        None => Ok(rule),
        Some(_) => Err(parser.unexpected("`&&` or `||`")),
    }
}

struct Parser<'t> {
    text: &'t str,
    at: usize,
    place: &'t Place,
    cx: &'t mut Context,
}

impl<'t> Parser<'t> {
    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    /// The next character that isn't a space.
    fn peek(&mut self) -> Option<char> {
        self.at = self.text.len() - self.rest().trim_start().len();
        self.rest().chars().next()
    }

    fn eat(&mut self, token: &str) -> bool {
        let found = self.peek().is_some() && self.rest().starts_with(token);
        if found {
            self.at += token.len();
        }
        found
    }

    fn unexpected(&mut self, expected: &str) -> String {
        match self.peek() {
            Some(c) => format!("expected {expected} at character {}, found `{c}`", self.column()),
            None => format!("expected {expected} at the end"),
        }
    }

    fn column(&self) -> usize {
        self.text[..self.at].chars().count() + 1
    }

    fn any(&mut self, depth: u32) -> Result<Rule, String> {
        let mut rules = vec![self.all(depth)?];
        while self.eat("||") {
            rules.push(self.all(depth)?);
        }
        Ok(if rules.len() > 1 { Rule::Any(rules) } else { rules.remove(0) })
    }

    fn all(&mut self, depth: u32) -> Result<Rule, String> {
        let mut rules = vec![self.one(depth)?];
        while self.eat("&&") {
            rules.push(self.one(depth)?);
        }
        Ok(if rules.len() > 1 { Rule::All(rules) } else { rules.remove(0) })
    }

    fn one(&mut self, depth: u32) -> Result<Rule, String> {
        if depth > DEPTH {
            return Err(format!("nested more than {DEPTH} deep"));
        }
        if self.eat("!") {
            return Ok(Rule::Not(Box::new(self.one(depth + 1)?)));
        }
        if self.eat("(") {
            let rule = self.any(depth + 1)?;
            return if self.eat(")") { Ok(rule) } else { Err(self.unexpected("`)`")) };
        }
        self.function()
    }

    fn function(&mut self) -> Result<Rule, String> {
        if self.peek().is_none_or(|c| !c.is_ascii_alphabetic()) {
            return Err(self.unexpected("a function such as Host(`example.com`)"));
        }
        let rest = self.rest();
        let name = &rest[..rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len())];
        let column = self.column();
        self.at += name.len();
        if !self.eat("(") {
            return Err(self.unexpected("`(`"));
        }
        let mut args = Vec::new();
        while !self.eat(")") {
            if !args.is_empty() && !self.eat(",") {
                return Err(self.unexpected("`,` or `)`"));
            }
            args.push(self.quoted()?);
        }
        self.call(name, &args).map_err(|reason| format!("{name} at character {column}: {reason}"))
    }

    /// A text in backticks, or in double quotes with Go's escapes.
    fn quoted(&mut self) -> Result<String, String> {
        let quote = self.peek();
        if !matches!(quote, Some('`' | '"')) {
            return Err(self.unexpected("a text in backticks or double quotes"));
        }
        let column = self.column();
        self.at += 1;
        let mut chars = self.rest().char_indices();
        let mut text = String::new();
        while let Some((at, c)) = chars.next() {
            if Some(c) == quote {
                self.at += at + 1;
                return Ok(text);
            }
            if c != '\\' || quote == Some('`') {
                text.push(c);
                continue;
            }
            text.push(match chars.next() {
                Some((_, c @ ('"' | '\\'))) => c,
                Some((_, 'n')) => '\n',
                Some((_, 'r')) => '\r',
                Some((_, 't')) => '\t',
                _ => return Err(format!("unknown escape in the text at character {column}; use backticks")),
            });
        }
        Err(format!("the text at character {column} doesn't end"))
    }

    fn call(&mut self, name: &str, args: &[String]) -> Result<Rule, String> {
        let place = self.place;
        let at = |name: &String| At { value: name.clone(), place: place.clone() };
        let mut regex = |text: &String| self.cx.regex(text);
        let path = |arg: &String| match arg.starts_with('/') {
            true => Ok(arg.clone()),
            false => Err("a path starts with `/`".to_owned()),
        };
        Ok(match (name.to_ascii_lowercase().as_str(), args) {
            ("clientip", [net]) => match pattern::net(net) {
                Some(net) => Rule::ClientIp(net),
                None => return Err(format!("`{net}` is not an IP address or a network")),
            },
            ("proto", [protocol]) => Rule::Protocol(protocol.to_ascii_lowercase()),
            ("host", [host]) => Rule::Host(HostPattern::parse(host)?),
            ("hostregexp", [expression]) => Rule::HostRegexp(regex(expression)?),
            ("method", [method]) => Rule::Method(method.to_ascii_uppercase()),
            ("path", [arg]) => Rule::Path(path(arg)?),
            ("pathprefix", [arg]) => Rule::PathPrefix(path(arg)?),
            ("pathregexp", [expression]) => Rule::PathRegexp(regex(expression)?),
            ("header", [key]) => Rule::Header(key.clone(), None),
            ("header", [key, value]) => Rule::Header(key.clone(), Some(value.clone())),
            ("headerregexp", [key, rest @ ..]) if rest.len() <= 1 => {
                Rule::HeaderRegexp(key.clone(), rest.first().map(&mut regex).transpose()?)
            }
            ("query", [key]) => Rule::Query(key.clone(), None),
            ("query", [key, value]) => Rule::Query(key.clone(), Some(value.clone())),
            ("queryregexp", [key, rest @ ..]) if rest.len() <= 1 => {
                Rule::QueryRegexp(key.clone(), rest.first().map(&mut regex).transpose()?)
            }
            ("bypass", [name]) => Rule::Bypass(at(name)),
            ("admission", [name]) => Rule::Admission(at(name)),
            ("network" | "bodyjson" | "bodyregexp", _) => return Err("not implemented".into()),
            (other, _) if FUNCTIONS.split(", ").any(|known| known.eq_ignore_ascii_case(other)) => {
                return Err(format!("takes other arguments than {}", args.len()));
            }
            _ => return Err(format!("unknown function; known: {FUNCTIONS}")),
        })
    }
}
