//! What both a server and a file are asked by: parts of a URL.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::HeaderValue;
use percent_encoding::percent_decode_str;
use url::{Host, Url};

use crate::Target;

/// The URL as logs show it: without credentials and query, which may hold secrets.
#[must_use]
pub fn redacted(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.set_fragment(None);
    // These fail for URLs without a host only, which have no credentials.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.into()
}

/// The server that the URL is at, if it is at one.
#[must_use]
pub fn target(url: &Url) -> Option<Target> {
    let host = match url.host()? {
        Host::Domain(name) => name.to_owned(),
        Host::Ipv4(ip) => ip.to_string(),
        Host::Ipv6(ip) => ip.to_string(),
    };
    Some(Target::Tcp(host, url.port_or_known_default()?))
}

/// The header `Authorization` for the credentials in the URL, if it has any.
#[must_use]
pub fn basic(url: &Url) -> Option<HeaderValue> {
    if url.username().is_empty() && url.password().is_none() {
        return None;
    }
    let mut plain: Vec<u8> = percent_decode_str(url.username()).collect();
    plain.push(b':');
    plain.extend(percent_decode_str(url.password().unwrap_or_default()));
    // Base64 has no character that a header can't carry.
    let mut value = HeaderValue::try_from(format!("Basic {}", BASE64_STANDARD.encode(plain))).ok()?;
    value.set_sensitive(true);
    Some(value)
}
