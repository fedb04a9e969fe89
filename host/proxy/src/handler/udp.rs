//! [`Udp`]: passes clients' datagrams on to targets that the config names (GOST reference, dataplane 8).

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use drawspan_modules::Admission;
use drawspan_wire::http1::HostPort;

use super::handshake::Grant;
use super::session::{Asked, Session};
use super::{HandlerError, HandlerParts};
use crate::listener::UdpSession;
use crate::net::{Activity, Flow};
use crate::router::{Hop, NodeAddr, UdpUpstream};
use crate::{Conn, DialError};

/// Passes datagrams on, each client's to one target. Nobody is authenticated, and no bypass is asked: the targets are the
/// operator's own.
pub struct Udp {
    parts: HandlerParts,
    hop: Arc<Hop>,
    idle_timeout: Option<Duration>,
}

impl Udp {
    /// To one of the targets of `hop`. A session ends after `idle_timeout` of silence, if the listener doesn't end it before.
    #[must_use]
    pub fn new(parts: HandlerParts, hop: Arc<Hop>, idle_timeout: Option<Duration>) -> Self {
        Self { parts, hop, idle_timeout }
    }

    /// As [`Handler::handle_datagrams`](super::Handler::handle_datagrams).
    pub(crate) async fn handle(
        &self,
        conn: Conn<UdpSession>,
        admission: Option<&Admission>,
    ) -> Result<(), HandlerError> {
        let (session, mut client) = Session::start(conn, "udp", &self.parts);
        // Boxed: what it needs must not be carried along by the session.
        let (upstream, asked) = Box::pin(connect(&session, &self.hop, Grant::anonymous())).await?;
        self.relay(&session, asked, &mut client, upstream, admission).await.map_err(HandlerError::Datagrams)
    }

    /// Passes datagrams on until the session is over.
    async fn relay(
        &self,
        session: &Session<'_>,
        asked: Asked,
        client: &mut UdpSession,
        upstream: UdpUpstream,
        admission: Option<&Admission>,
    ) -> io::Result<()> {
        let UdpUpstream { mut datagrams, target, .. } = upstream;
        let (mut from_target, to_target) = datagrams.split();
        let idle = self.idle_timeout.map_or(client.ttl(), |limit| limit.min(client.ttl()));
        let (from_client, to_client) = client.split();
        let meters = session.meters_of("udp", &asked).await;
        let activity = Activity::new();
        let (up, down) = Flow::both(&session.traffic, &meters, &activity);
        let _piping = session.piping(asked);
        let (unanswered, is_drained) = (AtomicU64::new(0), AtomicBool::new(false));
        let is_over = || is_drained.load(Relaxed) && unanswered.load(Relaxed) == 0;
        let questions = async {
            let mut is_first = true;
            while let Some(data) = from_client.receive().await {
                let ask = admission.filter(|_| !std::mem::take(&mut is_first));
                if let Some(admission) = ask
                    && !admission.admits_datagram(&session.info.client).await
                {
                    continue;
                }
                up.moved(data.len()).await;
                unanswered.fetch_add(1, Relaxed);
                to_target.send(&target, &data).await?;
            }
            is_drained.store(true, Relaxed);
            // What was asked may still be answered.
            if to_client.is_kept_alive() || is_over() { Ok(()) } else { std::future::pending().await }
        };
        let answers = async {
            let mut data = Vec::new();
            loop {
                from_target.receive(&mut data).await?;
                // GOST: the first answer is the last, whatever else was asked.
                if !to_client.is_kept_alive() && unanswered.load(Relaxed) <= 1 {
                    to_client.retire();
                }
                to_client.send(&data).await;
                down.moved(data.len()).await;
                // There may be more answers than questions.
                let _ = unanswered.fetch_update(Relaxed, Relaxed, |count| count.checked_sub(1));
                if is_over() {
                    return Ok(());
                }
            }
        };
        tokio::select! {
            outcome = questions => outcome,
            outcome = answers => outcome,
            () = activity.idle(Some(idle)) => Ok(()),
        }
    }
}

/// A way to one of the targets of `hop`.
pub(super) async fn connect(session: &Session<'_>, hop: &Hop, grant: Grant) -> Result<(UdpUpstream, Asked), DialError> {
    session.note(|record| record.network = "udp");
    let dialled = session.parts.router.forward_udp(hop, &session.info, &grant.client_id).await;
    let (upstream, node) = dialled.inspect_err(|error| session.note(|record| record.err = error.to_string()))?;
    let asked = grant.asked(match &node.addr {
        NodeAddr::Inet(address) => address.clone(),
        NodeAddr::Unix(path) => HostPort { host: path.display().to_string(), port: 0 },
    });
    session.note(|record| {
        record.node.clone_from(&node.name);
        asked.note(record);
        upstream.note(record);
    });
    Ok((upstream, asked))
}

#[cfg(test)]
mod tests;
