//! `chains[]`, and what refers to them.

use crate::At;
use crate::decode::{Context, Item, Kind, Object, Unknown};
use crate::hop::{self, Hop};
use crate::selector::{self, Selector};
use crate::tree::Value;

/// Hops in a row.
#[derive(Clone, Debug)]
pub struct Chain {
    /// Unique among chains.
    pub name: At<String>,
    /// From here to the target. Empty: directly.
    pub hops: Vec<ChainHop>,
}

/// One hop of a [`Chain`].
#[derive(Clone, Debug)]
pub enum ChainHop {
    /// An entry of `hops[]`.
    Named(At<String>),
    /// Its own.
    Inline(Box<Hop>),
}

/// Chains of which one is used (`chain`, `chainGroup`).
#[derive(Clone, Debug)]
pub struct ChainGroup {
    /// Names of chains, at least one.
    pub chains: Vec<At<String>>,
    /// How one is chosen.
    pub selector: Selector,
}

pub(crate) fn decode(item: &Item<'_>, cx: &mut Context) -> Option<Chain> {
    let mut object = Object::new(item, cx)?;
    let name = object.named(Kind::Chain, cx);
    let chain_name = name.as_ref().map_or("", |name| name.as_str());
    let items = object.take("hops").map(|item| item.elements(cx)).unwrap_or_default();
    let hops = items.iter().enumerate().filter_map(|(index, item)| chain_hop(item, chain_name, index, cx)).collect();
    object.without_effect(&["metadata"], "has no effect on a chain", cx);
    object.finish(&[], Unknown::Warn, cx);
    Some(Chain { name: name?, hops })
}

/// GOST: a hop that has `nodes` or a `plugin` is the chain's own, any other is the name of one in `hops`.
fn chain_hop(item: &Item<'_>, chain: &str, index: usize, cx: &mut Context) -> Option<ChainHop> {
    if ["nodes", "plugin"].iter().any(|key| item.child(key).is_some()) {
        return hop::inline(item, &format!("{chain}.hop-{index}"), cx).map(|hop| ChainHop::Inline(Box::new(hop)));
    }
    let mut object = Object::new(item, cx)?;
    let name = object.reference("name", Kind::Hop, cx);
    if name.is_none() {
        cx.push(object.error("a hop needs `nodes`, a `plugin`, or the `name` of one in `hops`"));
    }
    let why = "has no effect: without `nodes` or a `plugin` this is the name of an entry of `hops`";
    object.without_effect(&["selector", "resolver", "hosts", "interface", "sockopts", "metadata"], why, cx);
    object.finish(&["bypass", "bypasses", "reload", "file", "redis", "http"], Unknown::Warn, cx);
    name.map(ChainHop::Named)
}

/// Reads `chain` and `chainGroup` of a handler.
pub(crate) fn group(object: &mut Object<'_>, cx: &mut Context) -> Option<ChainGroup> {
    let mut chains: Vec<At<String>> = object.reference("chain", Kind::Chain, cx).into_iter().collect();
    let mut selector = Selector::default();
    if let Some(item) = object.take("chainGroup") {
        let mut block = Object::new(&item, cx)?;
        let entries = block.take("chains");
        chains.extend(entries.iter().flat_map(|entries| group_chains(entries, cx)));
        selector = selector::decode(&mut block, cx);
        block.finish(&[], Unknown::Warn, cx);
        // GOST: goes directly.
        if chains.is_empty() {
            cx.push(item.error("names no chain"));
        }
    }
    (!chains.is_empty()).then_some(ChainGroup { chains, selector })
}

/// Names, or mappings with the key `chain`.
fn group_chains(entries: &Item<'_>, cx: &mut Context) -> Vec<At<String>> {
    let refer = |path: &str, names: Vec<At<String>>, cx: &mut Context| {
        names.iter().for_each(|name| cx.names.refer(Kind::Chain, path, name));
        names
    };
    if !matches!(entries.node.value, Value::List(_)) {
        let names = entries.names(cx);
        return refer(&entries.path, names, cx);
    }
    let mut chains = Vec::new();
    for entry in entries.elements(cx) {
        if !matches!(entry.node.value, Value::Map(_)) {
            let names = entry.name(cx).into_iter().collect();
            chains.extend(refer(&entry.path, names, cx));
        } else if let Some(mut object) = Object::new(&entry, cx) {
            chains.extend(object.reference("chain", Kind::Chain, cx));
            object.finish(&["matcher", "probe"], Unknown::Warn, cx);
        }
    }
    chains
}
