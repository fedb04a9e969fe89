//! Heads that are passed on with changes.

use drawspan_wire::http1::{Header, Headers, RequestHead, ResponseHead, Version};

/// What becomes of the client's connection after a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::handler) enum Persistence {
    Close,
    /// As the version has it; HTTP/1.0 needs to be told.
    Keep(Version),
}

/// Headers that are set or, with `None`, left out; of several with one name the last counts.
#[derive(Debug, Default)]
pub(in crate::handler) struct Edits(Vec<(String, Option<Vec<u8>>)>);

impl Edits {
    pub(in crate::handler) fn set(&mut self, name: &str, value: impl Into<Vec<u8>>) {
        self.put(name, Some(value.into()));
    }

    pub(in crate::handler) fn remove(&mut self, name: &str) {
        self.put(name, None);
    }

    /// Those of a config: an empty value leaves a header out.
    pub(in crate::handler) fn configured(&mut self, headers: &[(String, String)]) {
        for (name, value) in headers {
            self.put(name, (!value.is_empty()).then(|| value.clone().into_bytes()));
        }
    }

    /// The body is now of that length, and comes as it is.
    pub(in crate::handler) fn body(&mut self, length: usize) {
        self.set("Content-Length", length.to_string());
        self.remove("Transfer-Encoding");
        self.remove("Trailer");
    }

    pub(in crate::handler) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn put(&mut self, name: &str, value: Option<Vec<u8>>) {
        self.0.retain(|(other, _)| !other.eq_ignore_ascii_case(name));
        self.0.push((name.to_owned(), value));
    }

    /// The headers so changed, each in its place and new ones at the end, with the empty line.
    fn apply(&self, headers: &Headers<'_>, out: &mut Vec<u8>) {
        let mut done = vec![false; self.0.len()];
        for header in headers.iter() {
            match self.0.iter().position(|(name, _)| header.is(name)) {
                None => push_header(out, header),
                Some(at) => {
                    if let (Some(value), false) = (&self.0[at].1, done[at]) {
                        push(out, header.name, value);
                    }
                    done[at] = true;
                }
            }
        }
        for ((name, value), done) in self.0.iter().zip(done) {
            if let (Some(value), false) = (value, done) {
                push(out, name, value);
            }
        }
        out.extend(b"\r\n");
    }
}

/// A request's head with another target and other headers.
pub(in crate::handler) fn request(head: &RequestHead<'_>, target: &str, edits: &Edits) -> Vec<u8> {
    let mut out = format!("{} {target} {}\r\n", head.method, head.version.as_str()).into_bytes();
    edits.apply(&head.headers, &mut out);
    out
}

/// A response's head with other headers.
pub(in crate::handler) fn response(head: &ResponseHead<'_>, edits: &Edits) -> Vec<u8> {
    let mut out = format!("{} {} {}\r\n", head.version.as_str(), head.status, head.reason).into_bytes();
    edits.apply(&head.headers, &mut out);
    out
}

pub(in crate::handler) fn push_header(out: &mut Vec<u8>, header: Header<'_>) {
    push(out, header.name, header.value);
}

/// Line ends in a name or value, which only a config can hold, become blanks, as in Go.
pub(in crate::handler) fn push(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    let plain = |byte: &u8| if matches!(byte, b'\r' | b'\n') { b' ' } else { *byte };
    out.extend(name.as_bytes().iter().map(plain));
    out.extend(b": ");
    out.extend(value.iter().map(plain));
    out.extend(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_changed_in_their_places() {
        let bytes = b"POST /a HTTP/1.1\r\nhost: a\r\nX-A: 1\r\nx-a: 2\r\nTransfer-Encoding: chunked\r\nX-B: 3\r\n\r\n";
        let head = RequestHead::parse(bytes).unwrap();
        assert_eq!(request(&head, "/a", &Edits::default()), bytes);
        let mut edits = Edits::default();
        edits.set("Host", "b");
        edits.configured(&[("X-A", "new"), ("x-b", ""), ("X-C", "4\r\n5")].map(|(n, v)| (n.into(), v.into())));
        edits.body(7);
        let expected = "POST /b HTTP/1.1\r\nhost: b\r\nX-A: new\r\nX-C: 4  5\r\nContent-Length: 7\r\n\r\n";
        assert_eq!(String::from_utf8(request(&head, "/b", &edits)).unwrap(), expected);
    }
}
