//! [`State`]: what the streams of a session and its task share.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::task::Waker;

use bytes::{Bytes, BytesMut};
use drawspan_wire::smux::{self, Event, INITIAL_WINDOW};

use crate::received::Received;
use crate::{Config, Ended};

/// Bytes of a stream that wait to be sent: half as many as are written at once, which are still in the cache then.
const SEND_BUFFER: usize = 128 * 1024;

/// Streams of a session; further ones of the peer are closed at once.
pub(crate) const MAX_STREAMS: usize = 16 * 1024;

/// Of those, how many wait to be told so. A peer that goes on opening and doesn't read has a session no more.
const MAX_REFUSALS: usize = 1024;

/// Streams, and what is to be sent.
#[derive(Debug)]
pub(crate) struct State {
    config: Config,
    streams: HashMap<u32, StreamState>,
    /// Opened by the peer, accepted by nobody yet.
    pub(crate) accepts: VecDeque<u32>,
    /// The next stream of ours; `None` when there are no more numbers.
    next: Option<u32>,
    /// Bytes that may still be received (version 1's bucket, which version 2 has too).
    room: i64,
    /// After [`Ended::Dropped`], what waits is still sent.
    pub(crate) ended: Option<Ended>,
    /// Goes before the frames.
    control: BytesMut,
    /// Streams whose window the peer is to be told.
    updates: VecDeque<u32>,
    frames: VecDeque<Frame>,
    refusals: usize,
    driver: Option<Waker>,
    /// What the session's task waits for, beside its connection.
    waits_for: WaitsFor,
}

/// What makes the session's task go on.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct WaitsFor {
    /// Something to send.
    pub(crate) output: bool,
    /// Room for what the peer sends.
    pub(crate) room: bool,
}

/// Waits to be sent.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) bytes: Bytes,
    stream: u32,
    payload: usize,
    kind: FrameKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FrameKind {
    Data,
    Close,
    Refusal,
}

#[derive(Debug)]
struct StreamState {
    received: Received,
    /// The peer has closed it.
    is_closed: bool,
    /// That was read.
    is_close_read: bool,
    /// Nobody holds it; it is here until its end is sent.
    is_dropped: bool,
    /// Its end is sent, or waits to be.
    is_ending: bool,
    is_end_sent: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
    /// Bytes in `frames`, and those that the task writes.
    queued: usize,
    /// Version 2: bytes that were accepted for sending since the beginning, and what the peer said last; modulo 2³².
    sent: u32,
    consumed: u32,
    window: u32,
    /// Version 2: bytes that were read since the beginning (modulo 2³²), and since the peer was told.
    read: u32,
    untold: u32,
    is_update_due: bool,
}

impl StreamState {
    fn new() -> Self {
        Self {
            received: Received::default(),
            is_closed: false,
            is_close_read: false,
            is_dropped: false,
            is_ending: false,
            is_end_sent: false,
            reader: None,
            writer: None,
            queued: 0,
            sent: 0,
            consumed: 0,
            window: INITIAL_WINDOW,
            read: 0,
            untold: 0,
            is_update_due: false,
        }
    }

    /// Bytes that the peer's window has room for; `None` if it took more than there was.
    fn window_left(&self) -> Option<usize> {
        let in_flight = i32::try_from(self.sent.wrapping_sub(self.consumed)).ok()?;
        let window = i32::try_from(self.window).unwrap_or(i32::MAX);
        Some(usize::try_from(window.saturating_sub(in_flight)).unwrap_or(0))
    }
}

/// What a stream's write has come to.
pub(crate) enum Room {
    /// So many bytes may be pushed, and count as queued already.
    Reserved(usize),
    /// The peer has closed the stream, which the reader is yet to learn: it doesn't matter what is written.
    Lost,
    /// None now.
    Full,
    /// The stream is over.
    Closed,
}

impl State {
    pub(crate) fn new(config: Config, is_client: bool) -> Self {
        Self {
            config,
            streams: HashMap::new(),
            accepts: VecDeque::new(),
            next: Some(if is_client { 3 } else { 2 }),
            room: config.receive_buffer.into(),
            ended: None,
            control: BytesMut::new(),
            updates: VecDeque::new(),
            frames: VecDeque::new(),
            refusals: 0,
            driver: None,
            waits_for: WaitsFor::default(),
        }
    }

    /// Streams that there are, those included whose end isn't sent yet.
    pub(crate) fn len(&self) -> usize {
        self.streams.len()
    }

    /// A new stream of ours.
    pub(crate) fn open(&mut self) -> Result<u32, Ended> {
        if let Some(ended) = &self.ended {
            return Err(ended.clone());
        }
        let id = self.next.ok_or(Ended::Exhausted)?;
        self.next = id.checked_add(2);
        self.streams.insert(id, StreamState::new());
        self.control.extend_from_slice(&smux::open(self.config.version, id));
        Ok(id)
    }

    /// Whether the peer is read from.
    pub(crate) fn has_room(&self) -> bool {
        self.room > 0
    }

    /// Does what the peer says in a part of `block`; pushes onto `woken` whom it concerns.
    pub(crate) fn take(&mut self, event: Event<'_>, block: &Bytes, woken: &mut Vec<Waker>) -> Result<(), Ended> {
        match event {
            Event::Nop => {}
            Event::Open(id) => {
                if self.next.is_some_and(|next| next % 2 == id % 2) {
                    return Err(Ended::Broken("opens streams with our numbers"));
                }
                if self.streams.contains_key(&id) {
                    return Ok(());
                }
                if self.streams.len() >= MAX_STREAMS {
                    self.refusals += 1;
                    if self.refusals > MAX_REFUSALS {
                        return Err(Ended::Broken("opens more streams than it may have, and doesn't listen"));
                    }
                    self.push_close(id, FrameKind::Refusal);
                    return Ok(());
                }
                self.streams.insert(id, StreamState::new());
                self.accepts.push_back(id);
            }
            Event::Close(id) => {
                if let Some(stream) = self.streams.get_mut(&id) {
                    stream.is_closed = true;
                    woken.extend(stream.reader.take());
                    woken.extend(stream.writer.take());
                }
            }
            Event::Data(id, data) => {
                // What comes for a stream that is over was on its way.
                if let Some(stream) = self.streams.get_mut(&id)
                    && !stream.is_dropped
                    && !stream.is_closed
                {
                    stream.received.push(data, block);
                    self.room -= data.len() as i64;
                    woken.extend(stream.reader.take());
                }
            }
            Event::Update { stream: id, consumed, window } => {
                if let Some(stream) = self.streams.get_mut(&id) {
                    (stream.consumed, stream.window) = (consumed, window);
                    if stream.window_left().is_none() {
                        return Err(Ended::Broken("says that it took more than it was sent"));
                    }
                    woken.extend(stream.writer.take());
                }
            }
        }
        Ok(())
    }

    /// Moves received bytes to `buf`: `Some` if there were any, or none will come. Without any, `waker` is for when there are.
    pub(crate) fn read(&mut self, id: u32, buf: &mut tokio::io::ReadBuf<'_>, waker: &Waker) -> Option<io::Result<()>> {
        let Some(stream) = self.streams.get_mut(&id) else { return Some(Ok(())) };
        let length = stream.received.read(buf);
        if length == 0 && buf.remaining() > 0 {
            if stream.is_closed {
                stream.is_close_read = true;
                return Some(Ok(()));
            }
            if let Some(ended) = &self.ended {
                return Some(Err(ended.clone().into()));
            }
            set(&mut stream.reader, waker);
            return None;
        }
        self.room += length as i64;
        // As GOST's peers do it, so that it never waits for long: at once, then by halves of the buffer.
        let is_first = stream.read == 0;
        stream.read = stream.read.wrapping_add(length as u32);
        stream.untold += length as u32;
        let is_due = is_first || stream.untold >= self.config.stream_buffer / 2;
        if self.config.version == smux::Version::V2 && is_due && !stream.is_update_due && !stream.is_closed {
            stream.is_update_due = true;
            stream.untold = 0;
            self.updates.push_back(id);
        }
        Some(Ok(()))
    }

    /// Makes room for at most `length` bytes of a stream; if there is none, `waker` is for when there is.
    pub(crate) fn reserve(&mut self, id: u32, length: usize, waker: &Waker) -> io::Result<Room> {
        if let Some(ended) = &self.ended {
            return Err(ended.clone().into());
        }
        let Some(stream) = self.streams.get_mut(&id) else { return Ok(Room::Closed) };
        if stream.is_ending || stream.is_close_read {
            return Ok(Room::Closed);
        }
        // An error might keep who copies both ways from reading the rest.
        if stream.is_closed {
            return Ok(Room::Lost);
        }
        let window = match self.config.version {
            smux::Version::V1 => usize::MAX,
            smux::Version::V2 => stream.window_left().unwrap_or(0),
        };
        let length = length.min(self.config.max_frame.into()).min(window);
        // A frame may go beyond: pieces of frames are no use.
        if length == 0 || stream.queued >= SEND_BUFFER {
            set(&mut stream.writer, waker);
            return Ok(Room::Full);
        }
        stream.queued += length;
        stream.sent = stream.sent.wrapping_add(length as u32);
        Ok(Room::Reserved(length))
    }

    /// Sends a frame with `payload` bytes, which were reserved.
    pub(crate) fn push(&mut self, id: u32, frame: Bytes, payload: usize) {
        self.frames.push_back(Frame { bytes: frame, stream: id, payload, kind: FrameKind::Data });
    }

    /// Ends a stream, behind what was pushed.
    pub(crate) fn end(&mut self, id: u32) {
        if let Some(stream) = self.streams.get_mut(&id)
            && !std::mem::replace(&mut stream.is_ending, true)
            && self.ended.is_none()
        {
            self.push_close(id, FrameKind::Close);
        }
    }

    fn push_close(&mut self, id: u32, kind: FrameKind) {
        let bytes = Bytes::copy_from_slice(&smux::close(self.config.version, id));
        self.frames.push_back(Frame { bytes, stream: id, payload: 0, kind });
    }

    /// Ends a stream that nobody holds any more.
    pub(crate) fn release(&mut self, id: u32) {
        self.end(id);
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.is_dropped = true;
            self.room += stream.received.len() as i64;
            stream.received = Received::default();
            if self.ended.is_some() || stream.is_end_sent {
                self.streams.remove(&id);
            }
        }
    }

    /// Has a sign of life sent.
    pub(crate) fn keep_alive(&mut self) {
        // One that waits is enough.
        if self.control.is_empty() {
            self.control.extend_from_slice(&smux::nop(self.config.version));
        }
    }

    /// What is to be sent next: what is urgent, then frames in their order, some of them at a time.
    pub(crate) fn next_batch(&mut self, batch: &mut VecDeque<Frame>, slices: usize, mut bytes: usize) {
        while let Some(id) = self.updates.pop_front() {
            if let Some(stream) = self.streams.get_mut(&id) {
                stream.is_update_due = false;
                let frame = smux::update(self.config.version, id, stream.read, self.config.stream_buffer);
                self.control.extend_from_slice(&frame);
            }
        }
        if !self.control.is_empty() {
            let control = std::mem::take(&mut self.control).freeze();
            batch.push_back(Frame { bytes: control, stream: 0, payload: 0, kind: FrameKind::Data });
        }
        while batch.len() < slices
            && bytes > 0
            && let Some(frame) = self.frames.pop_front()
        {
            bytes = bytes.saturating_sub(frame.bytes.len());
            batch.push_back(frame);
        }
    }

    /// A frame is sent.
    pub(crate) fn sent(&mut self, frame: &Frame, woken: &mut Vec<Waker>) {
        if frame.kind == FrameKind::Refusal {
            self.refusals -= 1;
        } else if let Some(stream) = self.streams.get_mut(&frame.stream) {
            stream.queued -= frame.payload;
            woken.extend(stream.writer.take());
            stream.is_end_sent |= frame.kind == FrameKind::Close;
            if stream.is_end_sent && stream.is_dropped {
                self.streams.remove(&frame.stream);
            }
        }
    }

    /// Nothing waits to be sent.
    pub(crate) fn is_drained(&self) -> bool {
        self.control.is_empty() && self.updates.is_empty() && self.frames.is_empty()
    }

    /// The session's task, if it waits for what there is now.
    pub(crate) fn unpark(&mut self) -> Option<Waker> {
        let WaitsFor { output, room } = self.waits_for;
        if output && !self.is_drained() || room && self.has_room() { self.driver.take() } else { None }
    }

    /// The session's task waits.
    pub(crate) fn park(&mut self, driver: &Waker, waits_for: WaitsFor) {
        set(&mut self.driver, driver);
        self.waits_for = waits_for;
    }

    /// Ends the session, if it hasn't: every stream learns of it once it has read what it received.
    pub(crate) fn finish(&mut self, ended: Ended, woken: &mut Vec<Waker>) {
        if self.ended.is_some() {
            return;
        }
        if ended != Ended::Dropped {
            (self.control, self.updates, self.frames) = (BytesMut::new(), VecDeque::new(), VecDeque::new());
        }
        self.ended = Some(ended);
        self.streams.retain(|_, stream| !stream.is_dropped);
        for stream in self.streams.values_mut() {
            woken.extend(stream.reader.take());
            woken.extend(stream.writer.take());
        }
        woken.extend(self.driver.take());
    }
}

fn set(slot: &mut Option<Waker>, waker: &Waker) {
    match slot {
        Some(old) => old.clone_from(waker),
        None => *slot = Some(waker.clone()),
    }
}
