//! [`relay_body`]: passes an HTTP/1 body on as it is.

use std::io;

use bytes::{Buf as _, BytesMut};
use drawspan_wire::http1::{BodyScanner, ChunkError};
use tokio::task::coop::consume_budget;

use super::buffered::eof;
use super::{Flow, Stream};

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

/// Passes on what `body` delimits, starting with what was `received` already; what follows the body is left there. Holds
/// at most one buffer, and none while it waits for the sender. Waits without bound: the caller watches `flow`.
pub(crate) async fn relay_body(
    from: &Stream,
    received: &mut BytesMut,
    to: &Stream,
    mut body: BodyScanner,
    flow: Flow<'_>,
) -> Result<(), BodyError> {
    let early = body.scan(received).map_err(BodyError::Malformed)?;
    to.write_all(&received[..early]).await.map_err(BodyError::Write)?;
    received.advance(early);
    flow.moved(early).await;
    while !body.is_complete() {
        let chunk = from.read(flow.portion()).await.map_err(BodyError::Read)?;
        if chunk.is_empty() {
            return if body.may_end() { Ok(()) } else { Err(BodyError::Read(eof())) };
        }
        let belonging = body.scan(&chunk).map_err(BodyError::Malformed)?;
        to.write_all(&chunk[..belonging]).await.map_err(BodyError::Write)?;
        received.extend_from_slice(&chunk[belonging..]);
        drop(chunk);
        flow.moved(belonging).await;
        consume_budget().await;
    }
    Ok(())
}
