//! One request passed on to the origin that it names, and the response passed back.

use bytes::Bytes;
use drawspan_wire::http1::{BodyLength, BodyScanner, RequestHead};
use tokio_util::sync::CancellationToken;

use super::{Asked, HandlerError, Http, Next, Session, Tunnel, answer};
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

impl Http {
    pub(super) async fn forward(
        &self,
        session: &Session<'_>,
        client: &mut Buffered,
        request: Forward<'_>,
        drain: &CancellationToken,
    ) -> Result<Next, HandlerError> {
        let Forward { head, authority, path, length, asked } = request;
        let _piping = session.piping(asked.clone());
        let dialed = session.dial(&asked).await;
        let record = Written::new(session, session.exchange_record(&asked), head, authority);
        record.note(|record| match &dialed {
            Ok(upstream) => upstream.note(record),
            Err(error) => record.err = error.to_string(),
        });
        let mut upstream = match dialed {
            Ok(upstream) => upstream.conn,
            Err(error) => {
                self.answer(session, client, &answer::failure(503)).await?;
                return Err(error.into());
            }
        };
        let upgrade = wants_upgrade(head, length);
        let sent = answer::request(head, authority, path, upgrade);
        let (target, manner, body) = (&asked.target, Manner::Proxied, BodyScanner::new(length));
        let request = Request { head, upgrade, counted: 0, body, sent, target, manner };
        let meters = session.meters(&asked).await;
        let exchange = Exchange::new(session, request, &record, drain, &meters, self.settings.read_timeout);
        match exchange.run(client, &mut upstream, self.settings.idle_timeout).await {
            Ok(Outcome::Keep) => Ok(Next::Again),
            Ok(Outcome::Close) => Ok(Next::Close),
            Ok(Outcome::Upgraded) => {
                let asked = asked.clone();
                Ok(Next::Tunnel(Tunnel { upstream, asked, replay: Bytes::new(), sniffed: false }))
            }
            Err(error) => {
                // The origin must not be left with half a request while the client is told.
                drop(upstream);
                if let Some(status) = exchange.status_of(&error) {
                    self.answer(session, client, &answer::failure(status)).await?;
                }
                Err(error)
            }
        }
    }
}
