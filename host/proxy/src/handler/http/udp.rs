//! UDP over HTTP: frames with datagrams behind a CONNECT (GOST reference, dataplane 7).

use drawspan_wire::http1::RequestHead;

use super::super::datagrams::relay;
use super::{Asked, Buffered, HandlerError, Http, HttpRecord, Next, Session, answer};
use crate::net::Datagrams;

impl Http {
    /// Answers a request for a relay. Which target it names counts for the bypass only: each frame names its own.
    pub(super) async fn grant_udp(
        &self,
        session: &Session<'_>,
        client: &Buffered,
        head: &RequestHead<'_>,
        asked: Asked,
    ) -> Result<Next, HandlerError> {
        let status = if self.settings.udp { 200 } else { 403 };
        session.note(|record| {
            (record.network, record.proto) = ("udp", "http");
            let mut http = HttpRecord::of(head, &asked.target.to_string());
            http.status_code = status;
            record.http = Some(http);
        });
        if !self.settings.udp {
            self.answer(session, client, &answer::failure(status)).await?;
            return Ok(Next::Close);
        }
        self.answer(session, client, &answer::relaying()).await?;
        Ok(Next::Datagrams(asked))
    }

    /// Relays datagrams between frames in the client's connection and their targets.
    pub(super) async fn relay(
        &self,
        session: &Session<'_>,
        client: Buffered,
        asked: Asked,
    ) -> Result<(), HandlerError> {
        let mut upstream = session.associate(&asked).await?.datagrams;
        let mut client = Datagrams::Framed(client);
        relay(session, asked, &mut client, &mut upstream, self.settings.idle_timeout).await
    }
}
