//! [`Buffered`]: a socket and the bytes that were read from it too early; and how a socket is set up and closed.

use std::io;
use std::net::Shutdown;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use drawspan_wire::http1::{HeadError, HeadScanner};
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::Buffer;

/// Go's defaults: a dead peer is found after 15 s of silence and nine unanswered probes.
const KEEPALIVE: TcpKeepalive =
    TcpKeepalive::new().with_time(Duration::from_secs(15)).with_interval(Duration::from_secs(15)).with_retries(9);

/// Bytes read at once while looking for a head; most heads fit.
const HEAD_READ: usize = 8 * 1024;

/// How long, and how much, a closing connection is still read from.
const LINGER_TIME: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 4 * 1024 * 1024;

/// A socket and what was received from it and not used yet.
#[derive(Debug)]
pub struct Buffered {
    /// The socket.
    pub stream: TcpStream,
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
    pub fn new(stream: TcpStream) -> Self {
        Self { stream, received: BytesMut::new() }
    }
}

/// Reads some bytes into `received`; 0 at the end of the stream. While it waits, nothing but what `received` already
/// holds takes memory. Dropping the future loses nothing that was received.
pub(crate) async fn fill(stream: &TcpStream, received: &mut BytesMut) -> io::Result<usize> {
    if received.is_empty() {
        *received = BytesMut::new();
    }
    loop {
        stream.readable().await?;
        let mut buffer = Buffer::take();
        match stream.try_read(&mut buffer[..HEAD_READ]) {
            Ok(length) => {
                received.extend_from_slice(&buffer[..length]);
                return Ok(length);
            }
            Err(error) if would_block(&error) => {}
            Err(error) => return Err(error),
        }
    }
}

/// The next message's head; `None` at the end of the stream. Its size is bounded by the scanner, its time by the caller.
/// Dropping the future loses nothing that was received.
pub(crate) async fn read_head(
    stream: &TcpStream,
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

/// Whether to wait and try again.
pub(crate) fn would_block(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

/// Writes everything. Waits as long as the peer takes nothing: the caller bounds it.
pub(crate) async fn write_all(stream: &TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match stream.try_write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => bytes = &bytes[written..],
            Err(error) if would_block(&error) => stream.writable().await?,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// `TCP_NODELAY` and keepalive, as Go sets them on every connection. A socket that refuses is dead already, which its
/// first read tells.
pub(crate) fn tune(stream: &TcpStream) {
    let outcome = stream.set_nodelay(true).and_then(|()| SockRef::from(stream).set_tcp_keepalive(&KEEPALIVE));
    if let Err(error) = outcome {
        tracing::trace!("can't set socket options: {error}");
    }
}

/// No more bytes to this peer.
pub(crate) fn close_write(stream: &TcpStream) -> io::Result<()> {
    SockRef::from(stream).shutdown(Shutdown::Write)
}

/// Closes so that the peer can read what was written last: closing a socket with unread input resets the connection,
/// and the reset may overtake the answer (RFC 9112 §9.6). Waits for the peer's end, two seconds and 4 MiB at most.
pub(crate) async fn linger(stream: TcpStream) {
    if close_write(&stream).is_err() {
        return;
    }
    let drain = async {
        let mut left = LINGER_BYTES;
        while left > 0 && stream.readable().await.is_ok() {
            let mut buffer = Buffer::take();
            match stream.try_read(&mut buffer) {
                Ok(length) if length > 0 => left = left.saturating_sub(length),
                Err(error) if would_block(&error) => {}
                _ => break,
            }
        }
    };
    // Out of time is as good as the end.
    let _ = timeout(LINGER_TIME, drain).await;
}
