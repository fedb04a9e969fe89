//! One request passed on to the origin that it names, and the response passed back.

use std::time::Duration;

use bytes::Bytes;
use drawspan_modules::ClientId;
use drawspan_wire::http1::{BodyLength, BodyScanner, HostPort, RequestHead, Version};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::answer::{self, After};
use super::{Asked, HandlerError, Http, Next, Session, Tunnel};
use crate::Upstream;
use crate::handler::exchange::{Exchange, Manner, Outcome, Request, Written, wants_upgrade};
use crate::net::Buffered;

/// A request that names its origin.
pub(super) struct Forward<'r> {
    pub(super) head: &'r RequestHead<'r>,
    pub(super) authority: &'r str,
    pub(super) path: &'r str,
    pub(super) length: BodyLength,
    pub(super) asked: Asked,
}

/// A connection to an origin that may carry the client's next request to it (`keepalive`).
///
/// GOST: any client's next request, whoever was let in with the first.
pub(super) struct Kept {
    upstream: Upstream,
    target: HostPort,
    client_id: ClientId,
}

impl Kept {
    /// The connection, if it is one for that and the origin hasn't closed it meanwhile.
    async fn take_for(mut self, asked: &Asked) -> Option<Upstream> {
        if self.target != asked.target || self.client_id != asked.client_id || !self.upstream.conn.received.is_empty() {
            return None;
        }
        // Whatever comes unasked is no answer.
        let silent = timeout(Duration::ZERO, self.upstream.conn.fill()).await.is_err();
        silent.then_some(self.upstream)
    }
}

/// Whether a request may be sent again when a kept connection turns out to be closed (RFC 9110 §9.2.2, as Go does).
fn may_be_repeated(head: &RequestHead<'_>, length: BodyLength) -> bool {
    matches!(head.method, "GET" | "HEAD" | "OPTIONS" | "TRACE")
        && matches!(length, BodyLength::None | BodyLength::Sized(0))
}

/// Whether the response may come compressed although its client doesn't say so: as Go's client asks.
fn may_be_compressed(head: &RequestHead<'_>) -> bool {
    head.method != "HEAD" && ["accept-encoding", "range", "upgrade"].iter().all(|name| head.headers.get(name).is_none())
}

impl Http {
    pub(super) async fn forward(
        &self,
        session: &Session<'_>,
        client: &mut Buffered,
        request: Forward<'_>,
        kept: &mut Option<Box<Kept>>,
        drain: &CancellationToken,
    ) -> Result<Next, HandlerError> {
        let Forward { head, authority, path, length, asked } = request;
        let _piping = session.piping(asked.clone());
        let mut reused = match kept.take() {
            Some(kept) => kept.take_for(&asked).await,
            None => None,
        };
        let upgrade = wants_upgrade(head, length);
        let after = match head.version {
            _ if upgrade => After::Upgrade,
            Version::Http11 if self.settings.keepalive => After::Keep,
            _ => After::Close,
        };
        let inflates = self.settings.compression && head.version == Version::Http11 && may_be_compressed(head);
        let meters = session.meters(&asked).await;
        let record = Written::new(session, session.exchange_record(&asked), head, authority);
        record.note(|record| record.http.iter_mut().for_each(|http| http.scheme = "http"));
        loop {
            let is_reused = reused.is_some();
            let dialed = match reused.take() {
                Some(upstream) => Ok(upstream),
                None => session.dial(&asked).await,
            };
            record.note(|record| match &dialed {
                Ok(upstream) => upstream.note(record),
                Err(error) => record.err = error.to_string(),
            });
            let mut upstream = match dialed {
                Ok(upstream) => upstream,
                Err(error) => {
                    record.status(503);
                    self.answer(session, client, &answer::failure(503)).await?;
                    return Err(error.into());
                }
            };
            let sent = answer::request(head, authority, path, after, inflates);
            let (target, manner, body) = (&asked.target, Manner::Proxied { inflates }, BodyScanner::new(length));
            let request = Request { head, upgrade, counted: 0, body, sent, target, manner };
            let exchange = Exchange::new(session, request, &record, drain, &meters, self.settings.read_timeout);
            let outcome = exchange.run(client, &mut upstream.conn, self.settings.idle_timeout).await;
            let stays_open = after == After::Keep && exchange.leaves_upstream_open();
            let status = outcome.as_ref().err().and_then(|error| exchange.status_of(error));
            drop(exchange);
            return match outcome {
                Ok(Outcome::Keep) => {
                    if stays_open {
                        *kept = Some(Box::new(Kept { upstream, target: asked.target, client_id: asked.client_id }));
                    }
                    Ok(Next::Again)
                }
                Ok(Outcome::Close) => Ok(Next::Close),
                Ok(Outcome::Upgraded(frames)) => {
                    let upstream = upstream.conn;
                    Ok(Next::Tunnel(Tunnel { upstream, asked, replay: Bytes::new(), sniffed: false, frames }))
                }
                Err(error) => {
                    // The origin must not be left with half a request while the client is told.
                    drop(upstream);
                    match status {
                        Some(502) if is_reused && may_be_repeated(head, length) => {
                            record.note(|record| record.err.clear());
                            continue;
                        }
                        Some(status) => self.answer(session, client, &answer::failure(status)).await?,
                        None => {}
                    }
                    Err(error)
                }
            };
        }
    }
}
