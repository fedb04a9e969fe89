//! Several inputs to one configuration.

use std::collections::HashMap;
use std::sync::Arc;

use crate::decode::{Context, Item, Object, Unknown};
use crate::plugin::{self, Plugin};
use crate::service::{HandlerKind, Service};
use crate::tls::ServerBlock;
use crate::tree::{self, Node};
use crate::{At, Config, Diagnostic, Input, ListenAddr, Loaded, Place, Secret, Severity, Source};
use crate::{
    admission, auther, chain, hop, hosts, ingress, limit, log, metrics, observer, recorder, resolver, router, service,
    tls,
};

/// Keys that GOST knows and drawspan doesn't implement.
const NOT_IMPLEMENTED: [&str; 5] = ["caches", "quotas", "loggers", "profiling", "api"];

/// Reads, merges and checks `inputs`: lists are concatenated; `tls`, `log` and `metrics` are taken from the last input that
/// has them.
///
/// With `strict`, a key that nobody knows is an error.
///
/// # Errors
///
/// All errors together with all warnings, when there is at least one error.
pub fn load(inputs: &[Input], strict: bool) -> Result<Loaded, Vec<Diagnostic>> {
    let mut cx = Context::new(strict);
    let mut config = Config::default();
    let mut certificate = None;
    let mut trees = Vec::new();
    for input in inputs {
        match input.tree() {
            Ok(tree) => {
                decode(&tree, &mut config, &mut certificate, &mut cx);
                cx.report_spread();
                trees.push(tree);
            }
            Err(diagnostic) => cx.push(diagnostic),
        }
    }
    if let (true, true, Some(tree)) = (cx.diagnostics.is_empty(), config.services.is_empty(), trees.first()) {
        cx.push(Diagnostic::error(
            &Place::whole(tree.place.source()),
            "there is nothing to run: no service is configured",
        ));
    }
    for service in &mut config.services {
        complete(service, certificate.as_ref());
    }
    cx.names.check(&mut cx.diagnostics);
    cx.diagnostics.extend(cx.files.check(inputs.iter().filter_map(Input::file)));
    check_addresses(&config, &mut cx);
    let mut diagnostics = cx.diagnostics;
    sort(&mut diagnostics);
    match diagnostics.iter().any(|diagnostic| diagnostic.severity == Severity::Error) {
        true => Err(diagnostics),
        false => {
            let mut root = tree::merged(trees);
            root.remove("plugin");
            let besides_plugins = Secret::new(crate::render::json_line(&root));
            Ok(Loaded { config, warnings: diagnostics, besides_plugins })
        }
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
    cx.diagnostics.extend(cx.files.check(input.file().into_iter()));
    let failed = cx.diagnostics.iter().any(|diagnostic| diagnostic.severity == Severity::Error);
    match plugin.filter(|_| !failed) {
        Some(plugin) => Ok((plugin, cx.diagnostics)),
        None => Err(cx.diagnostics),
    }
}

/// A format that a configuration can be written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// In block style.
    Yaml,
    /// Indented by 2.
    Json,
}

/// Merges `inputs` and writes them out in `format`, secrets included: what `-O` prints. Nothing is checked but the syntax, and
/// nothing is added: it shows what a command line stands for, also where that isn't implemented.
///
/// # Errors
///
/// What can't be read.
pub fn render(inputs: &[Input], format: Format) -> Result<String, Vec<Diagnostic>> {
    let mut trees = Vec::new();
    let mut errors = Vec::new();
    for input in inputs {
        match input.tree() {
            Ok(tree) => trees.push(tree),
            Err(diagnostic) => errors.push(diagnostic),
        }
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    let merged = tree::merged(trees);
    Ok(match format {
        Format::Yaml => crate::render::yaml_text(&merged),
        Format::Json => crate::render::json_text(&merged),
    })
}

/// Adds what `root` says to `config`.
fn decode(root: &Node, config: &mut Config, certificate: &mut Option<ServerBlock>, cx: &mut Context) {
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
    object.list("services", &mut config.services, service::decode, cx);
    object.list("chains", &mut config.chains, chain::decode, cx);
    object.list("hops", &mut config.hops, hop::decode, cx);
    object.list("authers", &mut config.authers, auther::decode, cx);
    object.list("admissions", &mut config.admissions, admission::admission, cx);
    object.list("bypasses", &mut config.bypasses, admission::bypass, cx);
    object.list("resolvers", &mut config.resolvers, resolver::decode, cx);
    object.list("hosts", &mut config.hosts, hosts::decode, cx);
    object.list("ingresses", &mut config.ingresses, ingress::decode, cx);
    object.list("sds", &mut config.sds, observer::sd, cx);
    object.list("routers", &mut config.routers, router::decode, cx);
    object.list("limiters", &mut config.limiters, limit::traffic, cx);
    object.list("climiters", &mut config.climiters, limit::connections, cx);
    object.list("rlimiters", &mut config.rlimiters, limit::rate, cx);
    object.list("observers", &mut config.observers, observer::observer, cx);
    object.list("recorders", &mut config.recorders, recorder::decode, cx);
    object.list("rewriters", &mut config.rewriters, observer::rewriter, cx);
    if let Some(metrics) = object.take("metrics").and_then(|item| metrics::decode(&item, cx)) {
        config.metrics = Some(metrics);
    }
    if let Some(log) = object.take("log").and_then(|item| log::decode(&item, cx)) {
        config.log = log;
    }
    if let Some(block) = object.take("tls").and_then(|item| tls::server(&item, true, cx)) {
        *certificate = Some(block);
    }
    object.finish(&NOT_IMPLEMENTED, Unknown::Warn, cx);
}

/// Gives a service what its TLS settings lack.
fn complete(service: &mut Service, certificate: Option<&ServerBlock>) {
    let whole = |block: &mut Option<ServerBlock>| block.take().map(|block| block.complete(certificate));
    service.listener.tls = whole(&mut service.listener.block);
    if let HandlerKind::Socks5(socks5) | HandlerKind::Auto(_, socks5) = &mut service.handler.kind {
        socks5.tls = whole(&mut socks5.block);
    }
}

/// Reports services that would listen on the same address.
fn check_addresses(config: &Config, cx: &mut Context) {
    let mut first: HashMap<_, (&Service, &At<ListenAddr>)> = HashMap::new();
    for service in &config.services {
        let is_tun = matches!(service.listener.kind, service::ListenerKind::Tun(_));
        // What has no clients doesn't listen, and what a node of a chain accepts is accepted there.
        let is_here = service.listener.chains.is_none() && (!is_tun || service.forwarder.is_none());
        let own = is_here.then_some(&service.addr);
        let is_udp = is_tun || service.listener.kind.is_udp();
        let (entrypoints, packets) = match &service.handler.kind {
            HandlerKind::Tunnel(tunnel) => (&tunnel.entrypoints[..], None),
            HandlerKind::Router(router) => (&[][..], router.entrypoint.as_ref()),
            _ => (&[][..], None),
        };
        let entrypoints = entrypoints.iter().map(|entrypoint| (&entrypoint.addr, false));
        let packets = packets.map(|addr| (addr, true));
        for (addr, is_udp) in own.map(|addr| (addr, is_udp)).into_iter().chain(entrypoints).chain(packets) {
            if addr.is_ephemeral() {
                continue;
            }
            let (other, known) = *first.entry((&addr.value, is_udp)).or_insert((service, addr));
            let shared = other.listener.reuse_port && service.listener.reuse_port;
            if !std::ptr::eq(known, addr) && !shared {
                let (name, other) = (&service.name.value, &other.name.value);
                let message = format!("service `{name}` listens on {} like service `{other}`", addr.value);
                cx.push(Diagnostic::error(&addr.place, message));
            }
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
