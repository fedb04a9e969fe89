//! [`Overheard`]: the frames of a connection between others, as they pass by (RFC 6455 §5.2).

/// A frame that has passed by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// The last frame of its message.
    pub fin: bool,
    /// The three reserved bits, which extensions give a meaning.
    pub rsv: [bool; 3],
    /// What it is; any four bits.
    pub opcode: u8,
    /// The key that its payload is masked with, if it is.
    pub mask: Option<[u8; 4]>,
    /// Bytes of the payload.
    pub length: u64,
    /// Bytes of the whole frame.
    pub size: u64,
    /// The beginning of the payload as it passed, masked if it is.
    pub payload: Vec<u8>,
}

/// Reads frames out of a stream without judging them: its two ends do that. At most a head and what is kept of a payload is
/// held.
#[derive(Debug)]
pub struct Overheard {
    keep: usize,
    head: Vec<u8>,
    frame: Option<Frame>,
    /// Bytes of the payload that have passed.
    passed: u64,
}

/// The longest head.
const MAX_HEAD: usize = 14;

impl Overheard {
    /// Keeps so many bytes of each payload.
    #[must_use]
    pub fn new(keep: usize) -> Self {
        Self { keep, head: Vec::with_capacity(MAX_HEAD), frame: None, passed: 0 }
    }

    /// Takes the next bytes of the stream; `told` is told of each frame that ends in them.
    pub fn hear(&mut self, mut bytes: &[u8], mut told: impl FnMut(Frame)) {
        loop {
            let mut frame = match self.frame.take() {
                Some(frame) => frame,
                None => match self.begin(&mut bytes) {
                    Some(frame) => frame,
                    None => return,
                },
            };
            let left = usize::try_from(frame.length - self.passed).unwrap_or(usize::MAX).min(bytes.len());
            let (here, behind) = bytes.split_at(left);
            let kept = here.len().min(self.keep.saturating_sub(frame.payload.len()));
            frame.payload.extend_from_slice(&here[..kept]);
            self.passed += here.len() as u64;
            bytes = behind;
            if self.passed < frame.length {
                self.frame = Some(frame);
                return;
            }
            told(frame);
        }
    }

    /// The next frame's head, once all of it is there.
    fn begin(&mut self, bytes: &mut &[u8]) -> Option<Frame> {
        loop {
            if let Some(frame) = frame(&self.head) {
                self.head.clear();
                self.passed = 0;
                return Some(frame);
            }
            let (first, rest) = bytes.split_first()?;
            self.head.push(*first);
            *bytes = rest;
        }
    }
}

fn frame(head: &[u8]) -> Option<Frame> {
    let [first, second, rest @ ..] = head else { return None };
    let (length, rest) = match second & 0x7f {
        126 => (u64::from(u16::from_be_bytes(*rest.first_chunk()?)), &rest[2..]),
        127 => (u64::from_be_bytes(*rest.first_chunk()?), &rest[8..]),
        short => (u64::from(short), rest),
    };
    let (mask, rest) = match second & 0x80 {
        0 => (None, rest),
        _ => (Some(*rest.first_chunk()?), &rest[4..]),
    };
    let size = length.saturating_add((head.len() - rest.len()) as u64);
    let rsv = [0x40, 0x20, 0x10].map(|bit| first & bit != 0);
    Some(Frame { fin: first & 0x80 != 0, rsv, opcode: first & 0x0f, mask, length, size, payload: Vec::new() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_found_however_they_come() {
        let long = vec![b'x'; 300];
        let mut stream = vec![0x81, 0x85, 1, 2, 3, 4];
        stream.extend(b"masks");
        stream.extend([0xc2, 126, 1, 44]);
        stream.extend(&long);
        stream.extend([0x00, 127, 0, 0, 0, 0, 0, 0, 0, 1, b'y', 0x89, 0]);
        let none = Frame { fin: true, rsv: [false; 3], opcode: 0, mask: None, length: 0, size: 0, payload: Vec::new() };
        let expected = [
            Frame {
                opcode: 1,
                mask: Some([1, 2, 3, 4]),
                length: 5,
                size: 11,
                payload: b"mask".to_vec(),
                ..none.clone()
            },
            Frame {
                rsv: [true, false, false],
                opcode: 2,
                length: 300,
                size: 304,
                payload: b"xxxx".to_vec(),
                ..none.clone()
            },
            Frame { fin: false, length: 1, size: 11, payload: b"y".to_vec(), ..none.clone() },
            Frame { opcode: 9, size: 2, ..none },
        ];
        for step in [1, 2, 7, stream.len()] {
            let (mut overheard, mut frames) = (Overheard::new(4), Vec::new());
            stream.chunks(step).for_each(|chunk| overheard.hear(chunk, |frame| frames.push(frame)));
            assert_eq!(frames, expected, "{step}");
        }
    }
}
