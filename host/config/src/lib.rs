//! Configuration of drawspan: GOST's YAML or JSON, and its command line URLs, to a typed [`Config`].
//!
//! Text becomes a tree of values with positions (`yaml`, `command_line`), and one decoder (`decode`) reads the tree.
//! All errors are reported at once, each with its place. A key that GOST knows is either implemented or refused.

mod address;
mod auther;
mod command_line;
mod decode;
mod diagnostic;
mod http;
mod input;
mod log;
mod plugin;
mod secret;
mod service;
mod source;
mod tree;
mod yaml;

pub use address::{HttpUrl, ListenAddr};
pub use auther::{Auther, AutherKind, Credentials};
pub use diagnostic::{Diagnostic, Severity};
pub use http::{HttpHandler, ProbeResist};
pub use input::Input;
pub use log::{Log, LogFormat, LogLevel, LogOutput};
pub use plugin::{
    Backing, Cache, ComponentAddr, GrpcTarget, Instance, OnError, Plugin, Shadow, Tls, TlsIdentity, WasmPlugin,
};
pub use secret::Secret;
pub use service::{Handler, HandlerKind, Listener, ListenerKind, Service};
pub use source::{At, Place, Source};

use std::sync::Arc;

use decode::{Context, Item, Object, Unknown};
use tree::Node;

/// A checked configuration: names are unique, references lead somewhere, files are readable.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// What accepts connections.
    pub services: Vec<Service>,
    /// What decides who may use a handler.
    pub authers: Vec<Auther>,
    /// Where log lines go.
    pub log: Log,
}

/// What [`load`] gives.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// What is worth fixing in it.
    pub warnings: Vec<Diagnostic>,
}

/// Keys that GOST knows and drawspan doesn't implement.
const NOT_IMPLEMENTED: [&str; 22] = [
    "chains",
    "hops",
    "admissions",
    "bypasses",
    "resolvers",
    "hosts",
    "ingresses",
    "routers",
    "sds",
    "recorders",
    "rewriters",
    "caches",
    "limiters",
    "quotas",
    "climiters",
    "rlimiters",
    "observers",
    "loggers",
    "tls",
    "profiling",
    "api",
    "metrics",
];

/// Reads, merges and checks `inputs`: lists are concatenated, `log` is taken from the last input that has it.
///
/// With `strict`, a key that nobody knows is an error.
///
/// # Errors
///
/// All errors together with all warnings, when there is at least one error.
pub fn load(inputs: &[Input], strict: bool) -> Result<Loaded, Vec<Diagnostic>> {
    let mut cx = Context::new(strict);
    let mut config = Config::default();
    let mut sources = Vec::new();
    for input in inputs {
        match input.tree() {
            Ok(tree) => {
                decode(&tree, &mut config, &mut cx);
                sources.push(Arc::clone(tree.place.source()));
            }
            Err(diagnostic) => cx.push(diagnostic),
        }
    }
    if let (true, true, Some(source)) = (cx.diagnostics.is_empty(), config.services.is_empty(), sources.first()) {
        cx.push(Diagnostic::error(&Place::whole(source), "there is nothing to run: no service is configured"));
    }
    cx.names.check(&mut cx.diagnostics);
    check_addresses(&config.services, &mut cx);
    let mut diagnostics = cx.diagnostics;
    sort(&mut diagnostics);
    match diagnostics.iter().any(|diagnostic| diagnostic.severity == Severity::Error) {
        true => Err(diagnostics),
        false => Ok(Loaded { config, warnings: diagnostics }),
    }
}

/// Reads one `plugin:` block by itself, for tools that have a plugin and no gateway. Unknown keys are errors, as in a config.
///
/// # Errors
///
/// All errors together with all warnings, when there is at least one error.
pub fn load_plugin(input: &Input) -> Result<(Plugin, Vec<Diagnostic>), Vec<Diagnostic>> {
    let mut cx = Context::new(true);
    let plugin = match input.tree() {
        Ok(tree) => plugin::decode(&Item { path: String::new(), node: &tree }, &mut cx),
        Err(diagnostic) => {
            cx.push(diagnostic);
            None
        }
    };
    let failed = cx.diagnostics.iter().any(|diagnostic| diagnostic.severity == Severity::Error);
    match plugin.filter(|_| !failed) {
        Some(plugin) => Ok((plugin, cx.diagnostics)),
        None => Err(cx.diagnostics),
    }
}

/// Adds what `root` says to `config`.
fn decode(root: &Node, config: &mut Config, cx: &mut Context) {
    if let tree::Value::Null = root.value {
        return cx.push(Diagnostic::error(&Place::whole(root.place.source()), "the configuration is empty"));
    }
    let root = Item { path: String::new(), node: root };
    let tree::Value::Map(_) = root.node.value else {
        let message = format!("expected a mapping with keys such as `services`, found {}", root.node.value.kind());
        return cx.push(Diagnostic::error(root.place(), message));
    };
    let Some(mut object) = Object::new(&root, cx) else {
        return;
    };
    if let Some(list) = object.take("services") {
        config.services.extend(list.elements(cx).iter().filter_map(|item| service::decode(item, cx)));
    }
    if let Some(list) = object.take("authers") {
        config.authers.extend(list.elements(cx).iter().filter_map(|item| auther::decode(item, cx)));
    }
    if let Some(log) = object.take("log").and_then(|item| log::decode(&item, cx)) {
        config.log = log;
    }
    object.finish(&NOT_IMPLEMENTED, Unknown::Warn, cx);
}

/// Reports services that would listen on the same address.
fn check_addresses(services: &[Service], cx: &mut Context) {
    for (index, service) in services.iter().enumerate() {
        let same = |other: &&Service| other.addr.value == service.addr.value && service.addr.port != 0;
        if let Some(other) = services[..index].iter().find(same) {
            let message = format!(
                "service `{}` listens on {} like service `{}`",
                service.name.value, service.addr.value, other.name.value
            );
            cx.push(Diagnostic::error(&service.addr.place, message));
        }
    }
}

/// Puts findings in the order of their places; sources stay in the order in which they came up.
fn sort(diagnostics: &mut [Diagnostic]) {
    let mut sources: Vec<*const Source> = Vec::new();
    diagnostics.sort_by_cached_key(|diagnostic| {
        let source = Arc::as_ptr(diagnostic.place.source());
        let rank = sources.iter().position(|known| *known == source).unwrap_or_else(|| {
            sources.push(source);
            sources.len() - 1
        });
        (rank, diagnostic.place.span().map(|span| span.start))
    });
}

#[cfg(test)]
mod tests;
