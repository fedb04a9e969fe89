//! `authers[]` and the credentials that others share with them.

use crate::decode::{Context, Item, Kind, LOADERS, Object, Unknown};
use crate::plugin::Plugin;
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

pub(crate) fn decode(item: &Item<'_>, cx: &mut Context) -> Option<Auther> {
    let mut object = Object::new(item, cx)?;
    let name = object.named(Kind::Auther, cx);
    let kind = match object.plugin(&["auths", "reload", "file", "redis", "http"], cx) {
        Some(plugin) => plugin.map(AutherKind::Plugin),
        None => {
            let items = object.take("auths").map(|auths| auths.elements(cx)).unwrap_or_default();
            let users = items.iter().filter_map(|item| credentials(item, &[], cx)).map(|at| at.value);
            Some(AutherKind::Users(users.collect()))
        }
    };
    object.finish(&LOADERS, Unknown::Warn, cx);
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
