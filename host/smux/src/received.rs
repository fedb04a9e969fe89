//! [`Received`]: bytes of a stream that nobody has read yet.

use std::collections::VecDeque;

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::io::ReadBuf;

/// A piece that has so many bytes isn't grown any more, which would copy them.
const FULL: usize = 4 * 1024;
/// Data is kept where it was received, rather than copied, if it is at least one in so many of the bytes that are kept with it.
const WORTH: usize = 4;

/// Bytes of a stream that nobody has read yet, in pieces not much larger than what they hold is worth.
#[derive(Debug, Default)]
pub(crate) struct Received {
    pieces: VecDeque<Bytes>,
    /// Behind the pieces, and still growing.
    last: BytesMut,
    length: usize,
}

impl Received {
    pub(crate) fn len(&self) -> usize {
        self.length
    }

    /// Adds `data`, which is a part of `block`.
    pub(crate) fn push(&mut self, data: &[u8], block: &Bytes) {
        self.length += data.len();
        if data.len() >= FULL || self.last.len() + data.len() > FULL {
            self.end_last();
        }
        if data.len() < FULL {
            self.last.extend_from_slice(data);
        } else if data.len() >= block.len() / WORTH {
            self.pieces.push_back(block.slice_ref(data));
        } else {
            self.pieces.push_back(Bytes::copy_from_slice(data));
        }
    }

    /// Moves as much as there is, and as there is room for, to `buf`; says how much.
    pub(crate) fn read(&mut self, buf: &mut ReadBuf<'_>) -> usize {
        let before = self.length;
        while buf.remaining() > 0 && self.length > 0 {
            if self.pieces.is_empty() {
                self.end_last();
            }
            let Some(first) = self.pieces.front_mut() else { break };
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

    fn end_last(&mut self) {
        if !self.last.is_empty() {
            self.pieces.push_back(std::mem::take(&mut self.last).freeze());
        }
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
            let block = Bytes::from(Vec::from(data));
            received.push(&block, &block);
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
        let block = Bytes::from_static(&[b'x'; 100]);
        (0..FULL).for_each(|_| received.push(&block[..1], &block));
        assert_eq!((received.pieces.len(), received.last.len()), (0, FULL));
    }

    #[test]
    fn what_is_worth_it_stays_where_it_is() {
        let block = Bytes::from(vec![0; 64 * 1024]);
        let mut received = Received::default();
        let (much, little) = (&block[100..20_100], &block[20_100..30_100]);
        received.push(b"first", &Bytes::from_static(b"first"));
        received.push(much, &block);
        received.push(little, &block);
        received.push(b"last", &Bytes::from_static(b"last"));
        let at: Vec<_> = received.pieces.iter().map(|piece| piece.as_ptr()).collect();
        assert_eq!(received.pieces.iter().map(Bytes::len).collect::<Vec<_>>(), [5, 20_000, 10_000]);
        assert_eq!((at[1] == much.as_ptr(), at[2] == little.as_ptr()), (true, false));
        let mut all = vec![0; 40_000];
        let mut buf = ReadBuf::new(&mut all);
        assert_eq!(received.read(&mut buf), 30_009);
        assert!(buf.filled().starts_with(b"first") && buf.filled().ends_with(b"last"));
        assert_eq!(received.len(), 0);
    }
}
