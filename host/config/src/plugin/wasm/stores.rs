//! `keyvalue`: what `wasi:keyvalue` keeps, and where.

use crate::address::host_port;
use crate::decode::{Context, Item, Object, Unknown};
use crate::tree::Value;
use crate::{Diagnostic, Secret};

/// Where a store keeps what it is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Store {
    /// In this process.
    Memory {
        /// The most bytes that it may hold: 16 MiB by default, 1 KiB to 1 GiB.
        size: u64,
    },
    /// In a Redis server.
    Redis(RedisStore),
}

/// A Redis server, and what of it is the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedisStore {
    /// Host name, or IP without brackets.
    pub host: String,
    /// Default 6379.
    pub port: u16,
    /// The number of the database. Default 0.
    pub db: u32,
    /// For an ACL; none: Redis's default user.
    pub username: Option<String>,
    /// What Redis asks for, if anything.
    pub password: Option<Secret>,
    /// What all keys begin with; none: something that no other entry has.
    pub prefix: Option<String>,
}

const SIZE: u64 = 16 << 20;
const PORT: u16 = 6379;

#[derive(Clone, Copy)]
enum Type {
    Memory,
    Redis,
}

const TYPES: [(&str, Type); 2] = [("memory", Type::Memory), ("redis", Type::Redis)];

/// Stores by name. A guest opens them by that name, so its case is kept.
pub(super) fn decode(item: &Item<'_>, cx: &mut Context) -> Vec<(String, Store)> {
    let Value::Map(entries) = &item.node.value else {
        cx.push(item.error(format!("expected a mapping, found {}", item.node.value.kind())));
        return Vec::new();
    };
    let mut stores: Vec<(String, Store)> = Vec::new();
    for entry in entries {
        if stores.iter().any(|(name, _)| *name == entry.key) {
            let message = format!("{}: duplicate key `{}`", item.path, entry.key);
            cx.push(Diagnostic::error(&entry.key_place, message));
        }
        let item = Item { path: format!("{}.{}", item.path, entry.key), node: &entry.node };
        stores.extend(store(&item, cx).map(|store| (entry.key.clone(), store)));
    }
    stores
}

fn store(item: &Item<'_>, cx: &mut Context) -> Option<Store> {
    let mut object = Object::new(item, cx)?;
    let Some(kind) = object.take("type") else {
        cx.push(object.error("`type` is missing").with_help("write `type: memory` or `type: redis`"));
        return None;
    };
    let store = match kind.choice("store type", &TYPES, cx)? {
        Type::Memory => {
            let size = object.take("size").map(|item| item.size(1 << 10..=1 << 30, cx));
            Some(Store::Memory { size: size.unwrap_or(Some(SIZE))? })
        }
        Type::Redis => redis(&mut object, cx).map(Store::Redis),
    };
    object.finish(&[], Unknown::Refuse, cx);
    store
}

fn redis(object: &mut Object<'_>, cx: &mut Context) -> Option<RedisStore> {
    let db = object.take("db").and_then(|item| item.integer(0..=u32::MAX, cx));
    let username = object.take("username").and_then(|item| item.text(cx));
    let password = object.take("password").and_then(|item| item.secret(cx));
    let prefix = object.take("prefix").and_then(|item| item.text(cx));
    let Some(addr) = object.take("addr") else {
        cx.push(object.error("`addr` is missing").with_help("write `addr: 127.0.0.1:6379`"));
        return None;
    };
    let Some((host, port)) = host_port(&addr.text(cx)?).filter(|(host, port)| !host.is_empty() && *port != Some(0))
    else {
        cx.push(addr.error("expected `host:port`"));
        return None;
    };
    Some(RedisStore {
        host,
        port: port.unwrap_or(PORT),
        db: db.unwrap_or(0),
        username: username.filter(|name| !name.is_empty()),
        password: password.filter(|password| !password.expose().is_empty()),
        prefix,
    })
}
