//! `limiters[]`, `climiters[]` and `rlimiters[]`: bytes per second, connections at a time, connections per second.

use ipnet::IpNet;

use crate::At;
use crate::decode::{Context, Item, Kind, LOADERS, Object, Unknown, units};
use crate::pattern::net;
use crate::plugin::Plugin;

/// A traffic limiter.
#[derive(Clone, Debug)]
pub struct Limiter {
    /// Unique among limiters.
    pub name: At<String>,
    /// How it limits.
    pub kind: LimiterKind,
}

/// The forms of a [`Limiter`].
#[derive(Clone, Debug)]
pub enum LimiterKind {
    /// Every limit that applies holds.
    Limits(Vec<At<TrafficLimit>>),
    /// A plugin.
    Plugin(Box<Plugin>),
}

/// Bytes per second for what `key` names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrafficLimit {
    /// What is limited; [`LimitKey::Each`] is each connection.
    pub key: LimitKey,
    /// From the client; none is unlimited.
    pub input: Option<u64>,
    /// To the client; none is unlimited.
    pub output: Option<u64>,
}

/// A limiter of open connections.
#[derive(Clone, Debug)]
pub struct ConnLimiter {
    /// Unique among climiters.
    pub name: At<String>,
    /// For an address: the limit of the address, else of its network, else [`LimitKey::Each`]; and [`LimitKey::All`].
    pub limits: Vec<At<ConnLimit>>,
}

/// How many connections may be open at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnLimit {
    /// Whose connections are counted; [`LimitKey::Each`] is each client address.
    pub key: LimitKey,
    /// At least 1.
    pub connections: u32,
}

/// A limiter of new connections.
#[derive(Clone, Debug)]
pub struct RateLimiter {
    /// Unique among rlimiters.
    pub name: At<String>,
    /// Which apply is as for [`ConnLimiter::limits`].
    pub limits: Vec<At<RateLimit>>,
}

/// How many connections may come in a second; so many, rounded down, and one more may come at once.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RateLimit {
    /// Whose connections are counted; [`LimitKey::Each`] is each client address.
    pub key: LimitKey,
    /// Above 0 and finite.
    pub per_second: f64,
}

/// What a limit is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LimitKey {
    /// `$`: all of a service together.
    All,
    /// `$$`: each one alone.
    Each,
    /// Each client address in this network alone.
    Net(IpNet),
}

pub(crate) fn traffic(item: &Item<'_>, cx: &mut Context) -> Option<Limiter> {
    let mut object = Object::new(item, cx)?;
    let name = object.named(Kind::Limiter, cx);
    let kind = match object.plugin(&["limits", "reload", "file", "redis", "http"], cx) {
        Some(plugin) => plugin.map(LimiterKind::Plugin),
        None => Some(LimiterKind::Limits(limits(&mut object, traffic_limit, cx))),
    };
    object.finish(&LOADERS, Unknown::Warn, cx);
    Some(Limiter { name: name?, kind: kind? })
}

pub(crate) fn connections(item: &Item<'_>, cx: &mut Context) -> Option<ConnLimiter> {
    let mut object = Object::new(item, cx)?;
    let name = object.named(Kind::ConnLimiter, cx);
    let limits = limits(&mut object, conn_limit, cx);
    object.finish(&LOADERS, Unknown::Warn, cx);
    Some(ConnLimiter { name: name?, limits })
}

pub(crate) fn rate(item: &Item<'_>, cx: &mut Context) -> Option<RateLimiter> {
    let mut object = Object::new(item, cx)?;
    let name = object.named(Kind::RateLimiter, cx);
    let limits = limits(&mut object, rate_limit, cx);
    object.finish(&LOADERS, Unknown::Warn, cx);
    Some(RateLimiter { name: name?, limits })
}

fn limits<L>(object: &mut Object<'_>, parse: fn(&str) -> Result<L, String>, cx: &mut Context) -> Vec<At<L>> {
    object.take("limits").map(|item| item.each(cx, parse)).unwrap_or_default()
}

/// A key and the fields after it.
fn fields(text: &str) -> Result<(LimitKey, Vec<&str>), String> {
    let mut fields = text.split_whitespace();
    let key = match fields.next().unwrap_or_default() {
        "$" => LimitKey::All,
        "$$" => LimitKey::Each,
        other => {
            let net = net(other).ok_or_else(|| format!("`{other}` is not `$`, `$$`, an IP address or a network"))?;
            LimitKey::Net(net)
        }
    };
    Ok((key, fields.collect()))
}

fn traffic_limit(text: &str) -> Result<TrafficLimit, String> {
    let (key, fields) = fields(text)?;
    match fields[..] {
        [input] => Ok(TrafficLimit { key, input: bytes(input)?, output: None }),
        [input, output] => Ok(TrafficLimit { key, input: bytes(input)?, output: bytes(output)? }),
        [_, _, _] => Err("a burst is not implemented".into()),
        _ => Err("expected a key, bytes per second in, and out, such as `$ 10MB 10MB`".into()),
    }
}

/// GOST: what has no unit, or an unknown one, silently is no limit.
fn bytes(text: &str) -> Result<Option<u64>, String> {
    if text == "0" {
        return Ok(None);
    }
    match units::size(text) {
        Some(0) => Ok(None),
        Some(bytes) => Ok(Some(bytes)),
        None => Err(format!("`{text}` has no unit: write B, KB, MB, GB or TB (powers of 1024), such as `100KB`")),
    }
}

fn conn_limit(text: &str) -> Result<ConnLimit, String> {
    let (key, fields) = fields(text)?;
    match fields[..] {
        [count] => match count.parse() {
            Ok(connections) if connections > 0 => Ok(ConnLimit { key, connections }),
            _ => Err(format!("`{count}` is not a number of connections, at least 1")),
        },
        _ => Err("expected a key and a number of connections, such as `$$ 10`".into()),
    }
}

fn rate_limit(text: &str) -> Result<RateLimit, String> {
    let (key, fields) = fields(text)?;
    match fields[..] {
        [rate] => match rate.parse::<f64>() {
            Ok(per_second) if per_second.is_finite() && per_second > 0.0 => Ok(RateLimit { key, per_second }),
            _ => Err(format!("`{rate}` is not a number of connections per second above 0")),
        },
        _ => Err("expected a key and a number of connections per second, such as `$$ 10`".into()),
    }
}
