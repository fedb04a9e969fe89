//! The accept loop.

use std::sync::Arc;
use std::time::Duration;

use drawspan_modules::ConnInfo;
use drawspan_proxy::Conn;
use drawspan_proxy::handler::{Handler, HandlerError};
use drawspan_proxy::listener::{AcceptError, Accepted, TcpListener};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::sid::Sids;

const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// A service that listens.
pub(crate) struct Serving {
    pub(crate) name: Arc<str>,
    pub(crate) listener: TcpListener,
    pub(crate) handler: Arc<Handler>,
    pub(crate) sids: Arc<Sids>,
}

/// Accepts until `drain` is cancelled, with a task of `connections` for each connection. Nothing in this loop waits for
/// anything but the listener: a slow plugin never keeps others from being accepted.
pub(crate) async fn serve(service: Serving, drain: CancellationToken, connections: TaskTracker) {
    let Serving { name, listener, handler, sids } = service;
    tracing::info!(kind = "service", service = %name, "listening on {}/tcp", listener.local_addr());
    let mut pause = FIRST_PAUSE;
    loop {
        let accepted = tokio::select! {
            () = drain.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok(Accepted { stream, client, local }) => {
                pause = FIRST_PAUSE;
                let info = ConnInfo { service: Arc::clone(&name), sid: sids.next(), client, local };
                connections.spawn(handle(Arc::clone(&handler), Conn::new(stream, info), drain.clone()));
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

async fn handle(handler: Arc<Handler>, conn: Conn, drain: CancellationToken) {
    let info = conn.info.clone();
    let Err(error) = handler.handle(conn, drain).await else { return };
    let ConnInfo { service, sid, client, .. } = info;
    match error {
        HandlerError::Dial(_) | HandlerError::Upstream { .. } | HandlerError::UpstreamTimedOut { .. } => {
            tracing::warn!(kind = "handler", %service, %sid, %client, "{error}");
        }
        // The client's doing, and its loss.
        _ => tracing::debug!(kind = "handler", %service, %sid, %client, "{error}"),
    }
}
