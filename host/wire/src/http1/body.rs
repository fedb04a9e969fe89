//! [`BodyLength`] and [`BodyScanner`]: which bytes behind a head are its body (RFC 9112 §6).

use super::{ChunkError, ChunkScanner, Headers, RequestHead, ResponseHead, Version};

/// How a body is delimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyLength {
    /// No body.
    None,
    /// So many bytes.
    Sized(u64),
    /// The chunked transfer coding.
    Chunked,
    /// Everything until the server closes; never a request's.
    UntilClose,
}

/// Why a body's length can't be told, or might be told differently by someone else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FramingError {
    /// RFC 9112 §6.1 calls it an attempt at smuggling.
    #[error("both content-length and transfer-encoding")]
    LengthAndCoding,
    /// Anything but one `chunked`, or any coding in HTTP/1.0.
    #[error("unsupported transfer-encoding")]
    Coding,
    /// Not digits, or more than 64 bits.
    #[error("invalid content-length")]
    Length,
    /// Several values that differ.
    #[error("differing content-lengths")]
    DifferingLengths,
}

impl BodyLength {
    /// Of a request (RFC 9112 §6.3). What follows a CONNECT is the tunnel's, whatever its headers say.
    ///
    /// # Errors
    /// If the headers are contradictory or malformed.
    pub fn of_request(head: &RequestHead<'_>) -> Result<Self, FramingError> {
        let framing = framing(&head.headers, head.version)?;
        Ok(if head.method == "CONNECT" { Self::None } else { framing.unwrap_or(Self::None) })
    }

    /// Of the response to a request with `method` (RFC 9112 §6.3).
    ///
    /// # Errors
    /// If the headers are contradictory or malformed.
    pub fn of_response(head: &ResponseHead<'_>, method: &str) -> Result<Self, FramingError> {
        let tunnel = method == "CONNECT" && (200..300).contains(&head.status);
        if tunnel || method == "HEAD" || matches!(head.status, 100..=199 | 204 | 304) {
            return Ok(Self::None);
        }
        Ok(framing(&head.headers, head.version)?.unwrap_or(Self::UntilClose))
    }
}

fn framing(headers: &Headers<'_>, version: Version) -> Result<Option<BodyLength>, FramingError> {
    let length = content_length(headers)?;
    let mut codings = headers.get_all("transfer-encoding");
    let Some(coding) = codings.next() else {
        return Ok(length.map(BodyLength::Sized));
    };
    if length.is_some() {
        return Err(FramingError::LengthAndCoding);
    }
    // A list such as `gzip, chunked` is legal, but a proxy that doesn't decode it has nothing to gain from taking it.
    if version == Version::Http10 || codings.next().is_some() || !coding.eq_ignore_ascii_case(b"chunked") {
        return Err(FramingError::Coding);
    }
    Ok(Some(BodyLength::Chunked))
}

fn content_length(headers: &Headers<'_>) -> Result<Option<u64>, FramingError> {
    let mut length = None;
    for value in headers.get_all("content-length") {
        // `str::parse` alone would take a leading plus.
        if !value.iter().all(u8::is_ascii_digit) {
            return Err(FramingError::Length);
        }
        let value = std::str::from_utf8(value).ok().and_then(|digits| digits.parse().ok());
        let value: u64 = value.ok_or(FramingError::Length)?;
        if length.is_some_and(|earlier| earlier != value) {
            return Err(FramingError::DifferingLengths);
        }
        length = Some(value);
    }
    Ok(length)
}

/// Tells, piece by piece, which bytes belong to a body, its framing and trailers included.
#[derive(Debug, Clone)]
pub struct BodyScanner(Kind);

#[derive(Debug, Clone)]
enum Kind {
    /// Bytes that are still to come.
    Sized(u64),
    Chunked(ChunkScanner),
    UntilClose,
}

impl BodyScanner {
    /// For a body of `length`.
    #[must_use]
    pub fn new(length: BodyLength) -> Self {
        Self(match length {
            BodyLength::None => Kind::Sized(0),
            BodyLength::Sized(bytes) => Kind::Sized(bytes),
            BodyLength::Chunked => Kind::Chunked(ChunkScanner::new()),
            BodyLength::UntilClose => Kind::UntilClose,
        })
    }

    /// How many of `bytes`, the next ones received, belong to the body. Fewer than all of them means that it is over.
    ///
    /// # Errors
    /// If a chunked body is malformed; nothing after that can be trusted.
    pub fn scan(&mut self, bytes: &[u8]) -> Result<usize, ChunkError> {
        self.decode(bytes, |_| {})
    }

    /// As [`scan`](Self::scan), and gives `content` the body's bytes without their framing, in pieces.
    ///
    /// # Errors
    /// As [`scan`](Self::scan).
    pub fn decode(&mut self, bytes: &[u8], mut content: impl FnMut(&[u8])) -> Result<usize, ChunkError> {
        let belonging = match &mut self.0 {
            Kind::Sized(left) => {
                let belonging = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                *left -= belonging as u64;
                belonging
            }
            Kind::Chunked(chunks) => return chunks.decode(bytes, content),
            Kind::UntilClose => bytes.len(),
        };
        content(&bytes[..belonging]);
        Ok(belonging)
    }

    /// Whether the whole body has been seen; never so while it is delimited by the end of the connection.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        match &self.0 {
            Kind::Sized(left) => *left == 0,
            Kind::Chunked(chunks) => chunks.is_complete(),
            Kind::UntilClose => false,
        }
    }

    /// Whether the sender may close the connection now without having cut the body short.
    #[must_use]
    pub fn may_end(&self) -> bool {
        matches!(self.0, Kind::UntilClose) || self.is_complete()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use BodyLength::{Chunked, None, Sized, UntilClose};

    #[test]
    fn a_request_says_how_long_its_body_is() {
        for (start, headers, expected) in [
            ("GET / HTTP/1.1", "", Ok(None)),
            ("POST / HTTP/1.1", "", Ok(None)),
            ("POST / HTTP/1.1", "Content-Length: 0\r\n", Ok(Sized(0))),
            ("POST / HTTP/1.1", "content-length: 18446744073709551615\r\n", Ok(Sized(u64::MAX))),
            ("POST / HTTP/1.1", "Content-Length: 18446744073709551616\r\n", Err(FramingError::Length)),
            ("POST / HTTP/1.1", "Content-Length: +5\r\n", Err(FramingError::Length)),
            ("POST / HTTP/1.1", "Content-Length: -5\r\n", Err(FramingError::Length)),
            ("POST / HTTP/1.1", "Content-Length: 0x5\r\n", Err(FramingError::Length)),
            ("POST / HTTP/1.1", "Content-Length:\r\n", Err(FramingError::Length)),
            ("POST / HTTP/1.1", "Content-Length: 5, 5\r\n", Err(FramingError::Length)),
            ("POST / HTTP/1.1", "Content-Length: 5\r\ncontent-length: 5\r\n", Ok(Sized(5))),
            ("POST / HTTP/1.1", "Content-Length: 5\r\nContent-Length: 6\r\n", Err(FramingError::DifferingLengths)),
            ("POST / HTTP/1.1", "Transfer-Encoding: chunked\r\n", Ok(Chunked)),
            ("POST / HTTP/1.1", "transfer-encoding: CHUNKED\r\n", Ok(Chunked)),
            ("POST / HTTP/1.0", "Transfer-Encoding: chunked\r\n", Err(FramingError::Coding)),
            ("POST / HTTP/1.1", "Transfer-Encoding: gzip, chunked\r\n", Err(FramingError::Coding)),
            ("POST / HTTP/1.1", "Transfer-Encoding: identity\r\n", Err(FramingError::Coding)),
            ("POST / HTTP/1.1", "Transfer-Encoding: xchunked\r\n", Err(FramingError::Coding)),
            ("POST / HTTP/1.1", "Transfer-Encoding: chunked,\r\n", Err(FramingError::Coding)),
            ("POST / HTTP/1.1", "Transfer-Encoding:\r\n", Err(FramingError::Coding)),
            (
                "POST / HTTP/1.1",
                "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
                Err(FramingError::Coding),
            ),
            (
                "POST / HTTP/1.1",
                "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
                Err(FramingError::LengthAndCoding),
            ),
            ("CONNECT a:1 HTTP/1.1", "Content-Length: 5\r\n", Ok(None)),
        ] {
            let bytes = format!("{start}\r\n{headers}\r\n");
            let head = RequestHead::parse(bytes.as_bytes()).unwrap();
            assert_eq!(BodyLength::of_request(&head), expected, "{bytes}");
        }
    }

    #[test]
    fn a_body_is_told_from_its_framing() {
        for (length, bytes, belonging, expected) in [
            (Sized(3), &b"abcd"[..], 3, &b"abc"[..]),
            (Chunked, b"2;x\r\nab\r\n1\r\nc\r\n0\r\nT: u\r\n\r\nd", 26, b"abc"),
            (UntilClose, b"abcd", 4, b"abcd"),
            (None, b"a", 0, b""),
        ] {
            for cut in 0..=bytes.len() {
                let (mut scanner, mut content) = (BodyScanner::new(length), Vec::new());
                let (first, second) = bytes.split_at(cut);
                let mut taken = scanner.decode(first, |part| content.extend(part)).unwrap();
                if taken == cut {
                    taken += scanner.decode(second, |part| content.extend(part)).unwrap();
                }
                assert_eq!((taken, &content[..]), (belonging, expected), "{length:?} cut at {cut}");
            }
        }
    }

    #[test]
    fn a_response_may_have_no_body_whatever_it_says() {
        for (method, status, headers, expected) in [
            ("GET", 200, "Content-Length: 5\r\n", Ok(Sized(5))),
            ("GET", 200, "Transfer-Encoding: chunked\r\n", Ok(Chunked)),
            ("GET", 200, "", Ok(UntilClose)),
            ("HEAD", 200, "Content-Length: 5\r\n", Ok(None)),
            ("GET", 100, "", Ok(None)),
            ("GET", 204, "Content-Length: 5\r\n", Ok(None)),
            ("GET", 304, "Content-Length: 5\r\n", Ok(None)),
            ("CONNECT", 200, "Content-Length: 5\r\n", Ok(None)),
            ("CONNECT", 403, "Content-Length: 5\r\n", Ok(Sized(5))),
            ("GET", 200, "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", Err(FramingError::LengthAndCoding)),
            ("GET", 200, "Transfer-Encoding: gzip\r\n", Err(FramingError::Coding)),
        ] {
            let bytes = format!("HTTP/1.1 {status} x\r\n{headers}\r\n");
            let head = ResponseHead::parse(bytes.as_bytes()).unwrap();
            assert_eq!(BodyLength::of_response(&head, method), expected, "{method} {bytes}");
        }
    }

    #[test]
    fn a_body_ends_where_it_should() {
        let mut body = BodyScanner::new(Sized(5));
        assert_eq!((body.scan(b"abc"), body.is_complete(), body.may_end()), (Ok(3), false, false));
        assert_eq!((body.scan(b"defg"), body.is_complete(), body.may_end()), (Ok(2), true, true));
        assert_eq!(body.scan(b"x"), Ok(0));

        let mut body = BodyScanner::new(Chunked);
        assert_eq!((body.scan(b"1\r\na\r\n0\r\n\r\nGET"), body.is_complete()), (Ok(11), true));

        let mut body = BodyScanner::new(UntilClose);
        assert_eq!((body.scan(b"abc"), body.is_complete(), body.may_end()), (Ok(3), false, true));
        assert!(BodyScanner::new(None).is_complete());
    }
}
