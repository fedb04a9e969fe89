//! [`heard`]: a connection somebody listens to.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{Buffered, Stream};

/// What is read from `conn` from now on, and what was received already, is told to `hear` too.
pub(crate) fn heard(conn: Buffered, hear: impl FnMut(&[u8]) + Send + Unpin + 'static) -> Buffered {
    let (local, peer) = (conn.stream.local_addr(), conn.stream.peer_addr());
    Buffered::new(Stream::layered(Heard { inner: conn.into_stream(), hear }, local, peer))
}

struct Heard<F> {
    inner: Stream,
    hear: F,
}

impl<F: FnMut(&[u8]) + Unpin> AsyncRead for Heard<F> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Self { inner, hear } = self.get_mut();
        let before = buf.filled().len();
        ready!(Pin::new(inner).poll_read(cx, buf))?;
        hear(&buf.filled()[before..]);
        Poll::Ready(Ok(()))
    }
}

impl<F: Unpin> AsyncWrite for Heard<F> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
    }
}
