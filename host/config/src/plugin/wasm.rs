//! Keys of a plugin that runs in this process.

use std::path::PathBuf;

use url::Url;

use crate::decode::{Context, Item, Object, Unknown};
use crate::tree::Value;
use crate::{At, Diagnostic, HttpUrl, Secret};

/// A wasm component and the bounds within which it runs.
#[derive(Clone, Debug)]
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
    /// The stores of `wasi:keyvalue`, each with the most bytes that it may hold: 16 MiB by default, 1 KiB to 1 GiB.
    pub keyvalue: Vec<(String, u64)>,
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
pub(super) const KEYS: [&str; 9] =
    ["sha256", "instance", "instances", "minInstances", "maxCalls", "memory", "config", "env", "keyvalue"];

const INSTANCE: [(&str, Instance); 2] = [("reuse", Instance::Reuse), ("fresh", Instance::Fresh)];
const INSTANCES: u32 = 8;
const MEMORY: u64 = 64 << 20;
const STORE: u64 = 16 << 20;

#[derive(Clone, Copy)]
enum StoreType {
    Memory,
    Redis,
}

const STORE_TYPES: [(&str, StoreType); 2] = [("memory", StoreType::Memory), ("redis", StoreType::Redis)];

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
    let keyvalue = object.take("keyvalue").map(|item| stores(&item, cx));
    Some(WasmPlugin {
        addr: component?,
        sha256,
        instance: instance.unwrap_or(Instance::Reuse),
        instances,
        min_instances: min_instances.unwrap_or(1),
        max_calls: max_calls.filter(|calls| *calls > 0),
        memory: memory.unwrap_or(MEMORY),
        config: config.unwrap_or_default(),
        env: env.unwrap_or_default(),
        keyvalue: keyvalue.unwrap_or_default(),
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

/// Stores by name. A guest opens them by that name, so its case is kept.
fn stores(item: &Item<'_>, cx: &mut Context) -> Vec<(String, u64)> {
    let Value::Map(entries) = &item.node.value else {
        cx.push(item.error(format!("expected a mapping, found {}", item.node.value.kind())));
        return Vec::new();
    };
    let mut stores: Vec<(String, u64)> = Vec::new();
    for entry in entries {
        if stores.iter().any(|(name, _)| *name == entry.key) {
            let message = format!("{}: duplicate key `{}`", item.path, entry.key);
            cx.push(Diagnostic::error(&entry.key_place, message));
        }
        let item = Item { path: format!("{}.{}", item.path, entry.key), node: &entry.node };
        stores.extend(store(&item, cx).map(|size| (entry.key.clone(), size)));
    }
    stores
}

/// The most bytes that a store may hold.
fn store(item: &Item<'_>, cx: &mut Context) -> Option<u64> {
    let mut object = Object::new(item, cx)?;
    let Some(kind) = object.take("type") else {
        cx.push(object.error("`type` is missing").with_help("write `type: memory`"));
        return None;
    };
    match kind.choice("store type", &STORE_TYPES, cx)? {
        StoreType::Memory => {}
        StoreType::Redis => {
            cx.push(kind.error("`redis` is not implemented yet").with_help("`memory` is"));
            return None;
        }
    }
    let size = object.take("size").map(|item| item.size(1 << 10..=1 << 30, cx));
    object.finish(&[], Unknown::Refuse, cx);
    size.unwrap_or(Some(STORE))
}

#[cfg(test)]
mod tests {
    use crate::{AutherKind, Backing, Input, load};

    /// The stores, or the findings.
    fn keyvalue(text: &str) -> Result<Vec<(String, u64)>, Vec<String>> {
        let plugin = format!("{{type: wasm, addr: component.wasm, keyvalue: {text}}}");
        let service = "{name: s, addr: \":0\", handler: {type: http, auther: a}, listener: {type: tcp}}";
        let text = format!("services: [{service}]\nauthers: [{{name: a, plugin: {plugin}}}]");
        let input = Input::Text { name: "test.yaml".into(), text, folder: "tests/good".into() };
        let found =
            load(&[input], false).map_err(|findings| findings.into_iter().map(|f| f.message).collect::<Vec<_>>())?;
        let AutherKind::Plugin(plugin) = &found.config.authers[0].kind else { panic!("no plugin") };
        let Backing::Wasm(wasm) = &plugin.backing else { panic!("no component") };
        Ok(wasm.keyvalue.clone())
    }

    #[test]
    fn stores_are_in_memory_and_have_a_size() {
        assert_eq!(keyvalue("{}").unwrap(), []);
        let stores = keyvalue("{Default: {type: memory}, small: {type: Memory, size: 64KiB}}").unwrap();
        assert_eq!(stores, [("Default".into(), 16 << 20), ("small".into(), 64 << 10)]);
    }

    #[test]
    fn other_stores_are_refused() {
        for (text, finding) in [
            ("[]", "keyvalue: expected a mapping"),
            ("{default: }", "keyvalue.default: `type` is missing"),
            ("{default: {size: 1MiB}}", "keyvalue.default: `type` is missing"),
            ("{default: {type: redis, addr: \"127.0.0.1:6379\"}}", "`redis` is not implemented yet"),
            ("{default: {type: file}}", "unknown store type `file`"),
            ("{default: {type: memory, size: 1}}", "is not from 1024"),
            ("{default: {type: memory, prefix: x}}", "keyvalue.default.prefix: unknown key"),
        ] {
            let findings = keyvalue(text).unwrap_err();
            assert!(findings.len() == 1 && findings[0].contains(finding), "{text}: {findings:?}");
        }
    }
}
