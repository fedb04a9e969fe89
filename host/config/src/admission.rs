//! `admissions[]` and `bypasses[]`: which clients may come in, and which targets are left alone.

use crate::At;
use crate::decode::{Context, Item, Kind, LOADERS, Object, Unknown};
use crate::pattern::{AdmissionPattern, BypassPattern};
use crate::plugin::Plugin;

/// Decides which clients may connect.
#[derive(Clone, Debug)]
pub struct Admission {
    /// Unique among admissions.
    pub name: At<String>,
    /// How it decides.
    pub kind: AdmissionKind,
}

/// The forms of an [`Admission`].
#[derive(Clone, Debug)]
pub enum AdmissionKind {
    /// A list of clients.
    Rules(Rules<AdmissionPattern>),
    /// A plugin.
    Plugin(Box<Plugin>),
}

/// Decides which targets are refused by a service, or not sent through a hop or node.
#[derive(Clone, Debug)]
pub struct Bypass {
    /// Unique among bypasses.
    pub name: At<String>,
    /// How it decides.
    pub kind: BypassKind,
}

/// The forms of a [`Bypass`].
#[derive(Clone, Debug)]
pub enum BypassKind {
    /// A list of targets.
    Rules(Rules<BypassPattern>),
    /// A plugin; counts as a list that isn't a whitelist.
    Plugin(Box<Plugin>),
}

/// A list of patterns.
#[derive(Clone, Debug)]
pub struct Rules<P> {
    /// A whitelist: what matches is admitted, or not bypassed, and nothing else. Otherwise what matches is denied, or bypassed.
    pub whitelist: bool,
    /// Any may match. An empty whitelist denies, or bypasses, everything.
    pub patterns: Vec<At<P>>,
}

const RULE_KEYS: [&str; 4] = ["whitelist", "reverse", "matchers", "network"];

pub(crate) fn admission(item: &Item<'_>, cx: &mut Context) -> Option<Admission> {
    let mut object = Object::new(item, cx)?;
    let name = object.named(Kind::Admission, cx);
    let kind = match plugin(&mut object, cx) {
        Some(plugin) => plugin.map(AdmissionKind::Plugin),
        None => Some(AdmissionKind::Rules(rules(&mut object, AdmissionPattern::parse, cx))),
    };
    object.finish(&LOADERS, Unknown::Warn, cx);
    Some(Admission { name: name?, kind: kind? })
}

pub(crate) fn bypass(item: &Item<'_>, cx: &mut Context) -> Option<Bypass> {
    let mut object = Object::new(item, cx)?;
    let name = object.named(Kind::Bypass, cx);
    let kind = match plugin(&mut object, cx) {
        Some(plugin) => plugin.map(BypassKind::Plugin),
        None => Some(BypassKind::Rules(rules(&mut object, BypassPattern::parse, cx))),
    };
    object.finish(&["reload", "file", "redis", "http", "network"], Unknown::Warn, cx);
    Some(Bypass { name: name?, kind: kind? })
}

#[allow(clippy::option_option, reason = "a plugin that is faulty isn't the same as none")]
fn plugin(object: &mut Object<'_>, cx: &mut Context) -> Option<Option<Box<Plugin>>> {
    let others: Vec<&'static str> = RULE_KEYS.into_iter().chain(LOADERS).collect();
    object.plugin(&others, cx)
}

fn rules<P>(object: &mut Object<'_>, parse: fn(&str) -> Result<P, String>, cx: &mut Context) -> Rules<P> {
    let whitelist = object.flag("whitelist", cx);
    let reverse = object.flag("reverse", cx);
    let patterns = object.take("matchers").map(|item| item.each(cx, parse)).unwrap_or_default();
    Rules { whitelist: whitelist || reverse, patterns }
}
