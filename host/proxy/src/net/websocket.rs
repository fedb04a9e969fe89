//! [`Websocket`]: a stream of bytes in the messages of a websocket (RFC 6455; GOST reference, dataplane 10).

use std::hash::{BuildHasher as _, RandomState};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use drawspan_wire::websocket::{Decoder, Event, FrameHead, Opcode, Role, apply_mask};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

use super::{Buffer, Buffered, Stream};

/// Bytes of a message at most; one that is written is one message, as GOST has it.
const MAX_MESSAGE: usize = 64 * 1024;

/// A websocket whose handshake is over.
pub(crate) struct Websocket {
    io: Stream,
    role: Role,
    decoder: Decoder,
    /// Received, from the first byte that nobody has read.
    incoming: BytesMut,
    /// Bytes at the front of `incoming` that are payload.
    payload: usize,
    /// Frames that the peer hasn't taken yet.
    outgoing: BytesMut,
    ping: Option<Interval>,
    is_over: bool,
    is_closed: bool,
}

impl Websocket {
    /// Over `conn`; with `ping`, one is sent so often.
    pub(crate) fn new(conn: Buffered, role: Role, ping: Option<Duration>) -> Self {
        let Buffered { stream, received } = conn;
        let ping = ping.map(|every| {
            let mut ticks = interval_at(Instant::now() + every, every);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            ticks
        });
        Self {
            io: stream,
            role,
            decoder: Decoder::new(role),
            incoming: received,
            payload: 0,
            outgoing: BytesMut::new(),
            ping,
            is_over: false,
            is_closed: false,
        }
    }

    /// As a connection.
    pub(crate) fn into_stream(self) -> Stream {
        let (local, peer) = (self.io.local_addr(), self.io.peer_addr());
        Stream::layered(self, local, peer)
    }

    /// Queues a frame with all of `payload`, whose pieces have `length` bytes.
    fn queue(&mut self, opcode: Opcode, payload: &[IoSlice<'_>], length: usize) {
        let mask = match self.role {
            Role::Client => Some(mask()),
            Role::Server => None,
        };
        let mut head = Vec::with_capacity(FrameHead::MAX);
        FrameHead { last: true, opcode, mask, length: length as u64 }.encode(&mut head);
        self.outgoing.reserve(head.len() + length);
        self.outgoing.extend_from_slice(&head);
        let start = self.outgoing.len();
        for piece in payload {
            let rest = length - (self.outgoing.len() - start);
            self.outgoing.extend_from_slice(&piece[..piece.len().min(rest)]);
        }
        if let Some(mask) = mask {
            apply_mask(&mut self.outgoing[start..], mask, 0);
        }
    }

    /// Sends what is queued.
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.outgoing.is_empty() {
            let written = ready!(Pin::new(&mut self.io).poll_write(cx, &self.outgoing))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.outgoing.advance(written);
        }
        self.outgoing = BytesMut::new();
        Pin::new(&mut self.io).poll_flush(cx)
    }

    /// Looks at what was received until there is payload, or the end.
    fn decode(&mut self) -> io::Result<()> {
        while self.payload == 0 && !self.is_over {
            let broken = |error| io::Error::new(io::ErrorKind::InvalidData, error);
            let step = self.decoder.step(&mut self.incoming).map_err(broken)?;
            match step.event {
                Event::More => {
                    self.incoming.advance(step.consumed);
                    return Ok(());
                }
                Event::Data(range) => {
                    self.incoming.advance(range.start);
                    self.payload = range.len();
                }
                Event::Ping(range) => {
                    let payload = self.incoming[range].to_vec();
                    self.incoming.advance(step.consumed);
                    // A peer that pings and doesn't read gets no heap of pongs.
                    if self.outgoing.len() < MAX_MESSAGE {
                        self.queue(Opcode::Pong, &[IoSlice::new(&payload)], payload.len());
                    }
                }
                Event::Pong => self.incoming.advance(step.consumed),
                // Ours is sent when we have said everything: the other direction may go on.
                Event::Close(_) => {
                    self.incoming.advance(step.consumed);
                    self.is_over = true;
                }
            }
        }
        Ok(())
    }
}

/// Unpredictable, so that nobody can make a proxy between read something else into what is sent (RFC 6455 §10.3).
fn mask() -> [u8; 4] {
    let [a, b, c, d, ..] = RandomState::new().hash_one(0).to_ne_bytes();
    [a, b, c, d]
}

impl AsyncRead for Websocket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            this.decode()?;
            if let Some(ping) = &mut this.ping
                && ping.poll_tick(cx).is_ready()
            {
                this.queue(Opcode::Ping, &[], 0);
                // Once more, for the next one to wake us.
                continue;
            }
            if !this.outgoing.is_empty() && !this.is_closed {
                // What can't be sent now goes with the next bytes, or when there is room.
                if let Poll::Ready(Err(error)) = this.poll_drain(cx) {
                    return Poll::Ready(Err(error));
                }
            }
            if this.payload > 0 {
                let length = this.payload.min(buf.remaining());
                buf.put_slice(&this.incoming[..length]);
                this.incoming.advance(length);
                this.payload -= length;
                if this.incoming.is_empty() {
                    this.incoming = BytesMut::new();
                }
                return Poll::Ready(Ok(()));
            }
            if this.is_over {
                return Poll::Ready(Ok(()));
            }
            let mut buffer = Buffer::take();
            let mut into = ReadBuf::new(&mut buffer);
            ready!(Pin::new(&mut this.io).poll_read(cx, &mut into))?;
            if into.filled().is_empty() {
                this.is_over = true;
            }
            this.incoming.extend_from_slice(into.filled());
        }
    }
}

impl AsyncWrite for Websocket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    /// One message of all of them.
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.is_closed {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        ready!(this.poll_drain(cx))?;
        let length = bufs.iter().map(|buf| buf.len()).sum::<usize>().min(MAX_MESSAGE);
        this.queue(Opcode::Binary, bufs, length);
        // It is queued, whether it can be sent now or not.
        match this.poll_drain(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            _ => Poll::Ready(Ok(length)),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll_drain(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.is_closed {
            this.queue(Opcode::Close, &[IoSlice::new(&1000_u16.to_be_bytes())], 2);
            this.is_closed = true;
        }
        this.poll_drain(cx)
    }
}
