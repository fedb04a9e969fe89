//! Addresses of HTTP plugins.

use crate::HttpUrl;
use crate::decode::{Context, Item};

pub(super) fn url(item: &Item<'_>, cx: &mut Context) -> Option<HttpUrl> {
    let parse = if cx.bare_urls { HttpUrl::parse_bare } else { HttpUrl::parse };
    let url = parse(&item.text(cx)?);
    if url.is_none() {
        let error = item.error("expected a full http or https URL");
        cx.push(error.with_help("write for example `http://127.0.0.1:8000/auth`"));
    }
    url
}
