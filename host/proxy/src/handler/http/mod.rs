//! [`Http`]: the HTTP proxy (RFC 9110 §3.7; GOST reference, dataplane 7).
//!
//! Each request on a connection goes through the same steps: head, authentication, target, then a tunnel (CONNECT) or one
//! exchange with the origin. Only tunnels end that cycle with bytes still to move; they run after everything that the
//! request needed is freed, so that an idle one costs little.

pub(super) mod answer;
mod auth;
mod forward;
mod probe;
mod settings;
#[cfg(test)]
mod tests;
mod udp;

use std::sync::OnceLock;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use drawspan_wire::http1::{
    BodyLength, Credentials, HeadError, HeadScanner, Headers, RequestHead, RequestTarget, Version,
};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

pub use self::settings::{ProbeResist, ProbeResistError, Settings, WebPage};

use self::auth::Grant;
use self::forward::{Forward, Kept};
use super::frames::Frames;
use super::record::{HttpRecord, Record};
use super::session::{Asked, Session};
use super::{HandlerError, HandlerParts, exchange, sniff};
use crate::Conn;
use crate::net::{Buffered, Direction, HeadReadError, fill, linger, read_head};
use crate::tls::TlsClient;

/// Speaks the HTTP proxy protocol with clients.
pub struct Http {
    parts: HandlerParts,
    settings: Settings,
    /// For a decoy by https.
    decoy_tls: OnceLock<TlsClient>,
}

/// What comes after a request.
enum Next {
    /// Another one.
    Again,
    /// Nothing: the last answer is written.
    Close,
    /// Bytes both ways.
    Tunnel(Tunnel),
    /// Datagrams both ways, in frames.
    Datagrams(Asked),
}

/// An established tunnel, for a client that was told so.
struct Tunnel {
    upstream: Buffered,
    asked: Asked,
    /// Sent upstream before anything else from the client.
    replay: Bytes,
    /// What it carries may be looked into.
    sniffed: bool,
    /// It is a websocket whose frames are recorded.
    frames: Option<Box<Frames>>,
}

/// How the last request on a connection left it.
enum Served {
    /// Nobody waits for anything.
    Idle,
    /// The client may not have read the last answer yet.
    Answered,
    Tunnel(Tunnel),
    Datagrams(Asked),
}

impl Http {
    /// A handler that asks `parts`.
    #[must_use]
    pub fn new(parts: HandlerParts, settings: Settings) -> Self {
        Self { parts, settings, decoy_tls: OnceLock::new() }
    }

    /// As [`Handler::handle`](super::Handler::handle).
    pub(crate) async fn handle(&self, conn: Conn, drain: CancellationToken) -> Result<(), HandlerError> {
        let (session, mut client) = Session::start(conn, "http", &self.parts);
        let served = self.serve(&session, &mut client, &drain).await;
        match served {
            Ok(Served::Idle) => Ok(()),
            Ok(Served::Answered) => {
                linger(client.stream).await;
                Ok(())
            }
            Ok(Served::Datagrams(asked)) => Box::pin(self.relay(&session, client, asked)).await,
            Ok(Served::Tunnel(tunnel)) => self.tunnel(&session, client, tunnel, &drain).await,
            Err(error) => {
                linger(client.stream).await;
                Err(error)
            }
        }
    }

    async fn serve(
        &self,
        session: &Session<'_>,
        client: &mut Buffered,
        drain: &CancellationToken,
    ) -> Result<Served, HandlerError> {
        let (mut grant, mut kept) = (None, None);
        let mut wait = self.settings.read_timeout;
        while let Some(head) = self.next_head(client, wait, drain).await? {
            session.traffic.count(Direction::Up, head.len());
            // Boxed: what a request needs must not be carried along by the tunnel that it may become.
            match Box::pin(self.request(session, client, &head, &mut grant, &mut kept, drain)).await? {
                Next::Again => wait = self.settings.idle_timeout.unwrap_or(self.settings.read_timeout),
                Next::Close => return Ok(Served::Answered),
                Next::Tunnel(tunnel) => return Ok(Served::Tunnel(tunnel)),
                Next::Datagrams(asked) => return Ok(Served::Datagrams(asked)),
            }
        }
        Ok(Served::Idle)
    }

    /// The next request's head; `None` if the client ends the connection, sends nothing for `wait`, or `drain` forbids
    /// another request.
    async fn next_head(
        &self,
        client: &mut Buffered,
        wait: Duration,
        drain: &CancellationToken,
    ) -> Result<Option<Bytes>, HandlerError> {
        let Buffered { stream, received } = client;
        if received.is_empty() {
            tokio::select! {
                biased;
                filled = timeout(wait, fill(stream, received)) => match filled {
                    Ok(Ok(1..)) => {}
                    Ok(Ok(0)) | Err(_) => return Ok(None),
                    Ok(Err(error)) => return Err(HandlerError::Client(error)),
                },
                () = drain.cancelled() => return Ok(None),
            }
        }
        match timeout(self.settings.read_timeout, read_head(stream, received, HeadScanner::request())).await {
            Err(_) => Err(HandlerError::ClientTimedOut),
            Ok(Err(HeadReadError::Io(error))) => Err(HandlerError::Client(error)),
            Ok(Err(HeadReadError::Head(error))) => Err(error.into()),
            Ok(Ok(head)) => Ok(head),
        }
    }

    async fn request(
        &self,
        session: &Session<'_>,
        client: &mut Buffered,
        bytes: &Bytes,
        grant: &mut Option<Grant>,
        kept: &mut Option<Box<Kept>>,
        drain: &CancellationToken,
    ) -> Result<Next, HandlerError> {
        let head = match RequestHead::parse(bytes) {
            // Judged like any other request, so that it tells nothing to who may not know that this is a proxy.
            Err(HeadError::Http2Preface) => {
                RequestHead { method: "PRI", target: "*", version: Version::Http11, headers: Headers::default() }
            }
            parsed => parsed?,
        };
        let target = RequestTarget::of(&head);
        session.note(|record| note(record, &head, target.as_ref().ok()));
        let Some(grant) = self.authenticate(session, &head, grant).await else {
            return Box::pin(self.refuse(session, client, bytes, &head)).await;
        };
        // GOST: stable looks at the target first, so that a 400 gives the proxy away; its next version does as we do.
        let (target, length) = match (target, BodyLength::of_request(&head)) {
            (Ok(_), _) if head.method == "PRI" => return self.bad_request(session, client, "PRI").await,
            (Err(error), _) => return self.bad_request(session, client, &error.to_string()).await,
            (_, Err(error)) => return self.bad_request(session, client, &error.to_string()).await,
            (Ok(target), Ok(length)) => (target, length),
        };
        let is_udp = head.headers.get("x-gost-protocol") == Some(b"udp");
        let asked = grant.asked(target.address());
        if session.refuses(&asked, if is_udp { "udp" } else { "tcp" }).await {
            let own = [("Proxy-Agent", self.settings.agent.as_str())];
            self.refusal(session, client, 403, &own).await?;
            return Ok(Next::Close);
        }
        session.count_for(&asked.client_id);
        if is_udp {
            return self.grant_udp(session, client, asked).await;
        }
        match target {
            RequestTarget::Tunnel(_) => self.connect(session, client, asked).await,
            RequestTarget::Forward { authority, path, .. } => {
                let forward = Forward { head: &head, authority: &authority, path: &path, length, asked };
                Box::pin(self.forward(session, client, forward, kept, drain)).await
            }
        }
    }

    async fn connect(&self, session: &Session<'_>, client: &mut Buffered, asked: Asked) -> Result<Next, HandlerError> {
        match session.dial(&asked).await {
            Ok(upstream) => {
                status(session, 200);
                self.answer(session, client, &answer::established(&self.settings)).await?;
                Ok(Next::Tunnel(Tunnel {
                    upstream: upstream.conn,
                    asked,
                    replay: Bytes::new(),
                    sniffed: true,
                    frames: None,
                }))
            }
            Err(error) => {
                let own = [("Proxy-Agent", self.settings.agent.as_str())];
                self.refusal(session, client, 503, &own).await?;
                Err(error.into())
            }
        }
    }

    async fn tunnel(
        &self,
        session: &Session<'_>,
        mut client: Buffered,
        tunnel: Tunnel,
        drain: &CancellationToken,
    ) -> Result<(), HandlerError> {
        let Tunnel { mut upstream, asked, replay, sniffed, frames } = tunnel;
        let idle = self.settings.idle_timeout;
        if let Some(sniffing) = self.parts.sniffing.filter(|_| sniffed) {
            return Box::pin(sniff::tunnel(session, client, upstream, asked, idle, sniffing, drain)).await;
        }
        if let Some(frames) = frames {
            (client, upstream) = frames.overhear(client, upstream);
        }
        if !replay.is_empty() {
            let mut all = BytesMut::from(replay);
            all.extend_from_slice(&client.received);
            client.received = all;
        }
        session.tunnel(client, upstream, asked, idle).await;
        Ok(())
    }

    async fn bad_request(
        &self,
        session: &Session<'_>,
        client: &mut Buffered,
        reason: &str,
    ) -> Result<Next, HandlerError> {
        tracing::debug!(
            service = %session.info.service,
            sid = %session.info.sid,
            client = %session.info.client,
            "bad request: {reason}"
        );
        self.refusal(session, client, 400, &[]).await?;
        Ok(Next::Close)
    }

    /// Refuses what the client wants, with headers of the proxy's own.
    async fn refusal(
        &self,
        session: &Session<'_>,
        client: &Buffered,
        code: u16,
        own: &[(&str, &str)],
    ) -> Result<(), HandlerError> {
        status(session, code);
        self.answer(session, client, &answer::refusal(&self.settings, code, own)).await
    }

    /// Writes an answer of the proxy's own. They are short: a client that doesn't take one in time has gone away.
    async fn answer(&self, session: &Session<'_>, client: &Buffered, answer: &[u8]) -> Result<(), HandlerError> {
        exchange::send(session, &client.stream, self.settings.read_timeout, answer).await
    }
}

/// Records what a request says, before anybody has judged it.
fn note(record: &mut Record, head: &RequestHead<'_>, target: Option<&RequestTarget<'_>>) {
    let (host, scheme) = match target {
        Some(RequestTarget::Forward { authority, .. }) => (authority.as_ref(), "http"),
        Some(RequestTarget::Tunnel(_)) | None => (head.target, ""),
    };
    record.proto = "http";
    record.host = target.map(|target| target.address().to_string()).unwrap_or_default();
    let said = head.headers.get("proxy-authorization").and_then(Credentials::parse).unwrap_or_default();
    record.client_id = String::from_utf8_lossy(&said.username).into_owned();
    record.client_ip = HttpRecord::client_ip(&head.headers);
    let mut http = HttpRecord::of(head, host);
    http.scheme = scheme;
    record.http = Some(http);
}

/// Records what was answered.
fn status(session: &Session<'_>, code: u16) {
    session.note(|record| record.http.iter_mut().for_each(|http| http.status_code = code));
}
