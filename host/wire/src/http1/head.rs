//! [`RequestHead`] and [`ResponseHead`]: start line and headers (RFC 9112 §3 to §5).

use super::{Headers, MAX_HEAD, MAX_HEADERS};

/// Why bytes are not the head of an HTTP/1 message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HeadError {
    /// Longer than [`MAX_HEAD`].
    #[error("head is larger than {MAX_HEAD} bytes")]
    TooLarge,
    /// More headers than [`MAX_HEADERS`].
    #[error("head has more than {MAX_HEADERS} headers")]
    TooManyHeaders,
    /// A CR or LF that isn't part of a CR LF.
    #[error("bare CR or LF in head")]
    BareLineEnd,
    /// The first bytes already belong to some other protocol.
    #[error("not an HTTP/1 message")]
    NotHttp,
    /// A client that wants to speak HTTP/2 at once.
    #[error("HTTP/2 connection preface")]
    Http2Preface,
    /// Which one counts would be anyone's guess.
    #[error("more than one host header")]
    SeveralHosts,
    /// Anything else: a blank before a colon, a folded line, a control character, an unknown version.
    #[error("malformed head: {0}")]
    Malformed(httparse::Error),
    /// The bytes end inside the head.
    #[error("head is incomplete")]
    Incomplete,
}

impl From<httparse::Error> for HeadError {
    fn from(error: httparse::Error) -> Self {
        match error {
            httparse::Error::TooManyHeaders => Self::TooManyHeaders,
            other => Self::Malformed(other),
        }
    }
}

/// The versions of HTTP/1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0: no chunked bodies, connections close unless asked not to.
    Http10,
    /// HTTP/1.1.
    Http11,
}

impl Version {
    fn from_minor(minor: Option<u8>) -> Self {
        if minor == Some(0) { Self::Http10 } else { Self::Http11 }
    }

    /// As it stands in a start line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http10 => "HTTP/1.0",
            Self::Http11 => "HTTP/1.1",
        }
    }
}

/// Start line and headers of a request, borrowed from its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestHead<'b> {
    /// The method, a token; methods are told apart by case.
    pub method: &'b str,
    /// The request target as sent.
    pub target: &'b str,
    /// The client's version.
    pub version: Version,
    /// The headers.
    pub headers: Headers<'b>,
}

impl<'b> RequestHead<'b> {
    /// Reads a complete head, as [`HeadScanner`](super::HeadScanner) delimits it.
    ///
    /// # Errors
    /// If `bytes` are not a head.
    pub fn parse(bytes: &'b [u8]) -> Result<Self, HeadError> {
        if bytes.len() > MAX_HEAD {
            return Err(HeadError::TooLarge);
        }
        if bytes.starts_with(b"PRI * HTTP/2.0\r\n") {
            return Err(HeadError::Http2Preface);
        }
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut request = httparse::Request::new(&mut headers);
        if request.parse(bytes)?.is_partial() {
            return Err(HeadError::Incomplete);
        }
        let (Some(method), Some(target)) = (request.method, request.path) else {
            return Err(HeadError::Incomplete);
        };
        let version = Version::from_minor(request.version);
        let headers = Headers::from_parsed(request.headers);
        if headers.get_all("host").count() > 1 {
            return Err(HeadError::SeveralHosts);
        }
        Ok(Self { method, target, version, headers })
    }

    /// Whether the client wants to send another request on this connection (RFC 9112 §9.3). `Proxy-Connection` is what
    /// old clients say instead of `Connection`.
    #[must_use]
    pub fn keeps_alive(&self) -> bool {
        keeps_alive(self.version, &self.headers)
    }
}

fn keeps_alive(version: Version, headers: &Headers<'_>) -> bool {
    let says = |token| headers.has_token("connection", token) || headers.has_token("proxy-connection", token);
    match version {
        Version::Http11 => !says("close"),
        Version::Http10 => says("keep-alive") && !says("close"),
    }
}

/// Start line and headers of a response, borrowed from its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResponseHead<'b> {
    /// The server's version.
    pub version: Version,
    /// The status code, 100 to 999.
    pub status: u16,
    /// The reason phrase; empty when there is none or it isn't ASCII.
    pub reason: &'b str,
    /// The headers.
    pub headers: Headers<'b>,
}

impl<'b> ResponseHead<'b> {
    /// Reads a complete head, as [`HeadScanner`](super::HeadScanner) delimits it.
    ///
    /// # Errors
    /// If `bytes` are not a head.
    pub fn parse(bytes: &'b [u8]) -> Result<Self, HeadError> {
        if bytes.len() > MAX_HEAD {
            return Err(HeadError::TooLarge);
        }
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut response = httparse::Response::new(&mut headers);
        if response.parse(bytes)?.is_partial() {
            return Err(HeadError::Incomplete);
        }
        let status = match response.code {
            Some(status @ 100..) => status,
            _ => return Err(HeadError::Malformed(httparse::Error::Status)),
        };
        Ok(Self {
            version: Version::from_minor(response.version),
            status,
            reason: response.reason.unwrap_or_default(),
            headers: Headers::from_parsed(response.headers),
        })
    }

    /// Whether the server may answer another request on the connection.
    #[must_use]
    pub fn keeps_alive(&self) -> bool {
        keeps_alive(self.version, &self.headers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_their_case_and_order_and_values_their_bytes() {
        let head =
            RequestHead::parse(b"POST http://a/?q HTTP/1.1\r\nhOST: a\r\nX-b:\t\xff\xfe v \r\nx-A:\r\n\r\n").unwrap();
        assert_eq!((head.method, head.target, head.version), ("POST", "http://a/?q", Version::Http11));
        let seen: Vec<_> = head.headers.iter().map(|header| (header.name, header.value)).collect();
        assert_eq!(seen, [("hOST", &b"a"[..]), ("X-b", b"\xff\xfe v"), ("x-A", b"")]);

        let head = ResponseHead::parse(b"HTTP/1.0 299 Quite fine\r\nA: b\r\n\r\n").unwrap();
        assert_eq!((head.version, head.status, head.reason), (Version::Http10, 299, "Quite fine"));
        assert_eq!(ResponseHead::parse(b"HTTP/1.1 200\r\n\r\n").unwrap().reason, "");
    }

    #[test]
    fn what_smugglers_use_is_refused() {
        for bytes in [
            &b"GET / HTTP/1.1\r\nHost : a\r\n\r\n"[..],
            b"GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n",
            b"GET / HTTP/1.1\r\n A: b\r\n\r\n",
            b"GET / HTTP/1.1\r\nA\0: b\r\n\r\n",
            b"GET / HTTP/1.1\r\nA: b\0\r\n\r\n",
            b"GET / HTTP/1.1\r\n: b\r\n\r\n",
            b"GET / HTTP/1.1\r\nnocolon\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
            b"GET  / HTTP/1.1\r\n\r\n",
            b"GET / HTTP/1.1 \r\n\r\n",
            b"GET / HTTP/1.2\r\n\r\n",
            b"GET / HTTP/2.0\r\n\r\n",
            b"GET /\r\n\r\n",
            b"GET / HTTP/1.1\r\nA: b\r\n",
            b"",
        ] {
            assert!(RequestHead::parse(bytes).is_err(), "{}", String::from_utf8_lossy(bytes));
        }
        for bytes in [
            &b"HTTP/1.1 200 OK\r\nA : b\r\n\r\n"[..],
            b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n",
            b"HTTP/1.1 99 OK\r\n\r\n",
            b"HTTP/1.1 099 OK\r\n\r\n",
            b"HTTP/1.1 2000 OK\r\n\r\n",
            b"HTTP/1.1 OK\r\n\r\n",
            b"ICY 200 OK\r\n\r\n",
        ] {
            assert!(ResponseHead::parse(bytes).is_err(), "{}", String::from_utf8_lossy(bytes));
        }
        assert_eq!(RequestHead::parse(b"PRI * HTTP/2.0\r\n\r\n"), Err(HeadError::Http2Preface));
    }

    #[test]
    fn headers_are_counted() {
        let head = |count: usize| format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(count));
        assert!(RequestHead::parse(head(MAX_HEADERS).as_bytes()).is_ok());
        assert_eq!(RequestHead::parse(head(MAX_HEADERS + 1).as_bytes()), Err(HeadError::TooManyHeaders));
    }

    #[test]
    fn who_keeps_the_connection() {
        for (version, header, keeps) in [
            ("HTTP/1.1", "A: b", true),
            ("HTTP/1.1", "Connection: foo, Close", false),
            ("HTTP/1.1", "Proxy-Connection: close", false),
            ("HTTP/1.0", "A: b", false),
            ("HTTP/1.0", "Connection: Keep-Alive", true),
            ("HTTP/1.0", "Proxy-Connection: keep-alive", true),
            ("HTTP/1.0", "Connection: keep-alive, close", false),
        ] {
            let bytes = format!("GET / {version}\r\n{header}\r\n\r\n");
            assert_eq!(RequestHead::parse(bytes.as_bytes()).unwrap().keeps_alive(), keeps, "{bytes}");
        }
    }
}
