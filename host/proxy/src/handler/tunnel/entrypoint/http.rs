//! HTTP: each request by itself finds its host's tunnel.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use drawspan_smux::Session as Mux;
use drawspan_wire::http1::{BodyLength, BodyScanner, HostPort, RequestHead, named_host, origin_form};
use drawspan_wire::socks::Address;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{Entrypoint, source};
use crate::handler::HandlerError;
use crate::handler::exchange::heads::{self, Edits};
use crate::handler::exchange::{self, Exchange, Manner, Outcome, Request, Written, wants_upgrade};
use crate::handler::frames::Frames;
use crate::handler::handshake::Grant;
use crate::handler::http::answer;
use crate::handler::record::HttpRecord;
use crate::handler::session::{Asked, Session};
use crate::handler::sniff::{NextHead, next_head};
use crate::handler::tunnel::connectors::Connector;
use crate::handler::tunnel::dial::{Opened, TunnelError};
use crate::net::{Buffered, Meters, linger};

const PORT: u16 = 80;

/// Which session a request belongs to, over all gateways that it comes through.
const SID: &str = "Gost-Sid";
/// Which gateways it came through.
const NODES: &str = "Gost-Forwarded-Node";

/// The connection of the last request, which the next one may share.
struct Kept {
    host: HostPort,
    tunnel: Uuid,
    upstream: Buffered,
    meters: Meters,
    /// Its session lasts at least as long.
    connector: Option<Arc<Connector<Mux>>>,
}

/// The values of the two headers.
struct Marks {
    sid: String,
    nodes: String,
}

/// What comes after a request.
enum Next {
    Again(Option<Kept>),
    Close,
    /// Perhaps a websocket whose frames are recorded.
    Tunnel(Kept, Option<Box<Frames>>),
}

impl Entrypoint {
    pub(super) async fn http(
        &self,
        session: &Session<'_>,
        mut client: Buffered,
        drain: &CancellationToken,
    ) -> Result<(), HandlerError> {
        let mut kept: Option<Kept> = None;
        let idle = self.settings.idle_timeout;
        loop {
            let upstream = kept.as_mut().map(|kept| &mut kept.upstream);
            let bytes = match next_head(&mut client, upstream, idle, self.settings.read_timeout, drain).await? {
                NextHead::Head(bytes) => bytes,
                NextHead::End => return Ok(()),
                // The other end has closed the connection; the next request gets another.
                NextHead::Upstream => {
                    kept = None;
                    continue;
                }
            };
            let head = RequestHead::parse(&bytes)?;
            match self.request(session, &mut client, &bytes, &head, kept.take(), drain).await {
                Ok(Next::Again(next)) => kept = next,
                Ok(Next::Close) => {
                    linger(client.stream).await;
                    return Ok(());
                }
                Ok(Next::Tunnel(Kept { host, tunnel, mut upstream, meters, connector: _connector }, frames)) => {
                    if let Some(frames) = frames {
                        (client, upstream) = frames.overhear(client, upstream);
                    }
                    session.pipe(client, upstream, asked(&host, tunnel), &meters, idle).await;
                    return Ok(());
                }
                Err(error) => {
                    linger(client.stream).await;
                    return Err(error);
                }
            }
        }
    }

    async fn request(
        &self,
        session: &Session<'_>,
        client: &mut Buffered,
        bytes: &Bytes,
        head: &RequestHead<'_>,
        kept: Option<Kept>,
        drain: &CancellationToken,
    ) -> Result<Next, HandlerError> {
        let bad = |error: &dyn ToString| HandlerError::BadRequest(error.to_string());
        let length = BodyLength::of_request(head).map_err(|error| bad(&error))?;
        let host = named_host(head, PORT).map_err(|error| bad(&error))?;
        let host = host.unwrap_or_else(|| HostPort { host: String::new(), port: PORT });
        let authority = head.headers.get("host").map(String::from_utf8_lossy).unwrap_or_default();
        let record = Written::new(session, session.exchange_template(), head, &authority);
        let marks = self.marks(session, head);
        record.note(|record| {
            record.host = host.to_string();
            record.proto = "";
            record.sid.clone_from(&marks.sid);
            if let Some(http) = &mut record.http {
                http.scheme = "http";
                http.set_header(SID, &marks.sid);
                http.set_header(NODES, &marks.nodes);
            }
        });
        let mut kept = match self.connection(session, head, &host, kept, &record).await {
            Ok(kept) => kept,
            Err(reason) => {
                let no_host = matches!(reason, TunnelError::NoRoute | TunnelError::Private);
                let status = if no_host { 502 } else { 503 };
                let error = HandlerError::Tunnel { host: host.to_string(), reason };
                record.status(status);
                record.note(|record| record.err = error.to_string());
                exchange::send(session, &client.stream, self.settings.read_timeout, &answer::failure(status)).await?;
                return Err(error);
            }
        };
        let asked = asked(&host, kept.tunnel);
        let _piping = session.piping(asked.clone());
        let upgrade = wants_upgrade(head, length);
        let manner = match self.settings.keepalive {
            true => Manner::Node { http: None, keep_alive: true, uri: head.target },
            false => Manner::Proxied { inflates: false },
        };
        let request = Request {
            head,
            upgrade,
            counted: bytes.len(),
            body: BodyScanner::new(length),
            sent: self.head(head, &host, upgrade, &marks),
            target: &asked.target,
            manner,
        };
        let exchange = Exchange::new(session, request, &record, drain, &kept.meters, self.settings.read_timeout);
        let outcome = exchange.run(client, &mut kept.upstream, self.settings.idle_timeout).await;
        let status = outcome.as_ref().err().and_then(|error| exchange.status_of(error));
        drop(exchange);
        match outcome {
            Ok(Outcome::Keep) => Ok(Next::Again(self.settings.keepalive.then_some(kept))),
            Ok(Outcome::Close) => Ok(Next::Close),
            Ok(Outcome::Upgraded(frames)) => Ok(Next::Tunnel(kept, frames)),
            Err(error) => {
                // The other end must not be left with half a request while the visitor is told.
                drop(kept);
                if let Some(status) = status {
                    record.status(status);
                    let answer = answer::failure(status);
                    exchange::send(session, &client.stream, self.settings.read_timeout, &answer).await?;
                }
                Err(error)
            }
        }
    }

    /// A connection through the tunnel that serves `host` now.
    async fn connection(
        &self,
        session: &Session<'_>,
        head: &RequestHead<'_>,
        host: &HostPort,
        kept: Option<Kept>,
        record: &Written<'_>,
    ) -> Result<Kept, TunnelError> {
        if host.host.is_empty() {
            return Err(TunnelError::NoRoute);
        }
        if head.headers.has_token(NODES, &self.tunnels.node) {
            return Err(TunnelError::Circle);
        }
        let tunnel = self.tunnel_of(session, host).await?;
        record.note(|record| record.client_id = tunnel.to_string());
        if let Some(kept) = kept.filter(|kept| kept.tunnel == tunnel && kept.host == *host) {
            return Ok(kept);
        }
        let said = HttpRecord::client_ip(&head.headers).parse::<IpAddr>();
        let source = said.map_or_else(|_| source(&session.info.client), |ip| Address::Ip(SocketAddr::new(ip, 0)));
        let Opened { conn, far, redirect, connector } = self.enter(session, tunnel, source, host).await?;
        record.note(|record| record.redirect = redirect.unwrap_or_default());
        let meters = session.far_meters(far);
        Ok(Kept { host: host.clone(), tunnel, upstream: conn, meters, connector })
    }

    /// What a request is marked with on its way.
    fn marks(&self, session: &Session<'_>, head: &RequestHead<'_>) -> Marks {
        let said = |name| head.headers.get(name).filter(|value| !value.is_empty()).map(String::from_utf8_lossy);
        let sid = said(SID).map_or_else(|| session.info.sid.to_string(), Cow::into_owned);
        let before = said(NODES).map(|nodes| format!("{nodes}, ")).unwrap_or_default();
        Marks { sid, nodes: before + &self.tunnels.node }
    }

    /// The request's head as it goes through the tunnel.
    fn head(&self, head: &RequestHead<'_>, host: &HostPort, upgrade: bool, marks: &Marks) -> Vec<u8> {
        let mut edits = Edits::default();
        let target = match origin_form(head) {
            Cow::Borrowed(target) if target == head.target => Cow::Borrowed(target),
            // The URL's host counts, not the header's.
            target => {
                let host = host.to_string();
                edits.set("Host", host.strip_suffix(":80").unwrap_or(&host));
                target
            }
        };
        edits.set(SID, marks.sid.as_str());
        edits.set(NODES, marks.nodes.as_str());
        if !self.settings.keepalive && !upgrade && head.method != "CONNECT" {
            edits.set("Connection", "close");
        }
        heads::request(head, &target, &edits)
    }
}

fn asked(host: &HostPort, tunnel: Uuid) -> Asked {
    Asked { client_id: tunnel.to_string().into(), ..Grant::anonymous().asked(host.clone()) }
}
