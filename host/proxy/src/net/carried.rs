//! [`Carried`]: a connection within another one, which lasts at least as long.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use drawspan_smux::{Session, Stream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A stream of a session that others may give up meanwhile.
pub(crate) struct Carried {
    stream: Stream,
    _session: Arc<Session>,
}

impl Carried {
    pub(crate) fn new(stream: Stream, session: &Arc<Session>) -> Self {
        Self { stream, _session: Arc::clone(session) }
    }
}

impl AsyncRead for Carried {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Carried {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
