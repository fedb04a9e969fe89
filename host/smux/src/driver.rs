//! [`Driver`]: the task of a session, which reads and writes its connection.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use drawspan_wire::smux::Decoder;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, Sleep, sleep, sleep_until};
use tokio_util::io::poll_read_buf;

use crate::Ended;
use crate::config::Keepalive;
use crate::shared::Shared;
use crate::state::{Frame, WaitsFor};

/// Bytes read at once.
const READ: usize = 64 * 1024;

/// Reads after which those go on that got something: about as much as they take at once, and still in the cache.
const BURST: usize = 4;

/// Frames, and about how many bytes, written at once; what is urgent waits for no more than that.
const SLICES: usize = 64;
const BATCH: usize = 256 * 1024;

/// For what waits to be sent when a session is dropped.
const CLOSE_TIME: Duration = Duration::from_secs(5);

thread_local! {
    /// For what is read next, which is taken apart at once: no session holds a buffer. Streams may keep parts of it.
    static SCRATCH: RefCell<BytesMut> = RefCell::default();
}

pub(crate) struct Driver<T> {
    io: T,
    shared: Arc<Shared>,
    decoder: Decoder,
    /// What is being written.
    batch: VecDeque<Frame>,
    written: Vec<Frame>,
    is_flushed: bool,
    keepalive: Option<Alive>,
    /// When a dropped session's connection is closed at the latest.
    closing: Option<Pin<Box<Sleep>>>,
    woken: Vec<Waker>,
}

struct Alive {
    settings: Keepalive,
    next: Pin<Box<Sleep>>,
    /// When something came last, or could have.
    heard: Instant,
    is_deaf: bool,
    death: Pin<Box<Sleep>>,
}

/// What reading has come to.
enum Read {
    Some,
    /// The connection has nothing.
    None,
    /// Streams aren't read from.
    NoRoom,
}

impl<T: AsyncRead + AsyncWrite + Unpin> Driver<T> {
    pub(crate) fn new(io: T, shared: Arc<Shared>) -> Self {
        let keepalive = shared.config.keepalive.map(|settings| Alive {
            settings,
            next: Box::pin(sleep(settings.interval)),
            heard: Instant::now(),
            is_deaf: false,
            death: Box::pin(sleep(settings.timeout)),
        });
        Self {
            io,
            decoder: Decoder::new(shared.config.version),
            shared,
            batch: VecDeque::new(),
            written: Vec::new(),
            is_flushed: true,
            keepalive,
            closing: None,
            woken: Vec::new(),
        }
    }

    /// Until the session has ended. Dropping the future ends it.
    pub(crate) async fn run(mut self) {
        let ended = std::future::poll_fn(|cx| self.poll(cx)).await;
        if ended == Ended::Dropped {
            // It is over anyhow.
            let _ = tokio::time::timeout(CLOSE_TIME, tokio::io::AsyncWriteExt::shutdown(&mut self.io)).await;
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Ended> {
        match self.drive(cx) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(ended)) => Poll::Ready(ended),
            Err(ended) => {
                self.shared.finish(ended.clone());
                Poll::Ready(ended)
            }
        }
    }

    fn drive(&mut self, cx: &mut Context<'_>) -> Result<Poll<Ended>, Ended> {
        let mut reads = 0;
        loop {
            let can_write = match self.poll_write(cx) {
                Poll::Ready(Err(error)) => {
                    // What the peer sent before it closed the connection isn't lost.
                    while let Ok(Read::Some) = self.poll_read(cx) {}
                    return Err(failed(error));
                }
                poll => poll.is_ready(),
            };
            let ended = self.shared.state.lock().ended.clone();
            if let Some(ended) = ended {
                return Ok(self.poll_close(cx, ended, can_write));
            }
            let read = self.poll_read(cx)?;
            // Behind reading, so that what has come counts.
            self.poll_keepalive(cx)?;
            let mut state = self.shared.state.lock();
            // What is to be sent goes before the next bytes are read, and what changed meanwhile is looked at again.
            let has_output = can_write && !state.is_drained();
            let may_read = match read {
                Read::Some => {
                    reads += 1;
                    reads < BURST
                }
                Read::None => false,
                Read::NoRoom => state.has_room(),
            };
            if state.ended.is_some() || has_output || may_read {
                continue;
            }
            if let Read::Some = read {
                drop(state);
                cx.waker().wake_by_ref();
                return Ok(Poll::Pending);
            }
            state.park(cx.waker(), WaitsFor { output: can_write, room: matches!(read, Read::NoRoom) });
            return Ok(Poll::Pending);
        }
    }

    /// Writes until nothing is left, then flushes; pending when the connection takes no more.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            if self.batch.is_empty() {
                let mut state = self.shared.state.lock();
                self.written.drain(..).for_each(|frame| state.sent(&frame, &mut self.woken));
                state.next_batch(&mut self.batch, SLICES, BATCH);
                drop(state);
                self.woken.drain(..).for_each(Waker::wake);
                if self.batch.is_empty() {
                    if !self.is_flushed {
                        ready!(Pin::new(&mut self.io).poll_flush(cx))?;
                        self.is_flushed = true;
                    }
                    return Poll::Ready(Ok(()));
                }
            }
            let mut slices = [IoSlice::new(&[]); SLICES];
            let mut count = 0;
            for (slice, frame) in slices.iter_mut().zip(&self.batch) {
                *slice = IoSlice::new(&frame.bytes);
                count += 1;
            }
            let mut written = ready!(Pin::new(&mut self.io).poll_write_vectored(cx, &slices[..count]))?;
            self.is_flushed = false;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            while let Some(frame) = self.batch.front_mut() {
                let taken = written.min(frame.bytes.len());
                frame.bytes.advance(taken);
                written -= taken;
                if !frame.bytes.is_empty() {
                    break;
                }
                self.written.extend(self.batch.pop_front());
            }
        }
    }

    /// Reads once, if there is room.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Result<Read, Ended> {
        let has_room = self.shared.state.lock().has_room();
        if let Some(alive) = &mut self.keepalive
            && std::mem::replace(&mut alive.is_deaf, !has_room)
        {
            alive.heard = Instant::now();
        }
        if !has_room {
            return Ok(Read::NoRoom);
        }
        let read = SCRATCH.with_borrow_mut(|scratch| {
            scratch.reserve(READ);
            poll_read_buf(Pin::new(&mut self.io), cx, scratch).map_ok(|_| scratch.split().freeze())
        });
        let Poll::Ready(block) = read else { return Ok(Read::None) };
        let block = block.map_err(failed)?;
        if block.is_empty() {
            return Err(Ended::Closed);
        }
        if let Some(alive) = &mut self.keepalive {
            alive.heard = Instant::now();
        }
        self.dispatch(&block)?;
        Ok(Read::Some)
    }

    fn dispatch(&mut self, block: &Bytes) -> Result<(), Ended> {
        let mut bytes = &block[..];
        let mut state = self.shared.state.lock();
        let waiting = state.accepts.len();
        let outcome = loop {
            match self.decoder.next(&mut bytes) {
                Ok(Some(event)) => match state.take(event, block, &mut self.woken) {
                    Ok(()) => {}
                    Err(broken) => break Err(broken),
                },
                Ok(None) => break Ok(()),
                Err(error) => break Err(error.into()),
            }
        };
        let is_new = state.accepts.len() > waiting;
        drop(state);
        self.woken.drain(..).for_each(Waker::wake);
        if is_new {
            self.shared.changed.notify_waiters();
        }
        outcome
    }

    fn poll_keepalive(&mut self, cx: &mut Context<'_>) -> Result<(), Ended> {
        let Some(alive) = &mut self.keepalive else { return Ok(()) };
        while alive.next.as_mut().poll(cx).is_ready() {
            self.shared.state.lock().keep_alive();
            alive.next.as_mut().reset(Instant::now() + alive.settings.interval);
        }
        while alive.death.as_mut().poll(cx).is_ready() {
            // While there is no room nothing is read, and the peer isn't to blame.
            if alive.is_deaf {
                alive.heard = Instant::now();
            }
            let death = alive.heard + alive.settings.timeout;
            if death <= Instant::now() {
                return Err(Ended::Dead);
            }
            alive.death.as_mut().reset(death);
        }
        Ok(())
    }

    /// After a drop, what waits is still sent.
    fn poll_close(&mut self, cx: &mut Context<'_>, ended: Ended, is_sent: bool) -> Poll<Ended> {
        if ended != Ended::Dropped || is_sent {
            return Poll::Ready(ended);
        }
        let closing = self.closing.get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + CLOSE_TIME)));
        closing.as_mut().poll(cx).map(|()| ended)
    }
}

/// However the task ends, the streams learn of it.
impl<T> Drop for Driver<T> {
    fn drop(&mut self) {
        self.shared.finish(Ended::Dropped);
    }
}

fn failed(error: io::Error) -> Ended {
    Ended::Io(error.kind(), error.to_string())
}
