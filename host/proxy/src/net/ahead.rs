//! [`Ahead`]: a connection that is read in large pieces.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Stream;
use super::stream::Chunk;

/// Reads all that there is at once, for a protocol that asks for less: rustls takes 4 KiB at a time, and each would be a system
/// call. Holds a buffer only while there are bytes in it.
pub(crate) struct Ahead {
    inner: Stream,
    held: Option<Held>,
}

/// Bytes of which `taken` were read from here.
struct Held {
    chunk: Chunk,
    taken: usize,
}

impl Ahead {
    pub(crate) fn new(inner: Stream) -> Self {
        Self { inner, held: None }
    }
}

impl AsyncRead for Ahead {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Self { inner, held } = self.get_mut();
        let mut bytes = match held.take() {
            Some(bytes) => bytes,
            None => Held { chunk: ready!(Chunk::poll(Pin::new(inner), cx, usize::MAX))?, taken: 0 },
        };
        let left = &bytes.chunk[bytes.taken..];
        let length = left.len().min(buf.remaining());
        buf.put_slice(&left[..length]);
        bytes.taken += length;
        *held = Some(bytes).filter(|bytes| bytes.taken < bytes.chunk.len());
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Ahead {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write_vectored(cx, bufs)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    #[tokio::test]
    async fn what_is_asked_for_in_parts_is_read_at_once() {
        let (near, mut far) = duplex(1024);
        let unnamed = drawspan_modules::Addr::unnamed;
        let mut ahead = Ahead::new(Stream::layered(near, unnamed(), unnamed()));
        far.write_all(b"all of it").await.unwrap();
        let mut part = [0; 4];
        assert_eq!(ahead.read(&mut part).await.unwrap(), 4);
        assert_eq!(&part, b"all ");
        assert!(ahead.held.is_some());
        drop(far);
        let mut rest = Vec::new();
        ahead.read_to_end(&mut rest).await.unwrap();
        assert_eq!(rest, b"of it");
        assert!(ahead.held.is_none());
    }
}
