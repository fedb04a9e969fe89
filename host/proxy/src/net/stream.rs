//! [`Stream`]: a connection of whatever kind.

use std::io::{self, IoSlice};
use std::net::Shutdown;
use std::ops::Deref;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use drawspan_modules::Addr;
use rustix::io::retry_on_intr;
use rustix::net::{RecvFlags, SendFlags};
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::coop::consume_budget;

use super::Buffer;

/// Go's defaults: a dead peer is found after 15 s of silence and nine unanswered probes.
pub(crate) const KEEPALIVE: TcpKeepalive =
    TcpKeepalive::new().with_time(Duration::from_secs(15)).with_interval(Duration::from_secs(15)).with_retries(9);

/// A connection. It can be read and written at once through a shared reference, both by the same task.
///
/// Waiting for bytes takes no memory: a buffer is borrowed when there are some.
pub enum Stream {
    /// A TCP connection.
    Tcp(TcpStream),
    /// A connection over a unix socket.
    Unix(UnixStream),
    /// A protocol over another connection, such as TLS.
    Layered(Box<Layered>),
}

/// What another protocol carries.
pub struct Layered {
    /// Locked within a poll only, so never contended: both directions are polled by one task.
    io: Mutex<Box<dyn Io>>,
    local: Addr,
    peer: Addr,
}

/// What a layer has to be.
pub trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// Bytes that were read; none at the end of a stream.
pub(crate) struct Chunk {
    buffer: Buffer,
    length: usize,
}

impl Deref for Chunk {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.buffer[..self.length]
    }
}

impl Chunk {
    /// What `io` has, at most `limit` bytes (and a buffer's size).
    pub(super) fn poll(
        io: Pin<&mut (impl AsyncRead + ?Sized)>,
        cx: &mut Context<'_>,
        limit: usize,
    ) -> Poll<io::Result<Self>> {
        let mut buffer = Buffer::take();
        let limit = limit.min(buffer.len());
        let mut into = ReadBuf::new(&mut buffer[..limit]);
        ready!(io.poll_read(cx, &mut into))?;
        let length = into.filled().len();
        Poll::Ready(Ok(Self { buffer, length }))
    }
}

impl Stream {
    /// What `io` carries; `local` and `peer` are the ends of the connection below it.
    #[must_use]
    pub fn layered(io: impl Io + 'static, local: Addr, peer: Addr) -> Self {
        Self::Layered(Box::new(Layered { io: Mutex::new(Box::new(io)), local, peer }))
    }

    /// Our end of the connection, or of the lowest one below it.
    #[must_use]
    pub fn local_addr(&self) -> Addr {
        match self {
            Self::Tcp(stream) => stream.local_addr().map_or_else(|_| Addr::unnamed(), Addr::from),
            Self::Unix(stream) => stream.local_addr().map_or_else(|_| Addr::unnamed(), Addr::from),
            Self::Layered(layered) => layered.local.clone(),
        }
    }

    /// The other end.
    #[must_use]
    pub fn peer_addr(&self) -> Addr {
        match self {
            Self::Tcp(stream) => stream.peer_addr().map_or_else(|_| Addr::unnamed(), Addr::from),
            Self::Unix(stream) => stream.peer_addr().map_or_else(|_| Addr::unnamed(), Addr::from),
            Self::Layered(layered) => layered.peer.clone(),
        }
    }

    /// The next bytes, at most `limit` (and a buffer's size). Dropping the future loses none.
    pub(crate) async fn read(&self, limit: usize) -> io::Result<Chunk> {
        match self {
            Self::Tcp(stream) => receive_all(stream, limit).await,
            Self::Unix(stream) => stream.async_io(Interest::READABLE, || receive(stream, limit)).await,
            Self::Layered(layered) => layered.poll(|io, cx| Chunk::poll(io, cx, limit)).await,
        }
    }

    /// Writes everything, and does not leave it in a layer's buffer. Waits as long as the peer takes nothing: the caller
    /// bounds it.
    pub(crate) async fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let written = match self {
                Self::Tcp(stream) => stream.async_io(Interest::WRITABLE, || send(stream, bytes)).await?,
                Self::Unix(stream) => stream.async_io(Interest::WRITABLE, || send(stream, bytes)).await?,
                Self::Layered(layered) => layered.poll(|io, cx| io.poll_write(cx, bytes)).await?,
            };
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            bytes = &bytes[written..];
        }
        match self {
            Self::Layered(layered) => layered.poll(|io, cx| io.poll_flush(cx)).await,
            Self::Tcp(_) | Self::Unix(_) => Ok(()),
        }
    }

    /// No more bytes to this peer. What it sends can still be read, where the layer knows half-closed connections.
    pub(crate) async fn close_write(&self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => SockRef::from(stream).shutdown(Shutdown::Write),
            Self::Unix(stream) => SockRef::from(stream).shutdown(Shutdown::Write),
            Self::Layered(layered) => layered.poll(|io, cx| io.poll_shutdown(cx)).await,
        }
    }

    /// Resolves when the connection is known to have failed, even while nothing is read; never for a layered one.
    pub(crate) async fn failed(&self) -> io::Error {
        let error = match self {
            Self::Tcp(stream) => stream.ready(Interest::ERROR).await.and_then(|_| stream.take_error()),
            Self::Unix(stream) => stream.ready(Interest::ERROR).await.and_then(|_| stream.take_error()),
            Self::Layered(_) => std::future::pending().await,
        };
        error.unwrap_or_else(Some).unwrap_or_else(|| io::ErrorKind::ConnectionReset.into())
    }
}

impl From<TcpStream> for Stream {
    fn from(stream: TcpStream) -> Self {
        Self::Tcp(stream)
    }
}

impl From<UnixStream> for Stream {
    fn from(stream: UnixStream) -> Self {
        Self::Unix(stream)
    }
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(stream) => stream.fmt(f),
            Self::Unix(stream) => stream.fmt(f),
            Self::Layered(layered) => write!(f, "Layered({} - {})", layered.local, layered.peer),
        }
    }
}

impl Layered {
    async fn poll<T>(
        &self,
        mut poll: impl FnMut(Pin<&mut dyn Io>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> io::Result<T> {
        std::future::poll_fn(|cx| {
            let mut io = self.io.lock().unwrap_or_else(PoisonError::into_inner);
            poll(Pin::new(&mut **io), cx)
        })
        .await
    }
}

/// What there is, at most `limit` bytes. If that is less, there is no more: whoever waits for the next bytes needn't ask for them
/// in vain first.
async fn receive_all(stream: &TcpStream, limit: usize) -> io::Result<Chunk> {
    loop {
        stream.readable().await?;
        consume_budget().await;
        let mut all = None;
        let outcome = stream.try_io(Interest::READABLE, || {
            let chunk = receive(stream, limit)?;
            if chunk.is_empty() || chunk.length >= limit.min(chunk.buffer.len()) {
                return Ok(chunk);
            }
            all = Some(chunk);
            // It isn't readable any more, unless that has changed since.
            Err(io::ErrorKind::WouldBlock.into())
        });
        match (all, outcome) {
            (Some(chunk), _) => return Ok(chunk),
            (None, Err(error)) if error.kind() == io::ErrorKind::WouldBlock => {}
            (None, outcome) => return outcome,
        }
    }
}

fn receive(socket: impl AsFd, limit: usize) -> io::Result<Chunk> {
    let mut buffer = Buffer::take();
    let limit = limit.min(buffer.len());
    let (length, _) = retry_on_intr(|| rustix::net::recv(&socket, &mut buffer[..limit], RecvFlags::empty()))?;
    Ok(Chunk { buffer, length })
}

fn send(socket: impl AsFd, bytes: &[u8]) -> io::Result<usize> {
    Ok(retry_on_intr(|| rustix::net::send(&socket, bytes, SendFlags::NOSIGNAL))?)
}

/// For protocols that are layered over it.
impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Layered(layered) => Pin::new(layered.io_mut()).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Layered(layered) => Pin::new(layered.io_mut()).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Self::Unix(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Self::Layered(layered) => Pin::new(layered.io_mut()).poll_write_vectored(cx, bufs),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Self::Unix(stream) => Pin::new(stream).poll_flush(cx),
            Self::Layered(layered) => Pin::new(layered.io_mut()).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Layered(layered) => Pin::new(layered.io_mut()).poll_shutdown(cx),
        }
    }
}

impl Layered {
    fn io_mut(&mut self) -> &mut dyn Io {
        &mut **self.io.get_mut().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `TCP_NODELAY` and keepalive, as Go sets them on every connection; a listener's connections get them from it. A socket that
/// refuses is dead already, which its first read tells.
pub(crate) fn tune(socket: &impl AsFd, keepalive: &TcpKeepalive) {
    let socket = SockRef::from(socket);
    let outcome = socket.set_tcp_nodelay(true).and_then(|()| socket.set_tcp_keepalive(keepalive));
    if let Err(error) = outcome {
        tracing::trace!("can't set socket options: {error}");
    }
}
