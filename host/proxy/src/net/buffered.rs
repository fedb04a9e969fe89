//! [`Buffered`]: a connection and the bytes that were read from it too early; and how it is read from and closed.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use drawspan_wire::http1::{HeadError, HeadScanner};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::timeout;

use super::Stream;

/// Bytes read at once while looking for a head; most heads fit.
const HEAD_READ: usize = 8 * 1024;

/// How long, and how much, a closing connection is still read from.
const LINGER_TIME: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 4 * 1024 * 1024;

/// A connection and what was received from it and not used yet.
#[derive(Debug)]
pub struct Buffered {
    /// The connection.
    pub stream: Stream,
    /// Received and not used yet. Holds no memory when it is empty and the connection waits.
    pub received: BytesMut,
}

/// Why no head came.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HeadReadError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Head(#[from] HeadError),
}

impl Buffered {
    /// Nothing received yet.
    #[must_use]
    pub fn new(stream: impl Into<Stream>) -> Self {
        Self { stream: stream.into(), received: BytesMut::new() }
    }

    /// A connection that yields what was received already, then the rest: for a protocol that is layered over it.
    #[must_use]
    pub fn into_stream(self) -> Stream {
        if self.received.is_empty() {
            return self.stream;
        }
        let (local, peer) = (self.stream.local_addr(), self.stream.peer_addr());
        Stream::layered(Replay(self), local, peer)
    }

    /// Reads until `length` bytes are there, and takes them.
    ///
    /// # Errors
    /// When the connection fails or ends before. Dropping the future loses nothing that was received.
    pub async fn read_exactly(&mut self, length: usize) -> io::Result<Bytes> {
        while self.received.len() < length {
            if fill(&self.stream, &mut self.received).await? == 0 {
                return Err(eof());
            }
        }
        Ok(self.received.split_to(length).freeze())
    }

    /// Reads some more bytes into `received`; 0 at the end of the stream. Dropping the future loses nothing.
    ///
    /// # Errors
    /// When the connection fails.
    pub async fn fill(&mut self) -> io::Result<usize> {
        fill(&self.stream, &mut self.received).await
    }
}

/// Reads some bytes into `received`; 0 at the end of the stream. While it waits, nothing but what `received` already
/// holds takes memory. Dropping the future loses nothing that was received.
pub(crate) async fn fill(stream: &Stream, received: &mut BytesMut) -> io::Result<usize> {
    if received.is_empty() {
        *received = BytesMut::new();
    }
    let chunk = stream.read(HEAD_READ).await?;
    received.extend_from_slice(&chunk);
    Ok(chunk.len())
}

/// The next message's head; `None` at the end of the stream. Its size is bounded by the scanner, its time by the caller.
/// Dropping the future loses nothing that was received.
pub(crate) async fn read_head(
    stream: &Stream,
    received: &mut BytesMut,
    mut scanner: HeadScanner,
) -> Result<Option<Bytes>, HeadReadError> {
    loop {
        if let Some(end) = scanner.scan(received)? {
            return Ok(Some(received.split_to(end).freeze()));
        }
        if fill(stream, received).await? == 0 {
            return if received.is_empty() { Ok(None) } else { Err(eof().into()) };
        }
    }
}

pub(crate) fn eof() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "connection closed too early")
}

/// Closes so that the peer can read what was written last: closing a socket with unread input resets the connection,
/// and the reset may overtake the answer (RFC 9112 §9.6). Waits for the peer's end, two seconds and 4 MiB at most.
pub(crate) async fn linger(stream: Stream) {
    let drain = async {
        if stream.close_write().await.is_err() {
            return;
        }
        let mut left = LINGER_BYTES;
        while left > 0 {
            match stream.read(usize::MAX).await {
                Ok(chunk) if !chunk.is_empty() => left = left.saturating_sub(chunk.len()),
                _ => break,
            }
        }
    };
    // Out of time is as good as the end.
    let _ = timeout(LINGER_TIME, drain).await;
}

/// Reads what was received first.
struct Replay(Buffered);

impl AsyncRead for Replay {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Buffered { stream, received } = &mut self.get_mut().0;
        if received.is_empty() {
            return Pin::new(stream).poll_read(cx, buf);
        }
        let length = received.len().min(buf.remaining());
        buf.put_slice(&received[..length]);
        received.advance(length);
        if received.is_empty() {
            *received = BytesMut::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Replay {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().0.stream).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0.stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0.stream).poll_shutdown(cx)
    }
}
