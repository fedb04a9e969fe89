//! [`Stream`]: one of the connections within a session.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::BytesMut;
use drawspan_wire::smux;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::shared::Shared;
use crate::state::Room;

/// One of the connections within a session.
///
/// Its end, by shutting it down or dropping it, is sent behind what was written, and ends both directions: what the peer sent
/// before it learnt of it can still be read after a shutdown. What is written to a stream that the peer has ended is lost; once
/// the end was read, writing fails. Written bytes are sent without flushing. After the session's end what was received can be
/// read; then reading fails.
#[derive(Debug)]
pub struct Stream {
    shared: Arc<Shared>,
    id: u32,
}

impl Stream {
    pub(crate) fn new(shared: Arc<Shared>, id: u32) -> Self {
        Self { shared, id }
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.shared.update(|state| state.read(self.id, buf, cx.waker())) {
            Some(outcome) => Poll::Ready(outcome),
            None => Poll::Pending,
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let length = match self.shared.state.lock().reserve(self.id, buf.len(), cx.waker())? {
            Room::Reserved(length) => length,
            Room::Lost => return Poll::Ready(Ok(buf.len())),
            Room::Full => return Poll::Pending,
            Room::Closed => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        };
        // Copied while others may use the session.
        let mut frame = BytesMut::with_capacity(smux::HEAD + length);
        // At most the size of a frame, which fits.
        let head = smux::data(self.shared.config.version, self.id, u16::try_from(length).unwrap_or(u16::MAX));
        frame.extend_from_slice(&head);
        frame.extend_from_slice(&buf[..length]);
        self.shared.update(|state| state.push(self.id, frame.freeze(), length));
        Poll::Ready(Ok(length))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.shared.update(|state| state.end(self.id));
        Poll::Ready(Ok(()))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.shared.update(|state| state.release(self.id));
    }
}
