//! [`TlsStream`]: TLS after its handshake.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use rustls::crypto::cipher::OutboundChunks;
use rustls::{AlertDescription, ContentType, Error, ExtractedSecrets, HandshakeType, InvalidMessage, PeerMisbehaved};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::handshake::Early;
use super::keys::{MOST_DATA, Opener, Sealer, Session, invalid, unexpected};
use crate::net::{Buffer, Buffered, Stream};

/// Records in a row without data that a peer may send, as rustls has it for key updates: each costs work.
const MOST_IDLE: u8 = 32;
/// Bytes that a message of the handshake protocol may have (its length is of three bytes).
const MOST_MESSAGE: usize = 64 * 1024;
/// Bytes of its header: type and length.
const MESSAGE_HEADER: usize = 4;
/// Records, or pieces of what becomes records, that are written at once.
const AT_ONCE: usize = 64;

const WARNING: u8 = 1;
const FATAL: u8 = 2;

/// A TLS connection after its handshake (RFC 8446 §5, RFC 5246 §6.2).
///
/// rustls speaks the handshake, keeps the keys and has the ciphers; records are taken apart here, since a byte that goes through
/// rustls's own buffers is copied three times more. What was received is decrypted where it is, and as much is received at once
/// as a [`Buffer`] takes, which is held while there are bytes in it.
pub(super) struct TlsStream {
    inner: Stream,
    session: Session,
    opener: Opener,
    sealer: Sealer,
    reading: Reading,
    writing: Writing,
}

#[derive(Default)]
struct Reading {
    received: Option<Received>,
    /// The beginning of a record whose end hasn't come.
    partial: BytesMut,
    /// The beginning of a message of the handshake protocol whose end hasn't come.
    message: Vec<u8>,
    /// Records without data, in a row.
    idle: u8,
    /// The peer has said that there is no more.
    ended: bool,
    failed: Option<Error>,
}

/// Bytes of the peer.
struct Received {
    buffer: Buffer,
    /// Decrypted and not taken yet.
    plain: Range<usize>,
    /// Records.
    rest: Range<usize>,
}

#[derive(Default)]
struct Writing {
    /// Records that are to be sent.
    records: VecDeque<Vec<u8>>,
    /// Bytes of the first that are sent.
    sent: usize,
    /// The peer wants our keys to change; told once, however often it asks.
    renew: bool,
    closed: bool,
}

impl TlsStream {
    /// `conn` holds what was received after the handshake.
    pub(super) fn new(
        conn: Buffered,
        session: Session,
        secrets: ExtractedSecrets,
        early: Early,
    ) -> Result<Self, Error> {
        let (opener, sealer) = session.keys(secrets)?;
        let Buffered { stream: inner, received: rest } = conn;
        let Early { data, ended } = early;
        let received = if ended { Received::new(&data, &[]) } else { Received::new(&data, &rest) };
        let reading = Reading { received, ended, ..Reading::default() };
        Ok(Self { inner, session, opener, sealer, reading, writing: Writing::default() })
    }

    /// Takes the next record apart, if there is a whole one.
    fn open_next(&mut self) -> Result<bool, Error> {
        let Some(received) = &mut self.reading.received else { return Ok(false) };
        let Some((typ, range)) = received.open(&mut self.opener)? else {
            let bytes = &received.buffer[received.rest.clone()];
            self.reading.partial = BytesMut::from(bytes);
            self.reading.received = None;
            return Ok(false);
        };
        match typ {
            ContentType::ApplicationData | ContentType::Alert if !self.reading.message.is_empty() => {
                return Err(PeerMisbehaved::MessageInterleavedWithHandshakeMessage.into());
            }
            ContentType::ApplicationData if !range.is_empty() => {
                received.plain = range;
                self.reading.idle = 0;
                return Ok(true);
            }
            ContentType::ApplicationData => {}
            ContentType::Alert => {
                let &[level, alert] = &received.buffer[range] else {
                    return Err(InvalidMessage::MissingData("alert").into());
                };
                self.alert(level, AlertDescription::from(alert))?;
            }
            ContentType::Handshake if self.session.is_tls13() => {
                self.reading.message.extend_from_slice(&received.buffer[range]);
                self.messages()?;
            }
            // Asked for another handshake within TLS 1.2, Go refuses, too.
            typ => return Err(unexpected(typ)),
        }
        self.reading.idle += 1;
        if self.reading.idle > MOST_IDLE {
            return Err(PeerMisbehaved::TooManyKeyUpdateRequests.into());
        }
        Ok(true)
    }

    fn alert(&mut self, level: u8, alert: AlertDescription) -> Result<(), Error> {
        match alert {
            AlertDescription::CloseNotify => {
                self.reading.ended = true;
                self.reading.received = None;
                Ok(())
            }
            // It closes next (RFC 8446 §6.1).
            AlertDescription::UserCanceled => Ok(()),
            _ if level == WARNING && !self.session.is_tls13() => Ok(()),
            _ => Err(Error::AlertReceived(alert)),
        }
    }

    /// Does what the messages of the handshake protocol say that have come (RFC 8446 §4.6).
    fn messages(&mut self) -> Result<(), Error> {
        let mut message = std::mem::take(&mut self.reading.message);
        let mut at = 0;
        while let Some(&[typ, high, middle, low]) = message[at..].first_chunk::<MESSAGE_HEADER>() {
            let length = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
            if length > MOST_MESSAGE {
                return Err(InvalidMessage::HandshakePayloadTooLarge.into());
            }
            let start = at + MESSAGE_HEADER;
            let Some(payload) = message.get(start..start + length) else { break };
            at = start + length;
            match HandshakeType::from(typ) {
                HandshakeType::NewSessionTicket => self.session.ticket(payload)?,
                HandshakeType::KeyUpdate => {
                    let wanted = match payload {
                        [0] => false,
                        [1] => true,
                        _ => return Err(InvalidMessage::InvalidKeyUpdate.into()),
                    };
                    if at != message.len() {
                        return Err(PeerMisbehaved::KeyEpochWithPendingFragment.into());
                    }
                    self.opener = self.session.next_opener()?;
                    self.writing.renew |= wanted;
                }
                _ => return Err(unexpected(ContentType::Handshake)),
            }
        }
        message.drain(..at);
        self.reading.message = message;
        Ok(())
    }

    /// Receives as much as there is.
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut buffer = Buffer::take();
        let held = self.reading.partial.len();
        let mut into = ReadBuf::new(&mut buffer[held..]);
        ready!(Pin::new(&mut self.inner).poll_read(cx, &mut into))?;
        let length = into.filled().len();
        if length == 0 {
            let missing = "the peer closed the connection without saying so in TLS";
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::UnexpectedEof, missing)));
        }
        let partial = std::mem::take(&mut self.reading.partial);
        buffer[..held].copy_from_slice(&partial);
        self.reading.received = Some(Received { buffer, plain: 0..0, rest: 0..held + length });
        Poll::Ready(Ok(()))
    }

    pub(super) fn seal(&mut self, typ: ContentType, data: &[u8]) -> Result<(), Error> {
        let record = self.sealer.seal(typ, data.into())?;
        self.writing.records.push_back(record);
        Ok(())
    }

    fn seal_alert(&mut self, level: u8, alert: AlertDescription) -> Result<(), Error> {
        self.seal(ContentType::Alert, &[level, alert.into()])
    }

    /// Tells the peer that what follows is encrypted by the next key.
    fn renew(&mut self) -> Result<(), Error> {
        let next = self.session.next_sealer()?;
        self.seal(ContentType::Handshake, &[HandshakeType::KeyUpdate.into(), 0, 0, 1, 0])?;
        self.sealer = next;
        self.writing.renew = false;
        Ok(())
    }

    /// Encrypts some of `data`, and says how much.
    fn seal_data(&mut self, data: OutboundChunks<'_>) -> Result<usize, Error> {
        let (mut data, _) = data.split_at(Buffer::SIZE);
        let length = data.len();
        while !data.is_empty() {
            if self.sealer.used_up() || self.writing.renew {
                self.renew()?;
            }
            let (piece, rest) = data.split_at(MOST_DATA);
            let record = self.sealer.seal(ContentType::ApplicationData, piece)?;
            self.writing.records.push_back(record);
            data = rest;
        }
        Ok(length)
    }

    fn poll_seal(&mut self, cx: &mut Context<'_>, data: OutboundChunks<'_>) -> Poll<io::Result<usize>> {
        ready!(self.poll_send(cx))?;
        let length = self.seal_data(data).map_err(invalid)?;
        // What isn't sent now is sent before more is taken.
        let _ = self.poll_send(cx)?;
        Poll::Ready(Ok(length))
    }

    /// Sends the records that wait.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Writing { records, sent, .. } = &mut self.writing;
        while !records.is_empty() {
            let mut slices = [IoSlice::new(&[]); AT_ONCE];
            let count = slices.len().min(records.len());
            for (slice, record) in slices.iter_mut().zip(&*records) {
                *slice = IoSlice::new(record);
            }
            slices[0].advance(*sent);
            let mut written = ready!(Pin::new(&mut self.inner).poll_write_vectored(cx, &slices[..count]))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            while let Some(left) = records.front().map(|record| record.len() - *sent) {
                if written < left {
                    *sent += written;
                    break;
                }
                written -= left;
                *sent = 0;
                records.pop_front();
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Remembers why nothing can be read any more, and tells the peer.
    fn fail(&mut self, error: Error) {
        let alert = match &error {
            Error::AlertReceived(_) => None,
            Error::DecryptError => Some(AlertDescription::BadRecordMac),
            Error::PeerSentOversizedRecord => Some(AlertDescription::RecordOverflow),
            Error::InvalidMessage(_) => Some(AlertDescription::DecodeError),
            _ => Some(AlertDescription::UnexpectedMessage),
        };
        if let Some(alert) = alert {
            // Without keys for it nothing can be said.
            let _ = self.seal_alert(FATAL, alert);
        }
        self.reading.received = None;
        self.reading.failed = Some(error);
    }
}

#[cfg(test)]
impl TlsStream {
    pub(super) fn session(&mut self) -> &mut Session {
        &mut self.session
    }

    pub(super) fn sealer(&mut self) -> &mut Sealer {
        &mut self.sealer
    }

    pub(super) fn holds_buffer(&self) -> bool {
        self.reading.received.is_some()
    }
}

impl Received {
    /// What came with a handshake, which bounds it to less than a buffer: `plain` is decrypted, `rest` isn't.
    fn new(plain: &[u8], rest: &[u8]) -> Option<Self> {
        let (middle, end) = (plain.len(), plain.len() + rest.len());
        (end > 0).then(|| {
            let mut buffer = Buffer::take();
            buffer[..middle].copy_from_slice(plain);
            buffer[middle..end].copy_from_slice(rest);
            Self { buffer, plain: 0..middle, rest: middle..end }
        })
    }

    /// Decrypts the next record where it is; `None` if it isn't whole.
    fn open(&mut self, opener: &mut Opener) -> Result<Option<(ContentType, Range<usize>)>, Error> {
        let Some(length) = Opener::record_length(&self.buffer[self.rest.clone()])? else { return Ok(None) };
        let record = self.rest.start..self.rest.start + length;
        self.rest.start = record.end;
        let origin = self.buffer.as_ptr().addr();
        let message = opener.open(&mut self.buffer[record])?;
        let start = message.payload.as_ptr().addr() - origin;
        Ok(Some((message.typ, start..start + message.payload.len())))
    }
}

impl Reading {
    /// Gives what is decrypted, as far as `buf` takes it.
    fn give(&mut self, buf: &mut ReadBuf<'_>) {
        if let Some(received) = &mut self.received {
            let length = received.plain.len().min(buf.remaining());
            let taken = received.plain.start..received.plain.start + length;
            buf.put_slice(&received.buffer[taken.clone()]);
            received.plain.start = taken.end;
            if received.plain.is_empty() && received.rest.is_empty() {
                self.received = None;
            }
        }
    }

    fn holds_data(&self) -> bool {
        self.received.as_ref().is_some_and(|received| !received.plain.is_empty())
    }
}

impl AsyncRead for TlsStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        loop {
            this.reading.give(buf);
            if buf.remaining() == 0 {
                break;
            }
            if this.reading.holds_data() {
                continue;
            }
            match this.open_next() {
                Ok(true) => continue,
                Ok(false) => {}
                Err(error) => this.fail(error),
            }
            let given = buf.filled().len() > before;
            if given || this.reading.ended {
                break;
            }
            if let Some(error) = &this.reading.failed {
                let error = invalid(error.clone());
                // What it is told is told now or never.
                let _ = this.poll_send(cx)?;
                return Poll::Ready(Err(error));
            }
            ready!(this.poll_receive(cx))?;
        }
        // The peer needn't wait for the answer until there is something to say.
        if this.writing.renew && this.writing.records.is_empty() {
            this.renew().map_err(invalid)?;
            let _ = this.poll_send(cx)?;
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for TlsStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.get_mut().poll_seal(cx, buf.into())
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut slices = [&[][..]; AT_ONCE];
        for (slice, buf) in slices.iter_mut().zip(bufs) {
            *slice = buf;
        }
        self.get_mut().poll_seal(cx, OutboundChunks::new(&slices[..bufs.len().min(AT_ONCE)]))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_send(cx))?;
        Pin::new(&mut this.inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !std::mem::replace(&mut this.writing.closed, true) {
            this.seal_alert(WARNING, AlertDescription::CloseNotify).map_err(invalid)?;
        }
        ready!(this.poll_send(cx))?;
        Pin::new(&mut this.inner).poll_shutdown(cx)
    }
}
