//! `observers[]`, `rewriters[]` and `recorders[]`: who is told what happens, and who may change bodies.

use std::path::PathBuf;
use std::time::Duration;

use crate::decode::{Context, Item, Kind, Object, Unknown};
use crate::plugin::{self, Plugin};
use crate::resolver::HostAndPort;
use crate::{At, HttpUrl, Secret, address, header};

/// Is told of statistics and states.
#[derive(Clone, Debug)]
pub struct Observer {
    /// Unique among observers.
    pub name: At<String>,
    /// Who it is; there is no other form.
    pub plugin: Box<Plugin>,
}

/// Changes bodies of HTTP messages.
#[derive(Clone, Debug)]
pub struct Rewriter {
    /// Unique among rewriters.
    pub name: At<String>,
    /// Who it is; there is no other form.
    pub plugin: Box<Plugin>,
}

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
        /// For connecting; none: the system's.
        timeout: Option<Duration>,
    },
    /// Each record as the body of a POST; any status below 400 is a success.
    Http {
        /// Where to.
        url: At<HttpUrl>,
        /// For the whole exchange; none: for ever.
        timeout: Option<Duration>,
        /// Added to the request: valid names and values, names as written.
        header: Vec<(String, Secret)>,
    },
    /// A plugin.
    Plugin(Box<Plugin>),
}

pub(crate) fn observer(item: &Item<'_>, cx: &mut Context) -> Option<Observer> {
    let (name, plugin) = plugin_only(item, Kind::Observer, cx)?;
    Some(Observer { name, plugin })
}

pub(crate) fn rewriter(item: &Item<'_>, cx: &mut Context) -> Option<Rewriter> {
    let (name, plugin) = plugin_only(item, Kind::Rewriter, cx)?;
    Some(Rewriter { name, plugin })
}

fn plugin_only(item: &Item<'_>, kind: Kind, cx: &mut Context) -> Option<(At<String>, Box<Plugin>)> {
    let mut object = Object::new(item, cx)?;
    let name = object.named(kind, cx);
    let plugin = match object.take("plugin") {
        Some(block) => plugin::decode(&block, cx),
        // GOST: does nothing.
        None => object.missing("plugin", cx),
    };
    object.finish(&[], Unknown::Warn, cx);
    Some((name?, Box::new(plugin?)))
}

pub(crate) fn recorder(item: &Item<'_>, cx: &mut Context) -> Option<Recorder> {
    let mut object = Object::new(item, cx)?;
    let name = object.named(Kind::Recorder, cx);
    let kind = if let Some(plugin) = object.plugin(&["file", "tcp", "http", "redis"], cx) {
        plugin.map(RecorderKind::Plugin)
    } else {
        // GOST: the first of these counts.
        let blocks = ["file", "tcp", "http"].map(|key| object.take(key));
        let mut given = blocks.iter().zip([file, tcp, http]).filter_map(|(block, read)| Some((block.as_ref()?, read)));
        let first = given.next();
        for (ignored, _) in given {
            cx.push(ignored.warning("ignored, since there is another place for the records"));
        }
        match first {
            Some((block, read)) => read(block, cx),
            None if item.child("redis").is_some() => None,
            None => {
                cx.push(object.error("a recorder needs `file`, `tcp`, `http` or a `plugin`"));
                None
            }
        }
    };
    object.finish(&["redis"], Unknown::Warn, cx);
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
        Some(item) => item.parsed("a host and a port", cx, |text| match address::host_port(text)? {
            (host, Some(port)) if !host.is_empty() && port > 0 => Some(HostAndPort { host, port }),
            _ => None,
        }),
        None => object.missing("addr", cx),
    };
    let timeout = object.duration("timeout", cx);
    object.finish(&[], Unknown::Warn, cx);
    Some(RecorderKind::Tcp { addr: addr?, timeout })
}

fn http(item: &Item<'_>, cx: &mut Context) -> Option<RecorderKind> {
    let mut object = Object::new(item, cx)?;
    let url = match object.take("url") {
        Some(item) => item.parsed("a full http or https URL", cx, HttpUrl::parse),
        None => object.missing("url", cx),
    };
    let timeout = object.duration("timeout", cx);
    let header = object.take("header").map(|item| header::secret(&item, cx)).unwrap_or_default();
    object.finish(&[], Unknown::Warn, cx);
    Some(RecorderKind::Http { url: url?, timeout, header })
}
