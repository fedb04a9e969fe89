//! Keys of a plugin that runs in this process.

mod mounts;
mod network;
mod stores;

use std::num::NonZeroU32;
use std::path::PathBuf;

use url::Url;

use crate::decode::{Context, Item, Object};
use crate::{At, HttpUrl, Secret};

pub(crate) use mounts::Files;
pub use mounts::{Mount, overlaps};
pub use network::{Addresses, HostName, HttpHost};
pub use stores::{RedisStore, Store};

/// A wasm component and the bounds within which it runs.
#[derive(Clone, Debug, PartialEq)]
pub struct WasmPlugin {
    /// Where the component is (`addr`).
    pub addr: At<ComponentAddr>,
    /// Digest that the component must have; always there for one that is fetched.
    pub sha256: Option<At<[u8; 32]>>,
    /// Whether instances are used again.
    pub instance: Instance,
    /// Most instances at a time. Default 8, 1 to 1024.
    pub instances: u32,
    /// Instances that are kept ready (`minInstances`). Default 1, at most `instances`.
    pub min_instances: u32,
    /// Calls after which an instance is replaced (`maxCalls`); none = never, the default.
    pub max_calls: Option<u32>,
    /// Linear memory per instance in bytes. Default 64 MiB, 1 MiB to 256 MiB.
    pub memory: u64,
    /// What the guest reads through `wasi:config`, in the order written.
    pub config: Vec<(String, Secret)>,
    /// The guest's environment, in the order written.
    pub env: Vec<(String, Secret)>,
    /// Folders that it sees.
    pub mounts: Vec<Mount>,
    /// Addresses that it may connect to.
    pub connect: Vec<Addresses>,
    /// Hosts that it may send HTTP requests to (`httpHosts`).
    pub http_hosts: Vec<HttpHost>,
    /// The stores of `wasi:keyvalue`, by name.
    pub keyvalue: Vec<(String, Store)>,
    /// Lines that are kept of what it logs, per second. Default 100, at most 100,000.
    pub log: NonZeroU32,
}

/// Where a component is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ComponentAddr {
    /// A file; it was readable when the configuration was loaded.
    File(PathBuf),
    /// An `https` URL, to be fetched once.
    Https(HttpUrl),
}

/// Whether an instance serves more than one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Instance {
    /// Instances are pooled.
    Reuse,
    /// Each call gets a new one.
    Fresh,
}

/// The keys of this form only, besides `addr`.
pub(super) const KEYS: [&str; 13] = [
    "sha256",
    "instance",
    "instances",
    "minInstances",
    "maxCalls",
    "memory",
    "config",
    "env",
    "mounts",
    "connect",
    "httpHosts",
    "keyvalue",
    "log",
];

const INSTANCE: [(&str, Instance); 2] = [("reuse", Instance::Reuse), ("fresh", Instance::Fresh)];
const INSTANCES: u32 = 8;
const MEMORY: u64 = 64 << 20;
const LOG: NonZeroU32 = NonZeroU32::new(100).unwrap();

pub(super) fn decode(addr: Option<&Item<'_>>, object: &mut Object<'_>, cx: &mut Context) -> Option<WasmPlugin> {
    let component = addr.and_then(|item| component(item, cx));
    let pin = object.take("sha256");
    if let (Some(item), Some(At { value: ComponentAddr::Https(_), .. }), None) = (addr, &component, &pin) {
        let error = item.error("a component that is fetched needs `sha256` beside `addr`");
        cx.push(error.with_help("`sha256sum` prints it"));
    }
    let sha256 = pin.and_then(|item| sha256(&item, cx));
    let instance = object.take("instance").and_then(|item| item.choice("instance", &INSTANCE, cx));
    let instances = object.take("instances").and_then(|item| item.integer(1..=1024, cx)).unwrap_or(INSTANCES);
    let min_instances = object.take("minInstances").and_then(|item| item.integer(0..=instances, cx));
    let max_calls = object.take("maxCalls").and_then(|item| item.integer(0..=u32::MAX, cx));
    let memory = object.take("memory").and_then(|item| item.size(1 << 20..=256 << 20, cx));
    let config = object.take("config").map(|item| secrets(&item, cx));
    let env = object.take("env").map(|item| secrets(&item, cx));
    let mounts = object.take("mounts").map(|item| mounts::decode(&item, cx));
    let connect = object.take("connect").map(|item| network::connect(&item, cx));
    let http_hosts = object.take("httpHosts").map(|item| network::http_hosts(&item, cx));
    let keyvalue = object.take("keyvalue").map(|item| stores::decode(&item, cx));
    let log = object.take("log").and_then(|item| log(&item, cx));
    let addr = component?;
    if let ComponentAddr::File(file) = &addr.value {
        cx.files.plugin(file);
    }
    Some(WasmPlugin {
        addr,
        sha256,
        instance: instance.unwrap_or(Instance::Reuse),
        instances,
        min_instances: min_instances.unwrap_or(1),
        max_calls: max_calls.filter(|calls| *calls > 0),
        memory: memory.unwrap_or(MEMORY),
        config: config.unwrap_or_default(),
        env: env.unwrap_or_default(),
        mounts: mounts.unwrap_or_default(),
        connect: connect.unwrap_or_default(),
        http_hosts: http_hosts.unwrap_or_default(),
        keyvalue: keyvalue.unwrap_or_default(),
        log: log.unwrap_or(LOG),
    })
}

fn component(item: &Item<'_>, cx: &mut Context) -> Option<At<ComponentAddr>> {
    let text = item.text(cx)?;
    let file = match text.split_once("://").map(|(scheme, _)| scheme) {
        None => Ok(item.in_folder(&text)),
        Some("file") => Url::parse(&text).ok().and_then(|url| url.to_file_path().ok()).ok_or("not a file URL"),
        Some("https") => match HttpUrl::parse(&text) {
            Some(url) => return Some(item.at(ComponentAddr::Https(url))),
            None => Err("not a URL"),
        },
        Some("http") => Err("a component is fetched over https only"),
        Some(_) => Err("expected a path, a `file://` or an `https://` URL"),
    };
    match file {
        Ok(path) => item.readable(path, cx).map(|path| item.at(ComponentAddr::File(path.value))),
        Err(message) => {
            cx.push(item.error(message));
            None
        }
    }
}

fn sha256(item: &Item<'_>, cx: &mut Context) -> Option<At<[u8; 32]>> {
    let text = item.text(cx)?;
    let mut digest = [0; 32];
    let is_hex = text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit());
    if !is_hex {
        cx.push(item.error("expected 64 hex digits"));
        return None;
    }
    for (byte, at) in digest.iter_mut().zip((0..64).step_by(2)) {
        *byte = u8::from_str_radix(&text[at..at + 2], 16).unwrap_or_default();
    }
    Some(item.at(digest))
}

fn secrets(item: &Item<'_>, cx: &mut Context) -> Vec<(String, Secret)> {
    item.text_map(cx).into_iter().map(|(key, text)| (key, Secret::new(text.value))).collect()
}

/// Lines per second, as `100/s`.
fn log(item: &Item<'_>, cx: &mut Context) -> Option<NonZeroU32> {
    let text = item.text(cx)?;
    let lines = text.strip_suffix("/s").and_then(|lines| lines.trim().parse().ok()).filter(|lines| *lines <= 100_000);
    let lines = lines.and_then(NonZeroU32::new);
    if lines.is_none() {
        cx.push(item.error("expected lines per second from `1/s` to `100000/s`"));
    }
    lines
}

#[cfg(test)]
mod tests;
