//! Connections within a connection.

use std::sync::Arc;

use drawspan_modules::ConnInfo;
use drawspan_smux::{Config, Session};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{Service, failed};
use crate::Conn;
use crate::handler::HandlerError;
use crate::net::Stream;

impl Service {
    /// Serves all connections that `carrier` carries, each in a task of its own, until it ends and they have; or, once `drain`
    /// is cancelled, until those that there are have ended.
    pub(super) async fn serve_streams(
        self: &Arc<Self>,
        carrier: Conn,
        config: Config,
        network: &'static str,
        sids: &(impl Fn() -> Arc<str> + Sync),
        drain: CancellationToken,
    ) -> Result<(), (ConnInfo, HandlerError)> {
        let Conn { stream, info, counters: _, limits: _ } = carrier;
        let session = match Session::server(stream.into_stream(), config) {
            Ok(session) => session,
            Err(error) => return Err((info, HandlerError::BadRequest(error.to_string()))),
        };
        let mut serving = JoinSet::new();
        loop {
            let stream = tokio::select! {
                stream = session.accept() => stream,
                () = drain.cancelled() => None,
                Some(_) = serving.join_next() => continue,
            };
            let Some(stream) = stream else { break };
            let info = ConnInfo { sid: sids(), ..info.clone() };
            let stream = Stream::layered(stream, info.local.clone(), info.client.clone());
            let conn = Conn::new(stream, info);
            let (service, drain) = (Arc::clone(self), drain.clone());
            serving.spawn(async move {
                service.serve_stream(conn, network, drain).await;
            });
        }
        while serving.join_next().await.is_some() {}
        match session.ended() {
            // A peer that has closed it is how it ends.
            Some(error) if error != drawspan_smux::Ended::Closed => Err((info, HandlerError::Client(error.into()))),
            _ => Ok(()),
        }
    }

    async fn serve_stream(&self, mut conn: Conn, network: &'static str, drain: CancellationToken) {
        let info = conn.info.clone();
        let Some(limits) = Box::pin(self.enter(&info, network)).await else { return };
        conn.limits = limits;
        let request = self.request(&info);
        let served = self.handler.handle(conn, drain).await;
        request.into_iter().for_each(|request| request.over(&served));
        if let Err(error) = served {
            failed(&info, &error);
        }
    }
}
