//! `recorders[]`: who keeps records.

use std::path::PathBuf;
use std::time::Duration;

use crate::decode::{Context, Item, Kind, Object, Unknown};
use crate::plugin::Plugin;
use crate::resolver::HostAndPort;
use crate::{At, HttpUrl, Secret, address, header};

/// Keeps records.
#[derive(Clone, Debug)]
pub struct Recorder {
    /// Unique among recorders.
    pub name: At<String>,
    /// Where it keeps them.
    pub kind: RecorderKind,
}

/// The forms of a [`Recorder`].
#[derive(Clone, Debug)]
pub enum RecorderKind {
    /// Appended to a file, whose folders are made if need be.
    File {
        /// The file; it need not exist.
        path: At<PathBuf>,
        /// Written after each record (`sep`). Default: nothing.
        separator: String,
    },
    /// Each record by a connection of its own, without framing.
    Tcp {
        /// Where to.
        addr: At<HostAndPort>,
        /// For connecting and sending. Default 10 s, never 0.
        timeout: Duration,
    },
    /// Each record as the body of a POST; any status below 300 is a success.
    Http {
        /// Where to.
        url: At<HttpUrl>,
        /// For the whole exchange. Default 10 s, never 0.
        timeout: Duration,
        /// Added to the request: valid names and values, names as written.
        header: Vec<(String, Secret)>,
    },
    /// Under a key of a Redis server.
    Redis(RedisRecorder),
    /// A plugin.
    Plugin(Box<Plugin>),
}

/// A Redis server, and where in it records are kept.
#[derive(Clone, Debug)]
pub struct RedisRecorder {
    /// Default port 6379.
    pub addr: At<HostAndPort>,
    /// The number of the database. Default 0.
    pub db: u32,
    /// For an ACL; none: Redis's default user.
    pub username: Option<String>,
    /// What Redis asks for, if anything.
    pub password: Option<Secret>,
    /// Where records are kept; never empty.
    pub key: String,
    /// How they are kept there (`type`).
    pub kind: RedisRecords,
}

/// What records are kept in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RedisRecords {
    /// `set`: equal records are kept once.
    Set,
    /// `list`: the newest record first.
    List,
    /// `sset`: a record's score is how often it came.
    SortedSet,
}

const KINDS: [(&str, RedisRecords); 3] =
    [("set", RedisRecords::Set), ("list", RedisRecords::List), ("sset", RedisRecords::SortedSet)];

/// GOST: a server that doesn't answer is waited for as long as it takes.
const TIMEOUT: Duration = Duration::from_secs(10);
const REDIS_PORT: u16 = 6379;

pub(crate) fn decode(item: &Item<'_>, cx: &mut Context) -> Option<Recorder> {
    let mut object = Object::new(item, cx)?;
    let name = object.named(Kind::Recorder, cx);
    let kind = if let Some(plugin) = object.plugin(&["file", "tcp", "http", "redis"], cx) {
        plugin.map(RecorderKind::Plugin)
    } else {
        // GOST: the first of these counts.
        let blocks = ["file", "tcp", "http", "redis"].map(|key| object.take(key));
        let mut given =
            blocks.iter().zip([file, tcp, http, redis]).filter_map(|(block, read)| Some((block.as_ref()?, read)));
        let first = given.next();
        for (ignored, _) in given {
            cx.push(ignored.warning("ignored, since there is another place for the records"));
        }
        match first {
            Some((block, read)) => read(block, cx),
            None => {
                cx.push(object.error("a recorder needs `file`, `tcp`, `http`, `redis` or a `plugin`"));
                None
            }
        }
    };
    object.finish(&[], Unknown::Warn, cx);
    Some(Recorder { name: name?, kind: kind? })
}

fn file(item: &Item<'_>, cx: &mut Context) -> Option<RecorderKind> {
    let mut object = Object::new(item, cx)?;
    let path = match object.take("path").filter(|item| !item.node.value.is_zero()) {
        Some(item) => item.text(cx).map(|text| item.at(item.in_folder(&text))),
        None => object.missing("path", cx),
    };
    let separator = object.text("sep", cx).unwrap_or_default();
    object.finish(&["rotation"], Unknown::Warn, cx);
    Some(RecorderKind::File { path: path?, separator })
}

fn tcp(item: &Item<'_>, cx: &mut Context) -> Option<RecorderKind> {
    let mut object = Object::new(item, cx)?;
    let addr = match object.take("addr") {
        Some(item) => host_and_port(&item, None, cx),
        None => object.missing("addr", cx),
    };
    let timeout = timeout(&mut object, cx);
    object.finish(&[], Unknown::Warn, cx);
    Some(RecorderKind::Tcp { addr: addr?, timeout })
}

fn http(item: &Item<'_>, cx: &mut Context) -> Option<RecorderKind> {
    let mut object = Object::new(item, cx)?;
    let url = match object.take("url") {
        Some(item) => item.parsed("an http or https URL", cx, HttpUrl::parse_bare),
        None => object.missing("url", cx),
    };
    let timeout = timeout(&mut object, cx);
    let header = object.take("header").map(|item| header::secret(&item, cx)).unwrap_or_default();
    object.finish(&[], Unknown::Warn, cx);
    Some(RecorderKind::Http { url: url?, timeout, header })
}

fn redis(item: &Item<'_>, cx: &mut Context) -> Option<RecorderKind> {
    let mut object = Object::new(item, cx)?;
    let addr = match object.take("addr") {
        Some(item) => host_and_port(&item, Some(REDIS_PORT), cx),
        None => object.missing("addr", cx),
    };
    let key = match object.take("key").filter(|item| !item.node.value.is_zero()) {
        Some(item) => item.text(cx),
        // GOST: keeps nothing.
        None => object.missing("key", cx),
    };
    let kind = object.take("type").filter(|item| !item.node.value.is_zero());
    let kind = kind.map_or(Some(RedisRecords::Set), |item| item.choice("type of a Redis recorder", &KINDS, cx));
    let db = object.take("db").map_or(Some(0), |item| item.integer(0..=u32::MAX, cx));
    let username = object.text("username", cx);
    let password = object.take("password").and_then(|item| item.secret(cx));
    let password = password.filter(|password| !password.expose().is_empty());
    object.finish(&[], Unknown::Warn, cx);
    Some(RecorderKind::Redis(RedisRecorder { addr: addr?, db: db?, username, password, key: key?, kind: kind? }))
}

fn host_and_port(item: &Item<'_>, default: Option<u16>, cx: &mut Context) -> Option<At<HostAndPort>> {
    item.parsed("a host and a port", cx, |text| {
        let (host, port) = address::host_port(text)?;
        let port = port.or(default)?;
        (!host.is_empty() && port > 0).then_some(HostAndPort { host, port })
    })
}

fn timeout(object: &mut Object<'_>, cx: &mut Context) -> Duration {
    object.duration("timeout", cx).unwrap_or(TIMEOUT)
}
