//! [`Decoder`]: frames to a stream of bytes.

use std::ops::Range;

use super::{FrameHead, Opcode, Role, WebsocketError, apply_mask};

/// Bytes of the longest payload of a control frame.
pub const MAX_CONTROL: usize = 125;

/// What the next bytes of a connection are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Nothing before more bytes are received.
    More,
    /// Payload of a message, or a piece of it: these bytes of the buffer, unmasked.
    Data(Range<usize>),
    /// A ping with this payload in the buffer, unmasked; it goes back in a pong.
    Ping(Range<usize>),
    /// A pong.
    Pong,
    /// The peer won't send anything after this; its code and reason in the buffer, unmasked.
    Close(Range<usize>),
}

/// An event, and how many bytes of the buffer are done with; the rest is the beginning of the next one's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What happened.
    pub event: Event,
    /// Bytes to drop from the front, after the event's own were used.
    pub consumed: usize,
}

/// Takes frames apart as they come. Holds no bytes itself.
#[derive(Debug, Clone)]
pub struct Decoder {
    role: Role,
    /// The frame whose payload is on its way.
    frame: Option<Payload>,
    /// A message has begun and its last frame hasn't come.
    in_message: bool,
}

#[derive(Debug, Clone, Copy)]
struct Payload {
    left: u64,
    mask: Option<[u8; 4]>,
    /// Bytes that came before; only the last two bits matter.
    offset: usize,
}

impl Decoder {
    /// For what the peer of `role` sends.
    #[must_use]
    pub fn new(role: Role) -> Self {
        Self { role, frame: None, in_message: false }
    }

    /// Looks at `buffer`, what was received and isn't consumed yet. To be called until there is nothing but
    /// [`Event::More`]; an event of no bytes may come at any time.
    ///
    /// It never wants more in the buffer than the head of a frame and [`MAX_CONTROL`] bytes.
    ///
    /// # Errors
    /// If the peer breaks the protocol; nothing after that can be trusted.
    pub fn step(&mut self, buffer: &mut [u8]) -> Result<Step, WebsocketError> {
        if let Some(payload) = self.frame {
            return Ok(self.data(payload, buffer, 0));
        }
        let Some((head, start)) = FrameHead::parse(buffer)? else {
            return Ok(Step { event: Event::More, consumed: 0 });
        };
        if head.mask.is_some() != (self.role == Role::Server) {
            return Err(WebsocketError::Masking);
        }
        if head.opcode.is_control() {
            return Ok(control(head, start, buffer));
        }
        if (head.opcode == Opcode::Continuation) != self.in_message {
            return Err(WebsocketError::Sequence);
        }
        self.in_message = !head.last;
        Ok(self.data(Payload { left: head.length, mask: head.mask, offset: 0 }, buffer, start))
    }

    /// Hands on what there is of a payload, from `start` on.
    fn data(&mut self, mut payload: Payload, buffer: &mut [u8], start: usize) -> Step {
        let there = buffer.len() - start;
        let length = usize::try_from(payload.left).unwrap_or(usize::MAX).min(there);
        let range = start..start + length;
        if let Some(mask) = payload.mask {
            apply_mask(&mut buffer[range.clone()], mask, payload.offset);
        }
        payload.left -= length as u64;
        payload.offset = (payload.offset + length) % 4;
        self.frame = (payload.left > 0).then_some(payload);
        let consumed = range.end;
        let event = if consumed == 0 { Event::More } else { Event::Data(range) };
        Step { event, consumed }
    }
}

fn control(head: FrameHead, start: usize, buffer: &mut [u8]) -> Step {
    // The head was checked: at most MAX_CONTROL.
    let end = start + usize::try_from(head.length).unwrap_or(MAX_CONTROL);
    let Some(payload) = buffer.get_mut(start..end) else {
        return Step { event: Event::More, consumed: 0 };
    };
    if let Some(mask) = head.mask {
        apply_mask(payload, mask, 0);
    }
    let event = match head.opcode {
        Opcode::Ping => Event::Ping(start..end),
        Opcode::Close => Event::Close(start..end),
        _ => Event::Pong,
    };
    Step { event, consumed: end }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(last: bool, opcode: Opcode, payload: &[u8]) -> Vec<u8> {
        let mask = [1, 2, 3, 4];
        let mut out = Vec::new();
        FrameHead { last, opcode, mask: Some(mask), length: payload.len() as u64 }.encode(&mut out);
        let start = out.len();
        out.extend(payload);
        apply_mask(&mut out[start..], mask, 0);
        out
    }

    /// What comes out of `bytes` that arrive in pieces of `size`: the stream, and the events that aren't part of it.
    fn feed(bytes: &[u8], size: usize) -> Result<(Vec<u8>, Vec<String>), WebsocketError> {
        let mut decoder = Decoder::new(Role::Server);
        let (mut stream, mut events, mut buffer) = (Vec::new(), Vec::new(), Vec::new());
        for piece in bytes.chunks(size) {
            buffer.extend(piece);
            loop {
                let Step { event, consumed } = decoder.step(&mut buffer)?;
                match event {
                    Event::More => break,
                    Event::Data(range) => stream.extend(&buffer[range]),
                    Event::Ping(range) => events.push(format!("ping {:?}", &buffer[range])),
                    Event::Pong => events.push("pong".to_owned()),
                    Event::Close(range) => events.push(format!("close {:?}", &buffer[range])),
                }
                buffer.drain(..consumed);
            }
            assert!(buffer.len() < FrameHead::MAX + MAX_CONTROL, "kept {} bytes", buffer.len());
        }
        Ok((stream, events))
    }

    #[test]
    fn messages_are_a_stream_with_control_frames_between() {
        let bytes = [
            frame(true, Opcode::Binary, b"hello"),
            frame(false, Opcode::Text, b", "),
            frame(true, Opcode::Ping, &[b'p'; 125]),
            frame(false, Opcode::Continuation, b""),
            frame(true, Opcode::Continuation, &[b'x'; 1000]),
            frame(true, Opcode::Pong, b""),
            frame(true, Opcode::Binary, b""),
            frame(true, Opcode::Close, b"\x03\xe8"),
        ]
        .concat();
        let expected = [&b"hello, "[..], &[b'x'; 1000]].concat();
        let events = vec![format!("ping {:?}", [b'p'; 125]), "pong".to_owned(), "close [3, 232]".to_owned()];
        for size in [1, 2, 3, 7, 100, 10_000] {
            assert_eq!(feed(&bytes, size), Ok((expected.clone(), events.clone())), "pieces of {size}");
        }
    }

    #[test]
    fn a_huge_frame_is_handed_on_as_it_comes() {
        let mut bytes = Vec::new();
        FrameHead { last: true, opcode: Opcode::Binary, mask: Some([0; 4]), length: i64::MAX as u64 }
            .encode(&mut bytes);
        bytes.extend(b"some of it");
        assert_eq!(feed(&bytes, 4).unwrap().0, b"some of it");
    }

    #[test]
    fn breaches_are_errors() {
        for (bytes, error) in [
            (frame(true, Opcode::Continuation, b"x"), WebsocketError::Sequence),
            (
                [frame(false, Opcode::Binary, b"x"), frame(true, Opcode::Binary, b"x")].concat(),
                WebsocketError::Sequence,
            ),
            (b"\x82\x01x".to_vec(), WebsocketError::Masking),
        ] {
            assert_eq!(feed(&bytes, 1), Err(error), "{bytes:?}");
        }
        let mut masked = frame(true, Opcode::Binary, b"x");
        assert_eq!(Decoder::new(Role::Client).step(&mut masked), Err(WebsocketError::Masking));
    }
}
