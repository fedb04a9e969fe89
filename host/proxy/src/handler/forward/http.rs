//! HTTP that is forwarded: a target for each request, by what it says, and the messages as the target wants them.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use drawspan_modules::Target;
use drawspan_wire::http1::{
    BodyLength, BodyScanner, Credentials, HeadError, HostPort, RequestHead, named_host, origin_form,
};
use drawspan_wire::sniff::Protocol;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::{Asked, Forward, HandlerError, Session, Sniffing, anonymous};
use crate::handler::exchange::heads::{self, Edits};
use crate::handler::exchange::{self, Exchange, Manner, Outcome, Request, Written, rewrite_request, wants_upgrade};
use crate::handler::frames::Frames;
use crate::handler::http::answer;
use crate::handler::sniff::{NextHead, give_back, next_head};
use crate::net::{Buffered, Meters, linger};
use crate::router::{Node, Seen};
use crate::{DialError, DialReason};

const PORT: u16 = 80;

/// The target of the last request, which the next one may share.
struct Kept {
    node: Arc<Node>,
    upstream: Buffered,
    asked: Asked,
    /// The host that it is for.
    host: Option<HostPort>,
}

/// Why a request isn't passed on.
struct Refusal {
    status: u16,
    error: Option<HandlerError>,
}

/// What comes after a request.
enum Next {
    Again(Kept),
    Close,
    /// Perhaps a websocket whose frames are recorded.
    Tunnel(Kept, Option<Box<Frames>>),
}

impl Forward {
    pub(super) async fn http(
        &self,
        session: &Session<'_>,
        mut client: Buffered,
        sniffing: Sniffing,
        drain: &CancellationToken,
    ) -> Result<(), HandlerError> {
        let meters = session.meters(&anonymous(HostPort { host: String::new(), port: 0 })).await;
        let mut kept: Option<Kept> = None;
        loop {
            let upstream = kept.as_mut().map(|kept| &mut kept.upstream);
            let wait = self.settings.idle_timeout;
            let bytes = match next_head(&mut client, upstream, wait, sniffing.read_timeout, drain).await? {
                NextHead::Head(bytes) => bytes,
                NextHead::End => return Ok(()),
                // The target has closed the connection; the next request gets another.
                NextHead::Upstream => {
                    kept = None;
                    continue;
                }
            };
            let head = match RequestHead::parse(&bytes) {
                Err(HeadError::Http2Preface) => {
                    give_back(&mut client, &bytes);
                    let seen = Seen { protocol: Some(Protocol::Http.as_str()), ..Seen::default() };
                    return self.pass(session, client, &seen).await;
                }
                parsed => parsed?,
            };
            let work = self.request(session, &mut client, &bytes, &head, kept.take(), &meters, sniffing, drain);
            match work.await {
                Ok(Next::Again(next)) => kept = Some(next),
                Ok(Next::Close) => {
                    linger(client.stream).await;
                    return Ok(());
                }
                Ok(Next::Tunnel(Kept { mut upstream, asked, .. }, frames)) => {
                    if let Some(frames) = frames {
                        (client, upstream) = frames.overhear(client, upstream);
                    }
                    session.pipe(client, upstream, asked, &meters, self.settings.idle_timeout).await;
                    return Ok(());
                }
                Err(error) => {
                    linger(client.stream).await;
                    return Err(error);
                }
            }
        }
    }

    #[allow(clippy::too_many_arguments, reason = "the connection's state, and one request")]
    async fn request(
        &self,
        session: &Session<'_>,
        client: &mut Buffered,
        bytes: &Bytes,
        head: &RequestHead<'_>,
        kept: Option<Kept>,
        meters: &Meters,
        sniffing: Sniffing,
        drain: &CancellationToken,
    ) -> Result<Next, HandlerError> {
        let bad = |error: &dyn ToString| HandlerError::BadRequest(error.to_string());
        let length = BodyLength::of_request(head).map_err(|error| bad(&error))?;
        let host = named_host(head, PORT).map_err(|error| bad(&error))?;
        let found = self.target(session, head, host, kept).await;
        let authority = head.headers.get("host").map(String::from_utf8_lossy).unwrap_or_default();
        let record = Written::new(session, session.exchange_template(), head, &authority);
        let mut kept = match found {
            Ok(kept) => kept,
            Err(Refusal { status, error }) => {
                record.status(status);
                let answer = if status == 401 { UNAUTHORIZED.to_vec() } else { answer::failure(status) };
                exchange::send(session, &client.stream, sniffing.read_timeout, &answer).await?;
                return error.map_or(Ok(Next::Close), Err);
            }
        };
        let _piping = session.piping(kept.asked.clone());
        let idle = self.settings.idle_timeout;
        let http = kept.node.http.as_ref();
        let mut edits = Edits::default();
        let target = match origin_form(head) {
            Cow::Borrowed(target) if target == head.target => Cow::Borrowed(target),
            // The URL's host counts, not the header's.
            target => {
                let host = kept.host.as_ref().map(ToString::to_string).unwrap_or_default();
                edits.set("Host", host.strip_suffix(":80").unwrap_or(&host));
                target
            }
        };
        let (mut body, mut early, mut target) = (BodyScanner::new(length), Bytes::new(), target.into_owned());
        if let Some(http) = http.filter(|_| head.method != "CONNECT") {
            if let Some(host) = &http.host {
                edits.set("Host", host.as_str());
            }
            edits.configured(&http.request_headers);
            target = http.target(&target);
            let rules = &http.rewrite_request_body;
            let rewriting = rewrite_request(session, client, head, length, rules, meters, &record, idle);
            if let Some(rewritten) = rewriting.await? {
                (body, early) = (rewritten.rest, rewritten.bytes);
                edits.remove("Expect");
                if let Some(length) = rewritten.length {
                    edits.body(length);
                }
            }
        }
        let unchanged = edits.is_empty() && target == head.target;
        let mut sent = if unchanged { bytes.to_vec() } else { heads::request(head, &target, &edits) };
        sent.extend(early);
        let request = Request {
            head,
            upgrade: wants_upgrade(head, length),
            counted: bytes.len(),
            body,
            sent,
            target: &kept.asked.target,
            manner: Manner::Node { http, keep_alive: self.settings.http_keepalive, uri: head.target },
        };
        let exchange = Exchange::new(session, request, &record, drain, meters, sniffing.read_timeout);
        let outcome = exchange.run(client, &mut kept.upstream, idle).await;
        let status = outcome.as_ref().err().and_then(|error| exchange.status_of(error));
        drop(exchange);
        match outcome {
            Ok(Outcome::Keep) => Ok(Next::Again(kept)),
            Ok(Outcome::Close) => Ok(Next::Close),
            Ok(Outcome::Upgraded(frames)) => Ok(Next::Tunnel(kept, frames)),
            Err(error) => {
                // The target must not be left with half a request while the client is told.
                drop(kept.upstream);
                if let Some(status) = status {
                    let answer = answer::failure(status);
                    exchange::send(session, &client.stream, sniffing.read_timeout, &answer).await?;
                }
                Err(error)
            }
        }
    }

    /// The target for a request, connected to. The last one's, if this one names the same host and would do for it.
    /// GOST: whatever the next request on a connection asks for, it goes where the first one went.
    async fn target(
        &self,
        session: &Session<'_>,
        head: &RequestHead<'_>,
        host: Option<HostPort>,
        kept: Option<Kept>,
    ) -> Result<Kept, Refusal> {
        let named = anonymous(host.clone().unwrap_or_else(|| HostPort { host: String::new(), port: 0 }));
        session.note(|record| named.note(record));
        let asked_about = Target {
            network: "tcp".to_owned(),
            address: host.as_ref().map(ToString::to_string).unwrap_or_default(),
            path: Some(head.target.to_owned()),
            ..Target::default()
        };
        if session.bypasses(&named, asked_about).await {
            return Err(Refusal { status: 403, error: None });
        }
        let origin = origin_form(head);
        let (path, query) = origin.split_once('?').map_or((&*origin, None), |(path, query)| (path, Some(query)));
        let seen = Seen {
            protocol: Some(Protocol::Http.as_str()),
            host: host.as_ref(),
            method: Some(head.method),
            path: Some(path),
            query,
            headers: Some(&head.headers),
            ..Seen::default()
        };
        if let Some(kept) = kept
            && kept.host == host
            && kept.node.fits(&session.info, &seen).await
        {
            self.authenticate(session, &kept.node, head).await?;
            return Ok(kept);
        }
        let unavailable = |status| move |error: HandlerError| Refusal { status, error: Some(error) };
        let node = self.choose(session, &seen).await.map_err(|error| unavailable(502)(error.into()))?;
        self.authenticate(session, &node, head).await?;
        let (mut upstream, asked) = self.connect(session, &node, PORT).await.map_err(unavailable(503))?;
        if let Some(tls) = &node.tls {
            let secured = timeout(self.parts.router.dial_timeout, tls.connect(upstream.conn)).await;
            let failed = |reason| {
                let error = DialError { target: asked.target.to_string(), reason };
                session.note(|record| record.err = error.to_string());
                unavailable(503)(error.into())
            };
            let refused =
                |error: std::io::Error| DialReason::Node { node: node.to_string(), reason: error.to_string() };
            let stream = secured.map_err(|_| DialReason::TimedOut).and_then(|stream| stream.map_err(refused));
            upstream.conn = Buffered { stream: stream.map_err(failed)?, received: BytesMut::new() };
        }
        Ok(Kept { node, upstream: upstream.conn, asked, host })
    }

    /// Whether the client may use the node. GOST: connects to it before it asks.
    async fn authenticate(&self, session: &Session<'_>, node: &Node, head: &RequestHead<'_>) -> Result<(), Refusal> {
        let Some(auth) = node.http.as_ref().and_then(|http| http.auth.as_ref()) else { return Ok(()) };
        let given = head.headers.get("authorization").and_then(Credentials::parse).unwrap_or_default();
        match auth.authenticate(&session.info, &given.username, &given.password).await {
            Some(_) => Ok(()),
            None => {
                session.note(|record| record.err = "authentication failed".to_owned());
                Err(Refusal { status: 401, error: None })
            }
        }
    }
}

const UNAUTHORIZED: &[u8] = b"HTTP/1.1 401 Unauthorized\r\nWww-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n";
