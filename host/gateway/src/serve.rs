//! The accept loop.

use std::sync::Arc;
use std::time::Duration;

use drawspan_modules::ConnInfo;
use drawspan_proxy::Service;
use drawspan_proxy::handler::HandlerError;
use drawspan_proxy::listener::{AcceptError, Accepted, Listener};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::sid::Sids;

const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// A service that listens.
pub(crate) struct Serving {
    pub(crate) listener: Listener,
    pub(crate) service: Arc<Service>,
    pub(crate) sids: Arc<Sids>,
}

/// Accepts until `drain` is cancelled, with a task of `connections` for each connection. Nothing in this loop waits for
/// anything but the listener: a slow plugin never keeps others from being accepted.
pub(crate) async fn serve(serving: Serving, drain: CancellationToken, connections: TaskTracker) {
    let Serving { listener, service, sids } = serving;
    let (name, network) = (Arc::clone(&service.name), listener.network());
    tracing::info!(kind = "service", service = %name, "listening on {}/{network}", listener.local_addr());
    let mut pause = FIRST_PAUSE;
    loop {
        let accepted = tokio::select! {
            () = drain.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok(accepted) => {
                pause = FIRST_PAUSE;
                connections.spawn(handle(Arc::clone(&service), accepted, network, sids.next(), drain.clone()));
            }
            Err(AcceptError::Temporary(error)) => {
                tracing::error!(kind = "service", service = %name, %error, "can't accept; trying again in {pause:?}");
                tokio::select! {
                    () = drain.cancelled() => return,
                    () = tokio::time::sleep(pause) => {}
                }
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
            Err(error) => {
                tracing::error!(kind = "service", service = %name, "the service is over: {error}");
                return;
            }
        }
    }
}

async fn handle(
    service: Arc<Service>,
    accepted: Accepted,
    network: &'static str,
    sid: Arc<str>,
    drain: CancellationToken,
) {
    let Err((info, error)) = service.serve(accepted, network, sid, drain).await else { return };
    let ConnInfo { service, sid, client, .. } = info;
    match error {
        HandlerError::Dial(_) | HandlerError::Upstream { .. } | HandlerError::UpstreamTimedOut { .. } => {
            tracing::warn!(kind = "handler", %service, %sid, %client, "{error}");
        }
        // The client's doing, and its loss.
        _ => tracing::debug!(kind = "handler", %service, %sid, %client, "{error}"),
    }
}
