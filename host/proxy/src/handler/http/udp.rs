//! UDP over HTTP: frames with datagrams behind a CONNECT (GOST reference, dataplane 7).

use super::super::datagrams::relay;
use super::{Asked, Buffered, HandlerError, Http, Next, Session, answer, status};
use crate::net::Datagrams;

impl Http {
    /// Answers a request for a relay. Which target it names counts for the bypass only: each frame names its own.
    pub(super) async fn grant_udp(
        &self,
        session: &Session<'_>,
        client: &Buffered,
        asked: Asked,
    ) -> Result<Next, HandlerError> {
        session.note(|record| record.network = "udp");
        if !self.settings.udp {
            status(session, 403);
            self.answer(session, client, &answer::failure(403)).await?;
            return Ok(Next::Close);
        }
        status(session, 200);
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
