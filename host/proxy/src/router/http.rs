//! [`NodeHttp`]: what becomes of HTTP messages that are forwarded to a node (GOST reference, config 3.5).

use drawspan_modules::{Authenticator, Rewriter};
use regex::{Regex, bytes};

/// What becomes of HTTP messages that are forwarded to a node.
#[derive(Default)]
pub struct NodeHttp {
    /// Replaces the `Host` header.
    pub host: Option<String>,
    /// Set on requests; an empty value deletes.
    pub request_headers: Vec<(String, String)>,
    /// Set on responses; an empty value deletes.
    pub response_headers: Vec<(String, String)>,
    /// Tried on the path in order, each with what replaces its matches; the first that matches and yields something
    /// counts. A replacement may bring a query with it.
    pub rewrite_url: Vec<(Regex, String)>,
    /// Applied to the bodies of requests, in order.
    pub rewrite_request_body: Vec<BodyRewrite>,
    /// Applied to the bodies of responses, in order.
    pub rewrite_response_body: Vec<BodyRewrite>,
    /// Who may use the node, by Basic authentication.
    pub auth: Option<Authenticator>,
}

/// Changes a body.
pub struct BodyRewrite {
    /// Which bodies, by media types in lower case; all if `None`.
    pub types: Option<Vec<String>>,
    /// Only bodies with a match.
    pub pattern: Option<bytes::Regex>,
    /// What is done.
    pub rewrite: Rewrite,
    /// Bytes; longer bodies pass unchanged.
    pub max_size: usize,
}

/// How a body is changed.
pub enum Rewrite {
    /// Every match of the pattern becomes this, with `$1` or `${name}` for groups.
    Replace(String),
    /// As this says.
    Ask(Rewriter),
}

impl NodeHttp {
    /// The target that a request with `target`, in origin form, is sent with.
    pub(crate) fn target(&self, target: &str) -> String {
        let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
        for (pattern, replacement) in &self.rewrite_url {
            if !pattern.is_match(path) {
                continue;
            }
            let rewritten = pattern.replace_all(path, replacement);
            if !rewritten.is_empty() {
                return match query {
                    Some(query) if !rewritten.contains('?') => format!("{}?{query}", printable(&rewritten)),
                    _ => printable(&rewritten),
                };
            }
        }
        target.to_owned()
    }
}

/// What a replacement brings into a request line must not end it.
fn printable(target: &str) -> String {
    let mut out = String::with_capacity(target.len());
    for byte in target.bytes() {
        match byte {
            0x21..=0x7e => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_rewrite_that_yields_something_counts() {
        let rewrite = |pattern: &str, text: &str| (Regex::new(pattern).unwrap(), text.to_owned());
        let http = NodeHttp {
            rewrite_url: vec![
                rewrite("^/none$", ""),
                rewrite("^/api/(.*)$", "/v1/$1"),
                rewrite("^/find/(.*)$", "/search?q=$1&a= b"),
                rewrite("^/api", "/never"),
            ],
            ..NodeHttp::default()
        };
        for (target, expected) in [
            ("/none?x", "/none?x"),
            ("/api/a?x=y", "/v1/a?x=y"),
            ("/find/it?x=y", "/search?q=it&a=%20b"),
            ("/other", "/other"),
        ] {
            assert_eq!(http.target(target), expected);
        }
    }
}
