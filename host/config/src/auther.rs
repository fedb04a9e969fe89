//! `authers[]` and the credentials that others share with them.

use crate::decode::{Context, Item, Kind, Object, Unknown};
use crate::plugin::{self, Plugin};
use crate::{At, Secret};

/// A user name with its password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// Not empty.
    pub username: String,
    /// GOST: an empty password accepts any.
    pub password: Secret,
}

/// Decides who may use a handler.
#[derive(Clone, Debug)]
pub struct Auther {
    /// Unique among authers.
    pub name: At<String>,
    /// How it decides.
    pub kind: AutherKind,
}

/// The forms of an [`Auther`].
#[derive(Clone, Debug)]
pub enum AutherKind {
    /// A list of users; an empty one denies everybody.
    Users(Vec<Credentials>),
    /// A plugin.
    Plugin(Box<Plugin>),
}

const NOT_IMPLEMENTED: [&str; 4] = ["reload", "file", "redis", "http"];

pub(crate) fn decode(item: &Item<'_>, cx: &mut Context) -> Option<Auther> {
    let mut object = Object::new(item, cx)?;
    let name = object.take("name").and_then(|item| item.name(cx));
    let auths = object.take("auths");
    let plugin = object.take("plugin");
    match &name {
        Some(name) => cx.names.define(Kind::Auther, name),
        None => cx.push(object.error("an auther needs a name")),
    }
    let kind = match &plugin {
        Some(block) => {
            let others = NOT_IMPLEMENTED.map(|key| object.take(key));
            for ignored in others.iter().chain([&auths]).flatten() {
                cx.push(ignored.warning("ignored, since there is a `plugin`"));
            }
            plugin::decode(block, cx).map(|plugin| AutherKind::Plugin(Box::new(plugin)))
        }
        None => {
            let items = auths.map(|auths| auths.elements(cx)).unwrap_or_default();
            let users = items.iter().filter_map(|item| credentials(item, &[], cx)).map(|at| at.value);
            Some(AutherKind::Users(users.collect()))
        }
    };
    object.finish(&NOT_IMPLEMENTED, Unknown::Warn, cx);
    Some(Auther { name: name?, kind: kind? })
}

/// A `{username, password}` mapping. GOST skips one without a user name silently, which opens a handler.
pub(crate) fn credentials(
    item: &Item<'_>,
    not_implemented: &[&'static str],
    cx: &mut Context,
) -> Option<At<Credentials>> {
    let mut object = Object::new(item, cx)?;
    let username = object.take("username").and_then(|item| item.name(cx));
    let password = object.take("password").and_then(|item| item.secret(cx));
    if username.is_none() {
        cx.push(object.error("`username` is missing or empty"));
    }
    object.finish(not_implemented, Unknown::Refuse, cx);
    let password = password.unwrap_or_else(|| Secret::new(""));
    Some(item.at(Credentials { username: username?.value, password }))
}
