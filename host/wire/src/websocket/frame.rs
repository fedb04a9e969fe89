//! [`FrameHead`]: everything of a frame but its payload (RFC 6455 §5.2).

use super::WebsocketError;
use crate::cursor::{Cursor, Short};

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opcode {
    /// More of the message before.
    Continuation,
    /// A message of text, or its beginning.
    Text,
    /// A message of bytes, or its beginning.
    Binary,
    /// The last frame.
    Close,
    /// Wants a pong.
    Ping,
    /// The answer to a ping, or unasked.
    Pong,
}

impl Opcode {
    fn new(code: u8) -> Result<Self, WebsocketError> {
        Ok(match code {
            0 => Self::Continuation,
            1 => Self::Text,
            2 => Self::Binary,
            8 => Self::Close,
            9 => Self::Ping,
            10 => Self::Pong,
            other => return Err(WebsocketError::Opcode(other)),
        })
    }

    fn code(self) -> u8 {
        match self {
            Self::Continuation => 0,
            Self::Text => 1,
            Self::Binary => 2,
            Self::Close => 8,
            Self::Ping => 9,
            Self::Pong => 10,
        }
    }

    /// Whether it may stand between the frames of a message, and is short.
    #[must_use]
    pub fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }
}

/// A frame without its payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameHead {
    /// The last frame of its message.
    pub last: bool,
    /// What it is.
    pub opcode: Opcode,
    /// With what the payload is masked; a client's must be.
    pub mask: Option<[u8; 4]>,
    /// Bytes of payload, 63 bits at most.
    pub length: u64,
}

impl FrameHead {
    /// Bytes of the longest head.
    pub const MAX: usize = 14;

    /// Reads the head at the start of `bytes` and its length, or `None` when more are needed.
    ///
    /// # Errors
    /// If no frame of this protocol, without extensions, begins so.
    pub fn parse(bytes: &[u8]) -> Result<Option<(Self, usize)>, WebsocketError> {
        let mut cursor = Cursor::new(bytes);
        let Ok([first, second]) = cursor.array() else {
            return Ok(None);
        };
        if first & 0x70 != 0 {
            return Err(WebsocketError::Reserved);
        }
        let opcode = Opcode::new(first & 0x0f)?;
        let last = first & 0x80 != 0;
        let masked = second & 0x80 != 0;
        let short = second & 0x7f;
        if opcode.is_control() && (!last || short > 125) {
            return Err(WebsocketError::Control);
        }
        let rest = |cursor: &mut Cursor<'_>| -> Result<_, Short> {
            let length = match short {
                126 => cursor.u16()?.into(),
                127 => u64::from_be_bytes(cursor.array()?),
                length => length.into(),
            };
            Ok((length, if masked { Some(cursor.array()?) } else { None }))
        };
        match rest(&mut cursor) {
            Err(Short) => Ok(None),
            Ok((length, _)) if length > i64::MAX as u64 => Err(WebsocketError::Length),
            Ok((length, mask)) => Ok(Some((Self { last, opcode, mask, length }, cursor.position()))),
        }
    }

    /// Appends the head; the payload, masked already, goes behind.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(u8::from(self.last) << 7 | self.opcode.code());
        let masked = u8::from(self.mask.is_some()) << 7;
        match (u8::try_from(self.length), u16::try_from(self.length)) {
            (Ok(length @ ..=125), _) => out.push(masked | length),
            (_, Ok(length)) => {
                out.push(masked | 126);
                out.extend(length.to_be_bytes());
            }
            _ => {
                out.push(masked | 127);
                out.extend(self.length.to_be_bytes());
            }
        }
        out.extend(self.mask.iter().flatten());
    }
}

/// Masks or unmasks `payload`, of which `offset` bytes came before (only its last two bits count).
pub fn apply_mask(payload: &mut [u8], mask: [u8; 4], offset: usize) {
    let mut mask = mask;
    mask.rotate_left(offset % 4);
    // Eight bytes at a time: this touches every byte of a tunnel.
    let wide = u64::from_ne_bytes([mask[0], mask[1], mask[2], mask[3], mask[0], mask[1], mask[2], mask[3]]);
    let (words, tail) = payload.as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
    }
    for (byte, key) in tail.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= key;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_read_and_written() {
        for (bytes, last, opcode, mask, length) in [
            (&b"\x82\x05"[..], true, Opcode::Binary, None, 5),
            (b"\x01\x80\x01\x02\x03\x04", false, Opcode::Text, Some([1, 2, 3, 4]), 0),
            (b"\x80\x7d", true, Opcode::Continuation, None, 125),
            (b"\x82\x7e\x00\x7e", true, Opcode::Binary, None, 126),
            (b"\x82\xfe\xff\xff\x01\x02\x03\x04", true, Opcode::Binary, Some([1, 2, 3, 4]), 65535),
            (b"\x82\x7f\0\0\0\0\0\x01\0\0", true, Opcode::Binary, None, 65536),
            (b"\x88\x02", true, Opcode::Close, None, 2),
            (b"\x89\x00", true, Opcode::Ping, None, 0),
            (b"\x8a\x7d", true, Opcode::Pong, None, 125),
        ] {
            let head = FrameHead { last, opcode, mask, length };
            for end in 0..bytes.len() {
                assert_eq!(FrameHead::parse(&bytes[..end]), Ok(None));
            }
            assert_eq!(FrameHead::parse(&[bytes, b"payload"].concat()), Ok(Some((head, bytes.len()))));
            let mut out = Vec::new();
            head.encode(&mut out);
            assert_eq!(out, bytes);
        }
    }

    #[test]
    fn other_heads_are_refused() {
        for (bytes, error) in [
            (&b"\xc2\x00"[..], WebsocketError::Reserved),
            (b"\x83\x00", WebsocketError::Opcode(3)),
            (b"\x8b\x00", WebsocketError::Opcode(11)),
            (b"\x09\x00", WebsocketError::Control),
            (b"\x88\x7e", WebsocketError::Control),
            (b"\x82\x7f\xff\0\0\0\0\0\0\0", WebsocketError::Length),
        ] {
            assert_eq!(FrameHead::parse(bytes), Err(error), "{bytes:?}");
        }
    }

    #[test]
    fn masking_goes_on_where_it_stopped() {
        let plain: Vec<u8> = (0..100).collect();
        let mask = [0xaa, 0x01, 0xff, 0x70];
        let expected: Vec<u8> = plain.iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key).collect();
        for cut in 0..plain.len() {
            let mut bytes = plain.clone();
            let (first, second) = bytes.split_at_mut(cut);
            apply_mask(first, mask, 0);
            apply_mask(second, mask, cut);
            assert_eq!(bytes, expected, "cut at {cut}");
        }
    }
}
