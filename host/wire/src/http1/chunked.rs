//! [`ChunkScanner`]: where a body in the chunked transfer coding ends (RFC 9112 §7.1).

use super::scanner::is_token;

/// Bytes of one line with a chunk's size and its extensions.
pub const MAX_CHUNK_LINE: usize = 1024;

/// Bytes of all trailers together.
pub const MAX_TRAILERS: usize = 16 * 1024;

/// Why bytes are not a chunked body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChunkError {
    /// No size, not hexadecimal, or more than 64 bits.
    #[error("invalid chunk size")]
    Size,
    /// The line with the size is longer than [`MAX_CHUNK_LINE`] or has a control character.
    #[error("invalid chunk extension")]
    Extension,
    /// A line or a chunk doesn't end with CR LF.
    #[error("chunk is not ended by CR LF")]
    LineEnd,
    /// Not a header line, or more than [`MAX_TRAILERS`] of them.
    #[error("invalid trailer")]
    Trailer,
}

/// Follows a chunked body through pieces of any size, so that it can be passed on as it is.
#[derive(Debug, Clone)]
pub struct ChunkScanner {
    state: State,
    /// The size of the current chunk, as far as it is read; then the bytes of it that are still to come.
    size: u64,
    /// Bytes of the current size line, or of all trailers.
    line: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before the first digit of a size.
    Size,
    Digits,
    /// Blanks behind a size: some servers pad it.
    Padding,
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    /// At the start of a trailer line, or of the last, empty one.
    Trailer,
    TrailerName,
    TrailerValue,
    TrailerLf,
    LastLf,
    Complete,
}

impl Default for ChunkScanner {
    fn default() -> Self {
        Self::new()
    }
}

impl ChunkScanner {
    /// At the start of a body.
    #[must_use]
    pub fn new() -> Self {
        Self { state: State::Size, size: 0, line: 0 }
    }

    /// How many of `bytes`, the next ones received, belong to the body. Fewer than all of them means that it is over.
    ///
    /// # Errors
    /// If they aren't a chunked body.
    pub fn scan(&mut self, bytes: &[u8]) -> Result<usize, ChunkError> {
        self.decode(bytes, |_| {})
    }

    /// As [`scan`](Self::scan), and gives `content` what is in the chunks.
    pub(super) fn decode(&mut self, bytes: &[u8], mut content: impl FnMut(&[u8])) -> Result<usize, ChunkError> {
        let mut at = 0;
        while at < bytes.len() {
            match self.state {
                State::Complete => break,
                State::Data => {
                    let here = usize::try_from(self.size).unwrap_or(usize::MAX).min(bytes.len() - at);
                    self.size -= here as u64;
                    content(&bytes[at..at + here]);
                    at += here;
                    if self.size == 0 {
                        self.state = State::DataCr;
                    }
                }
                _ => {
                    self.state = self.step(bytes[at])?;
                    at += 1;
                }
            }
        }
        Ok(at)
    }

    /// Whether the last byte of the body, its trailers included, has been seen.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.state == State::Complete
    }

    /// The state after `byte`, which is not chunk data.
    fn step(&mut self, byte: u8) -> Result<State, ChunkError> {
        self.line += 1;
        match self.state {
            State::Size | State::Digits | State::Padding | State::Extension | State::SizeLf => self.step_size(byte),
            State::Data | State::DataCr => expect(byte, b'\r', State::DataLf),
            State::DataLf => {
                self.line = 0;
                self.size = 0;
                expect(byte, b'\n', State::Size)
            }
            State::Trailer | State::TrailerName | State::TrailerValue | State::TrailerLf | State::LastLf => {
                self.step_trailer(byte)
            }
            State::Complete => Ok(State::Complete),
        }
    }

    fn step_size(&mut self, byte: u8) -> Result<State, ChunkError> {
        if self.line > MAX_CHUNK_LINE {
            return Err(ChunkError::Extension);
        }
        match (self.state, byte) {
            (State::SizeLf, _) => {
                self.line = 0;
                expect(byte, b'\n', if self.size == 0 { State::Trailer } else { State::Data })
            }
            (State::Size | State::Digits, byte) if byte.is_ascii_hexdigit() => {
                if self.size >> 60 != 0 {
                    return Err(ChunkError::Size);
                }
                let digit = char::from(byte).to_digit(16).ok_or(ChunkError::Size)?;
                self.size = self.size << 4 | u64::from(digit);
                Ok(State::Digits)
            }
            (State::Size, _) => Err(ChunkError::Size),
            (_, b'\r') => Ok(State::SizeLf),
            (_, b'\n') => Err(ChunkError::LineEnd),
            (State::Digits | State::Padding, b' ' | b'\t') => Ok(State::Padding),
            (State::Digits | State::Padding, b';') => Ok(State::Extension),
            (State::Digits | State::Padding, _) => Err(ChunkError::Size),
            (_, byte) if is_text(byte) => Ok(State::Extension),
            _ => Err(ChunkError::Extension),
        }
    }

    fn step_trailer(&mut self, byte: u8) -> Result<State, ChunkError> {
        if self.line > MAX_TRAILERS {
            return Err(ChunkError::Trailer);
        }
        match (self.state, byte) {
            (State::LastLf, _) => expect(byte, b'\n', State::Complete),
            (State::TrailerLf, _) => expect(byte, b'\n', State::Trailer),
            (State::Trailer, b'\r') => Ok(State::LastLf),
            (State::Trailer | State::TrailerName, byte) if is_token(byte) => Ok(State::TrailerName),
            (State::TrailerName, b':') => Ok(State::TrailerValue),
            (State::TrailerValue, b'\r') => Ok(State::TrailerLf),
            (State::TrailerValue, byte) if is_text(byte) => Ok(State::TrailerValue),
            (_, b'\n') => Err(ChunkError::LineEnd),
            _ => Err(ChunkError::Trailer),
        }
    }
}

fn expect(byte: u8, wanted: u8, next: State) -> Result<State, ChunkError> {
    if byte == wanted { Ok(next) } else { Err(ChunkError::LineEnd) }
}

/// What may stand in a header's value (RFC 9110 §5.5).
fn is_text(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODIES: [&[u8]; 5] = [
        b"0\r\n\r\n",
        b"5\r\nhello\r\n0\r\n\r\n",
        b"A;name=\"v;w\"\r\n0123456789\r\n1  \r\n\n\r\n00000000000000000000\r\n\r\n",
        b"1\t;x\r\n\r\r\n0\r\nX-Sum: a b\xff\r\nEmpty:\r\n\r\n",
        b"0a\r\n\r\n0\r\n\r\n\r\n0\r\n0;last\r\n\r\n",
    ];

    #[test]
    fn a_body_ends_at_the_same_byte_however_it_is_split() {
        for body in BODIES {
            let mut stream = body.to_vec();
            stream.extend(b"GET / HTTP/1.1\r\n");
            for first in 0..=stream.len() {
                for second in [first, (first + 1).min(stream.len()), stream.len()] {
                    let mut scanner = ChunkScanner::new();
                    let mut taken = 0;
                    for piece in [&stream[..first], &stream[first..second], &stream[second..]] {
                        taken += scanner.scan(piece).unwrap();
                    }
                    assert!(scanner.is_complete());
                    assert_eq!(taken, body.len(), "{body:?} split at {first} and {second}");
                }
            }
            let mut scanner = ChunkScanner::new();
            for (at, byte) in body.iter().enumerate() {
                assert!(!scanner.is_complete(), "{body:?} at {at}");
                assert_eq!(scanner.scan(&[*byte]), Ok(1));
            }
            assert!(scanner.is_complete());
        }
    }

    #[test]
    fn malformed_bodies_are_refused() {
        for (body, error) in [
            (&b"\r\n"[..], ChunkError::Size),
            (b"g\r\n", ChunkError::Size),
            (b"-1\r\n", ChunkError::Size),
            (b" 1\r\n", ChunkError::Size),
            (b"0x1\r\n", ChunkError::Size),
            (b"1 1\r\n", ChunkError::Size),
            (b"10000000000000000\r\n", ChunkError::Size),
            (b"1\na\r\n", ChunkError::LineEnd),
            (b"1\rx", ChunkError::LineEnd),
            (b"1;a\nb\r\n", ChunkError::LineEnd),
            (b"1;a\0\r\n", ChunkError::Extension),
            (b"1\r\nab\r\n", ChunkError::LineEnd),
            (b"1\r\na\n0\r\n\r\n", ChunkError::LineEnd),
            (b"0\r\n\n", ChunkError::LineEnd),
            (b"0\r\n folded\r\n\r\n", ChunkError::Trailer),
            (b"0\r\nName : v\r\n\r\n", ChunkError::Trailer),
            (b"0\r\nnocolon\r\n\r\n", ChunkError::Trailer),
            (b"0\r\nA: b\nC: d\r\n\r\n", ChunkError::LineEnd),
            (b"0\r\nA: b\rC: d\r\n\r\n", ChunkError::LineEnd),
        ] {
            let mut scanner = ChunkScanner::new();
            let outcome = body.iter().try_for_each(|byte| scanner.scan(&[*byte]).map(|_| ()));
            assert_eq!(outcome, Err(error), "{}", String::from_utf8_lossy(body));
            assert_eq!(ChunkScanner::new().scan(body), Err(error));
        }
        assert_eq!(ChunkScanner::new().scan(b"ffffffffffffffff\r\nabc"), Ok(21));
    }

    #[test]
    fn lines_are_bounded() {
        let mut long = b"1;".to_vec();
        long.resize(MAX_CHUNK_LINE, b'a');
        assert!(ChunkScanner::new().scan(&long).is_ok());
        long.push(b'a');
        assert_eq!(ChunkScanner::new().scan(&long), Err(ChunkError::Extension));

        let mut trailers = b"0\r\n".to_vec();
        trailers.extend(b"A: b\r\n".repeat(MAX_TRAILERS / 6));
        assert!(ChunkScanner::new().scan(&trailers).is_ok());
        trailers.extend(b"A: b\r\n");
        assert_eq!(ChunkScanner::new().scan(&trailers), Err(ChunkError::Trailer));
    }
}
