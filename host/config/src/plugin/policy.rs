//! What a `plugin:` block says about asking again, keeping replies, and asking others.

use std::time::Duration;

use super::{Plugin, Role};
use crate::decode::{Context, Item, Object, Unknown};
use crate::tree::Value;

/// Replies that are kept (`cache`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cache {
    /// How long; never 0.
    pub ttl: Duration,
    /// The same for a reply that says no, or that there is nothing. Default 0: it isn't kept.
    pub negative_ttl: Duration,
    /// The most replies. Default 10000, from 1 to 10 million.
    pub size: u32,
}

/// A plugin that is asked for comparison (`shadow`, `sample`).
#[derive(Clone, Debug, PartialEq)]
pub struct Shadow {
    /// What is asked.
    pub plugin: Plugin,
    /// The share of calls that it is asked. Default 1, from 0 to 1.
    pub sample: f64,
}

const CACHE_SIZE: u32 = 10_000;

/// The most fallbacks behind a plugin.
const FALLBACKS: u32 = 3;

pub(super) fn cache(item: &Item<'_>, cx: &mut Context) -> Option<Cache> {
    let mut object = Object::new(item, cx)?;
    let ttl = object.take("ttl");
    if ttl.is_none() {
        cx.push(object.error("`ttl` is missing"));
    }
    let ttl = ttl.and_then(|item| {
        let ttl = item.duration(cx)?;
        if ttl.is_zero() {
            cx.push(item.error("expected more than 0"));
        }
        Some(ttl)
    });
    let negative_ttl = object.take("negativeTTL").and_then(|item| item.duration(cx));
    let size = object.take("size").and_then(|item| item.integer(1..=10_000_000, cx));
    object.finish(&[], Unknown::Refuse, cx);
    Some(Cache { ttl: ttl?, negative_ttl: negative_ttl.unwrap_or_default(), size: size.unwrap_or(CACHE_SIZE) })
}

pub(super) fn fallback(object: &mut Object<'_>, role: Role, cx: &mut Context) -> Option<Box<Plugin>> {
    let item = object.take("fallback")?;
    let depth = match role {
        Role::Entry => 1,
        Role::Fallback(depth) => depth + 1,
        Role::Shadow => {
            cx.push(item.error("a shadow has no fallback"));
            return None;
        }
    };
    if depth > FALLBACKS {
        cx.push(item.error(format!("a plugin has at most {FALLBACKS} fallbacks")));
        return None;
    }
    super::block(&item, Role::Fallback(depth), cx).map(Box::new)
}

pub(super) fn shadow(object: &mut Object<'_>, role: Role, cx: &mut Context) -> Option<Box<Shadow>> {
    let (shadow, sample) = (object.take("shadow"), object.take("sample"));
    if let (None, Some(sample)) = (&shadow, &sample) {
        cx.push(sample.error("is of no use without a `shadow`"));
    }
    let sample = sample.map_or(Some(1.0), |item| share(&item, cx));
    let shadow = shadow?;
    if role == Role::Shadow {
        cx.push(shadow.error("a shadow has no shadow"));
        return None;
    }
    let plugin = super::block(&shadow, Role::Shadow, cx)?;
    Some(Box::new(Shadow { plugin, sample: sample? }))
}

fn share(item: &Item<'_>, cx: &mut Context) -> Option<f64> {
    let number = match &item.node.value {
        Value::Number(text) | Value::Text(text) => text.trim().parse::<f64>().ok(),
        _ => None,
    };
    let share = number.filter(|number| (0.0..=1.0).contains(number));
    if share.is_none() {
        cx.push(item.error("expected a number from 0 to 1"));
    }
    share
}
