//! [`Received`]: bytes of a stream that nobody has read yet.

use std::collections::VecDeque;

use bytes::{Buf as _, BytesMut};
use tokio::io::ReadBuf;

/// A piece that has so many bytes isn't grown any more, which would copy them.
const FULL: usize = 4 * 1024;

/// Bytes of a stream that nobody has read yet, in pieces no larger than what they hold is worth.
#[derive(Debug, Default)]
pub(crate) struct Received {
    pieces: VecDeque<BytesMut>,
    length: usize,
}

impl Received {
    pub(crate) fn len(&self) -> usize {
        self.length
    }

    pub(crate) fn push(&mut self, data: &[u8]) {
        if data.is_empty() {
            return;
        }
        self.length += data.len();
        match self.pieces.back_mut().filter(|last| last.len() + data.len() <= FULL) {
            Some(last) => last.extend_from_slice(data),
            None => self.pieces.push_back(BytesMut::from(data)),
        }
    }

    /// Moves as much as there is, and as there is room for, to `buf`; says how much.
    pub(crate) fn read(&mut self, buf: &mut ReadBuf<'_>) -> usize {
        let before = self.length;
        while buf.remaining() > 0
            && let Some(first) = self.pieces.front_mut()
        {
            let taken = first.len().min(buf.remaining());
            buf.put_slice(&first[..taken]);
            first.advance(taken);
            self.length -= taken;
            if first.is_empty() {
                self.pieces.pop_front();
            }
        }
        if self.pieces.is_empty() {
            self.pieces = VecDeque::new();
        }
        before - self.length
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_out_as_they_went_in() {
        let mut received = Received::default();
        let sent: Vec<u8> = (0..100_000_u32).map(|number| (number % 251) as u8).collect();
        let (mut rest, mut back) = (&sent[..], Vec::new());
        for size in [1, 5000, 3, 4096, 0, 33_333, 1000, 4000, 20_000, usize::MAX] {
            let (data, behind) = rest.split_at(size.min(rest.len()));
            received.push(data);
            rest = behind;
            let mut part = [0; 7001];
            let mut buf = ReadBuf::new(&mut part);
            assert_eq!(received.read(&mut buf), buf.filled().len());
            back.extend_from_slice(buf.filled());
            assert_eq!(received.len(), sent.len() - rest.len() - back.len());
        }
        while received.len() > 0 {
            let mut part = [0; 7001];
            let mut buf = ReadBuf::new(&mut part);
            received.read(&mut buf);
            back.extend_from_slice(buf.filled());
        }
        assert!(back == sent);
        assert!(received.pieces.capacity() == 0, "nothing is kept");
    }

    #[test]
    fn little_bytes_share_a_piece() {
        let mut received = Received::default();
        (0..FULL).for_each(|_| received.push(b"x"));
        assert_eq!(received.pieces.len(), 1);
    }
}
