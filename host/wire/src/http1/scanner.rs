//! [`HeadScanner`]: where a message's head ends.

use super::HeadError;

/// Bytes of one head, its last empty line included; a longer one is refused.
pub const MAX_HEAD: usize = 64 * 1024;

/// No registered method is longer than 17 bytes (`UPDATEREDIRECTREF`).
const MAX_METHOD: usize = 32;

/// Finds the end of a head in a growing buffer, looking at each byte once.
///
/// Lines end with CR LF and nothing else: a bare CR or LF is where implementations disagree (RFC 9112 §2.2).
#[derive(Debug, Clone)]
pub struct HeadScanner {
    start: Start,
    /// Bytes looked at so far.
    seen: usize,
    /// Where the current line begins.
    line: usize,
    /// Whether a line that isn't empty has been seen.
    begun: bool,
}

#[derive(Debug, Clone, Copy)]
enum Start {
    Request,
    Response,
}

impl HeadScanner {
    /// For a request. Empty lines before it are skipped (RFC 9112 §2.2).
    #[must_use]
    pub fn request() -> Self {
        Self { start: Start::Request, seen: 0, line: 0, begun: false }
    }

    /// For a response.
    #[must_use]
    pub fn response() -> Self {
        Self { start: Start::Response, seen: 0, line: 0, begun: false }
    }

    /// The length of the head at the start of `buf`, or `None` when more bytes are needed. `buf` holds what the previous
    /// call was given, and perhaps more behind it.
    ///
    /// # Errors
    /// As soon as the bytes can't become a head: a TLS or SOCKS client is told apart by its first byte and needn't be
    /// waited for.
    pub fn scan(&mut self, buf: &[u8]) -> Result<Option<usize>, HeadError> {
        while let Some(&byte) = buf.get(self.seen) {
            match (byte, buf.get(self.seen + 1)) {
                (b'\r', None) => break,
                (b'\r', Some(b'\n')) => {
                    let empty = self.line == self.seen;
                    self.seen += 2;
                    self.line = self.seen;
                    if empty && self.begun {
                        return if self.seen <= MAX_HEAD { Ok(Some(self.seen)) } else { Err(HeadError::TooLarge) };
                    }
                    self.begun |= !empty;
                }
                (b'\r' | b'\n', _) => return Err(HeadError::BareLineEnd),
                _ => self.seen += 1,
            }
            if !self.begun {
                self.check_start(&buf[self.line..self.seen])?;
            }
        }
        if buf.len() >= MAX_HEAD { Err(HeadError::TooLarge) } else { Ok(None) }
    }

    /// Whether `line`, what is known of the first line, may begin such a message.
    fn check_start(&self, line: &[u8]) -> Result<(), HeadError> {
        let possible = match self.start {
            // Only the byte that is new needs a look, until the method is complete.
            Start::Request => match line.last() {
                None => true,
                Some(_) if line.len() > MAX_METHOD => line[..=MAX_METHOD].contains(&b' '),
                Some(b' ') => line.len() > 1,
                Some(&byte) => is_token(byte) || line.contains(&b' '),
            },
            Start::Response => {
                let version = &b"HTTP/1."[..];
                let known = line.len().min(version.len());
                line[..known] == version[..known] && self.line == 0
            }
        };
        if possible { Ok(()) } else { Err(HeadError::NotHttp) }
    }
}

/// `tchar` of RFC 9110 §5.6.2.
pub(super) fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds `bytes` one by one: the outcome, and how many bytes it took.
    fn drip(mut scanner: HeadScanner, bytes: &[u8]) -> (Result<Option<usize>, HeadError>, usize) {
        for end in 0..=bytes.len() {
            let outcome = scanner.scan(&bytes[..end]);
            if outcome != Ok(None) {
                return (outcome, end);
            }
        }
        (Ok(None), bytes.len())
    }

    #[test]
    fn a_head_is_found_however_it_arrives() {
        let bytes = b"\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\nbody\r\n\r\n";
        let end = 31;
        assert_eq!(drip(HeadScanner::request(), bytes), (Ok(Some(end)), end));
        for split in 0..bytes.len() {
            let mut scanner = HeadScanner::request();
            let first = scanner.scan(&bytes[..split]).unwrap();
            let found = if first.is_some() { first } else { scanner.scan(bytes).unwrap() };
            assert_eq!(found, Some(end), "split at {split}");
        }
        let response = b"HTTP/1.1 200 OK\r\n\r\n";
        assert_eq!(drip(HeadScanner::response(), response), (Ok(Some(19)), 19));
    }

    #[test]
    fn what_can_not_become_a_head_is_refused_at_once() {
        for (bytes, error, at) in [
            (&b"\x16\x03\x01\x02\x00"[..], HeadError::NotHttp, 1),
            (b"\x05\x01\x00", HeadError::NotHttp, 1),
            (b" GET / HTTP/1.1\r\n", HeadError::NotHttp, 1),
            (b"GET\0/ HTTP/1.1\r\n", HeadError::NotHttp, 4),
            (&[b'A'; 64], HeadError::NotHttp, 33),
            (b"GET / HTTP/1.1\nHost: a\n\n", HeadError::BareLineEnd, 15),
            (b"GET / HTTP/1.1\r\nA: b\rc\r\n\r\n", HeadError::BareLineEnd, 22),
        ] {
            assert_eq!(drip(HeadScanner::request(), bytes), (Err(error), at), "{bytes:?}");
        }
        for bytes in [&b"SSH-2.0-x\r\n"[..], b"\r\nHTTP/1.1 200 OK\r\n\r\n", b"HTTP/2 200\r\n\r\n"] {
            assert_eq!(drip(HeadScanner::response(), bytes).0, Err(HeadError::NotHttp));
        }
    }

    #[test]
    fn a_head_is_bounded() {
        let mut head = b"GET / HTTP/1.1\r\nA: ".to_vec();
        head.resize(MAX_HEAD - 4, b'a');
        head.extend(b"\r\n\r\n");
        assert_eq!(HeadScanner::request().scan(&head), Ok(Some(MAX_HEAD)));
        head.insert(20, b'a');
        assert_eq!(HeadScanner::request().scan(&head), Err(HeadError::TooLarge));
        assert_eq!(HeadScanner::request().scan(&head[..MAX_HEAD]), Err(HeadError::TooLarge));
        assert_eq!(HeadScanner::request().scan(&head[..MAX_HEAD - 1]), Ok(None));
    }
}
