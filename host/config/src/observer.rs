//! `observers[]`, `rewriters[]` and `sds[]`: who is told what happens, who may change bodies, and who knows which gateway
//! holds a tunnel.

use crate::At;
use crate::decode::{Context, Item, Kind, Object, Unknown};
use crate::plugin::{self, Plugin};

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

/// Knows which gateway holds a tunnel.
#[derive(Clone, Debug)]
pub struct ServiceDiscovery {
    /// Unique among sds.
    pub name: At<String>,
    /// Who it is; there is no other form.
    pub plugin: Box<Plugin>,
}

pub(crate) fn observer(item: &Item<'_>, cx: &mut Context) -> Option<Observer> {
    // As in GOST: of all plugins, only an observer's URL may lack its scheme.
    cx.bare_urls = true;
    let read = plugin_only(item, Kind::Observer, cx);
    cx.bare_urls = false;
    let (name, plugin) = read?;
    Some(Observer { name, plugin })
}

pub(crate) fn rewriter(item: &Item<'_>, cx: &mut Context) -> Option<Rewriter> {
    let (name, plugin) = plugin_only(item, Kind::Rewriter, cx)?;
    Some(Rewriter { name, plugin })
}

pub(crate) fn sd(item: &Item<'_>, cx: &mut Context) -> Option<ServiceDiscovery> {
    let (name, plugin) = plugin_only(item, Kind::Sd, cx)?;
    Some(ServiceDiscovery { name, plugin })
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
