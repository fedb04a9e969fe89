//! [`Headers`]: a message's headers in order, and which of them a proxy passes on.

/// One header as it stands in the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header<'b> {
    /// The name, in the sender's case. A token.
    pub name: &'b str,
    /// The value without the blanks around it; any byte but CR, LF and NUL.
    pub value: &'b [u8],
}

impl Header<'_> {
    /// Whether this header is called `name`, without regard to case.
    #[must_use]
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }
}

/// Meant for the next hop only, whether `Connection` names them or not (RFC 9110 §7.6.1). `Trailer` and
/// `Transfer-Encoding` aren't here: bodies are passed on with their framing.
const HOP_BY_HOP: [&str; 8] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authentication-info",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "upgrade",
];

/// What `Connection` may name without effect: a message that loses them means something else.
const NEVER_HOP_BY_HOP: [&str; 4] = ["content-length", "host", "trailer", "transfer-encoding"];

/// The headers of one message, borrowed from its bytes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Headers<'b>(Vec<Header<'b>>);

impl<'b> FromIterator<Header<'b>> for Headers<'b> {
    fn from_iter<I: IntoIterator<Item = Header<'b>>>(headers: I) -> Self {
        Self(headers.into_iter().collect())
    }
}

impl<'b> Headers<'b> {
    pub(super) fn from_parsed(parsed: &[httparse::Header<'b>]) -> Self {
        parsed.iter().map(|header| Header { name: header.name, value: header.value }).collect()
    }

    /// All headers in the order of the message.
    pub fn iter(&self) -> impl Iterator<Item = Header<'b>> {
        self.0.iter().copied()
    }

    /// The values of every header called `name`.
    pub fn get_all(&self, name: &str) -> impl Iterator<Item = &'b [u8]> {
        self.0.iter().filter(move |header| header.is(name)).map(|header| header.value)
    }

    /// The value of the first header called `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&'b [u8]> {
        self.get_all(name).next()
    }

    /// Whether the comma-separated list in the headers called `name` has `token`, without regard to case.
    #[must_use]
    pub fn has_token(&self, name: &str, token: &str) -> bool {
        self.get_all(name)
            .flat_map(|value| value.split(|&byte| byte == b','))
            .any(|item| item.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
    }

    /// The headers that a proxy passes on: all but the hop-by-hop ones, those that `Connection` names, and repetitions
    /// of `Content-Length` (equal ones; [`BodyLength`](super::BodyLength) refuses others).
    ///
    /// `Upgrade` is left out too; who forwards an upgrade adds it again.
    pub fn end_to_end(&self) -> impl Iterator<Item = Header<'b>> {
        let mut length_seen = false;
        self.iter().filter(move |header| {
            if header.is("content-length") {
                return !std::mem::replace(&mut length_seen, true);
            }
            let named = |list: &[&str]| list.iter().any(|name| header.is(name));
            !named(&HOP_BY_HOP) && (named(&NEVER_HOP_BY_HOP) || !self.has_token("connection", header.name))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers<'b>(pairs: &[(&'b str, &'b str)]) -> Headers<'b> {
        pairs.iter().map(|&(name, value)| Header { name, value: value.as_bytes() }).collect()
    }

    #[test]
    fn hop_by_hop_headers_stay_here() {
        let all = headers(&[
            ("hOST", "a"),
            ("Connection", "keep-alive, X-Mine"),
            ("connection", "host , content-length,transfer-encoding"),
            ("Keep-Alive", "timeout=5"),
            ("X-Mine", "1"),
            ("X-Yours", "2"),
            ("Proxy-Authorization", "Basic x"),
            ("Proxy-Connection", "keep-alive"),
            ("Proxy-Authenticate", "Basic"),
            ("TE", "trailers"),
            ("Trailer", "X-Sum"),
            ("Transfer-Encoding", "chunked"),
            ("Upgrade", "websocket"),
            ("Content-Length", "3"),
            ("content-length", "3"),
        ]);
        let kept: Vec<_> = all.end_to_end().map(|header| header.name).collect();
        assert_eq!(kept, ["hOST", "X-Yours", "Trailer", "Transfer-Encoding", "Content-Length"]);
    }

    #[test]
    fn tokens_are_found_in_any_of_several_lists() {
        let all = headers(&[("Connection", "close"), ("CONNECTION", " ,\tUpgrade ")]);
        assert!(all.has_token("connection", "upgrade"));
        assert!(all.has_token("connection", "CLOSE"));
        assert!(!all.has_token("connection", "clos"));
        assert!(!all.has_token("upgrade", "close"));
        assert_eq!(all.get("connection"), Some(&b"close"[..]));
    }
}
