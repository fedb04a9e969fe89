//! [`Client`]: a SOCKS client in its handshake.

use std::time::Duration;

use bytes::Buf as _;
use drawspan_wire::socks::Parsed;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use super::{HandlerError, Session};
use crate::net::{Buffered, Direction, eof, linger};
use crate::tls::TlsServer;

/// After a dial that took long, a client still has this much time to take the answer.
const ANSWER_TIME: Duration = Duration::from_secs(5);

/// A client that is still asking.
pub(super) struct Client<'s> {
    pub(super) session: &'s Session<'s>,
    pub(super) conn: Buffered,
    /// For all that the client has to send.
    deadline: Instant,
}

impl<'s> Client<'s> {
    /// Waits for the first byte. `None` if none comes within `limit`, or `drain` forbids to wait.
    pub(super) async fn begin(
        session: &'s Session<'s>,
        mut conn: Buffered,
        limit: Duration,
        drain: &CancellationToken,
    ) -> Result<Option<Self>, HandlerError> {
        let deadline = Instant::now() + limit;
        if conn.received.is_empty() {
            tokio::select! {
                biased;
                filled = timeout_at(deadline, conn.fill()) => match filled {
                    Ok(Ok(1..)) => {}
                    Ok(Ok(0)) | Err(_) => return Ok(None),
                    Ok(Err(error)) => return Err(HandlerError::Client(error)),
                },
                () = drain.cancelled() => return Ok(None),
            }
        }
        Ok(Some(Self { session, conn, deadline }))
    }

    /// The next message.
    pub(super) async fn receive<T>(&mut self, parse: impl Fn(&[u8]) -> Parsed<T>) -> Result<T, HandlerError> {
        loop {
            if let Some((message, length)) = parse(&self.conn.received)? {
                self.conn.received.advance(length);
                self.session.traffic.count(Direction::Up, length);
                return Ok(message);
            }
            match timeout_at(self.deadline, self.conn.fill()).await {
                Ok(Ok(1..)) => {}
                Ok(Ok(0)) => return Err(HandlerError::Client(eof())),
                Ok(Err(error)) => return Err(HandlerError::Client(error)),
                Err(_) => return Err(HandlerError::ClientTimedOut),
            }
        }
    }

    /// Sends an answer. They are short: a client that doesn't take one in time has gone away.
    pub(super) async fn send(&self, answer: &[u8]) -> Result<(), HandlerError> {
        let deadline = self.deadline.max(Instant::now() + ANSWER_TIME);
        let written = timeout_at(deadline, self.conn.stream.write_all(answer)).await;
        written.map_err(|_| HandlerError::ClientTimedOut)?.map_err(HandlerError::Client)?;
        self.session.traffic.count(Direction::Down, answer.len());
        Ok(())
    }

    /// Sends the last answer, and closes so that the client can read it.
    pub(super) async fn refuse(self, answer: &[u8]) -> Result<(), HandlerError> {
        self.send(answer).await?;
        linger(self.conn.stream).await;
        Ok(())
    }

    /// Goes on within TLS.
    pub(super) async fn secure(self, tls: &TlsServer) -> Result<Self, HandlerError> {
        let Self { session, conn, deadline } = self;
        let accepted = timeout_at(deadline, tls.accept(conn)).await;
        let stream = accepted.map_err(|_| HandlerError::ClientTimedOut)?.map_err(HandlerError::Client)?;
        Ok(Self { session, conn: Buffered::new(stream), deadline })
    }
}
