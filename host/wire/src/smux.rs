//! The frames of smux, which carries streams in one connection (GOST reference, dataplane 5).
//!
//! A frame is `version:u8 command:u8 length:u16 stream:u32`, little-endian, and its payload.

/// Bytes of a frame without its payload.
pub const HEAD: usize = 8;

/// Bytes that both ends let each other send on a new stream before they know better (version 2).
pub const INITIAL_WINDOW: u32 = 256 * 1024;

const SYN: u8 = 0;
const FIN: u8 = 1;
const PSH: u8 = 2;
const NOP: u8 = 3;
const UPD: u8 = 4;
const UPDATE: usize = 8;

/// Which smux both ends speak. They don't negotiate it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Version {
    /// Streams share what the receiver has room for.
    V1,
    /// Each stream has a window.
    V2,
}

impl Version {
    const fn number(self) -> u8 {
        match self {
            Self::V1 => 1,
            Self::V2 => 2,
        }
    }
}

/// Why bytes are no frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SmuxError {
    /// Another version's, or another protocol's.
    #[error("the peer speaks smux version {found}, not {wanted}: both need the same `mux.version`", wanted = wanted.number())]
    Version {
        /// In the frame.
        found: u8,
        /// What is spoken here.
        wanted: Version,
    },
    /// No command of smux.
    #[error("smux command {0}, which isn't known")]
    Command(u8),
    /// A payload where there is none, or an update of another length.
    #[error("smux command {command} with {length} bytes")]
    Length {
        /// In the frame.
        command: u8,
        /// In the frame.
        length: u16,
    },
}

/// What a peer says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event<'b> {
    /// There is a new stream.
    Open(u32),
    /// A stream is over, in both directions.
    Close(u32),
    /// Bytes of a stream. A frame's may come in several pieces.
    Data(u32, &'b [u8]),
    /// Nothing, but it lives.
    Nop,
    /// How a stream's window stands.
    Update {
        /// The stream.
        stream: u32,
        /// Bytes that were taken off the stream since it began, modulo 2³².
        consumed: u32,
        /// Bytes beyond those that may be sent.
        window: u32,
    },
}

/// Reads frames, however they are cut. It keeps 16 bytes at most.
#[derive(Debug)]
pub struct Decoder {
    version: Version,
    /// A head, or that of an update and the update, as far as it is there.
    partial: [u8; HEAD + UPDATE],
    length: usize,
    /// The stream whose payload comes, and how much of it.
    payload: (u32, usize),
}

impl Decoder {
    /// At the start of a connection.
    #[must_use]
    pub fn new(version: Version) -> Self {
        Self { version, partial: [0; HEAD + UPDATE], length: 0, payload: (0, 0) }
    }

    /// Takes the next event off the front of `bytes`; `None` when all of them are taken and it isn't complete.
    ///
    /// # Errors
    /// If no frame begins so. Nothing can be read behind that.
    pub fn next<'b>(&mut self, bytes: &mut &'b [u8]) -> Result<Option<Event<'b>>, SmuxError> {
        loop {
            let (stream, remaining) = self.payload;
            if remaining > 0 {
                if bytes.is_empty() {
                    return Ok(None);
                }
                let (data, rest) = bytes.split_at(remaining.min(bytes.len()));
                self.payload.1 -= data.len();
                *bytes = rest;
                return Ok(Some(Event::Data(stream, data)));
            }
            let Some([version, command, l0, l1, s0, s1, s2, s3]) = self.gather(0, bytes) else { return Ok(None) };
            let (length, stream) = (u16::from_le_bytes([l0, l1]), u32::from_le_bytes([s0, s1, s2, s3]));
            if version != self.version.number() {
                return Err(SmuxError::Version { found: version, wanted: self.version });
            }
            let event = match (command, length) {
                (SYN, 0) => Event::Open(stream),
                (FIN, 0) => Event::Close(stream),
                (NOP, 0) => Event::Nop,
                (PSH, length) => {
                    self.length = 0;
                    self.payload = (stream, length.into());
                    continue;
                }
                (UPD, 8) => {
                    let Some(update) = self.gather(HEAD, bytes) else { return Ok(None) };
                    let [c0, c1, c2, c3, w0, w1, w2, w3] = update;
                    let (consumed, window) =
                        (u32::from_le_bytes([c0, c1, c2, c3]), u32::from_le_bytes([w0, w1, w2, w3]));
                    Event::Update { stream, consumed, window }
                }
                (SYN | FIN | NOP | UPD, length) => return Err(SmuxError::Length { command, length }),
                (other, _) => return Err(SmuxError::Command(other)),
            };
            self.length = 0;
            return Ok(Some(event));
        }
    }

    /// The eight bytes of the partial frame from `start` on, once they are there.
    fn gather(&mut self, start: usize, bytes: &mut &[u8]) -> Option<[u8; 8]> {
        let end = start + 8;
        if self.length < end {
            let taken = (end - self.length).min(bytes.len());
            let (more, rest) = bytes.split_at(taken);
            self.partial[self.length..self.length + taken].copy_from_slice(more);
            self.length += taken;
            *bytes = rest;
        }
        if self.length < end { None } else { self.partial[start..end].try_into().ok() }
    }
}

/// The head of a frame with `length` bytes of a stream, which go behind it.
#[must_use]
pub fn data(version: Version, stream: u32, length: u16) -> [u8; HEAD] {
    head(version, PSH, length, stream)
}

/// A frame that opens a stream.
#[must_use]
pub fn open(version: Version, stream: u32) -> [u8; HEAD] {
    head(version, SYN, 0, stream)
}

/// A frame that ends a stream.
#[must_use]
pub fn close(version: Version, stream: u32) -> [u8; HEAD] {
    head(version, FIN, 0, stream)
}

/// A frame that says nothing.
#[must_use]
pub fn nop(version: Version) -> [u8; HEAD] {
    head(version, NOP, 0, 0)
}

/// A frame that tells how a stream's window stands; see [`Event::Update`].
#[must_use]
pub fn update(version: Version, stream: u32, consumed: u32, window: u32) -> [u8; HEAD + UPDATE] {
    let mut frame = [0; HEAD + UPDATE];
    frame[..HEAD].copy_from_slice(&head(version, UPD, 8, stream));
    frame[HEAD..HEAD + 4].copy_from_slice(&consumed.to_le_bytes());
    frame[HEAD + 4..].copy_from_slice(&window.to_le_bytes());
    frame
}

fn head(version: Version, command: u8, length: u16, stream: u32) -> [u8; HEAD] {
    let ([l0, l1], [s0, s1, s2, s3]) = (length.to_le_bytes(), stream.to_le_bytes());
    [version.number(), command, l0, l1, s0, s1, s2, s3]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The events in `bytes`, fed in pieces of `size`, the data of one frame joined.
    fn events(version: Version, bytes: &[u8], size: usize) -> Result<Vec<(Event<'static>, Vec<u8>)>, SmuxError> {
        let mut decoder = Decoder::new(version);
        let mut found: Vec<(Event<'static>, Vec<u8>)> = Vec::new();
        for mut piece in bytes.chunks(size) {
            while let Some(event) = decoder.next(&mut piece)? {
                match (event, found.last_mut()) {
                    (Event::Data(id, data), Some((Event::Data(last, _), joined))) if *last == id => joined.extend(data),
                    (Event::Data(id, data), _) => found.push((Event::Data(id, b""), data.to_vec())),
                    (Event::Open(id), _) => found.push((Event::Open(id), Vec::new())),
                    (Event::Close(id), _) => found.push((Event::Close(id), Vec::new())),
                    (Event::Nop, _) => found.push((Event::Nop, Vec::new())),
                    (Event::Update { stream, consumed, window }, _) => {
                        found.push((Event::Update { stream, consumed, window }, Vec::new()));
                    }
                }
            }
            assert!(piece.is_empty());
        }
        Ok(found)
    }

    #[test]
    fn frames_are_read_however_they_are_cut() {
        let v2 = Version::V2;
        let bytes = [
            &open(v2, 3)[..],
            &data(v2, 3, 5),
            b"hello",
            &data(v2, 3, 0),
            &nop(v2),
            &update(v2, 3, 70_000, 65_536),
            &close(v2, 3),
        ]
        .concat();
        assert_eq!(&bytes[..17], b"\x02\x00\0\0\x03\0\0\0\x02\x02\x05\0\x03\0\0\0h");
        assert_eq!(&bytes[37..53], b"\x02\x04\x08\0\x03\0\0\0\x70\x11\x01\0\0\0\x01\0");
        let expected = vec![
            (Event::Open(3), vec![]),
            (Event::Data(3, b""), b"hello".to_vec()),
            (Event::Nop, vec![]),
            (Event::Update { stream: 3, consumed: 70_000, window: 65_536 }, vec![]),
            (Event::Close(3), vec![]),
        ];
        for size in 1..=bytes.len() {
            assert_eq!(events(v2, &bytes, size).as_ref(), Ok(&expected), "pieces of {size}");
        }
    }

    #[test]
    fn what_is_no_frame() {
        for (bytes, error) in [
            (&b"\x02\x03\0\0\0\0\0\0"[..], SmuxError::Version { found: 2, wanted: Version::V1 }),
            (b"\x01\x05\0\0\0\0\0\0", SmuxError::Command(5)),
            (b"\x01\x00\x01\0\0\0\0\0", SmuxError::Length { command: 0, length: 1 }),
            (b"\x01\x04\x04\0\0\0\0\0", SmuxError::Length { command: 4, length: 4 }),
        ] {
            for size in [1, 8] {
                assert_eq!(events(Version::V1, bytes, size), Err(error), "{bytes:?}");
            }
        }
    }
}
