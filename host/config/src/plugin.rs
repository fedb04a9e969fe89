//! The `plugin:` block: where a plugin is and how it is called.

mod grpc;
mod http;
mod policy;
mod tls;
mod wasm;

use std::time::Duration;

use crate::decode::{Context, Item, Object, Unknown};
use crate::{At, HttpUrl, Place, Secret};

pub use grpc::GrpcTarget;
pub use policy::{Cache, Shadow};
pub use tls::{Tls, TlsIdentity};
pub(crate) use wasm::Files;
pub use wasm::{
    Addresses, ComponentAddr, HostName, HttpHost, Instance, Mount, RedisStore, Store, WasmPlugin, overlaps,
};

/// A plugin, whatever module it serves. Two are equal if they say the same, wherever they stand.
#[derive(Clone, Debug, PartialEq)]
pub struct Plugin {
    /// How it is reached.
    pub backing: Backing,
    /// Wall clock per call, all attempts included. Default 10 s, never 0.
    pub timeout: Duration,
    /// Calls in flight; one more fails at once. Default 1024, at least 1.
    pub concurrency: u32,
    /// Attempts after the first, for calls that may be repeated; from 0, which is also what none means, to 10.
    pub retries: Option<At<u32>>,
    /// Keeps replies.
    pub cache: Option<At<Cache>>,
    /// Asked when the plugin can't be reached.
    pub fallback: Option<Box<Plugin>>,
    /// Asked too, and compared.
    pub shadow: Option<Box<Shadow>>,
    /// What happens when the plugin can't answer; none leaves it to the module. Never there in a block within a block.
    pub on_error: Option<At<OnError>>,
    /// The most bytes a reply may have. Default 4 MiB, from 1 KiB to 1 GiB.
    pub max_reply: u64,
    /// What it answers may name files, unix sockets, interfaces and socket marks of this machine; there if it is set, and
    /// never in a block within a block. Means something for a hop.
    pub trusted: Option<At<bool>>,
    /// The block as a whole.
    pub place: Place,
}

/// How a [`Plugin`] is reached.
#[derive(Clone, Debug, PartialEq)]
pub enum Backing {
    /// A gRPC server.
    Grpc {
        /// Where it is.
        addr: At<GrpcTarget>,
        /// Sent as metadata `token`.
        token: Option<Secret>,
        /// None means plaintext.
        tls: Option<Tls>,
    },
    /// An HTTP server.
    Http {
        /// Where it is.
        addr: At<HttpUrl>,
        /// Sent as `Authorization: Bearer`.
        token: Option<Secret>,
        /// None means the system's roots for https.
        tls: Option<Tls>,
    },
    /// A component that runs in this process.
    Wasm(WasmPlugin),
}

/// What a module answers when its plugin can't.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnError {
    /// As if the plugin had allowed it.
    Allow,
    /// As if the plugin had refused it.
    Deny,
}

/// Where a block stands.
#[derive(Clone, Copy, PartialEq)]
enum Role {
    /// `plugin` of an entry.
    Entry,
    /// `fallback`, with so many blocks around it.
    Fallback(u32),
    /// `shadow`.
    Shadow,
}

#[derive(Clone, Copy, PartialEq)]
enum Type {
    Grpc,
    Http,
    Wasm,
}

const TYPES: [(&str, Type); 3] = [("grpc", Type::Grpc), ("http", Type::Http), ("wasm", Type::Wasm)];

const ON_ERROR: [(&str, OnError); 2] = [("allow", OnError::Allow), ("deny", OnError::Deny)];

const TIMEOUT: Duration = Duration::from_secs(10);
const CONCURRENCY: u32 = 1024;
const MAX_REPLY: u64 = 4 << 20;

pub(crate) fn decode(item: &Item<'_>, cx: &mut Context) -> Option<Plugin> {
    block(item, Role::Entry, cx)
}

fn block(item: &Item<'_>, role: Role, cx: &mut Context) -> Option<Plugin> {
    let mut object = Object::new(item, cx)?;
    let kind = match object.take("type").filter(|item| !item.node.value.is_zero()) {
        Some(item) => item.choice("plugin type", &TYPES, cx),
        None => Some(Type::Grpc),
    };
    let timeout = object.take("timeout").and_then(|item| item.duration(cx)).filter(|timeout| !timeout.is_zero());
    let concurrency = object.take("concurrency").and_then(|item| item.integer(1..=1_000_000, cx));
    if role != Role::Entry {
        refuse(&mut object, &["onError", "trusted"], "is for the outermost block, where it is about all of them", cx);
    }
    let on_error = object.take("onError").and_then(|item| Some(item.at(item.choice("onError", &ON_ERROR, cx)?)));
    let trusted = object.take("trusted").and_then(|item| Some(item.at(item.boolean(cx)?)));
    let retries = object.take("retries").and_then(|item| Some(item.at(item.integer(0..=10, cx)?)));
    let cache = object.take("cache").and_then(|item| Some(item.at(policy::cache(&item, cx)?)));
    let fallback = policy::fallback(&mut object, role, cx);
    let shadow = policy::shadow(&mut object, role, cx);
    let max_reply = object.take("maxReply").and_then(|item| item.size(1 << 10..=1 << 30, cx));
    let addr = object.take("addr").filter(|item| !item.node.value.is_zero());
    if addr.is_none() {
        cx.push(object.error("`addr` is missing"));
    }
    let backing = match kind {
        Some(Type::Wasm) => {
            refuse(&mut object, &["token", "tls"], "is not for a wasm plugin", cx);
            wasm::decode(addr.as_ref(), &mut object, cx).map(Backing::Wasm)
        }
        Some(kind) => {
            refuse(&mut object, &wasm::KEYS, "is only for a wasm plugin", cx);
            remote(kind == Type::Http, addr.as_ref(), &mut object, cx)
        }
        // Without a type nobody can say what the other keys mean.
        None => return None,
    };
    let place = object.place().clone();
    object.finish(&[], Unknown::Refuse, cx);
    Some(Plugin {
        backing: backing?,
        timeout: timeout.unwrap_or(TIMEOUT),
        concurrency: concurrency.unwrap_or(CONCURRENCY),
        retries,
        cache,
        fallback,
        shadow,
        on_error,
        max_reply: max_reply.unwrap_or(MAX_REPLY),
        trusted,
        place,
    })
}

fn refuse(object: &mut Object<'_>, keys: &[&'static str], why: &str, cx: &mut Context) {
    for key in keys {
        if let Some(item) = object.take(key) {
            cx.push(item.error(why));
        }
    }
}

fn remote(is_http: bool, addr: Option<&Item<'_>>, object: &mut Object<'_>, cx: &mut Context) -> Option<Backing> {
    let token = object.take("token").and_then(|item| item.secret(cx)).filter(|token| !token.expose().is_empty());
    let block = object.take("tls");
    let tls = block.as_ref().and_then(|item| tls::decode(item, cx));
    let addr = addr?;
    let (backing, is_plaintext) = if is_http {
        let url = http::url(addr, cx)?;
        let is_plaintext = !url.is_tls();
        (Backing::Http { addr: addr.at(url), token, tls: tls.clone() }, is_plaintext)
    } else {
        (Backing::Grpc { addr: addr.at(grpc::target(addr, cx)?), token, tls: tls.clone() }, false)
    };
    match (block, tls) {
        (Some(block), Some(_)) if is_plaintext => cx.push(block.warning("has no effect on an `http://` address")),
        // GOST never verifies it unless told to.
        (Some(block), Some(tls)) if tls.ca_file.is_none() && !tls.secure => cx.push(
            block
                .warning("the plugin's certificate is not verified")
                .with_help("set `caFile`, or `secure: true` for the system's roots"),
        ),
        _ => {}
    }
    Some(backing)
}
