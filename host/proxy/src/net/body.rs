//! HTTP/1 bodies: [`relay_body`] passes one on as it is, [`hold_body`] keeps one back.

use std::io;
use std::sync::{Mutex, PoisonError};

use bytes::{Buf as _, BytesMut};
use drawspan_wire::http1::{BodyScanner, ChunkError};
use tokio::task::coop::consume_budget;

use super::buffered::{eof, fill};
use super::{Activity, Flow, Stream};

/// Why a body did not get through.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    /// The sender failed, or ended too early.
    #[error(transparent)]
    Read(io::Error),
    /// The receiver failed.
    #[error(transparent)]
    Write(io::Error),
    /// The sender's framing is broken.
    #[error(transparent)]
    Malformed(ChunkError),
}

/// Listens to a body's content: keeps so much of its beginning, and counts all of it.
#[derive(Debug, Default)]
pub(crate) struct Tap {
    limit: usize,
    heard: Mutex<Heard>,
}

#[derive(Debug, Default)]
struct Heard {
    beginning: Vec<u8>,
    length: u64,
}

impl Tap {
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, heard: Mutex::default() }
    }

    pub(crate) fn hear(&self, part: &[u8]) {
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.length += part.len() as u64;
        let room = self.limit.saturating_sub(heard.beginning.len()).min(part.len());
        heard.beginning.extend_from_slice(&part[..room]);
    }

    /// The beginning, and how long the whole is.
    pub(crate) fn heard(&self) -> (Vec<u8>, u64) {
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        (std::mem::take(&mut heard.beginning), heard.length)
    }
}

/// Passes on what `body` delimits, starting with what was `received` already; what follows the body is left there. Holds
/// at most one buffer, and none while it waits for the sender. Waits without bound: the caller watches `flow`.
pub(crate) async fn relay_body(
    from: &Stream,
    received: &mut BytesMut,
    to: &Stream,
    mut body: BodyScanner,
    flow: Flow<'_>,
    tap: Option<&Tap>,
) -> Result<(), BodyError> {
    let hear = |part: &[u8]| tap.iter().for_each(|tap| tap.hear(part));
    let early = body.decode(received, hear).map_err(BodyError::Malformed)?;
    to.write_all(&received[..early]).await.map_err(BodyError::Write)?;
    received.advance(early);
    flow.moved(early).await;
    while !body.is_complete() {
        let chunk = from.read(flow.portion()).await.map_err(BodyError::Read)?;
        if chunk.is_empty() {
            return if body.may_end() { Ok(()) } else { Err(BodyError::Read(eof())) };
        }
        let belonging = body.decode(&chunk, hear).map_err(BodyError::Malformed)?;
        to.write_all(&chunk[..belonging]).await.map_err(BodyError::Write)?;
        received.extend_from_slice(&chunk[belonging..]);
        drop(chunk);
        flow.moved(belonging).await;
        consume_budget().await;
    }
    Ok(())
}

/// What became of a body that was held back.
pub(crate) enum Held {
    /// All of it: its content, and the bytes it came as.
    Whole { content: Vec<u8>, bytes: BytesMut },
    /// It is longer than was allowed. These bytes of it are there, and this delimits the rest.
    Longer { bytes: BytesMut, rest: BodyScanner },
}

/// Reads what `body` delimits, up to `limit` bytes of content, without passing it on. What follows it stays `received`.
/// Waits without bound: the caller does.
pub(crate) async fn hold_body(
    from: &Stream,
    received: &mut BytesMut,
    mut body: BodyScanner,
    limit: usize,
    activity: &Activity,
) -> Result<Held, BodyError> {
    let (mut content, mut bytes) = (Vec::new(), BytesMut::new());
    loop {
        let belonging = body.decode(received, |part| content.extend_from_slice(part)).map_err(BodyError::Malformed)?;
        bytes.extend_from_slice(&received[..belonging]);
        received.advance(belonging);
        if content.len() > limit {
            return Ok(Held::Longer { bytes, rest: body });
        }
        if body.is_complete() {
            return Ok(Held::Whole { content, bytes });
        }
        let filled = fill(from, received).await.map_err(BodyError::Read)?;
        activity.touch();
        if filled == 0 {
            return match body.may_end() {
                true => Ok(Held::Whole { content, bytes }),
                false => Err(BodyError::Read(eof())),
            };
        }
    }
}
