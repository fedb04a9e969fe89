//! `http` of a node: what becomes of HTTP messages that are forwarded to it.

use regex::{Regex, bytes};

use super::Role;
use crate::auther::{self, Credentials};
use crate::decode::{Context, Item, Kind, Object, Unknown};
use crate::{At, Secret, header};

/// What becomes of HTTP messages that are forwarded to a node.
#[derive(Clone, Debug, Default)]
pub struct NodeHttp {
    /// Replaces the `Host` header.
    pub host: Option<String>,
    /// Set on requests (`requestHeader`, else the old `header`); an empty value deletes.
    pub request_header: Vec<(String, Secret)>,
    /// Set on responses; an empty value deletes.
    pub response_header: Vec<(String, String)>,
    /// Tried on the path in order; the first that matches and yields something counts.
    pub rewrite_url: Vec<UrlRewrite>,
    /// Applied to the bodies of requests in order.
    pub rewrite_request_body: Vec<BodyRewrite>,
    /// Applied to the bodies of responses in order.
    pub rewrite_response_body: Vec<BodyRewrite>,
    /// The user that a client must name, by Basic authentication.
    pub auth: Option<At<Credentials>>,
}

/// Replaces a path.
#[derive(Clone, Debug)]
pub struct UrlRewrite {
    /// What is replaced: every match.
    pub pattern: Regex,
    /// With `$1` or `${name}` for groups. May carry `?query`.
    pub replacement: String,
}

/// Changes a body.
#[derive(Clone, Debug)]
pub struct BodyRewrite {
    /// Which bodies.
    pub types: MediaTypes,
    /// Only bodies with a match.
    pub pattern: Option<bytes::Regex>,
    /// What is done.
    pub rewrite: Rewrite,
    /// Longer bodies pass unchanged (`maxChunkSize`). Default 1 MiB.
    pub max_size: u64,
}

/// How a body is changed.
#[derive(Clone, Debug)]
pub enum Rewrite {
    /// Every match of the pattern, which is there, becomes this, with `$1` or `${name}` for groups.
    Replace(String),
    /// By the rewriter of this name.
    Rewriter(At<String>),
}

/// Media types whose bodies are rewritten.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MediaTypes {
    /// All (`*`).
    Any,
    /// These, in lower case and without parameters.
    These(Vec<String>),
}

const MAX_SIZE: u64 = 1 << 20;

/// Reads `http` of a node, and for a target the old `auth` beside it.
pub(super) fn decode(object: &mut Object<'_>, role: Role, cx: &mut Context) -> Option<NodeHttp> {
    let old_auth = if role != Role::Proxy { object.take_guard("auth", cx) } else { None };
    let item = object.take("http");
    if old_auth.is_none() && item.is_none() {
        return None;
    }
    let mut http = NodeHttp::default();
    let mut auth = None;
    if let Some(mut object) = item.and_then(|item| Object::new(&item, cx)) {
        http.host = object.take("host").and_then(|item| header::text(&item, cx));
        let old = object.take("header");
        let new = object.take("requestHeader").or(old);
        http.request_header = new.map(|item| header::secret(&item, cx)).unwrap_or_default();
        let response = object.take("responseHeader");
        http.response_header = response.map(|item| header::decode(&item, cx)).unwrap_or_default();
        let (old, new) = (object.take("rewrite"), object.take("rewriteURL"));
        http.rewrite_url = rules(new.or(old), url_rewrite, cx);
        let (old, new) = (object.take("rewriteBody"), object.take("rewriteResponseBody"));
        http.rewrite_response_body = rules(new.or(old), body_rewrite, cx);
        http.rewrite_request_body = rules(object.take("rewriteRequestBody"), body_rewrite, cx);
        auth = object.take_guard("auth", cx);
        object.finish(&["failCodes"], Unknown::Warn, cx);
    }
    http.auth = auth.or(old_auth).and_then(|item| auther::credentials(&item, &["file"], cx));
    Some(http)
}

fn rules<T>(list: Option<Item<'_>>, read: fn(&Item<'_>, &mut Context) -> Option<T>, cx: &mut Context) -> Vec<T> {
    let items = list.map(|item| item.elements(cx)).unwrap_or_default();
    items.iter().filter_map(|item| read(item, cx)).collect()
}

fn url_rewrite(item: &Item<'_>, cx: &mut Context) -> Option<UrlRewrite> {
    let mut object = Object::new(item, cx)?;
    let pattern = match object.take("match") {
        Some(item) => expression(&item, cx, |text, cx| cx.regex(text)),
        None => object.missing("match", cx),
    };
    let replacement = object.text("replacement", cx).unwrap_or_default();
    object.finish(&[], Unknown::Warn, cx);
    Some(UrlRewrite { pattern: pattern?, replacement })
}

fn body_rewrite(item: &Item<'_>, cx: &mut Context) -> Option<BodyRewrite> {
    let mut object = Object::new(item, cx)?;
    let types = object.take("type").map(|item| item.names(cx)).unwrap_or_default();
    let pattern = match object.take("match").filter(|item| !item.node.value.is_zero()) {
        Some(item) => Some(expression(&item, cx, body_pattern)?),
        None => None,
    };
    let rewriter = object.reference("rewriter", Kind::Rewriter, cx);
    let replacement = object.take("replacement").and_then(|item| item.text(cx));
    let rewrite = match (rewriter, &pattern) {
        (Some(name), _) => Some(Rewrite::Rewriter(name)),
        (None, Some(_)) => Some(Rewrite::Replace(replacement.unwrap_or_default())),
        (None, None) => object.missing("match", cx),
    };
    let max_size = object.take("maxChunkSize").and_then(|item| item.size(1..=1 << 30, cx));
    object.finish(&[], Unknown::Warn, cx);
    let rewrite = rewrite?;
    let types: Vec<String> = types.into_iter().map(|name| name.value.to_lowercase()).collect();
    let types = match (&types[..], &rewrite) {
        ([], Rewrite::Rewriter(_)) => MediaTypes::Any,
        ([], Rewrite::Replace(_)) => MediaTypes::These(vec!["text/html".into()]),
        (types, _) if types.iter().any(|name| name == "*") => MediaTypes::Any,
        (types, _) => MediaTypes::These(types.to_vec()),
    };
    Some(BodyRewrite { types, pattern, rewrite, max_size: max_size.unwrap_or(MAX_SIZE) })
}

fn expression<T>(item: &Item<'_>, cx: &mut Context, read: fn(&str, &mut Context) -> Result<T, String>) -> Option<T> {
    let text = item.text(cx)?;
    read(&text, cx).map_err(|reason| cx.push(item.error(reason))).ok()
}

fn body_pattern(text: &str, cx: &mut Context) -> Result<bytes::Regex, String> {
    if text.starts_with("json:") {
        return Err("`json:` is not implemented".into());
    }
    // The same syntax and bounds; only what it is applied to differs.
    let expression = cx.regex(text)?;
    bytes::RegexBuilder::new(expression.as_str()).build().map_err(|error| error.to_string())
}
