//! The `metrics` section: metrics by HTTP on an address of their own.

use crate::auther::{self, Credentials};
use crate::decode::{Context, Item, Kind, Object, Unknown};
use crate::node::url_path;
use crate::{At, ListenAddr};

/// Where metrics are served.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// Where it listens.
    pub addr: At<ListenAddr>,
    /// Default `/metrics`.
    pub path: String,
    /// The auther that decides who may read them; it is asked for the service `@metrics`.
    pub auther: Option<At<String>>,
    /// The only user; ignored when an auther is named.
    pub auth: Option<At<Credentials>>,
}

pub(crate) fn decode(item: &Item<'_>, cx: &mut Context) -> Option<Metrics> {
    let mut object = Object::new(item, cx)?;
    cx.names.leave();
    let addr = match object.take("addr").filter(|item| !item.node.value.is_zero()) {
        Some(item) => {
            let expected = "an address to listen on such as `:9000`, or `unix:///path`";
            item.parsed(expected, cx, |text| match text.strip_prefix("unix://") {
                Some(path) => (!path.is_empty()).then(|| ListenAddr::Unix(item.in_folder(path))),
                None => ListenAddr::parse(text),
            })
        }
        None => object.missing("addr", cx),
    };
    let path = object.take("path").and_then(|item| url_path(&item, cx));
    let auther = object.guard("auther", Kind::Auther, cx);
    let auth = object.take_guard("auth", cx);
    if let (Some(auth), Some(_)) = (&auth, &auther) {
        cx.push(auth.warning("ignored, since an auther is named"));
    }
    let auth = auth.and_then(|item| auther::credentials(&item, &["file"], cx));
    object.finish(&[], Unknown::Warn, cx);
    Some(Metrics { addr: addr?, path: path.unwrap_or_else(|| "/metrics".into()), auther, auth })
}
