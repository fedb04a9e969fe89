//! [`counting`]: a connection whose bytes are counted below whatever is layered over it.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{Buffered, Counters, Direction, Stream};

/// Counts what is read from and written to `conn` from now on, and what was received already.
pub(crate) fn counting(conn: Buffered, counters: Box<[Arc<Counters>]>) -> Buffered {
    let (local, peer) = (conn.stream.local_addr(), conn.stream.peer_addr());
    Buffered::new(Stream::layered(Counting { inner: conn.into_stream(), counters }, local, peer))
}

struct Counting {
    inner: Stream,
    counters: Box<[Arc<Counters>]>,
}

impl AsyncRead for Counting {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Self { inner, counters } = self.get_mut();
        let before = buf.filled().len();
        ready!(Pin::new(inner).poll_read(cx, buf))?;
        let read = (buf.filled().len() - before) as u64;
        counters.iter().for_each(|counters| counters.count(Direction::Up, read));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Counting {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let Self { inner, counters } = self.get_mut();
        let written = ready!(Pin::new(inner).poll_write(cx, buf))?;
        counters.iter().for_each(|counters| counters.count(Direction::Down, written as u64));
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let Self { inner, counters } = self.get_mut();
        let written = ready!(Pin::new(inner).poll_write_vectored(cx, bufs))?;
        counters.iter().for_each(|counters| counters.count(Direction::Down, written as u64));
        Poll::Ready(Ok(written))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
    }
}
