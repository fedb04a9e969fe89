//! [`relay_body`]: passes an HTTP/1 body on as it is.

use std::io;

use bytes::{Buf as _, BytesMut};
use drawspan_wire::http1::{BodyScanner, ChunkError};
use tokio::net::TcpStream;
use tokio::task::coop::consume_budget;

use super::stream::{eof, would_block};
use super::{Buffer, Flow, write_all};

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
    from: &TcpStream,
    received: &mut BytesMut,
    to: &TcpStream,
    mut body: BodyScanner,
    flow: Flow<'_>,
) -> Result<(), BodyError> {
    let early = body.scan(received).map_err(BodyError::Malformed)?;
    write_all(to, &received[..early]).await.map_err(BodyError::Write)?;
    received.advance(early);
    flow.moved(early);
    while !body.is_complete() {
        from.readable().await.map_err(BodyError::Read)?;
        let mut buffer = Buffer::take();
        let length = match from.try_read(&mut buffer) {
            Ok(0) if body.may_end() => return Ok(()),
            Ok(0) => return Err(BodyError::Read(eof())),
            Ok(length) => length,
            Err(error) if would_block(&error) => continue,
            Err(error) => return Err(BodyError::Read(error)),
        };
        let belonging = body.scan(&buffer[..length]).map_err(BodyError::Malformed)?;
        write_all(to, &buffer[..belonging]).await.map_err(BodyError::Write)?;
        flow.moved(belonging);
        received.extend_from_slice(&buffer[belonging..length]);
        drop(buffer);
        consume_budget().await;
    }
    Ok(())
}
