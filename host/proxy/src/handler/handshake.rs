//! [`Client`]: a client in the handshake of SOCKS or the relay protocol; [`Grant`] and [`Tunnel`]: what that leads to.

use std::time::Duration;

use bytes::Buf as _;
use drawspan_modules::ClientId;
use drawspan_wire::http1::HostPort;
use drawspan_wire::socks::Address;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use super::session::{Asked, Session};
use super::{HandlerError, HandlerParts, sniff};
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
    pub(super) async fn receive<T, E>(
        &mut self,
        parse: impl Fn(&[u8]) -> Result<Option<(T, usize)>, E>,
    ) -> Result<T, HandlerError>
    where
        HandlerError: From<E>,
    {
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
        self.session.answered(answer.len());
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
        let (stream, _) = accepted.map_err(|_| HandlerError::ClientTimedOut)?.map_err(HandlerError::Client)?;
        Ok(Self { session, conn: Buffered::new(stream), deadline })
    }
}

/// What a handshake may lead to: both ends of a tunnel.
pub(super) struct Tunnel {
    pub(super) client: Buffered,
    pub(super) upstream: Buffered,
    pub(super) asked: Asked,
    /// What it carries may be looked into: not what somebody else begins.
    pub(super) sniffed: bool,
    /// It ends when no byte has moved for so long.
    pub(super) idle: Option<Duration>,
}

impl Tunnel {
    pub(super) async fn run(self, session: &Session<'_>, drain: &CancellationToken) -> Result<(), HandlerError> {
        let Self { client, upstream, asked, sniffed, idle } = self;
        if let Some(sniffing) = session.parts.sniffing.filter(|_| sniffed) {
            return Box::pin(sniff::tunnel(session, client, upstream, asked, idle, sniffing, drain)).await;
        }
        session.tunnel(client, upstream, asked, idle).await;
        Ok(())
    }
}

/// What a client was let in as.
#[derive(Clone)]
pub(super) struct Grant {
    user: Vec<u8>,
    pub(super) client_id: ClientId,
}

impl Grant {
    /// Of anyone, where nobody is asked for.
    pub(super) fn anonymous() -> Self {
        Self { user: Vec::new(), client_id: String::new().into() }
    }

    /// Asks the authenticator, if there is one; `None` if it refuses.
    pub(super) async fn ask(
        parts: &HandlerParts,
        session: &Session<'_>,
        user: Vec<u8>,
        password: &[u8],
    ) -> Option<Self> {
        let client_id = match &parts.authenticator {
            Some(authenticator) => authenticator.authenticate(&session.info, &user, password).await?,
            None => String::new().into(),
        };
        Some(Self { user, client_id })
    }

    /// Adds to the connection's record who asks, and for what.
    pub(super) fn note(&self, session: &Session<'_>, address: &Address) {
        if let Ok(target) = address.host_port() {
            let asked = self.clone().asked(target);
            session.note(|record| asked.note(record));
        }
    }

    pub(super) fn asked(self, target: HostPort) -> Asked {
        let user = (!self.user.is_empty()).then(|| String::from_utf8_lossy(&self.user).into_owned());
        Asked { target, user, client_id: self.client_id }
    }
}
